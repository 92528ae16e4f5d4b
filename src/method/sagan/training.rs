//! SAGAN's steps: the discriminator's, and after every few of them one of the generator.

use anyhow::Result;
use tch::nn::VarStore;
use tch::{Kind, Tensor};

use super::SaganModel;
use super::discriminator::{Discriminator, penalty};
use super::generator::{Generator, WINDOWS};
use super::layer::Statistics;
use super::pseudo_anomaly::{Square, blended};
use super::settings::Settings;
use crate::episode::batch;
use crate::method::contract::{EpochFigures, Fitted};
use crate::method::part::learner::Fixed;
use crate::method::part::trainer::{Step, StepFigures, Training};
use crate::network::initial;
use crate::network::optimiser::Optimiser;
use crate::random::Stream;

/// Share of the pixels at which the generator keeps what it was given, in training.
const REPLACED: f64 = 0.05;

/// What the discriminator is to make small, and its parts; scalars.
pub struct DiscriminatorLoss {
    /// How anomalous normals look to it.
    pub real: Tensor,
    /// How normal the generator's pictures look.
    pub fake: Tensor,
    /// How far its slope is from 1 between both.
    pub penalty: Tensor,
}

impl DiscriminatorLoss {
    /// Of normals and the generator's pictures `[n, 1, side, side]`; between them, `mix` (`[n]`) is the normal's share.
    pub fn of(
        discriminator: &Discriminator,
        normals: &Tensor,
        made: &Tensor,
        mix: &Tensor,
    ) -> DiscriminatorLoss {
        let judge = |pictures: &Tensor| discriminator.forward(pictures);
        let mix = mix.to_kind(normals.kind()).view([-1, 1, 1, 1]);
        DiscriminatorLoss {
            real: -judge(normals).mean(None::<Kind>),
            fake: judge(made).mean(None::<Kind>),
            penalty: penalty(judge, &(&mix * normals + (1.0 - &mix) * made)),
        }
    }

    /// With the penalty's weight.
    pub fn total(&self, weight: f64) -> Tensor {
        &self.real + &self.fake + weight * &self.penalty
    }
}

/// What the generator is to make small, and its parts; scalars.
pub struct GeneratorLoss {
    /// How anomalous what it makes of the pool looks to the discriminator.
    pub fake: Tensor,
    /// What it changes in normals: the mean absolute difference.
    pub identity: Tensor,
    /// What is left of pseudo-anomalies: the mean squared difference from the normals that they were made of.
    pub restored: Tensor,
}

/// Pictures of one step, `[n, 1, side, side]` of -1 to 1.
pub struct Shown {
    /// Of the pool, where nobody says which are normal.
    pub pool: Tensor,
    /// Normals.
    pub normals: Tensor,
    /// The same normals with pseudo-anomalies.
    pub pseudo: Tensor,
}

impl GeneratorLoss {
    /// `kept` say where the generator may change normals, the pool and pseudo-anomalies, in this order.
    pub fn of(
        generator: &Generator,
        discriminator: &Discriminator,
        shown: &Shown,
        kept: [&Tensor; 3],
    ) -> GeneratorLoss {
        let [normals, pool, pseudo] = kept;
        // Stored statistics take this order.
        let made =
            |pictures: &Tensor, kept: &Tensor| generator.forward(pictures, Statistics::Blended, Some(kept));
        let of_normals = made(&shown.normals, normals);
        let of_pool = made(&shown.pool, pool);
        let of_pseudo = made(&shown.pseudo, pseudo);
        GeneratorLoss {
            fake: -discriminator.forward(&of_pool).mean(None::<Kind>),
            identity: (&shown.normals - of_normals).abs().mean(None::<Kind>),
            restored: (&shown.normals - of_pseudo).square().mean(None::<Kind>),
        }
    }

    /// With the weight of what changes in normals.
    pub fn total(&self, weight: f64) -> Tensor {
        &self.fake + weight * &self.identity + &self.restored
    }
}

/// Where the generator may change a picture of `side` x `side` pixels: 1, else 0; window after window.
pub(super) fn kept(side: i64, stream: &mut Stream) -> Vec<u8> {
    // A word of 64 bits decides on four pixels.
    let least = (REPLACED * f64::from(1u32 << 16)).round() as u64;
    let four = |word: u64| [0, 16, 32, 48].map(|shift| u8::from((word >> shift) & 0xffff >= least));
    (0..side * side / 4).flat_map(|_| four(stream.bits())).collect()
}

/// The same of several pictures, `[windows n, 1, side / 2, side / 2]`.
pub(super) fn kept_of_each(kept: &[u8], side: i64) -> Tensor {
    let n = kept.len() as i64 / (side * side);
    Tensor::from_slice(kept).view([WINDOWS * n, 1, side / 2, side / 2])
}

/// Where the pool comes from.
pub(super) enum Pool {
    /// Pictures of the target, `[n, 1, side, side]`.
    Given(Tensor),
    /// Pseudo-anomalies in the normals, new ones in every step.
    PseudoAnomalies,
}

/// Generator and discriminator, and what they learn from.
pub(super) struct SaganTraining<'a> {
    model: &'a SaganModel,
    settings: &'a Settings,
    store: VarStore,
    discriminator: Discriminator,
    optimiser: Optimiser,
    /// `[n, 1, side, side]` of -1 to 1.
    normals: Tensor,
    pool: Pool,
    dealer: Dealer,
    seed: u64,
}

impl<'a> SaganTraining<'a> {
    pub(super) fn new(
        model: &'a SaganModel,
        settings: &'a Settings,
        normals: Tensor,
        pool: Pool,
        seed: u64,
    ) -> SaganTraining<'a> {
        let store = VarStore::new(normals.device());
        let discriminator = Discriminator::new(&store.root(), settings.discriminator());
        initial::initialise_plain(&store, seed);
        let optimiser = Optimiser::new(&[&store], settings.rule());
        let n = match &pool {
            Pool::Given(pictures) => pictures.size()[0],
            Pool::PseudoAnomalies => normals.size()[0],
        };
        let dealer = Dealer { n: n as u64, seed, dealt: None };
        SaganTraining { model, settings, store, discriminator, optimiser, normals, pool, dealer, seed }
    }

    fn chosen(&self, items: &[i64]) -> Tensor {
        self.normals.index_select(0, &Tensor::from_slice(items).to_device(self.normals.device()))
    }

    /// Pictures of the pool, normals and, where the generator takes a step, the same with pseudo-anomalies.
    fn shown(&mut self, step: &Step) -> (Tensor, Tensor, Option<Tensor>) {
        let mut stream = Stream::new(self.seed, "sagan pseudo-anomalies", step.number);
        let dealt = self.dealer.deal(step.number, step.batch.len());
        let pool = match &self.pool {
            Pool::Given(pictures) => {
                pictures.index_select(0, &Tensor::from_slice(&dealt).to_device(pictures.device()))
            }
            Pool::PseudoAnomalies => self.with_squares(&dealt, &mut stream),
        };
        // Only the generator is shown them, and it does not take every step.
        let takes_step = (step.number + 1).is_multiple_of(self.settings.critic_steps);
        let pseudo = takes_step.then(|| self.with_squares(&step.batch, &mut stream));
        (pool, self.chosen(&step.batch), pseudo)
    }

    /// Normals with pseudo-anomalies.
    fn with_squares(&self, items: &[i64], stream: &mut Stream) -> Tensor {
        let (n, side) = (self.normals.size()[0] as usize, self.settings.input);
        let squares: Vec<Square> = items.iter().map(|&item| Square::draw(side, item, n, stream)).collect();
        let others: Vec<i64> = squares.iter().map(|square| square.other).collect();
        blended(&self.chosen(items), &self.chosen(&others), &squares)
    }

    /// Where the generator may change so many pictures.
    fn kept(&self, count: usize, stream: &mut Stream) -> Tensor {
        let side = self.settings.input;
        let kept: Vec<u8> = (0..count).flat_map(|_| kept(side, stream)).collect();
        batch::to(&kept_of_each(&kept, side), self.normals.device())
    }
}

impl Training for SaganTraining<'_> {
    fn stores(&self) -> Vec<&VarStore> {
        vec![&self.model.store, &self.store]
    }

    fn moved(&self) -> Vec<&VarStore> {
        vec![&self.model.store]
    }

    fn own_optimisers(&mut self) -> Vec<&mut Optimiser> {
        vec![&mut self.optimiser]
    }

    fn step(&mut self, step: &Step, optimiser: &mut Optimiser) -> Result<StepFigures> {
        let Settings { penalty_weight, identity_weight, .. } = *self.settings;
        let ((pool, normals, pseudo), n) = (self.shown(step), step.batch.len());
        let mut stream = Stream::new(self.seed, "sagan kept pixels", step.number);
        let kept = self.kept(n, &mut stream);
        let generator = &self.model.generator;
        let made = tch::no_grad(|| generator.forward(&pool, Statistics::Blended, Some(&kept)));
        let mut mixing = Stream::new(self.seed, "sagan mixed pictures", step.number);
        let mix: Vec<f32> = (0..n).map(|_| mixing.unit() as f32).collect();
        let mix = Tensor::from_slice(&mix).to_device(made.device());
        let loss = DiscriminatorLoss::of(&self.discriminator, &normals, &made, &mix);
        let total = loss.total(penalty_weight);
        self.optimiser.step(&total);
        if let Some(pseudo) = pseudo {
            let shown = Shown { pool, normals, pseudo };
            let kept = [0, 1, 2].map(|_| self.kept(n, &mut stream));
            let kept = kept.each_ref();
            let loss = GeneratorLoss::of(generator, &self.discriminator, &shown, kept);
            optimiser.step(&loss.total(identity_weight));
        }
        let distance = -(&loss.real + &loss.fake);
        Ok(vec![("discriminator-loss", total), ("distance", distance), ("penalty", loss.penalty)])
    }

    fn model(&self) -> Result<Box<dyn Fitted + '_>> {
        Ok(Box::new(Fixed::new(self.model)))
    }

    /// What changes in a batch of normals: the generator has no loss in every step.
    fn diagnose(&self) -> EpochFigures {
        let n = self.normals.size()[0].min(self.settings.batch as i64);
        let normals = self.normals.narrow(0, 0, n);
        let made = tch::no_grad(|| self.model.generator.forward(&normals, Statistics::Stored, None));
        vec![("changed-in-normals", (made - normals).abs().mean(None::<Kind>).double_value(&[]))]
    }
}

/// Deals out the pool, pass after pass, each in an order of its own.
struct Dealer {
    n: u64,
    seed: u64,
    /// A pass and its order.
    dealt: Option<(u64, Vec<i64>)>,
}

impl Dealer {
    /// What a step shows of the pool; all steps show as much.
    fn deal(&mut self, step: u64, count: usize) -> Vec<i64> {
        let first = step * count as u64;
        (first..first + count as u64).map(|place| self.at(place)).collect()
    }

    fn at(&mut self, place: u64) -> i64 {
        let pass = place / self.n;
        let order = match self.dealt.take() {
            Some((dealt, order)) if dealt == pass => order,
            _ => {
                let mut order: Vec<i64> = (0..self.n as i64).collect();
                Stream::new(self.seed, "sagan pool", pass).shuffle(&mut order);
                order
            }
        };
        let item = order[(place % self.n) as usize];
        self.dealt = Some((pass, order));
        item
    }
}
