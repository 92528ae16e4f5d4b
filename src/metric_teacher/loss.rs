//! Losses on vectors of which some are of one class. All are scalars, means over anchors.

use strum::{Display, EnumString, IntoStaticStr, VariantArray};
use tch::{Kind, Reduction, Tensor};

use crate::method::part::direction::unit;
use crate::words::word;

/// What draws vectors of one class together. The paper does not say which it used (arXiv 2207.06975): these are standard
/// definitions.
#[derive(
    Clone,
    Copy,
    Debug,
    Default,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Display,
    EnumString,
    IntoStaticStr,
    VariantArray,
)]
#[strum(serialize_all = "kebab-case")]
pub enum Metric {
    /// For each vector, the farthest of its class and the nearest of another (arXiv 1703.07737).
    #[default]
    BatchHard,
    /// For each vector, the mean of its class and the nearest mean of another.
    ClassCentre,
    /// Supervised contrastive, temperature 0.1 (arXiv 2004.11362).
    Contrastive,
}

word!(Metric, "metric loss");

/// Of the contrastive loss.
const TEMPERATURE: f64 = 0.1;

impl Metric {
    /// The loss of vectors `[n, d]`, brought to length 1, with classes `[n]`; `margin` is of the triplets.
    pub fn loss(self, vectors: &Tensor, classes: &Tensor, margin: f64) -> Tensor {
        let unit = unit(vectors, 1);
        match self {
            Metric::BatchHard => batch_hard(&unit, classes, margin),
            Metric::ClassCentre => class_centre(&unit, classes, margin),
            Metric::Contrastive => contrastive(&unit, classes, TEMPERATURE),
        }
    }
}

/// Euclidean distance of pairs of vectors, in the last dimension. Where both are equal its gradient is zero.
fn distance(a: &Tensor, b: &Tensor) -> Tensor {
    (a - b).square().sum_dim_intlist(&[-1][..], false, None::<Kind>).clamp_min(1e-24).sqrt()
}

/// Which pairs `[n, n]` are of one class, each with itself among them.
fn alike(classes: &Tensor) -> Tensor {
    classes.unsqueeze(1).eq_tensor(&classes.unsqueeze(0))
}

fn diagonal(like: &Tensor) -> Tensor {
    Tensor::eye(like.size()[0], (Kind::Bool, like.device()))
}

/// Mean over those anchors that `counts` says count; 0 where none does.
fn mean_of(losses: &Tensor, counts: &Tensor) -> Tensor {
    let counts = counts.to_kind(losses.kind());
    (losses * &counts).sum(None::<Kind>) / counts.sum(None::<Kind>).clamp_min(1.0)
}

/// How much farther the farthest vector of an anchor's class is than the nearest of another, plus the margin, where that is
/// above zero. Anchors alone in their class, or without another class, do not count.
pub fn batch_hard(vectors: &Tensor, classes: &Tensor, margin: f64) -> Tensor {
    let (positive, negative, counts) = tch::no_grad(|| {
        let distances = distance(&vectors.unsqueeze(1), &vectors.unsqueeze(0));
        let alike = alike(classes);
        let others = alike.logical_and(&diagonal(&alike).logical_not());
        let farthest = distances.masked_fill(&others.logical_not(), f64::NEG_INFINITY).argmax(1, false);
        let nearest = distances.masked_fill(&alike, f64::INFINITY).argmin(1, false);
        let counts = others.any_dim(1, false).logical_and(&alike.logical_not().any_dim(1, false));
        (farthest, nearest, counts)
    });
    let [positive, negative] = [positive, negative].map(|chosen| vectors.index_select(0, &chosen));
    let losses = (distance(vectors, &positive) - distance(vectors, &negative) + margin).relu();
    mean_of(&losses, &counts)
}

/// As [`batch_hard`], with means of classes in the place of vectors.
pub fn class_centre(vectors: &Tensor, classes: &Tensor, margin: f64) -> Tensor {
    let shares = alike(classes).to_kind(vectors.kind());
    let centres = shares.matmul(vectors) / shares.sum_dim_intlist(&[1][..], true, None::<Kind>);
    let distances = distance(&vectors.unsqueeze(1), &centres.unsqueeze(0));
    let nearest = distances.masked_fill(&alike(classes), f64::INFINITY).amin(&[1][..], false);
    let counts = nearest.isfinite();
    let nearest = nearest.where_self(&counts, &nearest.zeros_like());
    mean_of(&(distance(vectors, &centres) - nearest + margin).relu(), &counts)
}

/// Minus the mean log-likelihood of an anchor's class among all other vectors, by the softmax of products over
/// `temperature`. Anchors alone in their class do not count.
pub fn contrastive(vectors: &Tensor, classes: &Tensor, temperature: f64) -> Tensor {
    let alike = alike(classes);
    let itself = diagonal(&alike);
    let others = alike.logical_and(&itself.logical_not()).to_kind(vectors.kind());
    let products = vectors.matmul(&vectors.transpose(0, 1)) / temperature;
    let all = products.masked_fill(&itself, f64::NEG_INFINITY).logsumexp(&[1][..], true);
    let n = others.sum_dim_intlist(&[1][..], false, None::<Kind>);
    let losses =
        -((products - all) * &others).sum_dim_intlist(&[1][..], false, None::<Kind>) / n.clamp_min(1.0);
    mean_of(&losses, &n.gt(0.0))
}

/// Cross-entropy of logits `[n, c]`, in their precision; `tch`'s own goes through single precision.
pub fn cross_entropy(logits: &Tensor, classes: &Tensor) -> Tensor {
    logits.cross_entropy_loss::<&Tensor>(classes, None, Reduction::Mean, -100, 0.0)
}

/// Cross-entropy of logits `[n, c]` with the logarithms of the classes' shares, of their numbers `[c]`, added (arXiv
/// 2007.07314): what balances classes without drawing them evenly.
pub fn adjusted_cross_entropy(logits: &Tensor, classes: &Tensor, numbers: &Tensor) -> Tensor {
    let numbers = numbers.to_kind(logits.kind());
    let shares = &numbers / numbers.sum(None::<Kind>);
    cross_entropy(&(logits + shares.log()), classes)
}
