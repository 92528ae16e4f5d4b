//! From what is seen of pictures, texts and references to maps and image scores, as two public implementations do it.

use serde::{Deserialize, Serialize};
use tch::{Kind, Tensor};

use super::seen::Seen;
use super::windows::Windows;
use crate::method::part::direction::unit;
use crate::method::part::grid;

/// Whose arithmetic and words. The authors published no code; the two differ in nearly every step.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Variant {
    /// anomalib's (b723368).
    Anomalib,
    /// caoyunkang/WinClip's (0818c9d), in this run's precision; there it is half precision always.
    Caoyunkang,
}

/// Side of the maps whose maximum is the image score in the second variant.
const CAOYUNKANG_SIDE: i64 = 400;

/// Reciprocals of less would not be numbers.
const LEAST: f64 = 1e-30;

impl Variant {
    /// What cosines are divided by.
    pub fn temperature(self) -> f64 {
        match self {
            Variant::Anomalib => 0.07,
            Variant::Caoyunkang => 0.01,
        }
    }

    /// Grids `[n, side, side]` and image scores `[n]`. `texts` are a normal and an anomalous one, `[2, joint]`; without
    /// references, of the texts alone.
    pub fn score(
        self,
        seen: &Seen,
        texts: &Tensor,
        references: Option<&Seen>,
        sizes: &[Windows],
    ) -> [Tensor; 2] {
        match self {
            Variant::Anomalib => self.anomalib(seen, texts, references, sizes),
            Variant::Caoyunkang => {
                let normal =
                    |windows: &Tensor| probabilities(windows, texts, self.temperature()).select(2, 0);
                let normal: Vec<Tensor> = seen.windows.iter().map(normal).collect();
                let found = references.map(|references| associations(seen, references));
                let grids = caoyunkang_grids(&normal, found.as_deref(), sizes);
                let maps = grid::upsample(&grids, CAOYUNKANG_SIDE, false);
                let scores = maps.amax([1i64, 2].as_slice(), false);
                [grids, scores]
            }
        }
    }

    fn anomalib(
        self,
        seen: &Seen,
        texts: &Tensor,
        references: Option<&Seen>,
        sizes: &[Windows],
    ) -> [Tensor; 2] {
        let anomalous = |seen: &Tensor| probabilities(seen, texts, self.temperature()).select(-1, 1);
        let whole = anomalous(&seen.whole);
        let windows = seen.windows.iter().map(anomalous);
        let by_size =
            sizes.iter().zip(windows).map(|(size, scores)| size.harmonic_mean(&scores).reciprocal());
        let sum = by_size.fold(whole.reciprocal().view([-1, 1, 1]), |sum, reciprocals| sum + reciprocals);
        let by_text = (sizes.len() + 1) as f64 / sum;
        let Some(references) = references else { return [by_text, whole] };
        let by_reference = anomalib_references(seen, references, sizes);
        let highest = by_reference.amax([1i64, 2].as_slice(), false);
        [(by_text + by_reference) / 2.0, (whole + highest) / 2.0]
    }
}

/// Chances of each of `texts` `[m, d]` for what is `seen` `[..., d]`: softmax of cosines over the temperature, `[..., m]`.
pub fn probabilities(seen: &Tensor, texts: &Tensor, temperature: f64) -> Tensor {
    (unit(seen, -1).matmul(&unit(texts, -1).tr()) / temperature).softmax(-1, None::<Kind>)
}

/// Half of one less the cosine to the nearest of `references` `[k, m, d]`, all `k m` together, of what is `seen`
/// `[n, m, d]`: `[n, m]`.
pub fn association(seen: &Tensor, references: &Tensor) -> Tensor {
    let references = unit(&references.flatten(0, 1), -1);
    // Of a reference itself, rounding could leave less than 0.
    ((unit(seen, -1).matmul(&references.tr()).amax([-1i64].as_slice(), false) * -1.0 + 1.0) / 2.0)
        .clamp_min(0.0)
}

fn associations(seen: &Seen, references: &Seen) -> Vec<Tensor> {
    seen.windows
        .iter()
        .zip(&references.windows)
        .map(|(seen, references)| association(seen, references))
        .collect()
}

/// anomalib's mean over patches and windows of how far the nearest reference is, `[n, side, side]`.
pub fn anomalib_references(seen: &Seen, references: &Seen, sizes: &[Windows]) -> Tensor {
    let windows = sizes.iter().zip(associations(seen, references));
    let windows = windows.map(|(size, scores)| size.harmonic_mean(&scores));
    let patches = association(&seen.patches, &references.patches);
    let side = patches.size()[1].isqrt();
    let sum = windows.fold(patches.view([-1, side, side]), |sum, grid| sum + grid);
    sum / (sizes.len() + 1) as f64
}

/// The second variant's grids `[n, side, side]` from chances of normality and associations of windows, `[n, windows]` for
/// each size; without associations, those of texts stand in for them, as published.
pub fn caoyunkang_grids(normal: &[Tensor], found: Option<&[Tensor]>, sizes: &[Windows]) -> Tensor {
    let over_sizes = |values: &[Tensor]| -> Tensor {
        let grids: Vec<Tensor> = sizes.iter().zip(values).map(|(size, values)| size.mean(values)).collect();
        Tensor::stack(&grids, 0).mean_dim(0, false, None::<Kind>)
    };
    let reciprocals: Vec<Tensor> = normal.iter().map(|p| p.clamp_min(LEAST).reciprocal()).collect();
    let by_text = over_sizes(&reciprocals).reciprocal() * -1.0 + 1.0;
    let by_reference = found.map_or_else(|| by_text.shallow_clone(), over_sizes);
    (by_text.reciprocal() + by_reference.reciprocal()).reciprocal()
}
