//! SAMIL as an aggregator: what it learns, how it resumes, and what must not reach it.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;
use std::time::{Duration, Instant};

use medfsad::curate::{self, Request as Curation};
use medfsad::episode::HeldOut;
use medfsad::evaluate::samil::bag::{Bag, Parts};
use medfsad::evaluate::samil::select::sources;
use medfsad::evaluate::samil::{Request, Samil, Settings, tasks_with_studies, train, train_bags};
use medfsad::files;
use medfsad::ids::TaskName;
use medfsad::manifest::{Label, Manifest, Split};
use medfsad::method::{Context, EpochFigures, Fitted, Observer, OpenTeachers, StateFile, Unobserved};
use medfsad::metric::auroc::auroc;
use medfsad::network::Extractor;
use medfsad::network::origin::{Origin, Teachers};
use medfsad::network::precision::Precision;
use medfsad::phantom::{self, Scale};
use medfsad::pseudonym::Key;
use medfsad::random::Stream;
use medfsad::results::Seed;
use medfsad::spec::Spec;
use medfsad::study::learned::{Learned, LearnedIdentity, SliceAttention};
use tch::Device;
use tempfile::TempDir;

use crate::program::{command, fails, succeeds};

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

/// A curated phantom of studies: 9 volumes a task, of which 2 healthy ones train, 4 healthy and 3 ill ones test.
fn curated() -> &'static Path {
    static FOLDER: LazyLock<PathBuf> = LazyLock::new(|| {
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("samil");
        if folder.exists() {
            std::fs::remove_dir_all(&folder).unwrap();
        }
        let raw = folder.join("raw");
        let settings = phantom::Settings { seed: 1, scale: Scale::Studies, ..phantom::Settings::default() };
        phantom::write_with(&raw, &settings).unwrap();
        let mut spec = Spec::load("phantom-studies").unwrap();
        for task in &mut spec.tasks {
            task.train_normal = Some(16);
            for number in 9..56 {
                std::fs::remove_dir_all(raw.join(&task.folder).join(format!("case_{number:03}"))).unwrap();
            }
        }
        let out = folder.join("manifests/phantom-studies");
        let request = Curation { spec: &spec, raw: &raw, out: &out, partial: false, key: &Key::PUBLIC };
        curate::build(&request).unwrap();
        folder
    });
    &FOLDER
}

fn manifest() -> Manifest {
    Manifest::read(&curated().join("manifests/phantom-studies")).unwrap()
}

/// Trains for one target on features of a random network, and reads what it left.
fn trained(manifest: &Manifest, target: &str, workers: usize) -> anyhow::Result<Learned> {
    let run = TempDir::new()?;
    let origin = Origin::Random { seed: 0, cache: None };
    let settings = Settings { epochs: 2, ..small() };
    let request = Request {
        manifest,
        run: run.path(),
        targets: vec![TaskName::new(target)],
        inputs: vec![None],
        held_out: HeldOut::Dataset,
        size: 64,
        extractor: Extractor::parse("resnet18")?,
        teachers: &Teachers { named: BTreeMap::new(), other: Some(origin) },
        device: Device::Cpu,
        precision: Precision::F32,
        device_class: "cpu".to_owned(),
        settings: &settings,
        seed: 1,
        workers,
        every: Duration::MAX,
    };
    assert_eq!(train(&request)?, [1, 0]);
    // What is there is not trained again.
    assert_eq!(train(&request)?, [1, 1]);
    let mut all = Learned::all(run.path())?;
    assert_eq!(all.len(), 1);
    Ok(all.remove(0))
}

#[test]
fn no_label_of_the_target_and_no_number_of_threads_changes_a_score() {
    let mut manifest = manifest();
    assert_eq!(tasks_with_studies(&manifest), ["abdomen-stacks", "brain-stacks", "chest-stacks"]);
    let first = trained(&manifest, "chest-stacks", 1).unwrap();
    assert_eq!(first.training.n_studies, [4, 6]);
    assert_eq!(first.training.sources, ["abdomen-stacks", "brain-stacks"]);
    assert_eq!(first.studies.len(), 7);
    let mut n_flipped = 0;
    for row in manifest.rows.iter_mut().filter(|row| row.task == "chest-stacks" && row.split == Split::Test) {
        row.label = if row.label == Label::Normal { Label::Anomalous } else { Label::Normal };
        n_flipped += 1;
    }
    assert_eq!(n_flipped, 56);
    let second = trained(&manifest, "chest-stacks", 3).unwrap();
    let scores = |learned: &Learned| -> BTreeMap<String, f64> {
        learned.studies.iter().map(|row| (row.study.clone(), row.score)).collect()
    };
    assert_eq!(scores(&first), scores(&second));
    // Attention sums to 1 in each study, and the relevance is a share.
    let sum = |of: fn(&SliceAttention) -> f64| first.attention.iter().map(of).sum::<f64>();
    for total in [sum(|row| row.supervised), sum(|row| row.free), sum(|row| row.combined)] {
        assert!((total - 7.0).abs() < 1e-4, "{total}");
    }
    assert!(first.attention.iter().all(|row| row.relevance > 0.05 && row.relevance < 0.95));
    // Those of the sources do: a study that has become normal stands among test studies, which do not train.
    let ill = manifest.rows.iter().find(|row| row.task == "brain-stacks" && row.label == Label::Anomalous);
    let ill = ill.unwrap().source_path.clone();
    manifest.rows.iter_mut().filter(|row| row.source_path == ill).for_each(|row| row.label = Label::Normal);
    let third = trained(&manifest, "chest-stacks", 1).unwrap();
    assert_eq!(third.training.n_studies, [4, 5]);
    assert_ne!(scores(&first), scores(&third));
}

#[test]
fn a_study_that_shares_a_patient_or_a_picture_with_the_target_does_not_train() {
    let mut manifest = manifest();
    let of_target = manifest
        .rows
        .iter()
        .find(|row| row.task == "chest-stacks" && row.split == Split::Test)
        .unwrap()
        .clone();
    let is_ill = |task: &str, manifest: &Manifest| {
        let ill = manifest.rows.iter().find(|row| row.task == *task && row.label == Label::Anomalous);
        ill.unwrap().source_path.clone()
    };
    let (one, other) = (is_ill("brain-stacks", &manifest), is_ill("abdomen-stacks", &manifest));
    for row in manifest.rows.iter_mut().filter(|row| row.source_path == one) {
        row.patient_id = of_target.patient_id.clone();
    }
    let learned = trained(&manifest, "chest-stacks", 2).unwrap();
    assert_eq!((learned.training.n_studies, learned.training.n_left_out), ([4, 5], 1));
    // A single slice with the target's own pixels.
    let copy = manifest.rows.iter_mut().find(|row| row.source_path == other).unwrap();
    copy.pixel_hash = of_target.pixel_hash.clone();
    let tasks = ["abdomen-stacks", "brain-stacks"].map(TaskName::new).to_vec();
    let found = sources(&manifest, "chest-stacks", tasks, None).unwrap();
    assert_eq!((found.counts, found.n_left_out, found.studies.len()), ([4, 4], 2, 8));
}

#[test]
fn without_studies_of_both_classes_elsewhere_there_is_no_training() {
    let mut manifest = manifest();
    manifest.rows.retain(|row| row.task == "chest-stacks" || row.label == Label::Normal);
    let error = format!("{:#}", trained(&manifest, "chest-stacks", 1).err().unwrap());
    assert!(error.contains("normal and 0 anomalous"), "{error}");
    manifest.rows.retain(|row| row.task == "chest-stacks");
    let error = format!("{:#}", trained(&manifest, "chest-stacks", 1).err().unwrap());
    assert!(error.contains("there are no other tasks"), "{error}");
}

const BENCH: &str = "name = 'studies'\nspec = 'phantom-studies'\nsize = 64\nmethods = ['dn2']\nshots = [2]\ndraws = 2\n\
                     [settings.dn2]\nbackbone = 'resnet18'\n";

/// Arguments of a small training with state after every step.
fn samil(run: &str) -> Vec<String> {
    let words = format!(
        "studies {run} --samil --scores-of dn2 --teacher random --backbone resnet18 --keep-every 0 --threads 2 \
         --set hidden=24 --set middle=12 --set attention=8 --set versions=2 --set epochs=6 --set pretraining_epochs=3"
    );
    words.split_whitespace().map(str::to_owned).collect()
}

fn tables(run: &Path) -> Vec<Vec<u8>> {
    let names = ["studies.csv", "differences.csv", "studies.md", "studies.parquet"];
    names.map(|name| files::read(&run.join("studies").join(name)).unwrap()).into()
}

#[test]
fn the_command_trains_compares_and_resumes_after_it_was_killed() {
    let home = curated();
    std::fs::write(home.join("bench.toml"), BENCH).unwrap();
    succeeds(home, &["bench", "--bench", "bench.toml", "--teacher", "random", "--out", "run"]);
    let whole = succeeds(home, &samil("run"));
    assert!(whole.contains("SAMIL: 6 trainings, of which 0 were there already"), "{whole}");
    for words in ["# Studies, 2 shots", "SAMIL on features and dn2", "4 + 3", "random teacher", "(R3)"] {
        assert!(whole.contains(words), "no `{words}` in {whole}");
    }
    let again = succeeds(home, &samil("run"));
    assert!(again.contains("of which 6 were there already"), "{again}");
    // A copy of the run, killed as soon as a training has saved its state, then gone on with.
    let copy = home.join("copy");
    std::fs::create_dir_all(&copy).unwrap();
    for path in files::walk(&home.join("run/cells")).unwrap() {
        let to = copy.join("cells").join(&path);
        std::fs::create_dir_all(to.parent().unwrap()).unwrap();
        std::fs::copy(home.join("run/cells").join(&path), to).unwrap();
    }
    let mut child = command(home, &samil("copy")).stdout(std::process::Stdio::null()).spawn().unwrap();
    let trainings = copy.join("studies/samil");
    let has_state = || {
        let folders = std::fs::read_dir(&trainings).into_iter().flatten().flatten();
        folders.map(|entry| entry.path()).any(|path| path.join("state.safetensors").exists())
    };
    let started = Instant::now();
    while !has_state() {
        assert!(child.try_wait().unwrap().is_none(), "it ended before it saved a state");
        assert!(started.elapsed() < Duration::from_secs(300), "no state was saved");
        std::thread::sleep(Duration::from_millis(2));
    }
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(has_state(), "the training was done before it was killed");
    let resumed = succeeds(home, &samil("copy"));
    assert!(resumed.contains("resuming after epoch"), "{resumed}");
    assert_eq!(tables(&copy), tables(&home.join("run")));
    fails(home, &["studies", "run", "--set", "epochs=3"], &["for --samil, which is not given"]);
    fails(
        home,
        &["studies", "run", "--samil", "--teacher", "random", "--set", "lamda=3"],
        &["did you mean `lambda`?"],
    );
    fails(
        home,
        &["studies", "run", "--samil", "--teacher", "random", "--scores-of", "dn3"],
        &["methods called `dn3`"],
    );
}
