//! Every method on twelve phantom pictures against the scores that a CPU gave (`scores.json`): four supports, and eight
//! normals of two other tasks to learn from.

use std::collections::BTreeMap;
use std::rc::Rc;

use anyhow::{Context as _, Result};
use tch::nn::VarStore;
use tch::{Device, Tensor};

use super::{Fault, Numbers, Options, Part, Record, guarded, prepare};
use crate::decode::resize;
use crate::episode::batch::Pictures;
use crate::evaluate::folder;
use crate::ids::TaskName;
use crate::maps::MapStack;
use crate::method::batches::predict;
use crate::method::{Context, Entry, METHODS, OpenTeachers, Prediction, TrainTask, Unobserved};
use crate::metric::rank::spearman;
use crate::network::encoder::Encoder;
use crate::network::origin::{Origin, Teachers};
use crate::network::vit::Transformer;
use crate::network::vit::clip::Clip;
use crate::network::{Backbone, Network, formula, weights};
use crate::phantom;
use crate::protocol::{self, Protocol};
use crate::regime::Regime;

const SCORES: &str = include_str!("scores.json");

/// Side of the pictures.
const SIDE: usize = 64;

/// How far a method may be from the CPU's scores.
struct Bounds {
    /// Least rank correlation.
    correlation: f64,
    /// Largest difference over the spread of the scores.
    difference: f64,
}

/// In single precision, twice what one CPU gave with other instructions. Training follows the sign of gradients however
/// small, so rounding shows sooner in methods that train.
fn bounds(trains: bool, numbers: Numbers) -> Bounds {
    let (correlation, difference) = match (numbers, trains) {
        (Numbers::F64 | Numbers::F32, false) => (0.99, 2e-3),
        (Numbers::F64 | Numbers::F32, true) => (0.75, 0.5),
        (Numbers::Tf32, false) => (0.95, 0.1),
        (Numbers::Tf32, true) => (0.5, 1.0),
        (Numbers::Bf16, false) => (0.8, 0.5),
        (Numbers::Bf16, true) => (0.3, 1.5),
    };
    Bounds { correlation, difference }
}

/// What a method is given.
pub(super) struct Given {
    tasks: [TrainTask; 2],
    pub supports: Pictures,
    /// As many, for methods that see them.
    anomalies: Pictures,
    pub queries: Pictures,
    _folder: tempfile::TempDir,
    teachers: Teachers,
    calibration: Rc<Tensor>,
}

impl Given {
    pub(super) fn new() -> Result<Given> {
        let folder = tempfile::tempdir().context("a folder for weights")?;
        let store = VarStore::new(Device::Cpu);
        let _encoder = Encoder::new(&store.root(), Backbone::Resnet18);
        formula::fill(&store, "encoder.");
        let file = folder.path().join("resnet18.safetensors");
        weights::save(&store, &file)?;
        let vgg19 = Origin::Random { seed: 4, cache: Some(folder.path().to_owned()) };
        let tiny = Origin::Random { seed: 4, cache: None };
        let named = BTreeMap::from([
            (Network::Vgg19.name().to_owned(), vgg19),
            (Transformer::Dinov2Tiny.name().to_owned(), tiny.clone()),
            (Clip::Tiny.name().to_owned(), tiny),
        ]);
        let task = |name: &str, [finding, ill]: [&str; 2]| -> Result<TrainTask> {
            let pictures = phantom(name, finding, 0..8)?;
            let pairs =
                (0..8).map(|query| (query, (1..=4).map(|step| (query + step) % 8).collect())).collect();
            let anomalies = Some(phantom(name, ill, 8..14)?);
            let pool = Some(mixed(&phantom(name, finding, 8..12)?, &phantom(name, ill, 14..18)?));
            Ok(TrainTask { name: TaskName::new(name), pictures, pairs, anomalies, pool })
        };
        let tasks = [task("his", ["good", "Ungood"])?, task("brain_tumor", ["notumor", "glioma"])?];
        let calibration = Rc::new(tasks[0].pictures.at(&[0, 1, 2, 3]).pixels);
        let healthy = phantom("lag", "non_glaucoma", 0..10)?;
        let ill = phantom("lag", "suspicious_glaucoma", 10..16)?;
        let (supports, healthy) = (healthy.at(&[0, 1, 2, 3]), healthy.at(&[4, 5, 6, 7, 8, 9]));
        let queries = mixed(&healthy, &ill);
        let teachers = Teachers { named, other: Some(Origin::file(file)?) };
        let anomalies = phantom("lag", "suspicious_glaucoma", 16..20)?;
        Ok(Given { tasks, supports, anomalies, queries, _folder: folder, teachers, calibration })
    }

    pub(super) fn context(&self, device: Device, numbers: Numbers) -> Context {
        Context {
            device,
            precision: numbers.precision(),
            seed: 5,
            shots: self.supports.len(),
            teachers: self.teachers.clone(),
            calibration: Some(self.calibration.clone()),
            task: TaskName::new("lag"),
            label: "self-test".to_owned(),
            state_file: None,
            opened: OpenTeachers::default(),
        }
    }

    pub(super) fn tasks(&self) -> &[TrainTask] {
        &self.tasks
    }

    /// Image scores of the queries under `clean`, and whether the method trains.
    fn scores(&self, entry: &Entry, context: &Context, fault: Option<Fault>) -> Result<Vec<f64>> {
        let built = (entry.build)(toml::from_str(entry.trial)?)?;
        // What sees all train normals of the target takes the first task for it.
        let fitted = built.method.fit(&self.tasks, context, &mut Unobserved)?;
        let detector = match built.regime {
            Regime::TargetAnomalies => fitted.adapt_with_anomalies(&self.supports, &self.anomalies)?,
            _ => fitted.adapt(&self.supports)?,
        };
        scores(predict(&*fitted, &*detector, &self.queries)?, fault)
    }
}

/// The pictures of both, one after the other.
fn mixed(first: &Pictures, second: &Pictures) -> Pictures {
    Pictures::new(
        Tensor::cat(&[&first.pixels, &second.pixels], 0),
        [&first.acquisition[..], &second.acquisition].concat(),
    )
}

/// Image scores under `clean`.
pub(super) fn scores(prediction: Prediction, fault: Option<Fault>) -> Result<Vec<f64>> {
    Ok(match prediction {
        Prediction::Maps(maps) if fault == Some(Fault::Shift) => {
            protocol::of_each(Protocol::RANKED, &shifted(&maps)?)
        }
        Prediction::Maps(maps) => protocol::of_each(Protocol::RANKED, &maps),
        Prediction::Scores(scores) | Prediction::Both(_, scores) => scores,
    })
}

/// Each map one pixel to the right, what falls off on the left again.
fn shifted(maps: &MapStack) -> Result<MapStack> {
    let mut values = maps.values().to_vec();
    values.chunks_exact_mut(maps.width()).for_each(|row| row.rotate_right(1));
    MapStack::new(maps.count(), maps.height(), maps.width(), values)
}

fn phantom(task: &str, finding: &str, numbers: std::ops::Range<usize>) -> Result<Pictures> {
    let drawn = phantom::samples(task, finding, numbers, 11)?;
    let squares: Vec<_> = drawn.iter().map(|pixels| resize::lanczos(pixels, SIDE, SIDE).to_rgb()).collect();
    Ok(folder::pictures(&squares))
}

/// Methods that run in the process and look at pictures; a program of somebody's is not ours to test.
fn methods() -> impl Iterator<Item = &'static Entry> {
    METHODS.iter().filter(|entry| entry.name != "external")
}

/// Whether default settings train a network.
fn trains(entry: &Entry) -> bool {
    ["steps", "epochs"].iter().any(|word| entry.trial.contains(word))
}

pub(super) fn run(options: &Options, record: &mut Record) -> Result<()> {
    let expected: BTreeMap<String, Vec<f64>> = serde_json::from_str(SCORES).context("stored scores")?;
    let given = Given::new()?;
    for &numbers in Numbers::on(options.device).iter().filter(|numbers| **numbers != Numbers::F64) {
        for entry in methods() {
            let built = (entry.build)(toml::from_str(entry.trial)?)?;
            // Precision is for pretrained networks; what has none would only be run again.
            if numbers != Numbers::F32 && built.network.is_none() {
                continue;
            }
            if options.quick && numbers == Numbers::Bf16 {
                continue;
            }
            prepare(options.device, numbers)?;
            let context = given.context(options.device, numbers);
            let name = entry.name;
            match guarded(|| given.scores(entry, &context, options.fault)) {
                Err(error) => record.failed(Part::Methods, name, numbers, format!("{error:#}")),
                Ok(found) => {
                    let expected =
                        expected.get(name).with_context(|| format!("no stored scores of {name}"))?;
                    let Bounds { correlation, difference } = bounds(trains(entry), numbers);
                    let spread = expected.iter().fold(f64::MIN, |a, &b| a.max(b))
                        - expected.iter().fold(f64::MAX, |a, &b| a.min(b));
                    let off = found.iter().zip(expected).map(|(a, b)| (a - b).abs());
                    let off = off
                        .fold(0.0, |worst: f64, off| if off > worst || off.is_nan() { off } else { worst });
                    let off = if spread > 0.0 { off / spread } else { off };
                    let what = format!("{name}, largest difference of scores over their spread");
                    record.check(Part::Methods, &what, numbers, off, Some(difference));
                    if let Some(found) = spearman(&found, expected) {
                        let what = format!("{name}, one less rank correlation with the CPU");
                        record.check(Part::Methods, &what, numbers, 1.0 - found, Some(1.0 - correlation));
                    }
                }
            }
        }
    }
    Ok(())
}

/// Scores of every method on this CPU in single precision, as `scores.json` stores them.
///
/// # Errors
/// A method that fails.
pub fn stored() -> Result<String> {
    let given = Given::new()?;
    let context = given.context(Device::Cpu, Numbers::F32);
    let one = |entry: &Entry| Ok((entry.name, given.scores(entry, &context, None)?));
    let all: BTreeMap<&str, Vec<f64>> = methods().map(one).collect::<Result<_>>()?;
    Ok(serde_json::to_string_pretty(&all)? + "\n")
}
