//! The frozen teacher: published weights from a file, or a seeded random stand-in that says so.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};
use tch::nn::VarStore;
use tch::{Device, Tensor};

use super::encoder::{self, Encoder};
use super::layer::Norm;
use super::precision::Precision;
use super::{Backbone, Features, Input, Network, initial, known, layout, weights};
use crate::episode::batch;
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
    /// A weights file, or the installed weights of that name (see [`known`](super::known)).
    pub fn named(given: &str) -> Result<Origin> {
        Origin::file(known::find(given)?)
    }

    /// Reads and hashes a weights file.
    pub fn file(path: PathBuf) -> Result<Origin> {
        let sha256 = files::sha256(&files::read(&path)?);
        Ok(Origin::File { path, sha256 })
    }

    pub fn is_random(&self) -> bool {
        matches!(self, Origin::Random { .. })
    }

    /// Identity for results.
    pub fn hash(&self, network: Network) -> String {
        match self {
            Origin::File { sha256, .. } => sha256.clone(),
            Origin::Random { seed, .. } => {
                files::fingerprint(format!("random {} {seed} v1", network.name()).as_bytes())
            }
        }
    }

    /// In words, for every table and figure.
    pub fn label(&self, network: Network) -> String {
        let name = network.name();
        match self {
            Origin::File { path, sha256 } => {
                let file = path.file_name().unwrap_or_default().to_string_lossy();
                format!("{name} from {file} (sha256 {})", &sha256[..12])
            }
            Origin::Random { seed, .. } => {
                let calibrated = match network {
                    Network::Backbone(_) => "batch norm",
                    Network::Vgg19 => "layers",
                };
                format!("{name}, random teacher (seed {seed}, calibrated {calibrated})")
            }
        }
    }
}

/// Which weights each network gets.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Teachers {
    /// For one network, by torchvision's name.
    pub named: BTreeMap<String, Origin>,
    /// For every other.
    pub other: Origin,
}

impl Teachers {
    pub fn of(&self, network: Network) -> &Origin {
        self.named.get(network.name()).unwrap_or(&self.other)
    }
}

/// An encoder that never trains.
pub struct Teacher {
    encoder: Encoder,
    store: VarStore,
    network: Network,
    input: Input,
    precision: Precision,
    has_channels_together: bool,
}

impl Teacher {
    /// Builds the teacher on `device`. `calibration` are normals of training tasks, `[n, 3, h, w]` of 0 to
    /// 255: a random network's activations are ill-scaled until its batch norms have seen pictures.
    pub fn new(
        backbone: Backbone,
        input: Input,
        origin: &Origin,
        calibration: Option<&Tensor>,
        device: Device,
    ) -> Result<Teacher> {
        // A stand-in is made on the CPU, whatever the device, so that its weights are the same everywhere.
        let store = VarStore::new(Device::Cpu);
        let encoder = Encoder::new(&store.root(), backbone);
        let network = Network::Backbone(backbone);
        let (precision, has_channels_together) = (Precision::F32, false);
        let mut teacher = Teacher { encoder, store, network, input, precision, has_channels_together };
        let stand_in = StandIn { network, input, store: &teacher.store };
        match origin {
            Origin::File { path, .. } => encoder::load(&teacher.store, backbone, path)?,
            Origin::Random { seed, cache } => {
                stand_in.fill(*seed, cache.as_deref(), calibration, |calibration| {
                    initial::initialise(&teacher.store, *seed);
                    teacher.encoder.forward(&input.prepare(network, calibration), Norm::Calibrate);
                })?
            }
        }
        if device != Device::Cpu {
            teacher.store.set_device(device);
        }
        teacher.store.freeze();
        Ok(teacher)
    }

    /// Features of pictures `[n, 3, h, w]` of 0 to 255, without gradients.
    pub fn features(&self, pictures: &Tensor) -> Features {
        let mut pictures = self.input.prepare(self.network, &batch::to(pictures, self.store.device()));
        if self.has_channels_together {
            pictures = layout::channels_together(&pictures);
        }
        let Features { scales, deep } =
            tch::no_grad(|| self.encoder.forward(&self.precision.enter(&pictures), Norm::Stored));
        let scales = scales.each_ref().map(|scale| self.precision.leave(scale));
        Features { scales, deep: self.precision.leave(&deep) }
    }

    /// Features of one stage, counted from 0, of pictures `[n, 3, h, w]` of 0 to 255 on its own device, in single
    /// precision. Gradients pass through to the pictures.
    pub fn stage_with_gradient(&self, pictures: &Tensor, stage: usize) -> Tensor {
        let prepared = self.input.prepare(self.network, pictures);
        let stem = self.encoder.stem(&prepared, Norm::Stored);
        (0..=stage).fold(stem, |x, stage| self.encoder.stage(stage, &x, Norm::Stored))
    }

    /// The same teacher, computing in another precision. The tensor cores of a card, which multiply all but single
    /// precision, want channels beside one another.
    pub fn computing_in(self, precision: Precision) -> Teacher {
        let has_channels_together = self.store.device().is_cuda() && precision != Precision::F32;
        if has_channels_together {
            tch::no_grad(|| {
                for (_, mut tensor) in self.store.variables() {
                    if tensor.dim() == 4 {
                        let moved = layout::channels_together(&tensor);
                        tensor.set_data(&moved);
                    }
                }
            });
        }
        Teacher { precision, has_channels_together, ..self }
    }

    pub fn precision(&self) -> Precision {
        self.precision
    }

    /// Writes its weights with torchvision's names.
    ///
    /// # Errors
    /// If the file cannot be written.
    pub fn save(&self, path: &Path) -> Result<()> {
        weights::save(&self.store, path)
    }

    /// Copies its weights and stored statistics to an encoder of the same architecture that may train: to the
    /// variables of `store` below `prefix`.
    pub fn copy_to(&self, store: &VarStore, prefix: &str) {
        let mut variables = store.variables();
        tch::no_grad(|| {
            for (name, value) in self.store.variables() {
                let name = format!("{prefix}.{name}");
                variables.get_mut(&name).expect("the same architecture").copy_(&value);
            }
        });
    }
}

/// A random network in the place of a pretrained one.
pub(super) struct StandIn<'a> {
    pub network: Network,
    pub input: Input,
    pub store: &'a VarStore,
}

impl StandIn<'_> {
    /// Fills the store from the cache; else by `make`, which draws values and fits them to the pictures of
    /// `calibration`, and keeps them for the next time.
    pub fn fill(
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
            return weights::load(self.store, cached);
        }
        tch::no_grad(|| make(&calibration));
        cached.map_or(Ok(()), |path| weights::save(self.store, &path))
    }
}
