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
use super::vit::Reading;
use super::vit::dinov2::{self, Dinov2};
use super::{Backbone, Features, Input, Network, Sight, initial, layout, weights};
use crate::episode::batch;
use crate::files;

/// An encoder that never trains.
pub struct Teacher {
    eyes: Eyes,
    store: VarStore,
    sight: Sight,
    precision: Precision,
    has_channels_together: bool,
}

/// What sees pictures.
enum Eyes {
    Pyramid(Encoder),
    Tokens(Dinov2, Reading),
}

impl Teacher {
    /// A teacher with stages: as [`Teacher::seeing`].
    ///
    /// # Errors
    /// As [`Teacher::seeing`].
    pub fn new(
        backbone: Backbone,
        input: Input,
        origin: &Origin,
        calibration: Option<&Tensor>,
        device: Device,
    ) -> Result<Teacher> {
        Teacher::seeing(Sight::Pyramid(backbone, input), origin, calibration, device)
    }

    /// Builds the teacher on `device`. `calibration` are normals of training tasks, `[n, 3, h, w]` of 0 to
    /// 255: a random network's activations are ill-scaled until its batch norms have seen pictures. A transformer has
    /// none and needs no pictures.
    ///
    /// # Errors
    /// Weights that cannot be read or do not fit the network, or random ones with fewer than two pictures to
    /// calibrate them on.
    pub fn seeing(
        sight: Sight,
        origin: &Origin,
        calibration: Option<&Tensor>,
        device: Device,
    ) -> Result<Teacher> {
        // A stand-in is made on the CPU, whatever the device, so that its weights are the same everywhere.
        let mut store = VarStore::new(Device::Cpu);
        let eyes = match sight {
            Sight::Pyramid(backbone, input) => {
                Eyes::Pyramid(pyramid(&store, backbone, input, origin, calibration)?)
            }
            Sight::Tokens(transformer, reading) => {
                let network = Dinov2::new(&store.root(), transformer.plan());
                match origin {
                    Origin::File { path, sha256 } => {
                        dinov2::load(&store, Origin::unchanged(path, sha256)?)?;
                    }
                    Origin::Targets { folder, .. } => return Err(Origin::several(folder)),
                    Origin::Random { seed, .. } => initial::initialise_transformer(&store, *seed),
                }
                Eyes::Tokens(network, reading)
            }
        };
        if device != Device::Cpu {
            store.set_device(device);
        }
        store.freeze();
        let (precision, has_channels_together) = (Precision::F32, false);
        Ok(Teacher { eyes, store, sight, precision, has_channels_together })
    }

    /// Features of pictures `[n, 3, h, w]` of 0 to 255, without gradients. A transformer takes sides that
    /// [`Sight::check_side`] lets pass.
    pub fn features(&self, pictures: &Tensor) -> Features {
        let prepare = |pictures: &Tensor| {
            let pictures = batch::to(pictures, self.store.device());
            self.sight.input().prepare(self.sight.network(), &pictures)
        };
        let Features { scales, deep } = tch::no_grad(|| match &self.eyes {
            Eyes::Pyramid(encoder) => {
                let mut pictures = prepare(pictures);
                if self.has_channels_together {
                    pictures = layout::channels_together(&pictures);
                }
                encoder.forward(&self.precision.enter(&pictures), Norm::Stored)
            }
            Eyes::Tokens(network, reading) => {
                let pictures = prepare(&reading.resized(pictures));
                self.precision.in_tower(|| reading.features(network, &self.precision.enter(&pictures)))
            }
        });
        let scales = scales.each_ref().map(|scale| self.precision.leave(scale));
        Features { scales, deep: self.precision.leave(&deep) }
    }

    /// Features of one stage, counted from 0, of pictures `[n, 3, h, w]` of 0 to 255 on its own device, in single
    /// precision. Gradients pass through to the pictures.
    ///
    /// # Panics
    /// If it is a transformer.
    pub fn stage_with_gradient(&self, pictures: &Tensor, stage: usize) -> Tensor {
        let Eyes::Pyramid(encoder) = &self.eyes else { panic!("a transformer has no stages") };
        let prepared = self.sight.input().prepare(self.sight.network(), pictures);
        let stem = encoder.stem(&prepared, Norm::Stored);
        (0..=stage).fold(stem, |x, stage| encoder.stage(stage, &x, Norm::Stored))
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

    /// Over its architecture, weights, input and precision.
    pub fn fingerprint(&self) -> String {
        let variables: BTreeMap<String, Tensor> = self.store.variables().into_iter().collect();
        let words = format!("{:?} {}", self.sight, self.precision.name());
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

    /// Writes its weights with their published names.
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

/// An encoder with stages, its variables in an empty store.
fn pyramid(
    store: &VarStore,
    backbone: Backbone,
    input: Input,
    origin: &Origin,
    calibration: Option<&Tensor>,
) -> Result<Encoder> {
    let encoder = Encoder::new(&store.root(), backbone);
    let network = Network::Backbone(backbone);
    match origin {
        Origin::File { path, sha256 } => {
            encoder::load(store, backbone, Origin::unchanged(path, sha256)?)?;
        }
        Origin::Targets { folder, .. } => return Err(Origin::several(folder)),
        Origin::Random { seed, cache } => {
            let stand_in = StandIn { network, input, store };
            stand_in.fill(*seed, cache.as_deref(), calibration, |calibration| {
                initial::initialise(store, *seed);
                encoder.forward(&input.prepare(network, calibration), Norm::Calibrate);
            })?;
        }
    }
    Ok(encoder)
}
