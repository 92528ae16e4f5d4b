//! Teacher and student, registration and pretext methods: their acceptance tests.

use std::rc::Rc;

use medfsad::episode::batch::Pictures;
use medfsad::maps::MapStack;
use medfsad::method::part::cut_paste::{Cut, paste};
use medfsad::method::part::gaussian::Regular;
use medfsad::method::part::positionwise::Fitting;
use medfsad::method::part::steps::{self, Plan};
use medfsad::method::{Context, Detector, EpochFigures, Fitted, Prediction, TrainTask, find, stfpm};
use medfsad::metric::auroc::auroc;
use medfsad::network::bottleneck::Bottleneck;
use medfsad::network::layer::Norm;
use medfsad::network::spatial_transformer::{SpatialTransformer, inverse, warp};
use medfsad::network::teacher::{Origin, Teacher, Teachers};
use medfsad::network::{Backbone, Input, Scales, initial, weights};
use medfsad::random::Stream;
use tch::nn::VarStore;
use tch::{Device, Kind, Tensor};

use super::{SIDE, assert_close, fit, pictures, scores};

/// A context with a random teacher whose batch norms are calibrated, as in a bench without weights.
fn calibrated() -> Context {
    let teachers = Teachers { named: Default::default(), other: Origin::Random { seed: 4, cache: None } };
    let calibration = Some(Rc::new(pictures("calibration", 32).pixels));
    let (task, label) = ("target".to_owned(), "test".to_owned());
    Context { device: Device::Cpu, seed: 5, shots: 2, teachers, calibration, task, label }
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

/// Side of what is pasted into pictures.
const BOX: i64 = 20;

/// Black and white checks pasted into each picture; where, as row and column.
fn with_checks(normals: &Pictures) -> (Pictures, Vec<(i64, i64)>) {
    let pixels = normals.pixels.copy();
    let side = normals.size();
    let places: Vec<(i64, i64)> = (0..normals.len() as u64)
        .map(|index| {
            let mut stream = Stream::new(3, "checks", index);
            let mut place = || stream.below((side - BOX + 1) as usize) as i64;
            (place(), place())
        })
        .collect();
    let line = Tensor::arange(BOX, (Kind::Int64, Device::Cpu)).divide_scalar_mode(4, "floor");
    let checks = (line.unsqueeze(0) + line.unsqueeze(1)).remainder(2) * 255;
    for (index, &(row, column)) in places.iter().enumerate() {
        let mut part = pixels.get(index as i64).narrow(1, row, BOX).narrow(2, column, BOX);
        part.copy_(&checks.expand([3, BOX, BOX], false));
    }
    (Pictures { pixels, acquisition: normals.acquisition.clone() }, places)
}

/// Mean of a map inside the box at `row` and `column`, less its mean outside.
fn contrast(map: &[f32], side: i64, (row, column): (i64, i64)) -> f64 {
    let (mut sums, mut counts) = ([0.0; 2], [0.0; 2]);
    for (at, &value) in map.iter().enumerate() {
        let (y, x) = (at as i64 / side, at as i64 % side);
        let is_inside = (row..row + BOX).contains(&y) && (column..column + BOX).contains(&x);
        sums[usize::from(is_inside)] += f64::from(value);
        counts[usize::from(is_inside)] += 1.0;
    }
    sums[1] / counts[1] - sums[0] / counts[0]
}

/// With a random teacher and seconds of training, what is foreign to a picture disturbs all of its map, since the
/// bottleneck is 2 x 2 here: so the map's mean is asked for, not its maximum.
#[test]
fn rd4ad_learns_normals_finds_a_foreign_texture_and_calls_no_normal_ill() {
    tch::set_num_threads(1);
    let side = 64;
    let settings = "backbone = 'resnet18'\nsteps = 30\nbatch = 8\nlearning_rate = 2e-3";
    let (fitted, looks) = train("rd4ad", settings, stripes("train", 8, side), &calibrated());
    let (first, last) = (looks[0][0].1, looks[9][0].1);
    assert!(looks.len() == 10 && last < 0.3 * first, "the loss goes from {first} to {last}");
    let detector = fitted.adapt(&pictures("support", 1)).expect("a detector");
    let clean = stripes("ill", 20, side);
    let (ill, places) = with_checks(&clean);
    let n_found = |maps: MapStack| {
        let is_found = |(index, &place)| contrast(maps.map(index), side, place) > 0.0;
        places.iter().enumerate().filter(|&place| is_found(place)).count()
    };
    let (found, found_in_clean) = (n_found(maps(&*detector, &ill)), n_found(maps(&*detector, &clean)));
    assert!(
        found >= 18 && found_in_clean <= 15,
        "{found} of 20 textures, {found_in_clean} in clean pictures"
    );
    let order: Vec<usize> = (0..20).collect();
    let score = |queries: &Pictures| scores(&*detector, queries, &order, 20);
    let (held_out, also) = (score(&clean), score(&stripes("also held out", 20, side)));
    let chance = auroc(&held_out, &also).expect("scores");
    assert!((chance - 0.5).abs() < 0.2, "normals against normals give {chance}");
    assert!(auroc(&also, &score(&ill)).expect("scores") > 0.95);
}

#[test]
fn rd4ad_fits_eight_pictures_in_a_hundred_steps() {
    tch::set_num_threads(1);
    let settings = "backbone = 'resnet18'\nsteps = 100\nbatch = 8\nlearning_rate = 2e-3";
    let (_, looks) = train("rd4ad", settings, stripes("train", 8, SIDE), &calibrated());
    let last = looks.last().expect("looks")[0].1;
    assert!(last < 0.1, "the loss is {last}");
}

#[test]
fn the_wide_bottleneck_has_the_published_parameters_less_the_dead_ones() {
    let store = VarStore::new(Device::Cpu);
    Bottleneck::new(&store.root(), Backbone::WideResnet50x2);
    let dead = 4096 * 2048 + 2 * 2048;
    assert_eq!(weights::n_trainable(&store), 67_277_824 - dead);
    assert!(store.variables().keys().all(|name| !name.contains("__")));
}

#[test]
fn the_bottleneck_brings_three_scales_to_a_fourth() {
    for backbone in [Backbone::Resnet18, Backbone::Resnet34, Backbone::Resnet50] {
        let store = VarStore::new(Device::Cpu);
        let bottleneck = Bottleneck::new(&store.root(), backbone);
        initial::initialise(&store, 1);
        let [c1, c2, c3, c4] = backbone.channels();
        let scales = [(c1, 16), (c2, 8), (c3, 4)].map(|(c, side)| uniform("scales", &[2, c, side, side]));
        assert_eq!(bottleneck.forward(&scales, Norm::Stored).size(), [2, c4, 2, 2]);
    }
}

fn perturbed(scales: &Scales, by: f64) -> Scales {
    scales.each_ref().map(|scale| scale + uniform("perturbation", &scale.size()) * by)
}

#[test]
fn stfpm_maps_are_zero_for_a_perfect_student_and_keep_their_rank_near_zero() {
    let scales: Scales =
        [(64, 8), (128, 4), (256, 2)].map(|(c, side)| uniform("teacher", &[2, c, side, side]));
    assert_eq!(largest(&stfpm::maps(&scales, &scales, 32)), 0.0);
    let map = |by: f64| stfpm::maps(&scales, &perturbed(&scales, by), 32);
    let (smaller, larger) = (map(1e-3), map(1.2e-3));
    assert!(largest(&larger) < 1e-15, "the largest is {}", largest(&larger));
    let ratio = larger / smaller;
    let (low, high) = (ratio.min().double_value(&[]), ratio.max().double_value(&[]));
    // Each distance grows with the square of the perturbation, their product with its sixth power.
    assert!((low / 1.2f64.powi(6) - 1.0).abs() < 0.02 && (high / 1.2f64.powi(6) - 1.0).abs() < 0.02);
}

#[test]
fn stfpm_loss_falls_throughout() {
    let settings = "steps = 50\nbatch = 8\nlearning_rate = 0.1";
    let (_, looks) = train("stfpm", settings, pictures("train", 8), &calibrated());
    let losses: Vec<f64> = looks.iter().map(|figures| figures[0].1).collect();
    assert!(losses.windows(2).all(|pair| pair[1] < pair[0]), "losses are {losses:?}");
    assert!(losses[9] < 0.5 * losses[0], "losses are {losses:?}");
}

#[test]
fn defaults_of_teacher_and_student_methods_go_by_what_they_learn_from() {
    for name in ["rd4ad", "stfpm", "cutpaste"] {
        let entry = find(name).expect("known");
        let built = |text: &str| (entry.build)(toml::from_str(text).expect("TOML"));
        let (few, many) = (built("").expect("built"), built("train_on = 'normals'").expect("built"));
        assert!(few.settings.contains("\"views\":true") && many.settings.contains("\"views\":false"));
        assert_eq!((few.sees.regime(), many.sees.regime()), ("R1", "R5"));
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

fn transformer(side: i64) -> (SpatialTransformer, VarStore) {
    let store = VarStore::new(Device::Cpu);
    let mut transformer = SpatialTransformer::new(&store.root(), 8, side);
    initial::initialise_plain(&store, 1);
    transformer.reset();
    (transformer, store)
}

#[test]
fn a_fresh_spatial_transformer_changes_nothing() {
    for side in [2, 7, 14] {
        let (transformer, store) = transformer(side);
        assert!(store.variables().keys().all(|name| !name.contains("__")));
        let features = uniform("features", &[3, 8, side, side]);
        let (warped, transforms) = transformer.forward(&features, Norm::Batch);
        let identity = Tensor::from_slice(&[1.0f32, 0.0, 0.0, 0.0, 1.0, 0.0]).view([1, 2, 3]);
        assert_eq!(largest(&(transforms - identity)), 0.0);
        let moved = largest(&(warped - features));
        assert!(moved < 1e-6 * side as f64, "features move by {moved}");
    }
}

#[test]
fn an_inverse_warp_undoes_a_warp_away_from_the_border() {
    // Smooth, so that interpolating twice changes little.
    let line = Tensor::arange(32, (Kind::Float, Device::Cpu)) / 5.0;
    let features = (line.sin().unsqueeze(0) + line.cos().unsqueeze(1)).expand([2, 1, 32, 32], false);
    let transforms = Tensor::from_slice(
        &[
            [1.1f32 * 0.2f32.cos(), -0.2f32.sin(), 0.0, 0.2f32.sin(), 0.9 * 0.2f32.cos(), 0.0],
            [0.9 * 0.3f32.cos(), 0.3f32.sin(), 0.0, -0.3f32.sin(), 1.2 * 0.3f32.cos(), 0.0],
        ]
        .concat(),
    )
    .view([2, 2, 3]);
    let warped = warp(&features, &transforms);
    let back = warp(&warped, &inverse(&transforms));
    let inside = |tensor: Tensor| tensor.narrow(2, 10, 12).narrow(3, 10, 12);
    let (changed, left) = (largest(&inside(&warped - &features)), largest(&inside(&back - &features)));
    assert!(changed > 0.3 && left < 0.03, "warping moves by {changed}, {left} of it is left");
}

#[test]
fn regad_learns_to_register() {
    let entry = find("regad").expect("known");
    let settings = "epochs = 6\nbatch = 4\nlearning_rate = 1e-2";
    let built = (entry.build)(toml::from_str(settings).expect("TOML")).expect("good settings");
    let mut losses = Vec::new();
    let mut observer = |_: u64, figures: &EpochFigures, _: &dyn Fitted| {
        losses.push(figures[0].1);
        Ok(())
    };
    let tasks = [super::task("first"), super::task("second")];
    built.method.fit(&tasks, &calibrated(), &mut observer).expect("a fitted method");
    assert_eq!(losses.len(), 6);
    assert!(losses.iter().all(|loss| (-1.0..=1.0).contains(loss)), "losses are {losses:?}");
    assert!(losses[5] < losses[0] - 0.2, "losses are {losses:?}");
}

#[test]
fn permuted_supports_leave_regad_scores_unchanged_and_other_supports_do_not() {
    let folder = tempfile::TempDir::new().expect("a folder");
    let fitted = fit("regad", &folder);
    let (queries, supports) = (pictures("query", 5), pictures("support", 3));
    let natural: Vec<usize> = (0..5).collect();
    let with = |order: &[usize]| {
        let detector = fitted.adapt(&supports.at(order)).expect("a detector");
        scores(&*detector, &queries, &natural, 5)
    };
    let base = with(&[0, 1, 2]);
    assert_close("permuted", &base, &with(&[2, 0, 1]));
    let other = with(&[0, 1]);
    assert!(base.iter().zip(&other).all(|(a, b)| (a - b).abs() > 1e-3));
}

#[test]
fn positionwise_distances_are_mahalanobis_and_no_batch_moves_them() {
    let features = uniform("fit", &[30, 5, 6, 7]);
    let mut fitting = Fitting::default();
    features.split(12, 0).iter().for_each(|part| fitting.add(part));
    let gaussians = fitting.finish(Regular { shrink: false, ridge: 0.01 }).expect("regular covariances");
    let queries = uniform("queries", &[4, 5, 6, 7]);
    let all = gaussians.distance(&queries);
    assert_eq!(all.size(), [4, 6, 7]);
    for index in 0..4 {
        let alone = gaussians.distance(&queries.narrow(0, index, 1));
        let moved = largest(&((alone - all.narrow(0, index, 1)) / &all.narrow(0, index, 1)));
        assert!(moved < 1e-5, "a distance moves by {moved} of itself");
    }
    // By hand at row 4, column 3.
    let at = |tensor: &Tensor| tensor.select(3, 3).select(2, 4).to_kind(Kind::Double);
    let samples = at(&features);
    let offsets = &samples - samples.mean_dim(0, true, None::<Kind>);
    let covariance =
        offsets.tr().matmul(&offsets) / 29.0 + Tensor::eye(5, (Kind::Double, Device::Cpu)) * 0.01;
    let offset = at(&queries) - samples.mean_dim(0, true, None::<Kind>);
    let squares = (offset.matmul(&covariance.inverse()) * &offset).sum_dim_intlist(1, false, None::<Kind>);
    let expected = squares.sqrt();
    let got = all.select(2, 3).select(1, 4);
    assert!(largest(&((got - &expected) / &expected)) < 1e-4);
}

/// Every pixel has a colour of its own: red is its row, green its column.
fn addressed(side: usize) -> Vec<f32> {
    let plane =
        |value: fn(usize, usize) -> usize| (0..side * side).map(move |at| value(at / side, at % side) as f32);
    plane(|row, _| row).chain(plane(|_, column| column)).chain(plane(|_, _| 0)).collect()
}

#[test]
fn pasted_pixels_come_from_the_picture_and_the_mask_says_where_they_lie() {
    for (cut, side) in [(Cut::Patch, 64), (Cut::Scar, 64), (Cut::Scar, 256), (Cut::Patch, 32)] {
        let (picture, area) = (addressed(side), side * side);
        for index in 0..50 {
            let pasted = paste(&picture, side, cut, 0.0, &mut Stream::new(1, "paste", index));
            let n_pasted = pasted.mask.iter().filter(|&&is| is).count();
            let mut sources = Vec::new();
            for at in 0..area {
                let values = [0, 1, 2].map(|channel| pasted.pixels[channel * area + at]);
                if pasted.mask[at] {
                    assert!(values.iter().all(|value| value.fract() == 0.0) && values[2] == 0.0);
                    sources.push((values[0] as usize, values[1] as usize));
                } else {
                    assert_eq!(values, [0, 1, 2].map(|channel| picture[channel * area + at]));
                }
            }
            let extent = |of: fn(&(usize, usize)) -> usize| {
                let values = || sources.iter().map(of);
                values().max().expect("pixels") - values().min().expect("pixels") + 1
            };
            let (height, width) = (extent(|source| source.0), extent(|source| source.1));
            let share = n_pasted as f64 / area as f64;
            match cut {
                Cut::Patch => {
                    assert_eq!(height * width, n_pasted, "an upright patch is pasted whole");
                    assert!((0.015..0.16).contains(&share), "{share} of the picture is pasted");
                }
                Cut::Scar => {
                    let scaled = |pixels: f64| (pixels * side as f64 / 256.0).round() as usize;
                    assert!(n_pasted > 0 && width <= scaled(16.0) && height <= scaled(25.0));
                }
            }
        }
    }
}

#[test]
fn jitter_moves_colours_a_little_and_is_repeatable() {
    let picture: Vec<f32> = (0..3 * 64 * 64).map(|at| 60.0 + (at % 97) as f32).collect();
    let run = |jitter: f64| paste(&picture, 64, Cut::Patch, jitter, &mut Stream::new(1, "paste", 3));
    let (plain, jittered) = (run(0.0), run(0.1));
    assert_eq!(jittered.pixels, run(0.1).pixels);
    let moved = plain.pixels.iter().zip(&jittered.pixels).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
    // A tenth of 156 each by brightness, contrast and saturation, at most.
    assert!(0.1 < moved && moved < 48.0, "colours move by {moved}");
}

#[test]
fn cutpaste_learns_to_tell_three_ways_apart() {
    tch::set_num_threads(1);
    let settings = "steps = 300\nfrozen_steps = 5\nbatch = 8";
    let (_, looks) = train("cutpaste", settings, stripes("train", 32, SIDE), &calibrated());
    let last = &looks.last().expect("looks")[1];
    assert_eq!(last.0, "accuracy");
    // Mean of the last thirty steps; chance is a third.
    assert!(last.1 > 0.8, "the accuracy is {}", last.1);
}

#[test]
fn a_teacher_copied_to_an_encoder_that_trains_gives_the_same_features() {
    let context = calibrated();
    let teacher: Teacher = context.teacher(Backbone::Resnet18, Input::Unit).expect("a teacher");
    let store = VarStore::new(Device::Cpu);
    let encoder = medfsad::network::resnet::Encoder::new(&(store.root() / "encoder"), Backbone::Resnet18);
    teacher.copy_to(&store, "encoder");
    let picture = pictures("query", 2).pixels;
    let own = tch::no_grad(|| encoder.forward(&Input::Unit.prepare(&picture), Norm::Stored).deep);
    assert!(own.equal(&teacher.features(&picture).deep));
    assert!(!store.trainable_variables().is_empty());
}
