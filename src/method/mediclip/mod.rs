//! MediCLIP: layers and words beside CLIP, learnt from pseudo-anomalies in normals (Zhang et al., arXiv 2405.11315, MICCAI
//! 2024).

use std::borrow::Borrow;
use std::rc::Rc;

use anyhow::{Context as _, Result, ensure};
use serde::{Deserialize, Serialize};
use tch::nn::VarStore;
use tch::{Device, Kind as Number, Tensor};

use super::contract::{Built, Context, Detector, Encoded, Entry, Fitted, Observer, Output, Prediction};
use super::geometry::{FromFiles, Geometry};
use super::part::learner::{self, Learner, Learnt as Fixed};
use super::part::prompts::{BuiltIn, Prompts};
use super::part::segmentation_loss::{dice, focal};
use super::part::trainer::{self, Order, Plan, Recipe, Step, StepFigures, Subject, Training};
use super::part::{clip, grid};
use super::train_on::TrainOn;
use super::work::{self, CellSize, Operations, Work};
use crate::episode::batch::Pictures;
use crate::network::Network;
use crate::network::frozen_clip::FrozenClip;
use crate::network::optimiser::{Adam, Optimiser, Rule};
use crate::network::vit::clip::Clip;
use crate::network::vit::reading::{Filter, squares};
use crate::random::Stream;
use anomalies::Kind;
use model::{Learnt, Phrases, layers, tokens};

/// Pseudo-anomalies.
pub mod anomalies;
/// What trains.
pub mod model;

/// `MediCLIP`: layers and words that tell pseudo-anomalies from normal pixels.
pub const ENTRY: Entry = Entry {
    name: "mediclip",
    about: "layers and words beside CLIP that learn to find pseudo-anomalies in the supports",
    paper: "arXiv 2405.11315 (MICCAI 2024)",
    regime: "R1 (or R5)",
    needs: "OpenAI's CLIP ViT-L/14, CLIP's vocabulary",
    cost: "one training per support set (or task): 200 epochs of 162 GFLOP a picture and 0.8 TFLOP of texts a step; 162 GFLOP \
           a query",
    trial: "clip = 'clip_tiny16'\nepochs = 3\nbatch = 4",
    build,
    work: Some(work),
};

/// Defaults are the published ones; there, the number of supports is 16. The published epoch is the best one on the test
/// set, here it is the last. A last batch of fewer than 4 pictures joins the one before it.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// Supports of the episode, as published, or all train normals of the target.
    pub train_on: TrainOn,
    /// The network, whose own picture size is used.
    pub clip: Clip,
    /// `published` stretches whole files to the network's size at once, bilinearly, as the authors do. Only `score` has files; a
    /// board takes `square`.
    pub geometry: Geometry,
    /// A file of phrases in the form of `benchmarks/prompts`; the published ones unless set.
    pub prompts: Option<String>,
    /// Learnt words before each phrase.
    pub words: i64,
    /// Kinds of pseudo-anomalies, each as likely.
    pub anomalies: Vec<Kind>,
    /// Whether it learns from grey pictures. Queries keep their colours always.
    pub grey: bool,
    /// Passes over the pictures.
    pub epochs: u64,
    /// Pictures a step, fewer if there are fewer.
    pub batch: usize,
    /// Step size of Adam.
    pub learning_rate: f64,
}

impl Default for Settings {
    fn default() -> Settings {
        Settings {
            train_on: TrainOn::Supports,
            clip: Clip::Large14,
            geometry: Geometry::Square,
            prompts: None,
            words: 8,
            anomalies: vec![Kind::CutPaste, Kind::Intensity, Kind::Source, Kind::Identity],
            grey: true,
            epochs: 200,
            batch: 8,
            learning_rate: 1e-3,
        }
    }
}

impl Settings {
    fn recipe(&self, pictures: usize) -> Recipe {
        let adam = Adam { learning_rate: self.learning_rate, beta1: 0.5, ..Adam::default() };
        Recipe::new(self.plan(pictures), Rule::Adam(adam))
    }

    fn plan(&self, pictures: usize) -> Plan {
        Plan::of_observed_passes(Order::All { items: pictures, batch: self.batch }, self.epochs)
    }
}

const WORDS: BuiltIn =
    BuiltIn { file: "mediclip.toml", text: include_str!("../../../benchmarks/prompts/mediclip.toml") };

fn build(settings: toml::Table) -> Result<Built> {
    let mut settings: Settings = settings.try_into().context("settings of mediclip")?;
    let (prompts, identity) =
        Prompts::read(settings.prompts.as_deref(), WORDS).context("settings of mediclip")?;
    ensure!(
        prompts.templates.is_empty(),
        "mediclip: prompts must have no templates, its phrases stand alone"
    );
    settings.prompts = identity;
    let on_references = settings.train_on == TrainOn::Supports;
    settings.geometry.check_learns_from_references(on_references, "mediclip", "train_on = \"supports\"")?;
    model::ensure_room(settings.clip.plan(), settings.words)?;
    ensure!(!settings.anomalies.is_empty(), "mediclip: anomalies must name a kind");
    ensure!(settings.epochs >= 1, "mediclip: epochs must be at least 1");
    ensure!(settings.batch >= 1, "mediclip: batch must be at least 1");
    ensure!(settings.learning_rate > 0.0, "mediclip: learning_rate must be positive");
    let network = Some(Network::Clip(settings.clip));
    let learner = MediClip { settings: settings.clone(), prompts };
    let built = learner::build(learner, settings.train_on, &settings, network)?.giving(Output::Both);
    let stretched = || FromFiles::stretched(settings.clip.plan().side(), Filter::Bilinear);
    Ok(built.reading_files(settings.geometry.from_files(stretched)))
}

fn work(settings: &str, cell: &CellSize) -> Result<Work> {
    let settings: Settings = serde_json::from_str(settings)?;
    let (plan, pictures) = (settings.clip.plan(), cell.learnt_from(settings.train_on, false));
    let (patches, trained) = (plan.table * plan.table, settings.plan(pictures));
    let tower = plan.embedding_operations(patches) + plan.image.operations(1 + patches, plan.image.depth);
    let layers = 3.0 * 2.0 * (patches * plan.image.width * plan.joint) as f64;
    let prompts = Prompts::read(None, WORDS)?.0;
    let phrases = (prompts.normal.len() + prompts.anomalous.len()) as f64;
    let texts = phrases * plan.text.operations(plan.context, plan.text.depth);
    let entering = trained.n_entering();
    Ok(Work {
        fit: Operations {
            forward: entering * tower,
            training: work::TRAINING * (entering * layers + trained.steps as f64 * texts),
        },
        query: tower + layers,
        encode: tower,
        evaluations: trained.epochs,
        maps: true,
        ..Work::default()
    }
    .on(settings.train_on))
}

struct MediClip {
    settings: Settings,
    prompts: Prompts,
}

impl Learner for MediClip {
    fn takes_steps(&self) -> bool {
        true
    }

    fn learn(
        &self,
        normals: &Pictures,
        context: &Context,
        observer: &mut dyn Observer,
    ) -> Result<Box<dyn Detector>> {
        let settings = &self.settings;
        let model = MediClipModel::new(self, context)?;
        let side = model.network.plan().side() as usize;
        let planes = planes(&squares(&normals.pixels, side as i64, Filter::Bilinear), settings.grey)?;
        let recipe = settings.recipe(planes.len());
        let network = Some(Network::Clip(settings.clip));
        let subject = Subject::of_pictures("mediclip", settings, network, &normals.pixels)?;
        let mut training = MediClipTraining { learner: self, context, model: &model, planes: &planes, side };
        trainer::train(&mut training, &recipe, &subject, context, observer)?;
        Ok(Box::new(MediClipDetector::new(model)))
    }

    fn encode<'p>(&self, context: &Context, pictures: &'p Pictures) -> Result<Encoded<'p>> {
        let network = clip::open(self.settings.clip, context)?;
        let plan = network.plan();
        let squares = squares(&pictures.pixels, plan.side(), Filter::Bilinear);
        let prepared = clip::standardised(self.settings.clip, &squares, context.device);
        let read = tokens(&network.towers.image, &prepared, &layers(plan.image.depth), context.precision);
        Ok(Encoded::new(pictures, Box::new(read)))
    }
}

/// Grey or coloured planes of pictures `[n, 3, side, side]` of bytes, one list for each picture: red, green and blue one after
/// the other, or Pillow's grey.
fn planes(squares: &Tensor, grey: bool) -> Result<Vec<Vec<Vec<u8>>>> {
    let of_picture = |index: i64| -> Result<Vec<Vec<u8>>> {
        let colours =
            (0..3).map(|channel| Ok(Vec::<u8>::try_from(squares.get(index).get(channel).flatten(0, -1))?));
        let colours = colours.collect::<Result<Vec<_>>>()?;
        if !grey {
            return Ok(colours);
        }
        let shares = [19595u32, 38470, 7471];
        let level = |at: usize| {
            let sum: u32 =
                colours.iter().zip(shares).map(|(plane, share)| u32::from(plane[at]) * share).sum();
            ((sum + 0x8000) >> 16) as u8
        };
        Ok(vec![(0..colours[0].len()).map(level).collect()])
    };
    (0..squares.size()[0]).map(of_picture).collect()
}

/// CLIP, and what is learnt beside it.
struct MediClipModel {
    network: Rc<FrozenClip>,
    phrases: Phrases,
    learnt: Learnt,
    clip: Clip,
    device: Device,
}

impl MediClipModel {
    fn new(MediClip { settings, prompts }: &MediClip, context: &Context) -> Result<MediClipModel> {
        let Settings { clip, words, .. } = *settings;
        let tokenizer = clip.tokenizer().context("mediclip")?;
        let network = clip::open(clip, context)?;
        let phrases = Phrases::read(&network, &tokenizer, [&prompts.normal, &prompts.anomalous], words)?;
        let plan = network.plan();
        let n_layers = layers(plan.image.depth).len();
        let learnt = Learnt::new(plan, n_layers, &phrases, words, context.seed, context.device);
        Ok(MediClipModel { network, phrases, learnt, clip, device: context.device })
    }

    fn texts(&self) -> Tensor {
        self.learnt.texts(&self.network.towers.text, &self.phrases)
    }
}

/// What is learnt from planes of pictures of `side` x `side` pixels.
struct MediClipTraining<'a> {
    learner: &'a MediClip,
    context: &'a Context,
    model: &'a MediClipModel,
    planes: &'a [Vec<Vec<u8>>],
    side: usize,
}

impl MediClipTraining<'_> {
    /// Pictures `[b, 3, side, side]` of bytes with pseudo-anomalies, and labels `[b, side, side]`.
    fn made(&self, step: &Step) -> (Tensor, Tensor) {
        let kinds = &self.learner.settings.anomalies;
        let mut stream = Stream::new(self.context.seed, "pseudo-anomalies", step.number);
        let (mut pixels, mut labels) = (Vec::new(), Vec::new());
        for &item in &step.batch {
            let planes = &self.planes[item as usize];
            let kind = kinds[stream.below(kinds.len())];
            // Colours change alike: each plane by the same draws.
            let draws = stream.bits();
            let mut label = vec![0.0f64; self.side * self.side];
            let mut made: Vec<Vec<u8>> = Vec::with_capacity(planes.len());
            for (channel, plane) in planes.iter().enumerate() {
                let others: Vec<&[u8]> = self.planes.iter().map(|planes| &*planes[channel]).collect();
                let one = kind.make(plane, self.side, &others, &mut Stream::new(draws, "pseudo-anomaly", 0));
                label.iter_mut().zip(one.labels).for_each(|(label, found)| *label = label.max(found));
                made.push(one.pixels);
            }
            pixels.extend(made.iter().cycle().take(3).flatten());
            labels.extend(label);
        }
        let (n, side) = (step.batch.len() as i64, self.side as i64);
        let pixels = Tensor::from_data_size(&pixels, &[n, 3, side, side], Number::Uint8);
        (pixels, Tensor::from_slice(&labels).to_kind(Number::Float).view([n, side, side]))
    }
}

impl Training for MediClipTraining<'_> {
    fn stores(&self) -> Vec<&VarStore> {
        vec![&self.model.learnt.store]
    }

    fn step(&mut self, step: &Step, optimiser: &mut Optimiser) -> Result<StepFigures> {
        let MediClipModel { network, learnt, clip, device, .. } = self.model;
        let (pictures, labels) = self.made(step);
        let (prepared, labels) = (clip::standardised(*clip, &pictures, *device), labels.to_device(*device));
        let layers = layers(network.plan().image.depth);
        let read = tokens(&network.towers.image, &prepared, &layers, self.context.precision);
        let chances = learnt.chances(&read, &self.model.texts(), self.side as i64);
        let (focal, dice) = (focal(&chances, &labels), dice(&chances.select(1, 1), &labels));
        let loss = &focal + &dice;
        optimiser.step(&loss);
        Ok(vec![("loss", loss), ("focal", focal), ("dice", dice)])
    }

    fn model(&self) -> Result<Box<dyn Fitted + '_>> {
        let detector = MediClipDetector::new(self.model);
        Ok(Box::new(Fixed { learner: self.learner, context: self.context.clone(), detector }))
    }
}

/// A model as it stands, and what texts are to it.
struct MediClipDetector<M> {
    model: M,
    /// `[joint, 2]`.
    texts: Tensor,
}

impl<M: Borrow<MediClipModel>> MediClipDetector<M> {
    fn new(model: M) -> MediClipDetector<M> {
        let texts = tch::no_grad(|| model.borrow().texts());
        MediClipDetector { model, texts }
    }
}

impl<M: Borrow<MediClipModel>> Detector for MediClipDetector<M> {
    fn score(&self, queries: &Encoded) -> Result<Prediction> {
        let read: &Vec<Tensor> = queries.made()?;
        let MediClipModel { network, learnt, .. } = self.model.borrow();
        let chances = |side: i64| tch::no_grad(|| learnt.chances(read, &self.texts, side).select(1, 1));
        // Scores are those of maps of the network's own side, whatever side the pictures have.
        let scores = chances(network.plan().side()).amax([1i64, 2].as_slice(), false);
        let maps = chances(queries.pictures().size());
        Ok(Prediction::Both(grid::to_maps(&maps)?, grid::to_scores(&scores)?))
    }
}
