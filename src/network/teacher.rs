//! The frozen teacher: published weights from a file, or a seeded random stand-in that says so.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::Result;
use tch::nn::VarStore;
use tch::{Device, Kind, Tensor};

use super::encoder::{self, Encoder};
use super::layer::Norm;
use super::origin::Origin;
use super::precision::Precision;
use super::stand_in::StandIn;
use super::{Backbone, Features, Input, Network, initial, layout, weights};
use crate::episode::batch;
use crate::files;

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
    ///
    /// # Errors
    /// Weights that cannot be read or do not fit the network, or random ones with fewer than two pictures to
    /// calibrate them on.
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
            Origin::File { path, sha256 } => {
                encoder::load(&teacher.store, backbone, Origin::unchanged(path, sha256)?)?;
            }
            Origin::Random { seed, cache } => {
                stand_in.fill(*seed, cache.as_deref(), calibration, |calibration| {
                    initial::initialise(&teacher.store, *seed);
                    teacher.encoder.forward(&input.prepare(network, calibration), Norm::Calibrate);
                })?;
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

    /// Where it computes.
    pub fn device(&self) -> Device {
        self.store.device()
    }

    /// Over all that its features depend on beside pictures and device: architecture, weights, input and precision.
    pub fn fingerprint(&self) -> String {
        let variables: BTreeMap<String, Tensor> = self.store.variables().into_iter().collect();
        let words = format!("{} {:?} {}", self.network.name(), self.input, self.precision.name());
        let weights = variables.into_iter().flat_map(|(name, value)| {
            let plain = value.to_device(Device::Cpu).contiguous().flatten(0, -1).view_dtype(Kind::Uint8);
            [name, files::fingerprint(&Vec::<u8>::try_from(plain).expect("bytes"))]
        });
        files::fingerprint_of([words].into_iter().chain(weights))
    }

    /// In what precision it computes.
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
