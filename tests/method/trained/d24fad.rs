//! Switches of D2-4FAD do what they say, its signs tell collapse from learning, and it goes on after a stop.

use std::collections::BTreeMap;
use std::time::Duration;

use medfsad::method::d24fad::student::{Passage, Student};
use medfsad::method::d24fad::switches::{Compared, Switches, Terms, Weighted};
use medfsad::method::{Context, EpochFigures, Fitted, Observer, StateFile, find};
use medfsad::network::decoder::Decoder;
use medfsad::network::layer::Norm;
use medfsad::network::precision::Precision;
use medfsad::network::weighting::Scaling;
use medfsad::network::{Backbone, formula};
use tch::nn::VarStore;
use tch::{Device, Kind, Tensor};
use tempfile::TempDir;

use super::super::{context, pictures, scores, task};

const BASE: &str = "backbone = 'resnet18'\nepochs = 1\nbatch = 4\nlearning_rate = 1e-3\n";

/// Scores and figures after training with these settings.
fn trained(settings: &str, context: &Context) -> (Vec<f64>, Vec<EpochFigures>) {
    let built =
        (find("d24fad").expect("a method").build)(toml::from_str(settings).expect("TOML")).expect("settings");
    let mut figures = Vec::new();
    let mut observer = |_: u64, now: &EpochFigures, _: &dyn Fitted| {
        figures.push(now.clone());
        Ok(())
    };
    let tasks = [task("first"), task("second")];
    let fitted = built.method.fit(&tasks, context, &mut observer).expect("a fitted method");
    let detector = fitted.adapt(&pictures("support", 2)).expect("a detector");
    let queries = pictures("query", 5);
    (scores((&*fitted, &*detector), &queries, &[0, 1, 2, 3, 4], 5), figures)
}

#[test]
fn every_switch_changes_the_scores_and_the_published_settings_are_the_default() {
    let folder = TempDir::new().expect("a folder");
    let context = context(&folder, 2);
    let (published, figures) = trained(BASE, &context);
    let spelt_out = "terms = 'both'\nweighted = 'learned'\nscaling = 'sqrt-c'\ncompared = 'flattened'\n\
                     teacher_residual = 0.0\nredrawn = false\nimagenet = false\nlambda = 0.1";
    assert_eq!(trained(&format!("{BASE}{spelt_out}"), &context).0, published);
    let mut seen = vec![published];
    for switch in [
        "terms = 'teacher-student'",
        "terms = 'self-distillation'",
        "weighted = 'untrained'",
        "weighted = 'uniform'",
        "scaling = 'sqrt_chw'",
        "scaling = 'cosine'",
        "compared = 'per-position'",
        "teacher_residual = 1.0",
        "redrawn = true",
        "imagenet = true",
        "lambda = 1.0",
    ] {
        let (scores, _) = trained(&format!("{BASE}{switch}"), &context);
        assert!(scores.iter().all(|score| score.is_finite()));
        assert!(!seen.contains(&scores), "{switch} gives what another setting gives");
        seen.push(scores);
    }
    let names: Vec<&str> = figures[0].iter().map(|(name, _)| *name).collect();
    assert_eq!(names[3..], ["sign-variance", "sign-cosine", "sign-entropy"]);
    for (name, value) in figures.iter().flat_map(|figures| &figures[3..]) {
        assert!((-1e-6..=1.0 + 1e-6).contains(value), "{name} is {value}");
    }
}

#[test]
fn supports_that_count_alike_have_the_greatest_entropy() {
    let folder = TempDir::new().expect("a folder");
    let context = context(&folder, 2);
    let sign = |settings: &str, name: &str| {
        let (_, figures) = trained(&format!("{BASE}{settings}"), &context);
        figures.last().expect("an epoch").iter().find(|(known, _)| *known == name).expect("a sign").1
    };
    assert!((sign("weighted = 'uniform'", "sign-entropy") - 1.0).abs() < 1e-6);
    let [published, cosine] = ["", "scaling = 'cosine'"].map(|settings| sign(settings, "sign-entropy"));
    assert!(
        cosine > published,
        "the cosine saturates more ({cosine}) than the published scale ({published})"
    );
}

#[test]
fn a_weighting_that_does_not_learn_keeps_its_first_values() {
    let student = Student::switched(
        Backbone::Resnet18,
        Device::Cpu,
        Switches { weighted: Weighted::Untrained, ..Switches::default() },
    );
    student.initialise(3);
    let published = Student::new(Backbone::Resnet18, Device::Cpu);
    published.initialise(3);
    let (held, free) = (student.store.variables(), published.store.variables());
    for (name, tensor) in &held {
        assert!(*tensor == free[name], "{name} starts elsewhere");
        let learns = !name.starts_with("weight.") && free[name].requires_grad();
        assert_eq!(tensor.requires_grad(), learns, "{name}");
    }
    assert!(held["weight.proj_in1.weight"].abs().max().double_value(&[]) > 0.0);
}

fn student(switches: Switches) -> Student {
    let student = Student::switched(Backbone::Resnet18, Device::Cpu, switches);
    formula::fill(&student.store, "");
    student
}

#[test]
fn scales_and_terms_are_what_their_names_say() {
    let query = Tensor::rand([2, 64, 8, 8], (Kind::Float, Device::Cpu));
    let supports = Tensor::rand([3, 2, 64, 8, 8], (Kind::Float, Device::Cpu));
    let weights =
        |scaling| student(Switches { scaling, ..Switches::default() }).weigh(0, &query, &supports).0;
    let uniform = student(Switches { weighted: Weighted::Uniform, ..Switches::default() });
    let alike = uniform.weigh(0, &query, &supports);
    assert!((alike.0 - 1.0 / 3.0).abs().max().double_value(&[]) < 1e-6);
    let mean = supports.mean_dim(0, false, None::<Kind>);
    assert!((alike.1 - mean).abs().max().double_value(&[]) < 1e-5);
    // Logits of the two published-like scales differ by the root of the positions.
    let logits = |weights: Tensor| weights.log() - weights.log().mean_dim(1, true, None::<Kind>);
    let (c, chw) = (logits(weights(Scaling::SqrtC)), logits(weights(Scaling::SqrtChw)));
    let apart: Tensor = c - 8.0 * chw;
    assert!(apart.abs().max().double_value(&[]) < 1e-3);
    let deep = [0, 1, 2].map(|_| Tensor::rand([2, 512, 2, 2], (Kind::Float, Device::Cpu)));
    let teacher = [(64, 16), (128, 8), (256, 4)]
        .map(|(c, side)| Tensor::rand([2, c, side, side], (Kind::Float, Device::Cpu)));
    let losses = |terms, compared| {
        let losses = student(Switches { terms, compared, ..Switches::default() }).losses(
            &teacher,
            &deep[0],
            &deep[1..],
            0.1,
        );
        [losses.total, losses.self_distillation, losses.teacher_student].map(|loss| loss.double_value(&[]))
    };
    let [both, own, taught] = losses(Terms::Both, Compared::Flattened);
    assert!((both - own - 0.1 * taught).abs() < 1e-6);
    assert_eq!(losses(Terms::TeacherStudent, Compared::Flattened)[0], taught);
    assert_eq!(losses(Terms::SelfDistillation, Compared::Flattened)[0], own);
    assert_ne!(losses(Terms::Both, Compared::PerPosition)[2], taught);
}

#[test]
fn batches_that_pass_the_decoder_together_are_normed_one_by_one() {
    let deep: Vec<Tensor> = (0..3)
        .map(|batch| {
            let values = formula::uniform(&format!("deep {batch}"), 2 * 512 * 4);
            Tensor::from_slice(&values).view([2, 512, 2, 2])
        })
        .collect();
    let pass = |together: bool| {
        let mut store = VarStore::new(Device::Cpu);
        let decoder = Decoder::new(&store.root(), Backbone::Resnet18);
        formula::fill(&store, "decoder.");
        store.double();
        let scales = if together {
            decoder.forward_batches(&deep.iter().collect::<Vec<_>>())
        } else {
            deep.iter().map(|deep| decoder.forward(deep, Norm::Batch)).collect()
        };
        // A sum alone would have no gradient behind a batch norm.
        let loss: Tensor = scales.iter().flatten().map(|scale| scale.square().sum(None::<Kind>)).sum();
        loss.backward();
        let variables = store.variables();
        let gradients = variables.iter().filter(|(_, tensor)| tensor.requires_grad());
        let gradients = gradients.map(|(name, tensor)| (format!("gradient of {name}"), tensor.grad()));
        let outputs = scales.iter().enumerate().flat_map(|(batch, scales)| {
            let named =
                |(scale, value): (usize, &Tensor)| (format!("batch {batch}, scale {scale}"), value.detach());
            scales.iter().enumerate().map(named).collect::<Vec<_>>()
        });
        let all: BTreeMap<String, Tensor> = gradients.chain(outputs).collect();
        all.into_iter().chain(variables).collect::<BTreeMap<_, _>>()
    };
    let (apart, together) = (pass(false), pass(true));
    assert_eq!(apart.len(), together.len());
    for (name, value) in &apart {
        let off = (value - &together[name]).abs().max().double_value(&[]);
        let greatest = value.abs().max().double_value(&[]);
        assert!(off <= 1e-9 * greatest.max(1e-3), "{name}: {off} off, values up to {greatest}");
    }
}

/// In the mean of several trainings: Adam follows the sign of gradients however small, so any one may wander further.
#[test]
fn bfloat16_wanders_no_further_than_its_mantissa() {
    let folder = TempDir::new().expect("a folder");
    let drift = |seed: u64| {
        let fine = Context { seed, ..context(&folder, 2) };
        let coarse = Context { precision: Precision::Bf16, seed, ..context(&folder, 2) };
        let (a, b) = (trained(BASE, &fine).0, trained(BASE, &coarse).0);
        assert!(a != b, "bfloat16 changes nothing");
        let most = a.iter().fold(f64::MIN, |a, &b| a.max(b));
        a.iter().zip(&b).map(|(a, b)| (a - b).abs() / most).sum::<f64>() / a.len() as f64
    };
    let drifts = [5, 6, 7, 8].map(drift);
    assert!(drifts.iter().sum::<f64>() / 4.0 < 0.1, "scores moved by {drifts:?} of the greatest");
}

/// Fails after an epoch, as a process may.
struct Stops {
    after: u64,
    seen: Vec<(u64, f64)>,
}

impl Observer for Stops {
    fn after_epoch(&mut self, epoch: u64, figures: &EpochFigures, _: &dyn Fitted) -> anyhow::Result<()> {
        self.seen.push((epoch, figures[0].1));
        anyhow::ensure!(epoch != self.after, "stopped");
        Ok(())
    }

    fn state(&self) -> anyhow::Result<String> {
        Ok(serde_json::to_string(&self.seen)?)
    }

    fn restore(&mut self, state: &str) -> anyhow::Result<()> {
        self.seen = serde_json::from_str(state)?;
        Ok(())
    }
}

#[test]
fn a_stopped_training_goes_on_with_what_its_observer_had_seen() {
    let folder = TempDir::new().expect("a folder");
    let path = folder.path().join("state.safetensors");
    let state_file = Some(StateFile { path: path.clone(), every: Duration::ZERO });
    let keeping = Context { state_file, ..context(&folder, 2) };
    let settings = "backbone = 'resnet18'\nepochs = 4\nbatch = 4\nredrawn = true\n";
    let run = |settings: &str, context: &Context, after: u64| {
        let entry = find("d24fad").expect("a method");
        let built = (entry.build)(toml::from_str(settings).expect("TOML")).expect("settings");
        let mut observer = Stops { after, seen: Vec::new() };
        let fitted = built.method.fit(&[task("first"), task("second")], context, &mut observer);
        let scores = fitted.map(|fitted| {
            let detector = fitted.adapt(&pictures("support", 2)).expect("a detector");
            scores((&*fitted, &*detector), &pictures("query", 3), &[0, 1, 2], 3)
        });
        (scores, observer.seen)
    };
    let (whole, seen) = run(settings, &context(&folder, 2), 0);
    assert!(run(settings, &keeping, 2).0.is_err());
    // Another learning rate is another training.
    let (other, _) = run(&format!("{settings}learning_rate = 0.01"), &keeping, 0);
    let text = format!("{:#}", other.expect_err("another training"));
    assert!(text.contains("other pictures, settings") && text.contains("state.safetensors"), "{text}");
    let (again, seen_again) = run(settings, &keeping, 0);
    assert_eq!(again.expect("it goes on"), whole.expect("a training"));
    assert_eq!(seen_again, seen);
}

/// Losses, gradients and stored statistics of one step in double precision.
fn one_step(passage: Passage, switches: Switches) -> BTreeMap<String, Vec<f64>> {
    let mut student = Student::switched(Backbone::Resnet18, Device::Cpu, switches).passing(passage);
    formula::fill(&student.store, "");
    student.store.double();
    let random = |name: &str, size: [i64; 4]| {
        let values = formula::uniform(name, size.iter().product::<i64>() as usize);
        Tensor::from_slice(&values).view(size)
    };
    let deep: Vec<Tensor> = (0..4).map(|batch| random(&format!("deep {batch}"), [3, 512, 2, 2])).collect();
    let teacher = [(64, 16), (128, 8), (256, 4)].map(|(c, side)| random("teacher", [3, c, side, side]));
    let losses = student.losses(&teacher, &deep[0], &deep[1..], 0.1);
    losses.total.backward();
    let variables = student.store.variables();
    let is_bias = |name: &str| name.starts_with("weight.") && name.ends_with("bias");
    let gradients = variables.iter().filter(|(name, tensor)| tensor.requires_grad() && !is_bias(name));
    let gradients = gradients.map(|(name, tensor)| (format!("gradient of {name}"), tensor.grad()));
    let totals = [("total", losses.total), ("own", losses.self_distillation)]
        .map(|(name, loss)| (name.to_owned(), loss.detach()));
    let all = gradients.chain(totals).chain(variables.iter().map(|(n, t)| (n.clone(), t.detach())));
    all.map(|(name, tensor)| {
        let known = tensor.defined().then(|| Vec::try_from(tensor.contiguous().flatten(0, -1)).unwrap());
        (name, known.unwrap_or_default())
    })
    .collect()
}

#[test]
fn the_way_through_the_decoder_that_a_card_takes_computes_the_same() {
    for scaling in [Scaling::SqrtChw, Scaling::SqrtC, Scaling::Cosine] {
        let switches = Switches { scaling, ..Switches::default() };
        let expected = one_step(Passage::OneByOne, switches);
        let found = one_step(Passage::Interleaved, switches);
        assert_eq!(expected.len(), found.len());
        for (name, expected) in &expected {
            let found = &found[name];
            assert_eq!(expected.len(), found.len(), "{name}");
            let greatest = expected.iter().fold(1e-3, |most: f64, value| most.max(value.abs()));
            for (a, b) in expected.iter().zip(found) {
                assert!((a - b).abs() <= 1e-9 * greatest, "{scaling:?}, {name}: {a} against {b}");
            }
        }
    }
}
