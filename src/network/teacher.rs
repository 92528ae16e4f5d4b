//! The frozen teacher: published weights from a file, or a seeded random stand-in that says so.

use std::path::{Path, PathBuf};

use anyhow::{Result, ensure};
use serde::{Deserialize, Serialize};
use tch::nn::VarStore;
use tch::{Device, Tensor};

use super::layer::{Norm, to_unit};
use super::resnet::Encoder;
use super::{Backbone, Features, initial, weights};
use crate::files;

/// Where a teacher's weights come from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Origin {
    /// A safetensors file with torchvision's names, and its SHA-256.
    File { path: PathBuf, sha256: String },
    /// Kaiming normal from a named stream, batch norms calibrated on training normals; kept in `cache`, if
    /// given, under a name that holds all that determines it.
    Random { seed: u64, cache: Option<PathBuf> },
}

impl Origin {
    /// Reads and hashes a weights file.
    pub fn file(path: PathBuf) -> Result<Origin> {
        let sha256 = files::sha256(&files::read(&path)?);
        Ok(Origin::File { path, sha256 })
    }

    pub fn is_random(&self) -> bool {
        matches!(self, Origin::Random { .. })
    }

    /// Identity for results.
    pub fn hash(&self, backbone: Backbone) -> String {
        match self {
            Origin::File { sha256, .. } => sha256.clone(),
            Origin::Random { seed, .. } => {
                files::fingerprint(format!("random {} {seed} v1", backbone.name()).as_bytes())
            }
        }
    }

    /// In words, for every table and figure.
    pub fn label(&self, backbone: Backbone) -> String {
        let name = backbone.name();
        match self {
            Origin::File { path, sha256 } => {
                let file = path.file_name().unwrap_or_default().to_string_lossy();
                format!("{name} from {file} (sha256 {})", &sha256[..12])
            }
            Origin::Random { seed, .. } => {
                format!("{name}, random teacher (seed {seed}, calibrated batch norm)")
            }
        }
    }
}

/// An encoder that never trains.
pub struct Teacher {
    encoder: Encoder,
    store: VarStore,
}

impl Teacher {
    /// Builds the teacher on `device`. `calibration` are training-task normals, `[n, 3, h, w]` of 0 to 255:
    /// a random network's activations are ill-scaled until its batch norms have seen pictures.
    pub fn new(backbone: Backbone, origin: &Origin, calibration: &Tensor, device: Device) -> Result<Teacher> {
        // A stand-in is made on the CPU, whatever the device, so that its weights are the same everywhere.
        let store = VarStore::new(Device::Cpu);
        let encoder = Encoder::new(&store.root(), backbone);
        let mut teacher = Teacher { encoder, store };
        match origin {
            Origin::File { path, .. } => weights::load(&teacher.store, path)?,
            Origin::Random { seed, cache } => {
                teacher.stand_in(backbone, *seed, cache.as_deref(), calibration)?
            }
        }
        if device != Device::Cpu {
            teacher.store.set_device(device);
        }
        teacher.store.freeze();
        Ok(teacher)
    }

    fn stand_in(
        &self,
        backbone: Backbone,
        seed: u64,
        cache: Option<&Path>,
        calibration: &Tensor,
    ) -> Result<()> {
        let pixels: Vec<u8> = Vec::try_from(calibration.to_device(Device::Cpu).flatten(0, -1))?;
        let name =
            format!("random-{}-v1-seed{seed}-{}.safetensors", backbone.name(), files::fingerprint(&pixels));
        let cached = cache.map(|folder| folder.join(name));
        if let Some(cached) = cached.as_ref().filter(|path| path.exists()) {
            return weights::load(&self.store, cached);
        }
        initial::initialise(&self.store, seed);
        self.calibrate(calibration)?;
        cached.map_or(Ok(()), |path| weights::save(&self.store, &path))
    }

    fn calibrate(&self, pictures: &Tensor) -> Result<()> {
        ensure!(
            pictures.size()[0] >= 2,
            "a random teacher needs at least 2 training pictures to calibrate on"
        );
        let pictures = to_unit(&pictures.to_device(self.store.device()));
        tch::no_grad(|| self.encoder.forward(&pictures, Norm::Calibrate));
        Ok(())
    }

    /// Features of pictures `[n, 3, h, w]` of 0 to 255, without gradients.
    pub fn features(&self, pictures: &Tensor) -> Features {
        let pictures = to_unit(&pictures.to_device(self.store.device()));
        tch::no_grad(|| self.encoder.forward(&pictures, Norm::Stored))
    }
}
