//! SAGAN: a generator that brings pictures back to normal, against a discriminator (Zhang et al., arXiv 2405.12872, MICCAI
//! 2024), and what becomes of it without unlabelled pictures.
//!
//! It learns from normals and from a pool in which normal and anomalous pictures are mixed and nobody says which is which;
//! what it would change at the test is anomalous. The authors' pool has 60 % anomalous pictures, here it has what the spec
//! has. They keep the epoch that is best on the test set by AUROC and average precision; here the `published` protocols
//! keep the best one by AUROC, and under all others the last one counts. Normals and pool are dealt out each in an order
//! of its own. Grey is the mean of the channels.

use anyhow::{Context as _, Result, bail, ensure};
use tch::nn::VarStore;
use tch::{Kind, Tensor};

use super::contract::{
    Built, Context, Detector, Encoded, Entry, Fitted, Method, Observer, Output, Prediction, TrainTask,
};
use super::part::learner::{self, Fixed, Learner};
use super::part::trainer::{self, Subject};
use super::part::{grid, picture};
use super::train_on::TrainOn;
use super::work::{Operations, TRAINING, Work};
use crate::episode::batch::{self, Pictures};
use crate::files;
use crate::network::initial;
use crate::random::Stream;
use generator::Generator;
use layer::Statistics;
use settings::{Settings, Testing};
use training::{Pool, SaganTraining, kept, kept_of_each};

/// What judges the generator.
pub mod discriminator;
/// What brings pictures back to normal.
pub mod generator;
/// What the generator is made of.
pub mod layer;
/// Squares of other normals.
pub mod pseudo_anomaly;
/// What can be set.
pub mod settings;
/// Losses and steps.
pub mod training;

/// The published method.
pub const SAGAN: Entry = Entry {
    name: "sagan",
    about: "a generator that brings pictures back to normal, learnt against a discriminator from normals and unlabelled \
            pictures of the target",
    paper: "arXiv 2405.12872 (MICCAI 2024)",
    regime: "R6 (or R6T)",
    needs: "nothing",
    cost: "one training per task: 100,000 steps of 16 pictures, 61 GFLOP each; 10 GFLOP a query",
    trial: "input = 32\nlayers = 5\nwidth = 4\nblocks = 1\nsteps = 4\nepoch_steps = 2\nbatch = 4",
    build: |settings| build(settings, Variant::Published),
    work: Some(|settings, cell| Ok(work(&serde_json::from_str(settings)?, cell.n_train.max(1)))),
};

/// Our adaptation, which has no pool.
pub const SAGAN_K: Entry = Entry {
    name: "sagan-k",
    about: "SAGAN adapted by us to few normals: pseudo-anomalies in views of the supports stand for the unlabelled pictures",
    regime: "R1 (or R5)",
    cost: "one training per support set (or task): 100,000 steps of 16 pictures, 61 GFLOP each; 10 GFLOP a query",
    build: |settings| build(settings, Variant::Adapted),
    work: Some(|settings, cell| {
        let settings: Settings = serde_json::from_str(settings)?;
        let views = settings.views && settings.train_on == TrainOn::Supports;
        Ok(work(&settings, cell.learnt_from(settings.train_on, views)).on(settings.train_on))
    }),
    ..SAGAN
};

/// What stands beside the adapted method's name.
const ADAPTED: &str =
    "adapted to few normals, with pseudo-anomalies for the unlabelled pictures that the authors have";

/// Which of the two it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Variant {
    Published,
    Adapted,
}

impl Variant {
    fn name(self) -> &'static str {
        match self {
            Variant::Published => SAGAN.name,
            Variant::Adapted => SAGAN_K.name,
        }
    }

    fn other(self) -> Variant {
        match self {
            Variant::Published => Variant::Adapted,
            Variant::Adapted => Variant::Published,
        }
    }

    /// Settings that only the other one has.
    fn foreign(self) -> &'static [&'static str] {
        match self {
            Variant::Published => &["train_on", "views"],
            Variant::Adapted => &["pool"],
        }
    }
}

fn build(given: toml::Table, variant: Variant) -> Result<Built> {
    let (name, foreign) = (variant.name(), variant.foreign());
    if let Some(key) = foreign.iter().find(|key| given.contains_key(**key)) {
        bail!("{name} has no setting `{key}`: that belongs to {}", variant.other().name());
    }
    let settings: Settings = given.try_into().with_context(|| format!("settings of {name}"))?;
    settings.check(name)?;
    let mut shown = serde_json::to_value(&settings)?;
    if let Some(shown) = shown.as_object_mut() {
        shown.retain(|key, _| !foreign.contains(&key.as_str()));
    }
    let built = match variant {
        Variant::Published => {
            let regime = settings.pool.regime();
            Built { takes_steps: true, ..Built::new(Sagan { settings }, &shown, regime, None)? }
        }
        Variant::Adapted => {
            let train_on = settings.train_on;
            let built = learner::build(Adapted { settings }, train_on, &shown, None)?;
            Built { extension: Some(ADAPTED), ..built }
        }
    };
    Ok(built.giving(Output::Both))
}

/// `normals` are those that are learnt from.
fn work(settings: &Settings, normals: usize) -> Work {
    let plan = settings.plan(normals);
    let (generator, discriminator) = (
        settings.generator().operations(settings.input),
        settings.discriminator().operations(settings.input),
    );
    // Two losses of the discriminator, and the slope's: forward, to the picture, and back through both.
    let critic = generator + (2.0 * TRAINING + 6.0) * discriminator;
    // Three pictures, one of which passes the discriminator there and back.
    let each = 3.0 * TRAINING * generator + 2.0 * discriminator;
    let training = plan.n_entering() * (critic + each / settings.critic_steps as f64);
    let fit = Operations { forward: 0.0, training };
    Work { fit, query: generator, evaluations: plan.epochs, maps: true, ..Work::default() }
}

/// Learns from all normals of the target and its unlabelled pictures.
struct Sagan {
    settings: Settings,
}

impl Method for Sagan {
    fn fit(
        &self,
        tasks: &[TrainTask],
        context: &Context,
        observer: &mut dyn Observer,
    ) -> Result<Box<dyn Fitted>> {
        let target = tasks.first().context("sagan: the target's train normals are missing")?;
        let pool = target.pool.as_ref().context("sagan: the target's unlabelled pictures are missing")?;
        ensure!(
            target.pictures.len() >= 2,
            "sagan: one normal is too few, a pseudo-anomaly is made of two; curate more train normals"
        );
        let subject = Subject::of_tasks(SAGAN.name, &self.settings, None, std::slice::from_ref(target))?;
        let model = SaganModel::new(&self.settings, context);
        let pool = Pool::Given(model.inputs(&pool.pixels));
        let job = Job { settings: &self.settings, subject, context };
        job.train(&model, &target.pictures.pixels, pool, observer)?;
        Ok(Box::new(Fixed::new(model)))
    }
}

/// Learns from normals alone.
struct Adapted {
    settings: Settings,
}

impl Learner for Adapted {
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
        let pictures = picture::learnt_from(normals, settings.train_on, settings.views);
        ensure!(
            pictures.size()[0] >= 2,
            "sagan-k: one normal is too few, a pseudo-anomaly is made of two; give more, or, if it is a support, set \
             views = true"
        );
        let subject = Subject::of_pictures(SAGAN_K.name, settings, None, &normals.pixels)?;
        let model = SaganModel::new(settings, context);
        let job = Job { settings, subject, context };
        job.train(&model, &pictures, Pool::PseudoAnomalies, observer)?;
        Ok(Box::new(model))
    }
}

/// A training before it begins.
struct Job<'a> {
    settings: &'a Settings,
    subject: Subject<'a>,
    context: &'a Context,
}

impl Job<'_> {
    /// Trains `model` on normals `[n, 3, h, w]` of 0 to 255 and a pool.
    fn train(
        &self,
        model: &SaganModel,
        normals: &Tensor,
        pool: Pool,
        observer: &mut dyn Observer,
    ) -> Result<()> {
        let Job { settings, subject, context } = self;
        let n = normals.size()[0] as usize;
        let normals = model.inputs(normals);
        let mut training = SaganTraining::new(model, settings, normals, pool, context.seed);
        trainer::train(&mut training, &settings.recipe(n), subject, context, observer)
    }
}

/// A trained generator.
struct SaganModel {
    store: VarStore,
    generator: Generator,
    input: i64,
    testing: Testing,
    seed: u64,
}

impl SaganModel {
    fn new(settings: &Settings, context: &Context) -> SaganModel {
        let store = VarStore::new(context.device);
        let generator = Generator::new(&store.root(), settings.generator());
        initial::initialise_plain(&store, context.seed);
        SaganModel { store, generator, input: settings.input, testing: settings.testing, seed: context.seed }
    }

    /// Pictures `[n, 3, h, w]` of 0 to 255 as `[n, 1, side, side]` of -1 to 1, on the model's device.
    fn inputs(&self, pictures: &Tensor) -> Tensor {
        picture::resized(&batch::to(pictures, self.store.device()), 1, self.input) * 2.0 - 1.0
    }

    /// Where each picture keeps what the generator adds: the same pixels whenever the picture comes.
    fn kept(&self, queries: &Pictures) -> Result<Tensor> {
        let of_each = |index: usize| -> Result<Vec<u8>> {
            let bytes: Vec<u8> = Vec::try_from(queries.pixels.get(index as i64).flatten(0, -1))?;
            let purpose = format!("sagan test {}", files::fingerprint(&bytes));
            Ok(kept(self.input, &mut Stream::new(self.seed, &purpose, 0)))
        };
        let kept: Vec<Vec<u8>> = (0..queries.len()).map(of_each).collect::<Result<_>>()?;
        Ok(kept_of_each(&kept.concat(), self.input).to_device(self.store.device()))
    }
}

/// Half the absolute difference of pictures `[n, 1, side, side]` from what was made of them: maps `[n, side, side]`, and
/// their means, `[n]`.
pub fn errors(pictures: &Tensor, made: &Tensor) -> (Tensor, Tensor) {
    let maps = ((pictures - made).abs() / 2.0).squeeze_dim(1);
    let means = maps.mean_dim([1i64, 2].as_slice(), false, None::<Kind>);
    (maps, means)
}

impl Detector for SaganModel {
    fn score(&self, queries: &Encoded) -> Result<Prediction> {
        let queries = queries.pictures();
        let kept = match self.testing {
            Testing::Deterministic => None,
            Testing::Published => Some(self.kept(queries)?),
        };
        tch::no_grad(|| {
            let x = self.inputs(&queries.pixels);
            let statistics = if kept.is_some() { Statistics::Own } else { Statistics::Stored };
            let (maps, means) = errors(&x, &self.generator.forward(&x, statistics, kept.as_ref()));
            let maps = grid::upsample(&maps, queries.size(), false);
            Ok(Prediction::Both(grid::to_maps(&maps)?, grid::to_scores(&means)?))
        })
    }
}
