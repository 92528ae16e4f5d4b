//! CLIP's towers as methods open them, and how pictures enter.

use std::rc::Rc;

use anyhow::{Context as _, Result};
use tch::{Device, Tensor};

use crate::episode::batch;
use crate::method::contract::Context;
use crate::network::frozen_clip::FrozenClip;
use crate::network::vit::clip::Clip;
use crate::network::vit::reading::{self, Filter};
use crate::network::{Input, Network};

/// The towers with the weights that `context` has for them, of sizes `plan`; opened once.
///
/// # Errors
/// Weights that cannot be read or do not fit.
pub fn open(clip: Clip, context: &Context) -> Result<Rc<FrozenClip>> {
    let origin = context.teachers.of(Network::Clip(clip))?;
    context.opened.clip((clip, origin.clone(), context.device)).with_context(|| {
        let name = clip.name();
        format!("the network is {name}; each network can have its own file: --teacher {name}=FILE")
    })
}

/// Pictures `[n, 3, h, w]` of 0 to 255 stretched to squares of `side` pixels by Pillow's bicubic filter, less CLIP's mean,
/// over its deviation.
pub fn prepared(clip: Clip, pictures: &Tensor, side: i64, device: Device) -> Tensor {
    standardised(clip, &reading::squares(pictures, side, Filter::Bicubic), device)
}

/// Pictures of 0 to 255 less CLIP's mean, over its deviation, on `device`.
pub fn standardised(clip: Clip, pictures: &Tensor, device: Device) -> Tensor {
    Input::ImageNet.prepare(Network::Clip(clip), &batch::to(pictures, device))
}
