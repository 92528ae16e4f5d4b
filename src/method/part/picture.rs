//! Pictures as auto-encoders want them: grey or coloured, and small.

use serde::{Deserialize, Serialize};
use tch::{Kind, Tensor};

use crate::episode::batch::Pictures;
use crate::method::train_on::TrainOn;
use crate::method::views;

/// Channels that a network of its own sees; networks trained on ImageNet take three.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Colour {
    /// One channel if the three are alike in every picture that is learnt from, else three.
    #[default]
    Auto,
    /// One channel, the mean of the three.
    Grey,
    /// Three channels.
    Rgb,
}

impl Colour {
    /// The most channels that there may be.
    pub fn at_most(self) -> i64 {
        if self == Colour::Grey { 1 } else { 3 }
    }

    /// For a network that learns from `pictures`, `[n, 3, h, w]`.
    pub fn channels(self, pictures: &Tensor) -> i64 {
        match self {
            Colour::Grey => 1,
            Colour::Rgb => 3,
            Colour::Auto => {
                let channel = |index: i64| pictures.narrow(1, index, 1);
                let grey = channel(0).equal(&channel(1)) && channel(0).equal(&channel(2));
                if grey { 1 } else { 3 }
            }
        }
    }
}

/// What is learnt from, `[n, 3, h, w]` of 0 to 255: the normals, or the 22 views of each support if asked for.
pub fn learnt_from(normals: &Pictures, train_on: TrainOn, views: bool) -> Tensor {
    match views && train_on == TrainOn::Supports {
        true => views::augmented(&normals.pixels),
        false => normals.pixels.shallow_clone(),
    }
}

/// Pictures `[n, 3, h, w]` of 0 to 255 as `[n, channels, h, w]` of 0 to 1.
pub fn unit(pictures: &Tensor, channels: i64) -> Tensor {
    let unit = pictures.to_kind(Kind::Float) / 255.0;
    match channels {
        1 => unit.mean_dim(1i64, true, None::<Kind>),
        _ => unit,
    }
}

/// As [`unit()`], resized bilinearly to `side`, without aliasing.
pub fn resized(pictures: &Tensor, channels: i64, side: i64) -> Tensor {
    let part = |part: Tensor| {
        let unit = unit(&part, channels);
        if unit.size()[2..] == [side, side] {
            return unit;
        }
        unit.internal_upsample_bilinear2d_aa([side, side], false, None, None)
    };
    Tensor::cat(&pictures.split(32, 0).into_iter().map(part).collect::<Vec<_>>(), 0)
}
