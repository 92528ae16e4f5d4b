//! Every number of a cell: from scores, a threshold that the supports set, and maps against masks.

use anyhow::Result;

use super::test_set::TestSet;
use crate::manifest::store::PixelStore;
use crate::manifest::{Label, MaskKind, Row};
use crate::maps::MapStack;
use crate::metric::explanation::{energy, pointing};
use crate::metric::pimo::pimo;
use crate::metric::pixel::{self, Localisation, Maps, See, localisation};
use crate::metric::preset::Preset;
use crate::metric::{Metric, image};
use crate::pixels::Pixels;
use crate::protocol::{Protocol, SIGMA};
use crate::results::Measured;

/// The scores of one protocol by class, and where they come from.
pub(super) struct Scores {
    protocol: Protocol,
    normal: Vec<f64>,
    anomalous: Vec<f64>,
    n_left_out: usize,
    /// The epoch whose maps were used.
    epoch: Option<u64>,
}

impl Scores {
    /// `values` are `None` for pictures that the protocol leaves out.
    pub(super) fn new(
        test: &TestSet,
        protocol: Protocol,
        values: &[Option<f64>],
        epoch: Option<u64>,
    ) -> Scores {
        let (normal, anomalous) = test.by_class(values);
        let n_left_out = values.len() - normal.len() - anomalous.len();
        Scores { protocol, normal, anomalous, n_left_out, epoch }
    }

    /// AUROC, with its interval over pictures.
    pub(super) fn ranked(&self) -> Measured {
        self.measured(image::ranked(&self.normal, &self.anomalous))
    }

    /// Everything else that they tell.
    pub(super) fn along_thresholds(&self) -> impl Iterator<Item = Measured> {
        let numbers = image::along_thresholds(&self.normal, &self.anomalous);
        numbers.into_iter().map(|number| self.measured(number))
    }

    /// What the threshold does that the supports set; undefined where they set none.
    pub(super) fn at_preset(&self, preset: Option<&Preset>) -> impl Iterator<Item = Measured> {
        let threshold = preset.map(Preset::threshold);
        let first = (Metric::ImagePresetThreshold, (threshold, None));
        let last = (Metric::ImagePresetPromisedFpr, (preset.map(Preset::promised_fpr), None));
        let numbers = image::at_threshold(&self.normal, &self.anomalous, threshold);
        [first].into_iter().chain(numbers).chain([last]).map(|number| self.measured(number))
    }

    fn measured(&self, number: (Metric, image::Value)) -> Measured {
        let counts = [self.normal.len(), self.anomalous.len(), self.n_left_out];
        Measured { epoch: self.epoch, ..Measured::of(self.protocol, number, counts) }
    }
}

/// Smoothed maps beside the masks of a pixel store.
struct Masked<'a> {
    test: &'a TestSet,
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
    row.label == Label::Normal || row.mask_hash.is_some()
}

impl Maps for Masked<'_> {
    fn visit(&self, see: &mut See) -> Result<()> {
        for (index, row) in self.test.rows.iter().enumerate().filter(|(_, row)| counts(row)) {
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
pub(super) fn pixels(
    test: &TestSet,
    store: &PixelStore,
    maps: &MapStack,
    preset: Option<&Preset>,
    epoch: Option<u64>,
) -> Result<Vec<Measured>> {
    let with_mask = |row: &&Row| row.label == Label::Anomalous && row.mask_hash.is_some();
    let n_masks = test.rows.iter().filter(with_mask).count();
    if n_masks == 0 {
        return Ok(Vec::new());
    }
    let masked = Masked { test, store, smoothed: maps.smoothed(SIGMA) };
    let (mut hits, mut energies) = (Vec::new(), Vec::new());
    masked.visit(&mut |map, mask| {
        if let Some(mask) = mask {
            hits.extend(pointing(map, mask).map(|hit| f64::from(u8::from(hit))));
            energies.extend(energy(map, mask));
        }
        Ok(())
    })?;
    let mut found = vec![(Metric::PixelPointing, mean(&hits)), (Metric::PixelEnergy, mean(&energies))];
    if test.rows.iter().filter(with_mask).all(|row| row.mask_kind == Some(MaskKind::Pixels)) {
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
    let n_normal = test.rows.iter().filter(|row| row.label == Label::Normal).count();
    let counts = [n_normal, n_masks, test.rows.len() - n_normal - n_masks];
    let measured = |(metric, value)| Measured {
        epoch,
        ..Measured::of(Protocol::RANKED, (metric, (value, None)), counts)
    };
    Ok(found.into_iter().map(measured).collect())
}

fn mean(values: &[f64]) -> Option<f64> {
    (!values.is_empty()).then(|| values.iter().sum::<f64>() / values.len() as f64)
}
