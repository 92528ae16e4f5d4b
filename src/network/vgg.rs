//! VGG19 (Simonyan and Zisserman 2015) up to the second convolution of its fourth block, as a measure of likeness.
//!
//! Parameter names are torchvision's.

use anyhow::Result;
use tch::nn::{Conv2D, Module, Path, VarStore};
use tch::{Device, Kind, Tensor};

use super::layer::{convolution, of_convolution};
use super::origin::Origin;
use super::stand_in::StandIn;
use super::{Input, Network, initial, weights};

/// Number in torchvision's list, channels in and out of each convolution, and whether a 2 x 2 maximum precedes it.
const CONVOLUTIONS: [(usize, i64, i64, bool); 10] = [
    (0, 3, 64, false),
    (2, 64, 64, false),
    (5, 64, 128, true),
    (7, 128, 128, false),
    (10, 128, 256, true),
    (12, 256, 256, false),
    (14, 256, 256, false),
    (16, 256, 256, false),
    (19, 256, 512, true),
    (21, 512, 512, false),
];

/// Side at which a stand-in is fitted to pictures.
const CALIBRATION_SIDE: i64 = 64;

/// After which ReLU features are taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Layer {
    /// Second of block 3, `[n, 256, h / 4, w / 4]`.
    R32,
    /// Second of block 4, `[n, 512, h / 8, w / 8]`.
    R42,
}

impl Layer {
    /// Convolutions up to it.
    fn depth(self) -> usize {
        match self {
            Layer::R32 => 6,
            Layer::R42 => 10,
        }
    }

    /// Floating-point operations of one picture of `side` x `side` pixels up to it.
    pub fn operations(self, side: i64) -> f64 {
        let mut side = side;
        let mut of = |&(_, c_in, c_out, halved): &(usize, i64, i64, bool)| {
            side /= if halved { 2 } else { 1 };
            of_convolution(c_in, c_out, 3, side)
        };
        CONVOLUTIONS[..self.depth()].iter().map(&mut of).sum()
    }
}

/// A network that never trains.
pub struct Vgg {
    /// Its variables, `features.*` as torchvision names them.
    pub store: VarStore,
    convolutions: Vec<Conv2D>,
}

impl Vgg {
    /// Loads the weights on `device`, or draws a stand-in whose convolutions are fitted, one after the other and
    /// channel by channel, to give mean 0 and deviation 1 on `calibration`, `[n, 3, h, w]` of 0 to 255.
    ///
    /// # Errors
    /// As [`Teacher::new`](super::teacher::Teacher::new).
    pub fn new(origin: &Origin, calibration: Option<&Tensor>, device: Device) -> Result<Vgg> {
        // A stand-in is made on the CPU, whatever the device, so that its weights are the same everywhere.
        let store = VarStore::new(Device::Cpu);
        let convolutions = layers(&store.root());
        let mut vgg = Vgg { store, convolutions };
        match origin {
            Origin::File { path, sha256 } => {
                weights::load_part(&vgg.store, Origin::unchanged(path, sha256)?, is_unused)?;
            }
            Origin::Targets { folder, .. } => return Err(Origin::several(folder)),
            Origin::Random { seed, cache } => {
                let stand_in = StandIn { network: Network::Vgg19, input: Input::ImageNet, store: &vgg.store };
                stand_in.fill(*seed, cache.as_deref(), calibration, |pictures| {
                    initial::initialise(&vgg.store, *seed);
                    vgg.calibrate(pictures);
                })?;
            }
        }
        if device != Device::Cpu {
            vgg.store.set_device(device);
        }
        vgg.store.freeze();
        Ok(vgg)
    }

    /// Features of pictures as [`Input::ImageNet`] prepares them. Gradients pass through to the pictures.
    pub fn features(&self, pictures: &Tensor, layer: Layer) -> Tensor {
        let mut x = pictures.shallow_clone();
        for (index, convolution) in self.convolutions[..layer.depth()].iter().enumerate() {
            x = convolution.forward(&pooled(&x, index)).relu();
        }
        x
    }

    fn calibrate(&self, pictures: &Tensor) {
        let floating = pictures.to_kind(Kind::Float);
        let side = [CALIBRATION_SIDE; 2];
        let small = floating.internal_upsample_bilinear2d_aa(side, false, None, None);
        let mut x = Input::ImageNet.prepare(Network::Vgg19, &small);
        for (index, convolution) in self.convolutions.iter().enumerate() {
            let mut bias = convolution.bs.as_ref().expect("made with a bias").shallow_clone();
            let mut weight = convolution.ws.shallow_clone();
            let _ = bias.zero_();
            let inside = convolution.forward(&pooled(&x, index));
            let (dims, c_out) = ([0i64, 2, 3], bias.size()[0]);
            let mean = inside.mean_dim(dims.as_slice(), false, None);
            let deviation = inside.std_dim(dims.as_slice(), false, false).clamp_min(1e-6);
            bias.copy_(&(-mean / &deviation));
            weight.copy_(&(&convolution.ws / deviation.view([c_out, 1, 1, 1])));
            x = convolution.forward(&pooled(&x, index)).relu();
        }
    }
}

fn layers(root: &Path) -> Vec<Conv2D> {
    let path = root / "features";
    CONVOLUTIONS.map(|(index, c_in, c_out, _)| convolution(&(&path / index), c_in, c_out, 3)).into()
}

/// The input of a convolution: halved where a block begins.
fn pooled(x: &Tensor, index: usize) -> Tensor {
    match CONVOLUTIONS[index].3 {
        true => x.max_pool2d([2, 2], [2, 2], [0, 0], [1, 1], false),
        false => x.shallow_clone(),
    }
}

/// The classifier, and convolutions after the last one that is used.
fn is_unused(name: &str) -> bool {
    let number =
        name.strip_prefix("features.").and_then(|rest| rest.split('.').next()?.parse::<usize>().ok());
    name.starts_with("classifier.") || number.is_some_and(|number| number > 21)
}
