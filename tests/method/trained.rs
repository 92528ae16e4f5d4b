//! Teacher and student, registration and pretext methods: their acceptance tests.

use medfsad::episode::batch::Pictures;
use medfsad::ids::TaskName;
use medfsad::maps::MapStack;
use medfsad::method::batches::predict;
use medfsad::method::part::trainer::Order;
use medfsad::method::{Context, Detector, EpochFigures, Fitted, OpenTeachers, Prediction, TrainTask, find};
use medfsad::network::layer::Norm;
use medfsad::network::origin::{Origin, Teachers};
use medfsad::network::precision::Precision;
use medfsad::network::{Backbone, Input, Network, initial, weights};
use medfsad::random::Stream;
use std::rc::Rc;
use tch::nn::VarStore;
use tch::{Device, Kind, Tensor};

use super::{SIDE, assert_close, fit, pictures, scores};

mod cutpaste;
mod d24fad;
mod dinomaly;
mod foundad;
mod inp_former;
mod mvfa;
mod optimiser;
mod rd4ad;
mod regad;
mod resume;
mod sagan;
mod stfpm;

/// A context with a random teacher whose batch norms are calibrated, as in a bench without weights.
fn calibrated() -> Context {
    let teachers = Teachers {
        named: std::collections::BTreeMap::default(),
        other: Some(Origin::Random { seed: 4, cache: None }),
    };
    let calibration = Some(Rc::new(pictures("calibration", 32).pixels));
    let (task, label) = (TaskName::new("target"), "test".to_owned());
    let (device, precision) = (Device::Cpu, Precision::F32);
    let opened = OpenTeachers::default();
    Context {
        device,
        precision,
        seed: 5,
        shots: 2,
        teachers,
        calibration,
        task,
        label,
        state_file: None,
        opened,
    }
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
    let tasks = [TrainTask {
        name: TaskName::new("target"),
        pictures: normals,
        pairs: Vec::new(),
        anomalies: None,
        pool: None,
    }];
    let mut looks = Vec::new();
    let mut observer = |_: u64, figures: &EpochFigures, _: &dyn Fitted| {
        looks.push(figures.clone());
        Ok(())
    };
    let fitted = built.method.fit(&tasks, context, &mut observer).expect("a fitted method");
    (fitted, looks)
}

fn maps(fitted: &dyn Fitted, detector: &dyn Detector, queries: &Pictures) -> MapStack {
    match predict(fitted, detector, queries).expect("a prediction") {
        Prediction::Maps(maps) => maps,
        _ => panic!("no maps alone"),
    }
}

/// How surely a detector that learnt stripes tells those of which a quarter runs the other way from others: AUROC.
fn foreign_corners_found(fitted: &dyn Fitted) -> f64 {
    let detector = fitted.adapt(&pictures("support", 1)).expect("a detector");
    let clean = stripes("ill", 10, 56);
    let ill = Pictures::new(clean.pixels.copy(), clean.acquisition.clone());
    let mut corner = ill.pixels.narrow(2, 0, 28).narrow(3, 0, 28);
    let turned = clean.pixels.narrow(2, 0, 28).narrow(3, 0, 28).transpose(2, 3).contiguous();
    corner.copy_(&turned);
    let order: Vec<usize> = (0..10).collect();
    let score = |queries: &Pictures| scores((fitted, &*detector), queries, &order, 10);
    let found = medfsad::metric::auroc::auroc(&score(&stripes("held out", 10, 56)), &score(&ill));
    found.expect("scores of both")
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
    Pictures::new(pixels, pictures(purpose, n).acquisition)
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
fn a_pass_takes_all_pictures_in_batches_none_of_which_is_tiny() {
    for (items, batch, sizes) in
        [(12, 4, vec![4, 4, 4]), (13, 4, vec![4, 4, 5]), (9, 5, vec![5, 4]), (3, 4, vec![3])]
    {
        let order = Order::All { items, batch };
        assert_eq!(order.n_batches(), sizes.len());
        for pass in 1..3 {
            let batches = order.batches(5, pass);
            assert_eq!(batches.iter().map(Vec::len).collect::<Vec<_>>(), sizes);
            let mut all = batches.concat();
            all.sort_unstable();
            assert_eq!(all, (0..items as i64).collect::<Vec<_>>());
        }
        assert!(items == 3 || order.batches(5, 1) != order.batches(5, 2));
    }
}

#[test]
fn batches_by_task_hold_items_of_one_task_and_whole_ones_are_of_one_size() {
    let tasks = [("one", 9), ("two", 1), ("three", 3)].map(|(name, items)| (TaskName::new(name), items));
    let by_task = Order::ByTask { tasks: tasks.into(), batch: 4 };
    let batches = by_task.batches(5, 1);
    assert_eq!((by_task.n_batches(), batches.len()), (3, 3));
    for batch in &batches {
        let of_one = batch.iter().all(|&item| item < 9) && batch.len() == 4;
        let of_three = batch.iter().all(|&item| item >= 10) && batch.len() == 3;
        assert!(of_one || of_three, "{batch:?}");
    }
    let whole = Order::Whole { items: 11, batch: 4 };
    assert_eq!(whole.batches(5, 1).iter().map(Vec::len).collect::<Vec<_>>(), [4, 4]);
    assert_eq!(whole.n_batches(), 2);
}

#[test]
fn a_teacher_copied_to_an_encoder_that_trains_gives_the_same_features() {
    let context = calibrated();
    let teacher = context.teacher(Backbone::Resnet18, Input::Unit).expect("a teacher");
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
