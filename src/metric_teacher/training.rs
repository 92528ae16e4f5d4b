//! Two stages: an encoder and its classifier with a metric loss beside, then the classifier alone on balanced classes.

use std::cell::RefCell;

use anyhow::{Result, bail};
use tch::nn::{Linear, Module, VarStore};
use tch::{Device, Kind, Tensor};

use super::{Balance, Settings, loss};
use crate::episode::batch::{self, Pictures};
use crate::method::part::trainer::{Step, StepFigures, Training};
use crate::method::{Detector, EpochFigures, Fitted};
use crate::network::encoder::Encoder;
use crate::network::layer::{Norm, linear};
use crate::network::optimiser::Optimiser;
use crate::network::{Backbone, Input, Network, initial};
use crate::random::Stream;

/// As frozen teachers see pictures.
pub(super) const INPUT: Input = Input::ImageNet;

/// Pictures of several classes.
pub(super) struct Shown {
    /// `[n, 3, side, side]` of 0 to 255, on the CPU.
    pub pixels: Tensor,
    /// Of each class, the places of its pictures in `pixels`.
    pub places: Vec<Vec<i64>>,
    /// Of each picture, `[n]`.
    pub classes: Tensor,
}

/// Encoder and classifier in training.
pub(super) struct Learning<'a> {
    pub encoder_store: VarStore,
    head_store: VarStore,
    encoder: Encoder,
    head: Linear,
    backbone: Backbone,
    shown: &'a Shown,
    settings: &'a Settings,
    seed: u64,
    /// Numbers of the classes, `[c]`.
    numbers: Tensor,
    /// The stage of the step before, where an epoch that ends shows how well all pictures are classified.
    is_last_of_stage: RefCell<bool>,
}

/// Pictures that are looked at together where nothing is learnt.
const AT_ONCE: i64 = 32;

impl<'a> Learning<'a> {
    /// With a classifier from `seed`; the encoder is still to be filled.
    pub(super) fn new(
        backbone: Backbone,
        shown: &'a Shown,
        settings: &'a Settings,
        seed: u64,
        device: Device,
    ) -> Learning<'a> {
        let (encoder_store, head_store) = (VarStore::new(device), VarStore::new(device));
        let encoder = Encoder::new(&(encoder_store.root() / "encoder"), backbone);
        let n_classes = shown.places.len() as i64;
        let head = linear(&(head_store.root() / "head"), backbone.channels()[3], n_classes);
        initial::initialise_plain(&head_store, seed);
        let numbers: Vec<i64> = shown.places.iter().map(|places| places.len() as i64).collect();
        let numbers = Tensor::from_slice(&numbers).to_device(device);
        let is_last_of_stage = RefCell::new(false);
        Learning {
            encoder_store,
            head_store,
            encoder,
            head,
            backbone,
            shown,
            settings,
            seed,
            numbers,
            is_last_of_stage,
        }
    }

    /// The deepest features averaged over positions, `[b, c]`, of the pictures at `places`.
    fn vectors(&self, places: &Tensor, norm: Norm) -> Tensor {
        let pictures = self.shown.pixels.index_select(0, places);
        let pictures = batch::to(&pictures, self.encoder_store.device());
        let pictures = INPUT.prepare(Network::Backbone(self.backbone), &pictures);
        self.encoder.forward(&pictures, norm).deep.mean_dim(&[2, 3][..], false, None::<Kind>)
    }

    /// Mean over classes of the share of their pictures that are classified right, of all that were shown.
    fn macro_recall(&self) -> f64 {
        tch::no_grad(|| {
            let all = Tensor::arange(self.shown.classes.size()[0], (Kind::Int64, Device::Cpu));
            let right = |places: &Tensor| {
                let classified = self.head.forward(&self.vectors(places, Norm::Stored)).argmax(1, false);
                classified.to_device(Device::Cpu).eq_tensor(&self.shown.classes.index_select(0, places))
            };
            let right: Vec<Tensor> = all.split(AT_ONCE, 0).iter().map(right).collect();
            let right = Tensor::cat(&right, 0).to_kind(Kind::Double);
            let of_class = |places: &Vec<i64>| {
                right.index_select(0, &Tensor::from_slice(places)).mean(None::<Kind>).double_value(&[])
            };
            let recalls: Vec<f64> = self.shown.places.iter().map(of_class).collect();
            recalls.iter().sum::<f64>() / recalls.len() as f64
        })
    }
}

impl Training for Learning<'_> {
    fn stores(&self) -> Vec<&VarStore> {
        vec![&self.encoder_store, &self.head_store]
    }

    fn step(&mut self, step: &Step, optimiser: &mut Optimiser) -> Result<StepFigures> {
        let settings = self.settings;
        let is_first = step.stage == 0;
        let is_even = !is_first && settings.balance == Balance::Sampling;
        let mut stream = Stream::new(self.seed, "classes and pictures of a step", step.number);
        let places = drawn(&self.shown.places, settings, is_even, &mut stream);
        let places = Tensor::from_slice(&places);
        let classes = self.shown.classes.index_select(0, &places).to_device(self.encoder_store.device());
        let vectors = match is_first {
            true => self.vectors(&places, Norm::Batch),
            // The encoder stays as it is.
            false => tch::no_grad(|| self.vectors(&places, Norm::Stored)),
        };
        let logits = self.head.forward(&vectors);
        let accuracy = logits.accuracy_for_logits(&classes);
        let last = if is_first { settings.steps } else { settings.balanced_steps };
        *self.is_last_of_stage.borrow_mut() = step.in_stage + 1 == last;
        if !is_first {
            let loss = balanced(settings.balance, &logits, &classes, &self.numbers);
            optimiser.step(&loss);
            return Ok(vec![("loss", loss), ("accuracy", accuracy)]);
        }
        let cross_entropy = loss::cross_entropy(&logits, &classes);
        let metric = settings.metric.loss(&vectors, &classes, settings.margin);
        let loss = &cross_entropy + settings.weight * &metric;
        optimiser.step(&loss);
        Ok(vec![("loss", loss), ("cross_entropy", cross_entropy), ("metric", metric), ("accuracy", accuracy)])
    }

    fn model(&self) -> Result<Box<dyn Fitted + '_>> {
        Ok(Box::new(NoDetector))
    }

    fn diagnose(&self) -> EpochFigures {
        match *self.is_last_of_stage.borrow() {
            true => vec![("macro_recall", self.macro_recall())],
            false => EpochFigures::new(),
        }
    }
}

/// What the second stage makes small; `numbers` are those of the classes.
fn balanced(balance: Balance, logits: &Tensor, classes: &Tensor, numbers: &Tensor) -> Tensor {
    match balance {
        Balance::Sampling => loss::cross_entropy(logits, classes),
        Balance::Logits => loss::adjusted_cross_entropy(logits, classes, numbers),
    }
}

/// Places of one step's pictures: some classes, drawn by their numbers of pictures or evenly, and of each as many pictures;
/// of a class that has fewer, some twice.
fn drawn(classes: &[Vec<i64>], settings: &Settings, is_even: bool, stream: &mut Stream) -> Vec<i64> {
    let mut left: Vec<usize> = (0..classes.len()).collect();
    let mut places = Vec::with_capacity(settings.classes_a_step * settings.pictures_a_class);
    for _ in 0..settings.classes_a_step.min(classes.len()) {
        let size = |class: usize| if is_even { 1 } else { classes[class].len() };
        let mut at = stream.below(left.iter().map(|&class| size(class)).sum());
        let chosen = left.iter().position(|&class| {
            let is_here = at < size(class);
            at = at.saturating_sub(size(class));
            is_here
        });
        let mut members = classes[left.remove(chosen.expect("within the sum"))].clone();
        stream.shuffle(&mut members);
        places.extend(members.iter().cycle().take(settings.pictures_a_class));
    }
    places
}

/// A teacher detects nothing by itself.
struct NoDetector;

impl Fitted for NoDetector {
    fn adapt<'a>(&'a self, _: &Pictures) -> Result<Box<dyn Detector + 'a>> {
        bail!("a teacher in training is no detector")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::network::optimiser::{Rule, Sgd};

    #[test]
    fn classes_are_drawn_by_their_numbers_first_and_evenly_then() {
        let classes: Vec<Vec<i64>> = vec![(0..90).collect(), (90..99).collect(), vec![99]];
        let settings = Settings { classes_a_step: 1, pictures_a_class: 2, ..Settings::default() };
        let share_of_first = |is_even: bool| {
            let first = |step: u64| {
                let places = drawn(&classes, &settings, is_even, &mut Stream::new(1, "test", step));
                assert_eq!(places.len(), 2);
                places[0] < 90
            };
            (0..2000).filter(|&step| first(step)).count() as f64 / 2000.0
        };
        assert!((share_of_first(false) - 0.90).abs() < 0.03);
        assert!((share_of_first(true) - 1.0 / 3.0).abs() < 0.04);
    }

    #[test]
    fn a_step_has_each_class_once_and_small_classes_repeat() {
        let classes: Vec<Vec<i64>> = vec![(0..9).collect(), vec![9], (10..14).collect()];
        let settings = Settings { classes_a_step: 8, pictures_a_class: 4, ..Settings::default() };
        let mut places = drawn(&classes, &settings, false, &mut Stream::new(1, "test", 0));
        places.sort_unstable();
        assert_eq!(places.len(), 12);
        assert_eq!(&places[4..], [9, 9, 9, 9, 10, 11, 12, 13]);
        assert!(places[..4].windows(2).all(|pair| pair[0] < pair[1]), "{places:?}");
    }

    /// Three classes, of 1000, 100 and 10 vectors, normal about the corners of a triangle.
    fn vectors() -> (Tensor, Tensor, Vec<Vec<i64>>) {
        let mut stream = Stream::new(3, "vectors", 0);
        let (mut values, mut classes, mut places) = (Vec::new(), Vec::new(), Vec::new());
        for (class, n) in [1000i64, 100, 10].into_iter().enumerate() {
            let first = classes.len() as i64;
            places.push((first..first + n).collect());
            for _ in 0..n {
                let angle = class as f64 * std::f64::consts::TAU / 3.0;
                values
                    .extend([angle.cos() + stream.normal(), angle.sin() + stream.normal()].map(|v| v as f32));
                classes.push(class as i64);
            }
        }
        (Tensor::from_slice(&values).view([-1, 2]), Tensor::from_slice(&classes), places)
    }

    #[test]
    fn rare_classes_are_found_once_classes_are_balanced() {
        let (vectors, classes, places) = vectors();
        let numbers = Tensor::from_slice(&[1000i64, 100, 10]);
        let settings = Settings { classes_a_step: 2, pictures_a_class: 4, ..Settings::default() };
        let recall = |head: &Linear| {
            let right = head.forward(&vectors).argmax(1, false).eq_tensor(&classes).to_kind(Kind::Double);
            let of =
                |places: &Vec<i64>| right.index_select(0, &Tensor::from_slice(places)).mean(None::<Kind>);
            places.iter().map(|places| of(places).double_value(&[])).sum::<f64>() / 3.0
        };
        for balance in Balance::all() {
            let store = VarStore::new(Device::Cpu);
            let head = linear(&(store.root() / "head"), 2, 3);
            let rule = Rule::Sgd(Sgd { learning_rate: 0.1, ..Sgd::default() });
            let mut optimiser = Optimiser::new(&[&store], rule);
            let mut train = |steps: std::ops::Range<u64>, is_first: bool| {
                for step in steps {
                    let is_even = !is_first && balance == Balance::Sampling;
                    let chosen = drawn(&places, &settings, is_even, &mut Stream::new(1, "test", step));
                    let chosen = Tensor::from_slice(&chosen);
                    let (logits, own) =
                        (head.forward(&vectors.index_select(0, &chosen)), classes.index_select(0, &chosen));
                    let loss = match is_first {
                        true => loss::cross_entropy(&logits, &own),
                        false => balanced(balance, &logits, &own, &numbers),
                    };
                    optimiser.step(&loss);
                }
            };
            train(0..400, true);
            let first = recall(&head);
            train(400..800, false);
            let second = recall(&head);
            assert!(second > first + 0.05, "{balance}: {first} and then {second}");
        }
    }
}
