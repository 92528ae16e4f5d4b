//! What maps tell of where anomalies are: pixel-level numbers of a test set.

use anyhow::Result;

use super::Measured;
use crate::manifest::store::PixelStore;
use crate::manifest::{Label, MaskKind, Row};
use crate::maps::MapStack;
use crate::metric::Metric;
use crate::metric::explanation::{energy, pointing};
use crate::metric::pimo::pimo;
use crate::metric::pixel::{self, Localisation, Maps, See, localisation};
use crate::metric::preset::Preset;
use crate::pixels::Pixels;
use crate::protocol::{Protocol, SIGMA};

/// Smoothed maps beside the masks of a pixel store.
struct Masked<'a> {
    rows: &'a [&'a Row],
    store: &'a PixelStore,
    smoothed: MapStack,
}

impl Masked<'_> {
    fn mask(&self, row: &Row) -> Result<Option<Pixels>> {
        let side = self.store.size();
        let mask = |hash: &String| Pixels::new(side, side, 1, self.store.mask(hash)?.to_vec());
        row.mask_hash.as_ref().map(mask).transpose()
    }
}

/// Whether a picture's pixels count: an anomalous one without a mask tells nothing of them.
fn counts(row: &Row) -> bool {
    row.label == Label::Normal || (row.label == Label::Anomalous && row.mask_hash.is_some())
}

impl Maps for Masked<'_> {
    fn visit(&self, see: &mut See) -> Result<()> {
        for (index, row) in self.rows.iter().enumerate().filter(|(_, row)| counts(row)) {
            let mask = if row.label == Label::Normal { None } else { self.mask(row)? };
            see(self.smoothed.map(index), mask.as_ref())?;
        }
        Ok(())
    }
}

/// What maps tell, smoothed, where there are masks; nothing where a task has none. Boxes hold healthy pixels too, so
/// only the peak and the energy are measured against them.
///
/// # Errors
/// A mask that cannot be read.
pub fn pixels(
    rows: &[&Row],
    store: &PixelStore,
    maps: &MapStack,
    preset: Option<&Preset>,
    epoch: Option<u64>,
) -> Result<Vec<Measured>> {
    let with_mask = |row: &&&Row| row.label == Label::Anomalous && row.mask_hash.is_some();
    let n_masks = rows.iter().filter(with_mask).count();
    if n_masks == 0 {
        return Ok(Vec::new());
    }
    let masked = Masked { rows, store, smoothed: maps.smoothed(SIGMA) };
    let (mut hits, mut energies) = (Vec::new(), Vec::new());
    masked.visit(&mut |map, mask| {
        if let Some(mask) = mask {
            hits.extend(pointing(map, mask).map(|hit| f64::from(u8::from(hit))));
            energies.extend(energy(map, mask));
        }
        Ok(())
    })?;
    let mut found = vec![(Metric::PixelPointing, mean(&hits)), (Metric::PixelEnergy, mean(&energies))];
    if rows.iter().filter(with_mask).all(|row| row.mask_kind == Some(MaskKind::Pixels)) {
        let threshold = preset.map(|preset| preset.threshold() as f32);
        let Localisation { auroc, ap, aupro_30, aupro_5, best_dice, preset_dice, .. } =
            localisation(&masked, threshold, pixel::BUDGET)?;
        let pimo = pimo(&masked)?;
        found.extend([
            (Metric::PixelAuroc, auroc),
            (Metric::PixelAp, ap),
            (Metric::PixelAupro30, aupro_30),
            (Metric::PixelAupro5, aupro_5),
            (Metric::PixelAupimo, pimo.as_ref().and_then(|pimo| mean(&pimo.aupimo))),
            (Metric::PixelAupimoPoints, pimo.as_ref().map(|pimo| pimo.n_points as f64)),
            (Metric::PixelDiceMax, best_dice.map(|(dice, _)| dice)),
            (Metric::PixelDiceMaxThreshold, best_dice.map(|(_, threshold)| threshold.into())),
            (Metric::PixelPresetDice, preset_dice),
        ]);
    }
    let n_normal = rows.iter().filter(|row| row.label == Label::Normal).count();
    let counts = [n_normal, n_masks, rows.len() - n_normal - n_masks];
    let measured = |(metric, value)| Measured {
        epoch,
        ..Measured::of(Protocol::RANKED, (metric, (value, None)), counts)
    };
    Ok(found.into_iter().map(measured).collect())
}

fn mean(values: &[f64]) -> Option<f64> {
    (!values.is_empty()).then(|| values.iter().sum::<f64>() / values.len() as f64)
}
