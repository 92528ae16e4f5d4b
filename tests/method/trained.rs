//! Teacher and student, registration and pretext methods: their acceptance tests.

use medfsad::episode::batch::Pictures;
use medfsad::maps::MapStack;
use medfsad::method::part::steps::{self, Plan};
use medfsad::method::{Context, Detector, EpochFigures, Fitted, Prediction, TrainTask, find};
use medfsad::network::layer::Norm;
use medfsad::network::precision::Precision;
use medfsad::network::teacher::{Origin, Teacher, Teachers};
use medfsad::network::{Backbone, Input, Network, initial, weights};
use medfsad::random::Stream;
use std::rc::Rc;
use tch::nn::VarStore;
use tch::{Device, Kind, Tensor};

use super::{SIDE, assert_close, fit, pictures, scores};

mod cutpaste;
mod d24fad;
mod rd4ad;
mod regad;
mod stfpm;

/// A context with a random teacher whose batch norms are calibrated, as in a bench without weights.
fn calibrated() -> Context {
    let teachers = Teachers { named: Default::default(), other: Origin::Random { seed: 4, cache: None } };
    let calibration = Some(Rc::new(pictures("calibration", 32).pixels));
    let (task, label) = ("target".to_owned(), "test".to_owned());
    let (device, precision, keep) = (Device::Cpu, Precision::F32, None);
    Context { device, precision, seed: 5, shots: 2, teachers, calibration, task, label, keep }
}

/// Fits on all of `normals` by settings in TOML; figures of every look.
fn train(
    name: &str,
    settings: &str,
    normals: Pictures,
    context: &Context,
) -> (Box<dyn Fitted>, Vec<EpochFigures>) {
    let entry = find(name).expect("a known method");
    let settings = format!("train_on = 'normals'\n{settings}");
    let built = (entry.build)(toml::from_str(&settings).expect("TOML")).expect("good settings");
    let tasks = [TrainTask { name: "target".to_owned(), pictures: normals, pairs: Vec::new() }];
    let mut looks = Vec::new();
    let mut observer = |_: u64, figures: &EpochFigures, _: &dyn Fitted| {
        looks.push(figures.clone());
        Ok(())
    };
    let fitted = built.method.fit(&tasks, context, &mut observer).expect("a fitted method");
    (fitted, looks)
}

fn maps(detector: &dyn Detector, queries: &Pictures) -> MapStack {
    match detector.score(queries).expect("a prediction") {
        Prediction::Maps(maps) => maps,
        _ => panic!("no maps alone"),
    }
}

/// Stripes of one direction on grey of varying brightness, with noise; no two alike.
fn stripes(purpose: &str, n: usize, side: i64) -> Pictures {
    let mut bytes = Vec::new();
    for index in 0..n {
        let mut stream = Stream::new(8, purpose, index as u64);
        let light = stream.between(80.0, 110.0);
        for _ in 0..3 {
            for y in 0..side {
                let wave = 40.0 * (y as f64 * std::f64::consts::TAU / 8.0).sin();
                bytes.extend((0..side).map(|_| (light + wave + stream.between(0.0, 6.0)) as u8));
            }
        }
    }
    let pixels = Tensor::from_data_size(&bytes, &[n as i64, 3, side, side], Kind::Uint8);
    Pictures { pixels, acquisition: pictures(purpose, n).acquisition }
}

fn uniform(purpose: &str, shape: &[i64]) -> Tensor {
    let mut stream = Stream::new(2, purpose, 0);
    let values: Vec<f32> =
        (0..shape.iter().product()).map(|_: i64| stream.between(-1.0, 1.0) as f32).collect();
    Tensor::from_slice(&values).view(shape)
}

fn largest(tensor: &Tensor) -> f64 {
    tensor.abs().max().double_value(&[])
}

#[test]
fn defaults_of_teacher_and_student_methods_go_by_what_they_learn_from() {
    for name in ["rd4ad", "stfpm", "cutpaste"] {
        let entry = find(name).expect("known");
        let built = |text: &str| (entry.build)(toml::from_str(text).expect("TOML"));
        let (few, many) = (built("").expect("built"), built("train_on = 'normals'").expect("built"));
        assert!(few.settings.contains("\"views\":true") && many.settings.contains("\"views\":false"));
        assert_eq!((few.regime.name(), many.regime.name()), ("R1", "R5"));
        let error = format!("{:#}", built("epochs = 3").err().expect("an error"));
        assert!(error.contains(name) && error.contains("epochs"), "{error}");
        let error = format!("{:#}", built("steps = 0").err().expect("an error"));
        assert!(error.contains(name) && error.contains("steps"), "{error}");
    }
}

#[test]
fn steps_pass_over_all_pictures_before_any_comes_twice() {
    for (pictures, batch, sizes) in
        [(12, 4, vec![4, 4, 4]), (13, 4, vec![4, 4, 5]), (9, 5, vec![5, 4]), (3, 4, vec![3])]
    {
        let plan = Plan { pictures, batch, steps: 2 * sizes.len() as u64, reports: 2 };
        let mut drawn: Vec<Vec<i64>> = Vec::new();
        let mut step = |_: u64, batch: &Tensor| {
            drawn.push(Vec::try_from(batch).expect("indices"));
            vec![("loss", 1.0)]
        };
        let mut n_looks = 0;
        let mut look = |number: u64, figures: &EpochFigures| {
            n_looks += 1;
            assert_eq!((number, figures[0].1), (n_looks, 1.0));
            Ok(())
        };
        steps::run(&plan, &calibrated(), &mut step, &mut look).expect("steps");
        assert_eq!(n_looks, 2);
        for pass in drawn.chunks(sizes.len()) {
            assert_eq!(pass.iter().map(Vec::len).collect::<Vec<_>>(), sizes);
            let mut all = pass.concat();
            all.sort_unstable();
            assert_eq!(all, (0..pictures as i64).collect::<Vec<_>>());
        }
    }
}

#[test]
fn a_teacher_copied_to_an_encoder_that_trains_gives_the_same_features() {
    let context = calibrated();
    let teacher: Teacher = context.teacher(Backbone::Resnet18, Input::Unit).expect("a teacher");
    let store = VarStore::new(Device::Cpu);
    let encoder = medfsad::network::encoder::Encoder::new(&(store.root() / "encoder"), Backbone::Resnet18);
    teacher.copy_to(&store, "encoder");
    let picture = pictures("query", 2).pixels;
    let own = tch::no_grad(|| {
        encoder
            .forward(&Input::Unit.prepare(Network::Backbone(Backbone::Resnet18), &picture), Norm::Stored)
            .deep
    });
    assert!(own.equal(&teacher.features(&picture).deep));
    assert!(!store.trainable_variables().is_empty());
}
