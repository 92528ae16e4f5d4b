//! DeLong's variance of AUROC, its interval, and the paired test of two scores on the same pictures
//! (DeLong, DeLong and Clarke-Pearson, Biometrics 1988; ranks as in Sun and Xu, 2014).

use super::normal;
use super::rank::ranks;

/// AUROC with what each picture contributes to it.
#[derive(Clone, Debug)]
pub struct Contributions {
    /// Area under the ROC curve, 0 to 1.
    pub auroc: f64,
    /// Of each anomalous picture: the share of normal ones that it beats, ties counting one half.
    anomalous: Vec<f64>,
    /// Of each normal picture: the share of anomalous ones that beat it.
    normal: Vec<f64>,
}

/// A difference of two AUROCs on the same pictures.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Difference {
    /// The first AUROC less the second.
    pub value: f64,
    /// The difference over its standard error.
    pub z: f64,
    /// Two-sided.
    pub p: f64,
}

impl Contributions {
    /// `None` if a class is absent or a score is not a number.
    pub fn new(normal: &[f64], anomalous: &[f64]) -> Option<Contributions> {
        let auroc = super::auroc::auroc(normal, anomalous)?;
        let all: Vec<f64> = anomalous.iter().chain(normal).copied().collect();
        let joint = ranks(&all);
        let (n_normal, n_anomalous) = (normal.len() as f64, anomalous.len() as f64);
        let above = |joint: &[f64], own: Vec<f64>, others: f64| -> Vec<f64> {
            joint.iter().zip(own).map(|(joint, own)| (joint - own) / others).collect()
        };
        let (first, second) = joint.split_at(anomalous.len());
        let by_anomalous = above(first, ranks(anomalous), n_normal);
        let by_normal = above(second, ranks(normal), n_anomalous).into_iter().map(|share| 1.0 - share);
        Some(Contributions { auroc, anomalous: by_anomalous, normal: by_normal.collect() })
    }

    /// Of each normal and each anomalous picture: the share of the other class that it stands on the right side of.
    pub(super) fn shares(&self) -> (impl Iterator<Item = f64>, impl Iterator<Item = f64>) {
        (self.normal.iter().copied(), self.anomalous.iter().copied())
    }

    /// `None` with fewer than two pictures of a class.
    pub fn variance(&self) -> Option<f64> {
        self.covariance(self)
    }

    /// With another score of the same pictures in the same order.
    pub fn covariance(&self, other: &Contributions) -> Option<f64> {
        let anomalous = covariance(&self.anomalous, &other.anomalous)? / self.anomalous.len() as f64;
        Some(anomalous + covariance(&self.normal, &other.normal)? / self.normal.len() as f64)
    }

    /// The 95 % interval, symmetric on the logit, so that it stays inside 0 and 1. `None` where the variance is
    /// undefined or nothing: an AUROC of 0 or 1 has no such interval.
    pub fn interval(&self) -> Option<(f64, f64)> {
        let variance = self.variance().filter(|&variance| variance > 0.0)?;
        let spread = self.auroc * (1.0 - self.auroc);
        if spread <= 0.0 {
            return None;
        }
        let (logit, reach) =
            ((self.auroc / (1.0 - self.auroc)).ln(), normal::Z_95 * variance.sqrt() / spread);
        let back = |logit: f64| 1.0 / (1.0 + (-logit).exp());
        Some((back(logit - reach), back(logit + reach)))
    }

    /// Tests whether this AUROC differs from that of `other` scores of the same pictures in the same order. `None`
    /// where the difference has no variance.
    pub fn paired(&self, other: &Contributions) -> Option<Difference> {
        let variance = self.variance()? + other.variance()? - 2.0 * self.covariance(other)?;
        let value = self.auroc - other.auroc;
        // Rounding leaves a variance of about 1e-17 where two scores rank all pictures alike.
        (variance > 1e-15).then(|| {
            let z = value / variance.sqrt();
            Difference { value, z, p: normal::two_sided(z) }
        })
    }
}

/// Of two samples of one length, by one less than it.
fn covariance(a: &[f64], b: &[f64]) -> Option<f64> {
    if a.len() != b.len() || a.len() < 2 {
        return None;
    }
    let mean = |values: &[f64]| values.iter().sum::<f64>() / values.len() as f64;
    let (mean_a, mean_b) = (mean(a), mean(b));
    let products = a.iter().zip(b).map(|(a, b)| (a - mean_a) * (b - mean_b));
    Some(products.sum::<f64>() / (a.len() - 1) as f64)
}
