//! What teachers keep of pictures, and that it changes no number.

use std::collections::BTreeMap;
use std::path::Path;

use medfsad::method::batches::score;
use medfsad::method::{Context, EpochFigures, Fitted, OpenTeachers, Prediction, Unobserved, find};
use medfsad::network::origin::{Origin, Teachers};
use medfsad::network::remembering::FeatureLimits;
use tch::Device;
use tempfile::TempDir;

use super::{context, pictures, task};

/// A context whose teachers may keep features in `kept`, in files as large as `disk` says, in GiB.
fn keeping(folder: &TempDir, memory: f64, disk: f64, kept: &Path) -> Context {
    let limits = FeatureLimits { memory, disk };
    Context { opened: OpenTeachers::keeping(limits.keeping_in(kept.to_owned())), ..context(folder, 2) }
}

#[test]
fn teacher_features_in_memory_and_in_files_train_alike() {
    let folder = TempDir::new().expect("a folder");
    let dinomaly = find("dinomaly").expect("known").trial.replace("steps = 30", "steps = 3");
    let dinomaly = format!("{dinomaly}\ntrain_on = 'normals'");
    trains_alike(&folder, "dinomaly", &dinomaly);
    trains_alike(&folder, "d24fad", "backbone = 'resnet18'\nepochs = 1\nbatch = 4");
}

fn trains_alike(folder: &TempDir, method: &str, settings: &str) {
    let loss = |memory: f64, disk: f64| -> anyhow::Result<(f64, bool)> {
        let settings = toml::from_str(settings).expect("TOML");
        let built = (find(method).expect("known").build)(settings).expect("settings");
        let mut loss = 0.0;
        let tasks = [task("first"), task("second")];
        let mut observer = |_: u64, figures: &EpochFigures, _: &dyn Fitted| {
            loss = figures[0].1;
            Ok(())
        };
        let kept = folder.path().join(format!("{method} {memory} {disk}"));
        let context = keeping(folder, memory, disk, &kept);
        built.method.fit(&tasks, &context, &mut observer)?;
        Ok((loss, kept.exists()))
    };
    let (in_memory, mapped) = (loss(4.0, 0.0).expect("a loss"), loss(0.0, 4.0).expect("a loss"));
    assert_eq!((in_memory.1, mapped.1), (false, true));
    assert_eq!(in_memory.0, mapped.0, "files gave other bits");
    assert_eq!(loss(4.0, 4.0).expect("a loss"), mapped, "what another training kept gave other bits");
    let error = loss(0.0, 0.0).expect_err("features that may be kept nowhere").to_string();
    assert!(error.contains("pictures take 0.0 GiB") && error.contains("--feature-disk"), "{error}");
}

#[test]
fn what_one_method_keeps_of_queries_others_score_to_the_same_bits() {
    let folder = TempDir::new().expect("a folder");
    let kept = folder.path().join("features");
    let (supports, queries) = (pictures("support", 2), pictures("query", 5));
    let scores = |name: &str, context: &Context| {
        let settings = toml::from_str("backbone = 'resnet18'").expect("TOML");
        let built = (find(name).expect("known").build)(settings).expect("settings");
        let fitted = built.method.fit(&[], context, &mut Unobserved).expect("a fitted method");
        let detector = fitted.adapt(&supports).expect("a detector");
        let mut all = Vec::new();
        score(&*fitted, &[&*detector], &queries, Device::Cpu, &mut |_, _, prediction| {
            all.push(match prediction {
                Prediction::Maps(maps) => maps.values().iter().map(|value| f64::from(*value)).collect(),
                Prediction::Scores(scores) | Prediction::Both(_, scores) => scores,
            });
            Ok(())
        })
        .expect("scores");
        all
    };
    let n_files = || std::fs::read_dir(kept.join(medfsad::CODE_HASH)).map_or(0, Iterator::count);
    assert_eq!(scores("dn2", &keeping(&folder, 1.0, 1.0, &kept)), scores("dn2", &context(&folder, 2)));
    // Two supports by themselves, and the queries together.
    assert_eq!(n_files(), 3);
    for name in ["dn2", "patchcore", "spade"] {
        assert_eq!(
            scores(name, &keeping(&folder, 1.0, 1.0, &kept)),
            scores(name, &context(&folder, 2)),
            "{name}"
        );
        assert_eq!(n_files(), 3, "{name} asked the teacher again");
    }
    // Another teacher's features are others.
    let other = Origin::Random { seed: 9, cache: None };
    let teachers = Teachers { named: BTreeMap::new(), other: Some(other) };
    let of_other = |context: Context| scores("dn2", &Context { teachers: teachers.clone(), ..context });
    assert_eq!(of_other(keeping(&folder, 1.0, 1.0, &kept)), of_other(context(&folder, 2)));
    assert_eq!(n_files(), 6);
}
