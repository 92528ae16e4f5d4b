//! Figures summed over the steps of an epoch, on the device, which is waited for when they are read alone.

use anyhow::{Result, bail};
use tch::{Device, Kind, Tensor};

use super::training::StepFigures;
use crate::method::contract::EpochFigures;

/// Sums since the last epoch ended.
pub(super) struct Sums {
    names: Vec<&'static str>,
    /// `[figures]`, in double precision; `None` before the first step.
    sums: Option<Tensor>,
    /// Steps after which all sums were still finite.
    n_finite: Tensor,
    pub n_steps: u64,
}

impl Sums {
    /// Continues from sums over `n_steps`, all finite; none of either is the start of an epoch.
    pub(super) fn new(sums: &[f64], n_steps: u64, device: Device) -> Sums {
        let sums = (!sums.is_empty()).then(|| Tensor::from_slice(sums).to_device(device));
        Sums { names: Vec::new(), sums, n_finite: Tensor::from(n_steps as i64).to_device(device), n_steps }
    }

    /// Adds the figures of one step.
    pub(super) fn add(&mut self, figures: StepFigures) {
        let (names, values): (Vec<&'static str>, Vec<Tensor>) = figures.into_iter().unzip();
        let values: Vec<Tensor> = values.iter().map(|value| value.detach().to_kind(Kind::Double)).collect();
        let values = Tensor::stack(&values, 0);
        let sums = match &self.sums {
            Some(sums) => sums + values,
            None => values,
        };
        self.n_finite += sums.isfinite().all();
        (self.names, self.sums, self.n_steps) = (names, Some(sums), self.n_steps + 1);
    }

    /// The sums.
    ///
    /// # Errors
    /// A sum that is not finite: names the epoch (from 1) and the step, `before` being those of earlier epochs.
    pub(super) fn read(&self, epoch: u64, before: u64) -> Result<Vec<f64>> {
        let Some(sums) = &self.sums else { return Ok(Vec::new()) };
        let sums: Vec<f64> = Vec::try_from(sums.to_device(Device::Cpu))?;
        if sums.iter().all(|sum| sum.is_finite()) {
            return Ok(sums);
        }
        let step = before + self.n_finite.int64_value(&[]) as u64 + 1;
        let which = self.names.iter().zip(&sums).filter(|(_, sum)| !sum.is_finite());
        let which: Vec<&str> = which.map(|(name, _)| *name).collect();
        bail!(
            "training diverged in epoch {epoch} at step {step}: {} is not finite; lower the learning rate",
            which.join(", ")
        );
    }

    /// Means over the epoch, by name.
    ///
    /// # Errors
    /// As [`Sums::read`].
    pub(super) fn means(&self, epoch: u64, before: u64) -> Result<EpochFigures> {
        let means = self.read(epoch, before)?.into_iter().map(|sum| sum / self.n_steps as f64);
        Ok(self.names.iter().copied().zip(means).collect())
    }
}
