//! Signs of collapse (the student says the same of every picture) and of saturation (one support takes all the
//! weight), looked at after every epoch on the same few episodes. They are watched and change nothing.

use tch::{Kind, Tensor};

use super::episodes::Episode;
use super::model::Model;
use crate::method::part::feature_store::FeatureStore;
use crate::network::layer::Norm;

/// Episodes that are looked at: evenly from all, at most this many.
const N_PROBED: usize = 16;

/// The same few episodes, epoch after epoch.
pub(super) struct Probe {
    queries: Vec<i64>,
    /// Per support, one for each query.
    supports: Vec<Vec<i64>>,
}

impl Probe {
    pub(super) fn of(episodes: &[Episode]) -> Probe {
        let stride = episodes.len().div_ceil(N_PROBED).max(1);
        let chosen: Vec<&Episode> = episodes.iter().step_by(stride).collect();
        let n_supports = chosen.first().map_or(0, |episode| episode.supports.len());
        let support = |k: usize| chosen.iter().map(|episode| episode.supports[k]).collect();
        Probe {
            queries: chosen.iter().map(|episode| episode.query).collect(),
            supports: (0..n_supports).map(support).collect(),
        }
    }

    /// Means over the three scales: variance of student features across pictures, relative to their mean square;
    /// mean cosine of pairs of pictures (1 is collapse); entropy of the support weights over its greatest (0 is one
    /// support alone).
    pub(super) fn figures(&self, model: &Model, features: &FeatureStore) -> Vec<(&'static str, f64)> {
        let at = |indices: &[i64]| features.deep_at(&Tensor::from_slice(indices));
        tch::no_grad(|| {
            let query = model.student.decode(&at(&self.queries), Norm::Stored);
            let supports: Vec<_> =
                self.supports.iter().map(|index| model.student.decode(&at(index), Norm::Stored)).collect();
            let (mut variance, mut cosine, mut entropy) = (0.0, 0.0, 0.0);
            for scale in 0..3 {
                let flat = query[scale].flatten(1, -1);
                let n = flat.size()[0] as f64;
                let mean = flat.mean_dim(0, false, None::<Kind>);
                let around = (&flat - &mean).square().mean(None::<Kind>);
                let square = flat.square().mean(None::<Kind>).clamp_min(1e-12);
                variance += (around / square).double_value(&[]) / 3.0;
                let norms = flat.norm_scalaropt_dim(2, [1i64].as_slice(), true).clamp_min(1e-12);
                let unit = &flat / norms;
                let all = unit.matmul(&unit.transpose(0, 1)).sum(None::<Kind>).double_value(&[]);
                // Less each picture with itself.
                cosine += (all - n) / (n * (n - 1.0)).max(1.0) / 3.0;
                let stack =
                    Tensor::stack(&supports.iter().map(|scales| &scales[scale]).collect::<Vec<_>>(), 0);
                let (weights, _) = model.student.weigh(scale, &query[scale], &stack);
                let each = &weights * weights.clamp_min(1e-12).log();
                let greatest = (self.supports.len() as f64).ln();
                let sum = -each.sum(None::<Kind>).double_value(&[]) / n;
                entropy += if greatest > 0.0 { sum / greatest / 3.0 } else { 1.0 / 3.0 };
            }
            vec![("sign-variance", variance), ("sign-cosine", cosine), ("sign-entropy", entropy)]
        })
    }
}
