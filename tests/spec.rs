//! Specs are checked when they are read, and the shipped ones hold what they promise.

use medfsad::source;
use medfsad::spec::{SHIPPED, Spec, Task};

const SMALL: &str = r#"
name = "small"
version = 1
title = "a test"
seed = 3
sizes = [32, 64]

[[task]]
name = "skin"
organ = "skin"
modality = "photograph"
anomaly = "lesion"
source = "folders"
folder = "Skin"
normal = ["good"]
train_normal = 4

[[task.anomalous]]
findings = ["bad"]
"#;

fn refusal(text: &str) -> String {
    format!("{:#}", Spec::parse(text).expect_err("the spec should be refused"))
}

/// The refusal of [`SMALL`] after one change.
fn refusal_with(from: &str, to: &str) -> String {
    assert!(SMALL.contains(from), "the spec no longer holds {from}");
    refusal(&SMALL.replacen(from, to, 1))
}

#[test]
fn every_shipped_spec_loads_by_its_own_name_and_names_known_sources() {
    for (name, _) in SHIPPED {
        let spec = Spec::load(name).unwrap();
        assert_eq!(spec.name, *name);
        let n_tasks = match *name {
            "phantom" | "mini" | "medfsad" => 5,
            "ddad" | "phantom-studies" => 3,
            _ => 1,
        };
        assert_eq!(spec.tasks.len(), n_tasks, "{name}");
        for task in &spec.tasks {
            source::find(&task.source).unwrap();
            assert!(
                !task.card.how_to_get.is_empty() && !task.card.licence.is_empty(),
                "{name} {}",
                task.name
            );
        }
    }
}

fn counts(task: &Task) -> [usize; 3] {
    let anomalous = task.anomalous.iter().map(|quota| quota.count.expect("a count")).sum();
    [task.train_normal.expect("a count"), task.test_normal.expect("a count"), anomalous]
}

fn row(task: &Task) -> (&str, &str, &str, &str, [usize; 3]) {
    let Task { name, organ, modality, anomaly, .. } = task;
    (name, organ, modality, anomaly, counts(task))
}

#[test]
fn medfsad_asks_for_13_084_pictures_as_its_table_says() {
    let spec = Spec::load("medfsad").unwrap();
    let table = [
        ("his", "breast (lymph node)", "histopathology", "metastasis", [1000, 500, 500]),
        ("lag", "eye", "fundus photography", "glaucoma", [1500, 811, 911]),
        ("aptos", "eye", "fundus photography", "diabetic retinopathy", [1000, 805, 1857]),
        ("rsna", "chest", "X-ray", "lung opacity", [1000, 500, 500]),
        ("brain_tumor", "brain", "MRI", "glioma, meningioma", [1000, 600, 600]),
    ];
    assert_eq!(spec.tasks.iter().map(row).collect::<Vec<_>>(), table);
    assert_eq!(spec.tasks.iter().flat_map(counts).sum::<usize>(), 13_084);
    let tumours = &spec.task("brain_tumor").unwrap().anomalous;
    assert_eq!(tumours.iter().map(|quota| quota.count).collect::<Vec<_>>(), [Some(300), Some(300)]);
}

#[test]
fn medfsad_says_which_of_its_counts_are_inferred() {
    let spec = Spec::load("medfsad").unwrap();
    let inferred: Vec<&str> = spec
        .tasks
        .iter()
        .filter(|task| task.basis.contains("inferred"))
        .map(|task| task.name.as_str())
        .collect();
    assert_eq!(inferred, ["his", "lag", "rsna"]);
}

#[test]
fn a_spec_survives_being_written_and_read_again() {
    for (name, _) in SHIPPED {
        let spec = Spec::load(name).unwrap();
        let text = toml::to_string(&spec).unwrap();
        assert_eq!(toml::to_string(&Spec::parse(&text).unwrap()).unwrap(), text);
    }
}

#[test]
fn what_is_not_said_takes_its_stated_default() {
    let spec = Spec::parse(SMALL).unwrap();
    let task = &spec.tasks[0];
    assert_eq!((task.train_normal, task.test_normal, task.anomalous[0].count), (Some(4), None, None));
    assert_eq!(task.owner_split, medfsad::spec::OwnerSplit::Pool);
    assert_eq!(task.duplicates, medfsad::spec::Duplicates::Group);
    assert_eq!(task.masks, None);
}

#[test]
fn unknown_keys_are_refused_by_name_at_every_level() {
    let top = refusal_with("seed = 3", "seed = 3\nsede = 4");
    assert!(top.contains("sede"), "{top}");
    let task = refusal_with("train_normal = 4", "train_normal = 4\ntrain_normals = 5");
    assert!(task.contains("train_normals"), "{task}");
    let quota = refusal(&format!("{SMALL}cuont = 3\n"));
    assert!(quota.contains("cuont"), "{quota}");
    let card = refusal(&format!("{SMALL}[task.card]\nlicense = \"CC0\"\n"));
    assert!(card.contains("license"), "{card}");
}

#[test]
fn two_tasks_of_one_name_are_refused() {
    let task = &SMALL[SMALL.find("[[task]]").unwrap()..];
    let error = refusal(&format!("{SMALL}\n{task}"));
    assert!(error.contains("two tasks are called `skin`"), "{error}");
}

#[test]
fn sizes_that_no_network_takes_are_refused() {
    for (sizes, named) in
        [("[]", "sizes is empty"), ("[0]", "size 0"), ("[64, 100]", "size 100"), ("[4096]", "4096")]
    {
        let error = refusal_with("[32, 64]", sizes);
        assert!(error.contains(named), "{sizes}: {error}");
    }
}

#[test]
fn a_finding_may_be_named_once_only() {
    for (from, to) in [
        ("normal = [\"good\"]", "normal = [\"good\", \"good\"]"),
        ("findings = [\"bad\"]", "findings = [\"bad\", \"bad\"]"),
        ("findings = [\"bad\"]", "findings = [\"good\"]"),
        ("findings = [\"bad\"]", "findings = [\"*\"]\n[[task.anomalous]]\nfindings = [\"*\"]"),
    ] {
        let error = refusal_with(from, to);
        assert!(error.contains("task `skin`") && error.contains("named twice"), "{to}: {error}");
    }
}

#[test]
fn names_that_would_leave_their_folder_and_tasks_without_counts_are_refused() {
    let error = refusal_with("name = \"skin\"", "name = \"../skin\"");
    assert!(error.contains("../skin"), "{error}");
    let error = refusal_with("name = \"small\"", "name = \"\"");
    assert!(error.contains("may hold a-z"), "{error}");
    let error = refusal_with("train_normal = 4\n", "");
    assert!(error.contains("give train_normal or test_normal"), "{error}");
    let error = refusal_with("normal = [\"good\"]", "normal = []");
    assert!(error.contains("no finding is named normal"), "{error}");
}

#[test]
fn an_unknown_spec_is_answered_with_the_known_ones() {
    let error = format!("{:#}", Spec::load("medfsd").unwrap_err());
    assert!(error.contains("`medfsd`"), "{error}");
    for (name, _) in SHIPPED {
        assert!(error.contains(name), "{error}");
    }
}

#[test]
fn an_unknown_task_is_answered_with_the_known_ones() {
    let error = Spec::load("mini").unwrap().task("brain").unwrap_err().to_string();
    assert!(error.contains("`brain`") && error.contains("his, lag, aptos, rsna, brain_tumor"), "{error}");
}

#[test]
fn a_fault_in_a_file_names_the_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("mine.toml");
    std::fs::write(&path, SMALL.replace("seed = 3", "seed = three")).unwrap();
    let error = format!("{:#}", Spec::load(path.to_str().unwrap()).unwrap_err());
    assert!(error.contains("mine.toml"), "{error}");
}

#[test]
fn findings_are_spelt_with_composed_accents() {
    let text = include_str!("../manifests/mini.toml").replacen("\"good\"", "\"O\u{308}dem\"", 1);
    assert!(text.contains("O\u{308}dem"));
    assert_eq!(Spec::parse(&text).unwrap().tasks[0].normal, ["\u{d6}dem"]);
}
