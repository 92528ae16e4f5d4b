//! CLIP's towers as methods open them, how pictures enter, and what sentences mean together.

use std::collections::BTreeMap;
use std::rc::Rc;

use anyhow::{Context as _, Result};
use tch::{Device, Kind, Tensor};

use super::direction::unit;
use super::prompts::Prompts;
use crate::episode::batch;
use crate::ids::TaskName;
use crate::method::contract::Context;
use crate::network::frozen_clip::FrozenClip;
use crate::network::vit::block::Activation;
use crate::network::vit::clip::{Clip, Plan};
use crate::network::vit::reading::{self, Filter};
use crate::network::vit::tokenizer::Tokenizer;
use crate::network::{Input, Network};

/// The towers with the weights that `context` has for them; opened once.
///
/// # Errors
/// Weights that cannot be read or do not fit.
pub fn open(clip: Clip, context: &Context) -> Result<Rc<FrozenClip>> {
    open_with(clip, clip.plan().activation, context)
}

/// As [`open`], with another function in their blocks than the one that they were trained with.
///
/// # Errors
/// As [`open`].
pub fn open_with(clip: Clip, activation: Activation, context: &Context) -> Result<Rc<FrozenClip>> {
    let origin = context.teachers.of(Network::Clip(clip))?;
    let plan = Plan { activation, ..clip.plan() };
    context.opened.clip((plan, origin.clone(), context.device)).with_context(|| {
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

/// What embeddings of sentences `[n, joint]` mean together, of length 1, `[joint]`: each is brought to length 1 first.
pub fn together(sentences: &Tensor) -> Tensor {
    unit(&unit(sentences, -1).mean_dim(0, false, None::<Kind>), -1)
}

/// What normal and what anomalous sentences mean together, of length 1, `[2, joint]`, as [`together`] says.
///
/// # Errors
/// A sentence that is too long.
pub fn meaning(network: &FrozenClip, tokenizer: &Tokenizer, sentences: &[Vec<String>; 2]) -> Result<Tensor> {
    let mean =
        |sentences: &Vec<String>| -> Result<Tensor> { Ok(together(&network.texts(tokenizer, sentences)?)) };
    Ok(Tensor::stack(&[mean(&sentences[0])?, mean(&sentences[1])?], 0))
}

/// The same of what a task shows: named in `class_names`, else by the words.
///
/// # Errors
/// A task that neither names, or a sentence that is too long.
pub fn texts_of(
    network: &FrozenClip,
    tokenizer: &Tokenizer,
    words: &Prompts,
    class_names: &BTreeMap<String, String>,
    task: &TaskName,
) -> Result<Tensor> {
    let given = class_names.get(task.as_str()).map(String::as_str);
    meaning(network, tokenizer, &words.sentences(words.class_name(given, task)?))
}
