//! SAMIL on a curated phantom: what trains it, what must not reach it, and the command.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;
use std::time::{Duration, Instant};

use medfsad::curate::{self, Request as Curation};
use medfsad::episode::HeldOut;
use medfsad::evaluate::samil::select::sources;
use medfsad::evaluate::samil::{Request, Settings, tasks_with_studies, train};
use medfsad::files;
use medfsad::ids::TaskName;
use medfsad::manifest::{Label, Manifest, Rejected, Row, Split};
use medfsad::network::encoder::Encoder;
use medfsad::network::origin::{Origin, Teachers};
use medfsad::network::precision::Precision;
use medfsad::network::tuned::{Classes, Tuned};
use medfsad::network::{Backbone, Extractor, formula, weights};
use medfsad::phantom::{self, Scale};
use medfsad::pseudonym::Key;
use medfsad::spec::Spec;
use medfsad::study::learned::{Learned, SliceAttention};
use tch::Device;
use tch::nn::VarStore;
use tempfile::TempDir;

use super::small;
use crate::program::{command, fails, succeeds};

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

/// A training on features of a random network, for one target.
fn request<'a>(
    manifest: &'a Manifest,
    rejected: &'a [Rejected],
    (run, target): (&'a Path, &str),
    settings: &'a Settings,
    teachers: &'a Teachers,
) -> Request<'a> {
    Request {
        manifest,
        rejected,
        run,
        targets: vec![TaskName::new(target)],
        inputs: vec![None],
        held_out: HeldOut::Dataset,
        size: 64,
        extractor: Extractor::parse("resnet18").unwrap(),
        teachers,
        device: Device::Cpu,
        precision: Precision::F32,
        device_class: "cpu".to_owned(),
        settings,
        seed: 1,
        workers: 1,
        every: Duration::MAX,
    }
}

fn two_epochs() -> Settings {
    Settings { epochs: 2, ..small() }
}

fn random() -> Teachers {
    Teachers { named: BTreeMap::new(), other: Some(Origin::Random { seed: 0, cache: None }) }
}

/// Trains for one target, and reads what it left.
fn trained(manifest: &Manifest, target: &str, workers: usize) -> anyhow::Result<Learned> {
    trained_with(manifest, target, workers, &two_epochs())
}

fn trained_with(
    manifest: &Manifest,
    target: &str,
    workers: usize,
    settings: &Settings,
) -> anyhow::Result<Learned> {
    let (run, teachers, rejected) = (TempDir::new()?, random(), manifest.rejected()?);
    let request =
        Request { workers, ..request(manifest, &rejected, (run.path(), target), settings, &teachers) };
    assert_eq!(train(&request)?, [1, 0]);
    // What is there is not trained again.
    assert_eq!(train(&request)?, [1, 1]);
    let mut all = Learned::all(run.path())?;
    assert_eq!(all.len(), 1);
    Ok(all.remove(0))
}

fn scores(learned: &Learned) -> BTreeMap<String, f64> {
    learned.studies.iter().map(|row| (row.study.clone(), row.score)).collect()
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
    let rejected = manifest.rejected().unwrap();
    let counts = |manifest: &Manifest| {
        let tasks = ["abdomen-stacks", "brain-stacks"].map(TaskName::new).to_vec();
        let found = sources(manifest, &rejected, "chest-stacks", tasks, None).unwrap();
        (found.counts, found.n_left_out, found.studies.len())
    };
    assert_eq!(counts(&manifest), ([4, 5], 1, 9));
    let place = manifest.rows.iter().position(|row| row.source_path == other).unwrap();
    let before = manifest.rows[place].clone();
    manifest.rows[place].pixel_hash = of_target.pixel_hash.clone();
    assert_eq!(counts(&manifest), ([4, 4], 2, 8));
    // A single slice of one of the target's files, whichever frame of it the target has.
    manifest.rows[place] = Row { file_sha256: of_target.file_sha256.clone(), frame: 99, ..before };
    assert_eq!(counts(&manifest), ([4, 4], 2, 8));
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

/// Writes weights of a teacher that was trained on tasks of the benchmark, with pictures of one among them.
fn teacher(path: &Path, store: &VarStore, manifest: &Manifest, (target, saw): (&str, &str)) {
    let seen = || manifest.rows.iter().filter(|row| row.task == *saw);
    let tuned = Tuned {
        what: "made up".to_owned(),
        target: TaskName::new(target),
        held_out: HeldOut::Dataset,
        tasks: vec![TaskName::new(saw)],
        classes: Classes::Label,
        pictures: Vec::new(),
        from: "nothing".to_owned(),
        from_sha256: String::new(),
        settings: "{}".to_owned(),
        recipe: "one recipe".to_owned(),
        manifest_hash: manifest.header.canonical_hash.clone(),
        program: "made up".to_owned(),
        image_ids: seen().map(|row| row.image_id.clone()).collect(),
        pixel_hashes: seen().map(|row| row.pixel_hash.clone()).collect(),
    };
    weights::save_with(store, tuned.metadata().unwrap(), path).unwrap();
}

#[test]
fn each_target_has_its_own_teacher_and_none_that_has_seen_it() {
    let manifest = manifest();
    let folder = TempDir::new().unwrap();
    let (run, tuned) = (folder.path().join("run"), folder.path().join("tuned"));
    std::fs::create_dir_all(&tuned).unwrap();
    let store = VarStore::new(Device::Cpu);
    let _encoder = Encoder::new(&store.root(), Backbone::Resnet18);
    formula::fill(&store, "encoder.");
    for (target, saw) in [("chest-stacks", "brain-stacks"), ("brain-stacks", "abdomen-stacks")] {
        teacher(&tuned.join(format!("{target}.safetensors")), &store, &manifest, (target, saw));
    }
    let (settings, rejected) = (two_epochs(), manifest.rejected().unwrap());
    let of = |origin: Origin| Teachers { named: BTreeMap::new(), other: Some(origin) };
    let error = |teachers: &Teachers, target: &str, held_out: HeldOut| {
        let request = request(&manifest, &rejected, (&run, target), &settings, teachers);
        format!("{:#}", train(&Request { held_out, ..request }).unwrap_err())
    };
    let one = of(Origin::file(tuned.join("chest-stacks.safetensors")).unwrap());
    let said = error(&one, "brain-stacks", HeldOut::Dataset);
    assert!(said.contains("it was trained on 72 pictures of `brain-stacks`"), "{said}");
    let said = error(&one, "chest-stacks", HeldOut::Organ);
    assert!(said.contains("train it with --held-out organ"), "{said}");
    let all = of(Origin::folder(&tuned).unwrap());
    let said = error(&all, "abdomen-stacks", HeldOut::Dataset);
    assert!(said.contains("has no teacher for `abdomen-stacks`"), "{said}");
    assert_eq!(Learned::all(&run).unwrap().len(), 0);
    let targets = ["brain-stacks", "chest-stacks"].map(TaskName::new).to_vec();
    let request = request(&manifest, &rejected, (&run, "chest-stacks"), &settings, &all);
    assert_eq!(train(&Request { targets, ..request }).unwrap(), [2, 0]);
    let learned = Learned::all(&run).unwrap();
    assert_ne!(learned[0].identity.weights_hash, learned[1].identity.weights_hash);
    for one in &learned {
        let (teacher, file) = (&one.training.teacher, format!("from {}.safetensors", one.identity.task));
        assert!(teacher.contains(&file) && !one.training.random_weights, "{teacher}");
        assert_eq!(one.training.teacher_recipe.as_deref(), Some("one recipe"));
    }
}

#[test]
fn what_else_is_to_be_trained_moves_no_bit() {
    let manifest = manifest();
    let (settings, rejected, teachers) = (two_epochs(), manifest.rejected().unwrap(), fixed());
    let targets = ["abdomen-stacks", "brain-stacks", "chest-stacks"];
    let all_at = |order: &[&[&str]]| {
        let run = TempDir::new().unwrap();
        for targets in order {
            let request = request(&manifest, &rejected, (run.path(), ""), &settings, &teachers.1);
            let targets = targets.iter().copied().map(TaskName::new).collect();
            train(&Request { targets, workers: 2, ..request }).unwrap();
        }
        let learned = Learned::all(run.path()).unwrap();
        learned.iter().map(|one| (one.identity.task.clone(), scores(one))).collect::<Vec<_>>()
    };
    let together = all_at(&[&targets]);
    assert_eq!(together.len(), 3);
    assert_eq!(all_at(&[&["chest-stacks"], &["brain-stacks", "abdomen-stacks"]]), together);
}

/// A network that is the same for every target.
fn fixed() -> (TempDir, Teachers) {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("fixed.safetensors");
    let store = VarStore::new(Device::Cpu);
    let _encoder = Encoder::new(&store.root(), Backbone::Resnet18);
    formula::fill(&store, "encoder.");
    weights::save(&store, &path).unwrap();
    let other = Some(Origin::file(path).unwrap());
    (folder, Teachers { named: BTreeMap::new(), other })
}

#[test]
fn views_that_are_named_are_relevant_and_unknown_ones_are_refused() {
    let mut manifest = manifest();
    let settings = Settings { relevant_views: vec!["lateral".to_owned()], ..two_epochs() };
    let error = format!("{:#}", trained_with(&manifest, "chest-stacks", 1, &settings).err().unwrap());
    assert!(error.contains("names lateral") && error.contains("knows no views"), "{error}");
    for row in &mut manifest.rows {
        let view = if row.slice_index == Some(2) { "frontal" } else { "oblique" };
        // A view of the target alone teaches nothing.
        let is_lateral = row.task == "chest-stacks" && row.slice_index == Some(3);
        row.view = Some(if is_lateral { "lateral" } else { view }.to_owned());
    }
    let error = format!("{:#}", trained_with(&manifest, "chest-stacks", 1, &settings).err().unwrap());
    assert!(error.contains("there are: frontal, oblique"), "{error}");
    let settings = Settings { relevant_views: vec!["frontal".to_owned()], ..two_epochs() };
    let learned = trained_with(&manifest, "chest-stacks", 1, &settings).unwrap();
    let views: BTreeMap<_, _> = manifest.rows.iter().map(|row| (&row.image_id, &row.view)).collect();
    assert_eq!(learned.attention.len(), 56);
    for slice in &learned.attention {
        let is_frontal = views[&slice.image_id].as_deref() == Some("frontal");
        assert_eq!(slice.relevance, f64::from(u8::from(is_frontal)));
    }
    assert_ne!(scores(&learned), scores(&trained(&manifest, "chest-stacks", 1).unwrap()));
    assert!(learned.training.changed_settings.contains("\"relevant_views\":[\"frontal\"]"));
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
    let loud = "random teacher: these numbers test the software";
    for words in [
        loud,
        "manifest ",
        "seed 1; held out by dataset",
        "\"hidden\":24",
        "# Studies, 2 shots",
        "SAMIL on features and dn2",
        "4 + 3",
        "random teacher",
        "(R3)",
    ] {
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
    for place in [["--device", "cpu"], ["--precision", "bf16"]] {
        fails(home, &["studies", "run", place[0], place[1]], &[place[0], "for --samil, which is not given"]);
    }
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
