//! SAMIL on made-up bags: what it learns, and how it resumes.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::time::Duration;

use medfsad::episode::HeldOut;
use medfsad::evaluate::samil::bag::{Bag, Parts};
use medfsad::evaluate::samil::{Samil, Settings, train_bags};
use medfsad::ids::TaskName;
use medfsad::method::{Context, EpochFigures, Fitted, Observer, OpenTeachers, StateFile, Unobserved};
use medfsad::metric::auroc::auroc;
use medfsad::network::origin::Teachers;
use medfsad::network::precision::Precision;
use medfsad::random::Stream;
use medfsad::results::Seed;
use medfsad::study::learned::LearnedIdentity;
use tch::Device;
use tempfile::TempDir;

mod curated;

/// Small, with every part at work.
fn small() -> Settings {
    Settings {
        hidden: 12,
        middle: 6,
        attention: 5,
        directions: 4,
        epochs: 3,
        versions: 2,
        pretraining_epochs: 2,
        pretraining_batch: 2,
        queue: 3,
        average: 0.9,
        ..Settings::default()
    }
}

fn identity(settings: &Settings) -> LearnedIdentity {
    LearnedIdentity {
        settings: serde_json::to_string(settings).unwrap(),
        task: TaskName::new("target"),
        scores_of: None,
        shots: None,
        cells: Vec::new(),
        seed: Seed(5),
        size: 32,
        held_out: HeldOut::Dataset,
        manifest_hash: String::new(),
        code_hash: String::new(),
        weights_hash: String::new(),
        device_class: "cpu".to_owned(),
    }
}

fn context(state_file: Option<StateFile>) -> Context {
    Context {
        device: Device::Cpu,
        precision: Precision::F32,
        seed: 5,
        shots: 0,
        teachers: Teachers { named: BTreeMap::new(), other: None },
        calibration: None,
        task: TaskName::new("target"),
        label: "test".to_owned(),
        state_file,
        opened: OpenTeachers::default(),
    }
}

/// Bags of four to seven slices of six features in three versions; in an anomalous one, one slice stands out, and is the
/// relevant one. Every other bag is anomalous.
fn bags(n: usize, purpose: &str, with_scores: bool) -> Vec<Bag> {
    let one = |number: usize| {
        let mut stream = Stream::new(3, purpose, number as u64);
        let (n_slices, is_anomalous) = (4 + stream.below(4), number % 2 == 1);
        let telling = stream.below(n_slices);
        let base: Vec<Vec<f64>> = (0..n_slices)
            .map(|slice| {
                let shift = if is_anomalous && slice == telling { 2.5 } else { 0.0 };
                (0..6).map(|feature| stream.normal() * 0.5 + if feature < 2 { shift } else { 0.0 }).collect()
            })
            .collect();
        let features: Vec<f32> = (0..3)
            .flat_map(|_| {
                base.iter().flatten().map(|value| (value + 0.05 * stream.normal()) as f32).collect::<Vec<_>>()
            })
            .collect();
        let relevance: Vec<f32> =
            (0..n_slices).map(|slice| if slice == telling { 0.9 } else { 0.4 }).collect();
        let place = |slice: usize, stream: &mut Stream| {
            let place = stream.between(0.05, 0.6);
            if is_anomalous && slice == telling { place + 0.35 } else { place }
        };
        let places: Vec<Vec<f64>> = match with_scores {
            true => (0..2).map(|_| (0..n_slices).map(|slice| place(slice, &mut stream)).collect()).collect(),
            false => Vec::new(),
        };
        let parts = Parts {
            is_anomalous,
            relevance: &relevance,
            features: &features,
            n_versions: 3,
            places: &places,
        };
        Bag::new(&parts, Device::Cpu)
    };
    (0..n).map(one).collect()
}

fn logits(model: &Samil, bags: &[Bag]) -> Vec<f64> {
    let of = |bag: &Bag| {
        let found = model.of(&bag.plain(0)).logits;
        found.double_value(&[0, 1]) - found.double_value(&[0, 0])
    };
    bags.iter().map(of).collect()
}

fn counts(bags: &[Bag]) -> [usize; 2] {
    let n_anomalous = bags.iter().filter(|bag| bag.is_anomalous).count();
    [bags.len() - n_anomalous, n_anomalous]
}

/// Dies while the state is saved for the so manyth time.
#[derive(Default)]
struct Mortal {
    dies_at: Option<u64>,
    saves: Cell<u64>,
    is_restored: bool,
    figures: Vec<(u64, String, f64)>,
}

impl Observer for Mortal {
    fn after_epoch(&mut self, epoch: u64, figures: &EpochFigures, _: &dyn Fitted) -> anyhow::Result<()> {
        self.figures.extend(figures.iter().map(|(name, value)| (epoch, (*name).to_owned(), *value)));
        Ok(())
    }

    fn state(&self) -> anyhow::Result<String> {
        self.saves.set(self.saves.get() + 1);
        anyhow::ensure!(Some(self.saves.get()) != self.dies_at, "killed");
        Ok(serde_json::to_string(&self.figures)?)
    }

    fn restore(&mut self, state: &str) -> anyhow::Result<()> {
        self.is_restored = true;
        self.figures = serde_json::from_str(state)?;
        Ok(())
    }
}

fn run(
    settings: &Settings,
    bags: &[Bag],
    state: Option<StateFile>,
    observer: &mut Mortal,
) -> anyhow::Result<Vec<f64>> {
    let model = Samil::new(settings, bags[0].n_inputs(), bags.len(), 5, Device::Cpu);
    train_bags(&model, bags, counts(bags), &identity(settings), &context(state), observer)?;
    Ok(logits(&model, bags))
}

#[test]
fn a_training_resumes_in_either_stage_with_the_same_bits() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("state.safetensors");
    let state = |every| Some(StateFile { path: path.clone(), every });
    let (settings, bags) = (small(), bags(7, "resumed", true));
    let mut whole = Mortal::default();
    let expected = run(&settings, &bags, None, &mut whole).unwrap();
    // Two passes of three steps, then three of seven.
    let names: Vec<(u64, &str)> =
        whole.figures.iter().map(|(epoch, name, _)| (*epoch, name.as_str())).collect();
    assert_eq!(names[..3], [(1, "contrast"), (2, "contrast"), (3, "loss")]);
    assert_eq!(names.last(), Some(&(5, "divergence")));
    for n_saved in [1, 4, 6, 7, 8, 13, 20, 26] {
        let mut killed = Mortal { dies_at: Some(n_saved + 1), ..Mortal::default() };
        let error = run(&settings, &bags, state(Duration::ZERO), &mut killed).unwrap_err();
        assert_eq!(error.to_string(), "killed");
        let mut resumed = Mortal::default();
        let found = run(&settings, &bags, state(Duration::MAX), &mut resumed).unwrap();
        assert!(resumed.is_restored, "started over after step {n_saved}");
        assert_eq!(found, expected, "after step {n_saved}");
        assert_eq!(resumed.figures, whole.figures, "after step {n_saved}");
        std::fs::remove_file(&path).unwrap();
    }
}

#[test]
fn the_state_of_another_training_is_refused() {
    let folder = TempDir::new().unwrap();
    let state = || Some(StateFile { path: folder.path().join("state.safetensors"), every: Duration::ZERO });
    run(&small(), &bags(7, "resumed", true), state(), &mut Mortal::default()).unwrap();
    for (settings, bags) in
        [(Settings { lambda: 14.0, ..small() }, bags(7, "resumed", true)), (small(), bags(7, "others", true))]
    {
        let error = run(&settings, &bags, state(), &mut Mortal::default()).unwrap_err().to_string();
        assert!(error.contains("belongs to a training with other pictures, settings"), "{error}");
    }
}

#[test]
fn it_learns_which_slice_tells_with_and_without_pretraining() {
    let base = Settings {
        hidden: 32,
        middle: 16,
        attention: 16,
        epochs: 30,
        learning_rate: 4e-3,
        average: 0.99,
        ..small()
    };
    for (pretraining_epochs, with_scores) in [(0, false), (3, false), (0, true)] {
        let settings = Settings { pretraining_epochs, ..base.clone() };
        let own = bags(40, "learnt", with_scores);
        let model = Samil::new(&settings, own[0].n_inputs(), own.len(), 5, Device::Cpu);
        train_bags(&model, &own, counts(&own), &identity(&settings), &context(None), &mut Unobserved)
            .unwrap();
        let others = bags(60, "asked", with_scores);
        let found = logits(&model, &others);
        let class = |wanted: usize| -> Vec<f64> { found.iter().skip(wanted).step_by(2).copied().collect() };
        let auroc = auroc(&class(0), &class(1)).unwrap();
        // The supervised branch attends to what was said to be relevant, on bags that it has not seen.
        let attends = |bag: &Bag| {
            let attention = model.of(&bag.plain(0)).log_supervised.argmax(1, false).int64_value(&[0]);
            attention == bag.relevance.argmax(0, false).int64_value(&[])
        };
        let n_ill = others.iter().filter(|bag| bag.is_anomalous).count();
        let n_right = others.iter().filter(|bag| bag.is_anomalous && attends(bag)).count();
        println!(
            "{pretraining_epochs} passes before, scores {with_scores}: AUROC {auroc:.3}, attention {n_right}/{n_ill}"
        );
        assert!(auroc > 0.95 && n_right * 10 > n_ill * 9, "AUROC {auroc}, attention {n_right}/{n_ill}");
    }
}

#[test]
fn what_cannot_be_is_refused() {
    let refused = |text: &str, word: &str| {
        let error = format!("{:#}", Settings::of(text.parse().unwrap()).unwrap_err());
        assert!(error.contains(word), "{text}: {error}");
    };
    refused("temperature = 0.0", "temperature must be above 0");
    refused("lambda = -1.0", "lambda must not be negative");
    refused("versions = 1", "versions must be at least 2");
    refused("average = 1.0", "nothing is learnt");
    refused("epochs = 0", "epochs and cycle");
    refused("lamda = 1.0", "lamda");
    assert!(Settings::of("versions = 0\npretraining_epochs = 0".parse().unwrap()).is_ok());
}
