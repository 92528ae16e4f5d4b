//! A random network in the place of a pretrained one.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use tch::nn::VarStore;
use tch::{Device, Tensor};

use super::{Input, Network, weights};
use crate::files;

/// A network whose weights are drawn, not learnt.
pub(super) struct StandIn<'a> {
    pub network: Network,
    pub input: Input,
    pub store: &'a VarStore,
}

impl StandIn<'_> {
    /// Fills the store from the cache; else by `make`, which draws values and fits them to the pictures of
    /// `calibration`, and keeps them for the next time.
    pub(super) fn fill(
        &self,
        seed: u64,
        cache: Option<&Path>,
        calibration: Option<&Tensor>,
        make: impl FnOnce(&Tensor),
    ) -> Result<()> {
        let calibration = calibration.filter(|pictures| pictures.size()[0] >= 2).context(
            "a random teacher needs at least 2 train normals of other tasks to calibrate on: give weights \
             with --teacher, or add a task to the benchmark",
        )?;
        let calibration = calibration.to_device(Device::Cpu);
        let pixels: Vec<u8> = Vec::try_from(calibration.flatten(0, -1))?;
        let input = match self.input {
            Input::Unit => "",
            Input::ImageNet => "imagenet-",
        };
        let (name, pixels) = (self.network.name(), files::fingerprint(&pixels));
        let name = format!("random-{name}-v1-seed{seed}-{input}{pixels}.safetensors");
        let cached = cache.map(|folder| folder.join(name));
        if let Some(cached) = cached.as_ref().filter(|path| path.exists()) {
            // Those that an earlier version kept have no hash, and are drawn again without a word.
            match std::fs::read_to_string(seal(cached)) {
                Ok(hash) if hash == files::fingerprint(&files::read(cached)?) => {
                    return weights::load(self.store, cached);
                }
                Ok(_) => {
                    log::warn!("note: {} is not what was kept there; it is drawn again", cached.display());
                }
                Err(_) => {}
            }
        }
        tch::no_grad(|| make(&calibration));
        cached.map_or(Ok(()), |path| self.keep(&path))
    }

    fn keep(&self, path: &Path) -> Result<()> {
        weights::save(self.store, path)?;
        files::write_whole(&seal(path), files::fingerprint(&files::read(path)?).as_bytes())
    }
}

/// Beside cached weights: their hash.
fn seal(path: &Path) -> PathBuf {
    path.with_extension("blake3")
}
