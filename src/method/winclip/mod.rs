//! WinCLIP: texts, and references if there are any, against windows of a picture (Jeong et al., arXiv 2303.14814, CVPR
//! 2023).

use std::rc::Rc;

use anyhow::{Context as _, Result, ensure};
use serde::{Deserialize, Serialize};
use tch::{Kind, Tensor};

use super::contract::{
    Built, Context, Detector, Encoded, Entry, Fitted, Method, Observer, Output, Prediction, TrainTask,
};
use super::geometry::{FromFiles, Geometry};
use super::part::prompts::{BuiltIn, Prompts};
use super::part::{clip, grid};
use super::work::{CellSize, Operations, Work};
use crate::episode::batch::Pictures;
use crate::network::Network;
use crate::network::frozen_clip::FrozenClip;
use crate::network::precision::Precision;
use crate::network::vit::Filter;
use crate::network::vit::clip::{Clip, Plan};
use crate::regime::Regime;
use scoring::Variant;
use seen::Seen;
use windows::Windows;

/// Maps and scores of what is seen.
pub mod scoring;
/// What the tower makes of pictures.
pub mod seen;
/// Windows of patches.
pub mod windows;

/// `WinCLIP`: windows of a picture against texts and references.
pub const ENTRY: Entry = Entry {
    name: "winclip",
    about: "windows of a picture against texts of its normal and anomalous states, and against the supports' windows",
    paper: "arXiv 2303.14814 (CVPR 2023)",
    regime: "R1 (or R0)",
    needs: "open_clip ViT-B/16-plus-240 of LAION-400M, CLIP's vocabulary",
    cost: "366 forward passes a picture or support, all but one of windows: 0.7 TFLOP",
    trial: "clip = 'clip_tiny16'\nclass_name = 'disc'",
    build,
    work: Some(work),
};

/// Sides of windows, in patches.
const SIZES: [i64; 2] = [2, 3];

/// Defaults are anomalib's with K supports. Pictures are stretched in bytes; anomalib stretches floating-point tensors,
/// which moves pixels by less than a grey level.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// The network, whose own picture size is used. anomalib has the weights after 31 epochs, caoyunkang those after 32.
    pub clip: Clip,
    /// `published` stretches whole files to the network's size at once, with the bicubic filter. Only `score` has files; a board
    /// takes `square`.
    pub geometry: Geometry,
    /// Whose arithmetic and words.
    pub variant: Variant,
    /// Without supports, by texts alone (regime R0).
    pub zero_shot: bool,
    /// What the pictures show; what the prompts say of the task unless set.
    pub class_name: Option<String>,
    /// A file of words in the form of `benchmarks/prompts`; the variant's own unless set.
    pub prompts: Option<String>,
}

impl Default for Settings {
    fn default() -> Settings {
        Settings {
            clip: Clip::Base16PlusAt240,
            geometry: Geometry::Square,
            variant: Variant::Anomalib,
            zero_shot: false,
            class_name: None,
            prompts: None,
        }
    }
}

fn words(variant: Variant) -> BuiltIn {
    match variant {
        Variant::Anomalib => BuiltIn {
            file: "winclip-anomalib.toml",
            text: include_str!("../../../benchmarks/prompts/winclip-anomalib.toml"),
        },
        Variant::Caoyunkang => BuiltIn {
            file: "winclip-caoyunkang.toml",
            text: include_str!("../../../benchmarks/prompts/winclip-caoyunkang.toml"),
        },
    }
}

fn build(settings: toml::Table) -> Result<Built> {
    let mut settings: Settings = settings.try_into().context("settings of winclip")?;
    let (prompts, identity) =
        Prompts::read(settings.prompts.as_deref(), words(settings.variant)).context("settings of winclip")?;
    ensure!(!prompts.templates.is_empty(), "winclip: prompts must have templates");
    settings.prompts = identity;
    let regime = if settings.zero_shot { Regime::Nothing } else { Regime::Supports };
    let method = WinClip { settings: settings.clone(), prompts };
    let built = Built::new(method, &settings, regime, Some(Network::Clip(settings.clip)))?;
    let stretched = || FromFiles::stretched(settings.clip.plan().side(), Filter::Bicubic);
    Ok(built.giving(Output::Both).reading_files(settings.geometry.from_files(stretched)))
}

/// One picture at all levels.
fn operations(plan: Plan) -> f64 {
    let patches = plan.table * plan.table;
    let (tower, depth) = (plan.image, plan.image.depth);
    let windows = SIZES.map(|size| {
        let count = (plan.table - size + 1).pow(2) as f64;
        count * tower.operations(1 + size * size, depth)
    });
    plan.embedding_operations(patches) + tower.operations(1 + patches, depth) + windows.iter().sum::<f64>()
}

fn work(settings: &str, cell: &CellSize) -> Result<Work> {
    let settings: Settings = serde_json::from_str(settings)?;
    let plan = settings.clip.plan();
    let supports = if settings.zero_shot {
        0.0
    } else {
        cell.learnt_from(super::train_on::TrainOn::Supports, false) as f64
    };
    let (patches, width, joint) =
        ((plan.table * plan.table) as f64, plan.image.width as f64, plan.joint as f64);
    let windows = SIZES.map(|size| ((plan.table - size + 1).pow(2) as f64).powi(2) * joint);
    let against = 2.0 * supports * (patches * patches * width + windows.iter().sum::<f64>());
    let texts: usize =
        Prompts::read(None, words(settings.variant))?.0.sentences("").iter().map(Vec::len).sum();
    let picture = operations(plan);
    Ok(Work {
        fit: Operations {
            forward: texts as f64 * plan.text.operations(plan.context, plan.text.depth),
            training: 0.0,
        },
        adapt: Operations { forward: supports * picture, training: 0.0 },
        query: picture + against,
        encode: picture,
        maps: true,
        bytes: 4.0
            * supports
            * (patches * width
                + SIZES.map(|size| (plan.table - size + 1).pow(2) as f64 * joint).iter().sum::<f64>()),
        ..Work::default()
    })
}

struct WinClip {
    settings: Settings,
    prompts: Prompts,
}

impl Method for WinClip {
    fn fit(&self, _: &[TrainTask], context: &Context, _: &mut dyn Observer) -> Result<Box<dyn Fitted>> {
        let Settings { clip, variant, zero_shot, ref class_name, .. } = self.settings;
        let class_name = self.prompts.class_name(class_name.as_deref(), &context.task).context("winclip")?;
        let tokenizer = clip.tokenizer().context("winclip")?;
        let network = clip::open(clip, context)?;
        let mean = |texts: &Vec<String>| -> Result<Tensor> {
            Ok(network.texts(&tokenizer, texts)?.mean_dim(0, false, None::<Kind>))
        };
        let [normal, anomalous] = self.prompts.sentences(class_name);
        let texts = Tensor::stack(&[mean(&normal)?, mean(&anomalous)?], 0);
        let sizes = SIZES.map(|size| Windows::new(clip.plan().table, size));
        Ok(Box::new(WinClipModel {
            clip,
            network,
            precision: context.precision,
            texts,
            sizes,
            variant,
            zero_shot,
        }))
    }
}

/// The network, and what texts are to it.
struct WinClipModel {
    clip: Clip,
    network: Rc<FrozenClip>,
    precision: Precision,
    /// Means over normal and over anomalous sentences, `[2, joint]`.
    texts: Tensor,
    sizes: [Windows; 2],
    variant: Variant,
    zero_shot: bool,
}

impl WinClipModel {
    fn seen(&self, pictures: &Pictures) -> Seen {
        let (side, device) = (self.network.plan().side(), self.network.device());
        let prepared = clip::prepared(self.clip, &pictures.pixels, side, device);
        Seen::new(&self.network.towers.image, &prepared, &self.sizes, self.precision)
    }
}

impl Fitted for WinClipModel {
    fn encode<'p>(&self, queries: &'p Pictures) -> Result<Encoded<'p>> {
        Ok(Encoded::new(queries, Box::new(self.seen(queries))))
    }

    fn adapt<'a>(&'a self, supports: &Pictures) -> Result<Box<dyn Detector + 'a>> {
        if self.zero_shot {
            return Ok(Box::new(WinClipDetector { model: self, references: None }));
        }
        ensure!(!supports.is_empty(), "winclip needs at least one support; `zero_shot = true` does without");
        Ok(Box::new(WinClipDetector { model: self, references: Some(self.seen(supports)) }))
    }

    fn ignores_supports(&self) -> bool {
        self.zero_shot
    }
}

struct WinClipDetector<'a> {
    model: &'a WinClipModel,
    references: Option<Seen>,
}

impl Detector for WinClipDetector<'_> {
    fn score(&self, queries: &Encoded) -> Result<Prediction> {
        let WinClipModel { variant, texts, sizes, .. } = self.model;
        let [grids, scores] = variant.score(queries.made()?, texts, self.references.as_ref(), sizes);
        let maps = grid::upsample(&grids, queries.pictures().size(), false);
        Ok(Prediction::Both(grid::to_maps(&maps)?, grid::to_scores(&scores)?))
    }

    fn bytes(&self) -> usize {
        let bytes = |tensor: &Tensor| tensor.numel() * tensor.kind().elt_size_in_bytes();
        self.references.as_ref().map_or(0, |seen| {
            bytes(&seen.whole) + bytes(&seen.patches) + seen.windows.iter().map(bytes).sum::<usize>()
        })
    }
}
