//! Teachers that are fine-tuned on tasks of a benchmark, and the targets that they may be used for.

use std::path::Path;

use medfsad::method::part::direction::unit;
use medfsad::metric_teacher::loss::{self, Metric};
use medfsad::network::encoder::Encoder;
use medfsad::network::tuned::{Classes, Tuned};
use medfsad::network::{Backbone, formula, weights};
use medfsad::regime::Regime;
use serde_json::Value;
use tch::nn::VarStore;
use tch::{Device, Kind, Tensor};

use crate::program::{cells, fails, succeeds};

fn golden() -> Value {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/reference/vit/metric.json");
    serde_json::from_str(&std::fs::read_to_string(path).expect("readable")).expect("JSON")
}

/// 5, 4 and 3 vectors of three classes.
fn labelled(kind: Kind) -> (Tensor, Tensor) {
    let vectors = formula::tensor("metric.embedding", &[12, 16], -1.0, 1.0).to_kind(kind);
    (vectors, Tensor::from_slice(&[0i64, 0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2]))
}

#[test]
fn losses_are_those_of_a_public_library() {
    let golden = golden();
    for (kind, bound) in [(Kind::Double, 1e-10), (Kind::Float, 1e-5)] {
        let near = |what: &str, ours: &Tensor, golden: &Value| {
            let (ours, golden) = (ours.double_value(&[]), golden.as_f64().expect("a number"));
            assert!((ours - golden).abs() < bound, "{what} in {kind:?}: {ours} against {golden}");
        };
        let values = &golden["values"];
        let (vectors, classes) = labelled(kind);
        let unit = unit(&vectors, 1);
        for margin in [0.3, 1.0] {
            for (how, vectors) in [("raw", &vectors), ("normalised", &unit)] {
                let name = format!("batch_hard_triplet_{how}_margin{margin:.1}");
                near(
                    &name,
                    &loss::batch_hard(vectors, &classes, margin),
                    &values[&name]["mean over anchors"],
                );
            }
        }
        for temperature in [0.1, 0.07] {
            let name = format!("supervised_contrastive_t{temperature}");
            near(&name, &loss::contrastive(&unit, &classes, temperature), &values[&name]["mean"]);
        }
        let name = "class_centre_triplet_margin1.0_batch_centres_nearest_negative";
        near(name, &loss::class_centre(&vectors, &classes, 1.0), &values[name]["mean"]);
        let weight = formula::tensor("metric.W", &[3, 16], -1.0, 1.0).to_kind(kind);
        let logits = vectors.matmul(&weight.transpose(0, 1));
        let cross_entropy = loss::cross_entropy(&logits, &classes);
        near("cross-entropy", &cross_entropy, &values["cross_entropy"]["value"]);
        let first = cross_entropy + 0.5 * Metric::BatchHard.loss(&vectors, &classes, 0.3);
        near("first stage", &first, &values["stage1_ce_plus_0.5_batch_hard_normalised_0.3"]);
        let numbers = Tensor::from_slice(&[5i64, 4, 3]);
        let adjusted = loss::adjusted_cross_entropy(&logits, &classes, &numbers);
        near("adjusted", &adjusted, &values["logit_adjusted_ce_tau1"]["value"]);
    }
}

#[test]
fn classes_that_lie_apart_cost_nothing_and_equal_pictures_have_a_gradient() {
    let far =
        Tensor::from_slice(&[0.0, 0.0, 0.1, 0.0, 9.0, 9.0, 9.1, 9.0]).view([4, 2]).set_requires_grad(true);
    let classes = Tensor::from_slice(&[0i64, 0, 1, 1]);
    for (what, loss) in [
        ("batch-hard", loss::batch_hard(&far, &classes, 0.3)),
        ("class-centre", loss::class_centre(&far, &classes, 0.3)),
    ] {
        assert_eq!(loss.double_value(&[]), 0.0, "{what}");
    }
    // Of one class there is nothing to be apart from; of one picture nothing to be near to.
    let alone = Tensor::from_slice(&[0i64, 1, 2, 3]);
    for metric in Metric::all() {
        for classes in [&classes.zeros_like(), &alone] {
            assert!(metric.loss(&far, classes, 0.3).isfinite().int64_value(&[]) == 1, "{metric}");
        }
        let same = Tensor::ones([4, 2], (Kind::Double, Device::Cpu)).set_requires_grad(true);
        let loss = metric.loss(&same, &classes, 0.3);
        let gradient = &Tensor::run_backward(&[loss], &[&same], false, false)[0];
        assert!(gradient.isfinite().all().int64_value(&[]) == 1, "{metric}: {gradient}");
    }
}

/// The arguments of a training of few and small steps.
fn train(more: &[&str]) -> Vec<String> {
    let all = [
        &[
            "weights",
            "train",
            "--objective",
            "metric",
            "--from",
            "plain.safetensors",
            "--network",
            "resnet18",
        ][..],
        &["--manifest", "manifests/phantom", "--out", "tuned", "--device", "cpu", "--classes-a-step", "3"],
        &["--pictures-a-class", "2", "--balanced-steps", "1"],
        more,
    ];
    all.concat().into_iter().map(str::to_owned).collect()
}

/// The arguments of a bench with a teacher.
fn bench(teacher: &'static str, tasks: &'static str) -> Vec<&'static str> {
    let first =
        ["bench", "--bench", "quick", "--method", "dn2", "--shots", "2", "--draws", "1", "--backbone"];
    let rest = ["resnet18", "--device", "cpu", "--teacher", teacher, "--task", tasks, "--out", "run"];
    [&first[..], &rest].concat()
}

#[test]
fn a_teacher_serves_the_target_that_it_has_not_seen() {
    let home = tempfile::tempdir().expect("a folder");
    let home = home.path();
    let store = VarStore::new(Device::Cpu);
    let _encoder = Encoder::new(&store.root(), Backbone::Resnet18);
    formula::fill(&store, "encoder.");
    weights::save(&store, &home.join("plain.safetensors")).expect("weights");
    succeeds(home, &["build-dataset", "--spec", "phantom"]);
    let said = succeeds(home, &train(&["--steps", "2", "--targets", "lag,his"]));
    assert!(said.contains("lag: tuned/lag.safetensors (trained on 256 pictures in 8 classes of"), "{said}");
    assert!(said.contains("bench --teacher resnet18=tuned"), "{said}");
    let tuned = Tuned::of(&home.join("tuned/lag.safetensors")).expect("readable").expect("a record");
    assert_eq!((tuned.target.as_str(), tuned.classes), ("lag", Classes::Label));
    assert_eq!(tuned.image_ids.len(), 256);
    assert!(!tuned.tasks.iter().any(|task| task.as_str() == "lag"), "{:?}", tuned.tasks);
    // What is there is not trained again, and what would be another is not overwritten.
    let said = succeeds(home, &train(&["--steps", "2", "--targets", "lag"]));
    assert!(said.contains("lag: tuned/lag.safetensors is there already"), "{said}");
    fails(
        home,
        &train(&["--steps", "3", "--targets", "lag"]),
        &["tuned/lag.safetensors was trained otherwise", "--force"],
    );
    fails(
        home,
        &[
            "weights",
            "train",
            "--objective",
            "metric",
            "--from",
            "tuned/lag.safetensors",
            "--network",
            "resnet18",
            "--out",
            "x",
        ],
        &["trained on tasks of a benchmark already"],
    );
    is_used_where_it_may_be(home);
}

/// A folder of teachers gives each target its own, and no target one that has seen it.
fn is_used_where_it_may_be(home: &Path) {
    fails(
        home,
        &bench("tuned/lag.safetensors", "his"),
        &["it was trained on 64 pictures of `his`", "for `lag` alone (--task lag)"],
    );
    fails(home, &bench("resnet18=tuned", "rsna"), &["has no teacher for `rsna` (it has: his, lag)"]);
    let by_organ = [&bench("resnet18=tuned", "lag")[..], &["--held-out", "organ"]].concat();
    fails(home, &by_organ, &["only `lag` left out", "train it with --held-out organ"]);
    // What a training that was stopped has left is no teacher.
    std::fs::write(home.join("tuned/rsna.unfinished.safetensors"), "half").expect("written");
    let said = succeeds(home, &bench("resnet18=tuned", "lag,his"));
    assert!(said.contains("R3"), "{said}");
    let cells = cells(&home.join("run"));
    let ours: Vec<_> = cells.iter().filter(|cell| cell.cell.identity.method == "dn2").collect();
    assert_eq!(ours.len(), 2);
    let [first, second] = [0, 1].map(|at| &ours[at].cell);
    assert_ne!(first.identity.weights_hash, second.identity.weights_hash);
    assert_eq!(first.provenance.teacher_recipe, second.provenance.teacher_recipe);
    for cell in [first, second] {
        let data = cell.provenance.weights_trained_on.as_deref().expect("said");
        assert!(data.contains("then source tasks") && data.contains("by label"), "{data}");
        // What was handed over is as before, and what the teacher saw stands beside it.
        assert_eq!(cell.provenance.regime.name(), "R1");
        assert_eq!(cell.provenance.teacher_regime.map(Regime::name), Some("R3"));
    }
    // Two files of one recipe are one row.
    let table = std::fs::read_to_string(home.join("run/leaderboard.csv")).expect("a table");
    let rows = table.lines().filter(|line| line.contains("dn2") && line.contains("R3")).count();
    assert_eq!(rows, 1, "{table}");
}
