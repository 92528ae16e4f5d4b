//! SAMIL's steps: studies told from each other without labels first, then labelled ones with supervised attention.

use std::f64::consts::PI;

use anyhow::{Result, bail};
use tch::nn::VarStore;
use tch::{Device, Kind, Tensor};

use super::bag::Bag;
use super::loss;
use super::settings::Settings;
use crate::method::part::learner::Fixed;
use crate::method::part::trainer::{Order, Plan, Recipe, Step, StepFigures, Training};
use crate::method::{Detector, Encoded, Fitted, Prediction};
use crate::network::initial;
use crate::network::optimiser::{Optimiser, Rule, Sgd};
use crate::network::supervised_attention::{self, Head, SupervisedAttention};
use crate::random::Stream;

/// A network with its variables.
struct Own {
    store: VarStore,
    network: SupervisedAttention,
}

impl Own {
    fn new(name: &str, settings: &Settings, inputs: i64, device: Device) -> Own {
        let store = VarStore::new(device);
        let network = SupervisedAttention::new(&store.root().sub(name), settings.shape(inputs));
        Own { store, network }
    }
}

/// Everything that a training of SAMIL moves.
pub struct Samil {
    settings: Settings,
    /// What trains.
    own: Own,
    head: (VarStore, Head),
    /// Follows what trains in the pre-training.
    key: Own,
    key_head: (VarStore, Head),
    /// Directions of studies that were keys before, and which studies, -1 for none yet.
    queue: VarStore,
    directions: Tensor,
    of_studies: Tensor,
    /// Follows what trains after it, and scores.
    average: Own,
}

impl Samil {
    /// A network for instances of so many values, for a training on so many studies.
    pub fn new(settings: &Settings, inputs: i64, n_studies: usize, seed: u64, device: Device) -> Samil {
        let own = Own::new("samil", settings, inputs, device);
        let head_of = |name: &str| {
            let store = VarStore::new(device);
            let head = Head::new(&store.root().sub(name), settings.hidden, settings.directions);
            (store, head)
        };
        let (head, key_head) = (head_of("head"), head_of("key_head"));
        let (mut key, mut average) =
            (Own::new("key", settings, inputs, device), Own::new("average", settings, inputs, device));
        initial::initialise_plain(&own.store, seed);
        initial::initialise_plain(&head.0, seed);
        let queue = VarStore::new(device);
        let n_queued = settings.queue.min(n_studies.saturating_sub(1)).max(1) as i64;
        let directions =
            queue.root().sub("queue").zeros_no_train("directions", &[n_queued, settings.directions]);
        let of_studies = queue.root().sub("queue").zeros_no_train("studies", &[n_queued]);
        tch::no_grad(|| {
            let _ = of_studies.shallow_clone().fill_(-1.0);
        });
        key.store.freeze();
        average.store.freeze();
        let mut key_head = key_head;
        key_head.0.freeze();
        let samil = Samil {
            settings: settings.clone(),
            own,
            head,
            key,
            key_head,
            queue,
            directions,
            of_studies,
            average,
        };
        follow(&samil.own.store, &samil.key.store, 0.0);
        follow(&samil.own.store, &samil.average.store, 0.0);
        follow(&samil.head.0, &samil.key_head.0, 0.0);
        samil
    }

    /// What the averaged network makes of a bag, without gradients.
    pub fn of(&self, instances: &Tensor) -> supervised_attention::Bag {
        tch::no_grad(|| self.average.network.forward(instances))
    }

    /// The published optimiser.
    pub fn rule(settings: &Settings) -> Rule {
        Rule::Sgd(Sgd {
            learning_rate: settings.learning_rate,
            momentum: 0.9,
            weight_decay: settings.weight_decay,
            nesterov: true,
            spares_vectors: true,
        })
    }

    /// Whether there is a first stage: one study cannot be told from others.
    fn pretrains(settings: &Settings, n_studies: usize) -> bool {
        settings.pretraining_epochs > 0 && n_studies > 1
    }

    /// Both stages, on so many studies.
    pub fn recipe(settings: &Settings, n_studies: usize) -> Recipe {
        let mut recipe = Recipe::new(
            Plan::of_observed_passes(Order::All { items: n_studies, batch: 1 }, settings.epochs),
            Samil::rule(settings),
        );
        if Samil::pretrains(settings, n_studies) {
            let batch = settings.pretraining_batch.min(n_studies);
            let order = Order::Whole { items: n_studies, batch };
            recipe.plans.insert(0, Plan::of_observed_passes(order, settings.pretraining_epochs));
        }
        recipe
    }
}

/// `kept` of each variable of `target`, and the rest from the one of the same name in `source`.
fn follow(source: &VarStore, target: &VarStore, kept: f64) {
    let plain = |name: &str| name.split_once('.').map(|(_, rest)| rest.to_owned()).unwrap_or_default();
    let sources: std::collections::HashMap<String, Tensor> =
        source.variables().into_iter().map(|(name, tensor)| (plain(&name), tensor)).collect();
    tch::no_grad(|| {
        for (name, mut tensor) in target.variables() {
            let _ = tensor.lerp_(&sources[&plain(&name)], 1.0 - kept);
        }
    });
}

/// A training under way.
pub struct SamilTraining<'a> {
    /// What it moves.
    pub model: &'a Samil,
    /// What it learns from.
    pub bags: &'a [Bag],
    /// Names its random streams.
    pub seed: u64,
    /// Normal and anomalous bags.
    pub counts: [usize; 2],
}

impl SamilTraining<'_> {
    fn pretrain(&self, step: &Step, optimiser: &mut Optimiser) -> StepFigures {
        let Samil { settings, own, head, key, key_head, directions, of_studies, .. } = self.model;
        let recipe = Samil::recipe(settings, self.bags.len());
        let turn = step.in_stage as f64 / recipe.plans[0].steps as f64;
        optimiser.set_rate(settings.pretraining_rate * 0.5 * (1.0 + (PI * turn).cos()));
        if step.in_stage > 0 {
            follow(&own.store, &key.store, settings.key_average);
            follow(&head.0, &key_head.0, settings.key_average);
        }
        let (mut losses, mut keys) = (Vec::new(), Vec::new());
        for (place, &study) in step.batch.iter().enumerate() {
            let number = step.number * step.batch.len() as u64 + place as u64;
            let mut stream = Stream::new(self.seed, "samil views", number);
            let [first, second] = self.bags[study as usize].two_views(settings.versions, &mut stream);
            let query = head.1.forward(&own.network.forward(&first).representation);
            let other = tch::no_grad(|| key_head.1.forward(&key.network.forward(&second).representation));
            let is_other = of_studies.ge(0.0).logical_and(&of_studies.ne(study as f64));
            let others = is_other.to_kind(Kind::Float).log();
            losses.push(loss::contrast(&query, &other, directions, &others, settings.contrast_temperature));
            keys.push(other);
        }
        let loss = Tensor::stack(&losses, 0).mean(None::<Kind>);
        optimiser.step(&loss);
        let n_queued = directions.size()[0];
        for (place, (key, study)) in keys.iter().zip(&step.batch).enumerate() {
            let at = (step.in_stage as i64 * step.batch.len() as i64 + place as i64) % n_queued;
            directions.narrow(0, at, 1).copy_(key);
            let _ = of_studies.narrow(0, at, 1).fill_(*study as f64);
        }
        vec![("contrast", loss)]
    }

    fn supervise(&self, step: &Step, optimiser: &mut Optimiser) -> StepFigures {
        let Samil { settings, own, average, .. } = self.model;
        if step.in_stage == 0 {
            follow(&own.store, &average.store, 0.0);
        }
        let n_bags = self.bags.len() as u64;
        optimiser
            .set_rate(settings.learning_rate * loss::rate_factor(step.in_stage / n_bags, settings.cycle));
        let bag = &self.bags[step.batch[0] as usize];
        let mut stream = Stream::new(self.seed, "samil versions", step.number);
        let found = own.network.forward(&bag.drawn(settings.versions, &mut stream));
        let weights = settings.class_weights.then(|| {
            let weights = Tensor::from_slice(&loss::class_weights(&self.counts));
            weights.to_kind(found.logits.kind()).to_device(found.logits.device())
        });
        let cross_entropy =
            loss::cross_entropy(&found.logits, usize::from(bag.is_anomalous), weights.as_ref());
        let target = loss::target(&bag.relevance, settings.temperature);
        let divergence = loss::divergence(&target, &found.log_supervised);
        let counts =
            settings.lambda * loss::warm_up(step.in_stage, settings.epochs * n_bags, settings.warm_up);
        let loss = &cross_entropy + &divergence * counts;
        optimiser.step(&loss);
        follow(&own.store, &average.store, settings.average);
        vec![("loss", loss), ("cross-entropy", cross_entropy), ("divergence", divergence)]
    }
}

impl Training for SamilTraining<'_> {
    fn stores(&self) -> Vec<&VarStore> {
        let Samil { own, head, key, key_head, queue, average, .. } = self.model;
        vec![&own.store, &head.0, &key.store, &key_head.0, queue, &average.store]
    }

    fn step(&mut self, step: &Step, optimiser: &mut Optimiser) -> Result<StepFigures> {
        let is_first = step.stage == 0 && Samil::pretrains(&self.model.settings, self.bags.len());
        Ok(if is_first { self.pretrain(step, optimiser) } else { self.supervise(step, optimiser) })
    }

    fn model(&self) -> Result<Box<dyn Fitted + '_>> {
        Ok(Box::new(Fixed::new(OfStudies)))
    }
}

/// What stands for the model before an observer: it scores studies, which no detector is given.
struct OfStudies;

impl Detector for OfStudies {
    fn score(&self, _: &Encoded) -> Result<Prediction> {
        bail!("SAMIL scores studies; a picture alone has no score")
    }
}
