//! Losses of maps of chances against labels of pixels, as MediCLIP and MVFA have them.

use tch::{Kind, Tensor};

/// Clamps labels, and is added to chances.
const SMOOTH: f64 = 1e-5;

/// Focal loss of exponent 2 of chances `[n, 2, h, w]`, which sum to 1, against labels `[n, h, w]` of 0 to 1, of which any
/// below 1 counts as 0.
pub fn focal(chances: &Tensor, labels: &Tensor) -> Tensor {
    let anomalous = labels.ge(1.0).unsqueeze(1);
    let wanted = Tensor::cat(&[anomalous.logical_not(), anomalous], 1).to_kind(Kind::Float);
    // The published code clamps in single precision.
    let wanted = wanted.clamp(SMOOTH, 1.0 - SMOOTH).to_kind(chances.kind());
    let found = (wanted * chances).sum_dim_intlist(1, false, None::<Kind>) + SMOOTH;
    let missing: Tensor = 1.0 - &found;
    -(missing.square() * found.log()).mean(None::<Kind>)
}

/// One less Dice's coefficient of each picture's chances `[n, h, w]` with its labels, averaged over pictures; 1 is added above
/// and below.
pub fn dice(chances: &Tensor, labels: &Tensor) -> Tensor {
    let sum = |values: &Tensor| values.flatten(1, -1).sum_dim_intlist(1, false, None::<Kind>);
    let both = sum(&(chances * labels)) * 2.0 + 1.0;
    let each = both / (sum(chances) + sum(labels) + 1.0);
    1.0 - each.mean(None::<Kind>)
}
