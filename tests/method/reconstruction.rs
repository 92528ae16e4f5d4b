//! Methods that reconstruct: plain, variational, denoising, perceptual and guided auto-encoders.

use medfsad::episode::batch::{Acquisition, Pictures};
use medfsad::method::dae::coarse_noise;
use medfsad::method::dpa::{Measure, Statistics, relative};
use medfsad::method::ogae::{self, Guidance};
use medfsad::method::part::ocsvm::{OneClass, Points, solve};
use medfsad::method::{Context, Detector, Fitted, Prediction, TrainTask, find};
use medfsad::metric::auroc::auroc;
use medfsad::network::adam::{Adam, AdamConfig};
use medfsad::network::autoencoder::{AutoEncoder, Code, Shape};
use medfsad::network::growing::{self, GrowingAutoEncoder};
use medfsad::network::layer::Norm;
use medfsad::network::teacher::Origin;
use medfsad::network::unet::{self, UNet};
use medfsad::network::vgg::{Layer, Vgg};
use medfsad::network::{Network, initial, weights};
use medfsad::random::Stream;
use tch::nn::VarStore;
use tch::{Device, Kind, Tensor};
use tempfile::TempDir;

use super::{context, pictures, scores};

fn normals(shown: Pictures) -> Vec<TrainTask> {
    vec![TrainTask { name: "target".to_owned(), pictures: shown, pairs: Vec::new() }]
}

fn fit(name: &str, settings: &str, shown: Pictures, context: &Context) -> Box<dyn Fitted> {
    let entry = find(name).expect("a known method");
    let built = (entry.build)(toml::from_str(settings).expect("TOML")).expect("good settings");
    built.method.fit(&normals(shown), context, &mut |_, _, _| Ok(())).expect("a fitted method")
}

fn refusal(name: &str, settings: &str) -> String {
    let entry = find(name).expect("a known method");
    let refused = (entry.build)(toml::from_str(settings).expect("TOML")).err().expect("an error");
    format!("{refused:#}")
}

fn normal(purpose: &str, shape: &[i64]) -> Tensor {
    let mut stream = Stream::new(11, purpose, 0);
    let values: Vec<f32> = (0..shape.iter().product()).map(|_: i64| stream.normal() as f32).collect();
    Tensor::from_slice(&values).view(shape)
}

fn autoencoder(store: &VarStore, channels: i64, variational: bool) -> AutoEncoder {
    let shape = Shape { channels, side: 64, width: 16, hidden: 1024, latent: 16, variational };
    AutoEncoder::new(&store.root(), shape)
}

#[test]
fn autoencoders_have_the_published_number_of_parameters() {
    for (variational, published) in [(false, 2_351_184), (true, 2_367_584)] {
        let store = VarStore::new(Device::Cpu);
        autoencoder(&store, 1, variational);
        assert_eq!(weights::n_trainable(&store), published);
    }
    for (depth, channels, published) in [(4, 4, 7_703_748), (5, 1, 31_042_369)] {
        let store = VarStore::new(Device::Cpu);
        UNet::new(&store.root(), unet::Shape { channels, width: 64, depth });
        assert_eq!(weights::n_trainable(&store), published);
    }
}

#[test]
fn the_autoencoder_learns_eight_pictures_by_heart() {
    // Beside other tests more threads only wait for each other.
    tch::set_num_threads(1);
    let store = VarStore::new(Device::Cpu);
    let shape = Shape { channels: 1, side: 64, width: 16, hidden: 1024, latent: 16, variational: false };
    let network = AutoEncoder::new(&store.root(), shape);
    initial::initialise_plain(&store, 1);
    // Smooth: a code of 16 numbers has no room for noise.
    let smooth = pictures("overfit", 8).pixels.to_kind(Kind::Float).narrow(1, 0, 1).avg_pool2d(
        [4, 4],
        [4, 4],
        [0, 0],
        false,
        true,
        None,
    );
    let x = smooth.upsample_bilinear2d([64, 64], false, None, None) / 127.5 - 1.0;
    let error =
        |norm: Norm| (network.decode(&network.encode(&x, norm).mean, norm) - &x).square().mean(None::<Kind>);
    // 500 steps in all, ever smaller.
    for (n_steps, learning_rate) in [(200, 1e-2), (150, 3e-3), (150, 5e-4)] {
        let mut adam =
            Adam::new(&store, AdamConfig { learning_rate, beta1: 0.9, beta2: 0.999, epsilon: 1e-8 });
        for _ in 0..n_steps {
            adam.step(&error(Norm::Batch));
        }
    }
    let share = error(Norm::Batch).double_value(&[]) / x.var(false).double_value(&[]);
    assert!(share < 1e-3, "the squared error is {share} of the variance");
}

#[test]
fn a_divergence_is_never_negative_and_zero_at_the_standard_normal() {
    let code = |mean: Tensor, log_variance: Tensor| Code { mean, log_variance: Some(log_variance) };
    for scale in [0.01, 1.0, 5.0] {
        let code = code(normal("mean", &[9, 4]) * scale, normal("variance", &[9, 4]) * scale);
        assert!(code.divergence().double_value(&[]) > 0.0);
    }
    let zeros = Tensor::zeros([3, 4], (Kind::Float, Device::Cpu));
    assert_eq!(code(zeros.copy(), zeros.copy()).divergence().double_value(&[]), 0.0);
    // Mean 2 and variance 1: half of the square.
    let shifted = code(&zeros + 2.0, zeros.copy());
    assert!((shifted.divergence().double_value(&[]) - 2.0).abs() < 1e-6);
    let noise = normal("noise", &[3, 4]);
    let spread = code(zeros.copy(), &zeros + 4f64.ln()).sample(&noise);
    assert!((spread - noise * 2.0).abs().max().double_value(&[]) < 1e-5);
}

#[test]
fn equal_pictures_get_equal_scores_from_the_variational_autoencoder() {
    let folder = TempDir::new().expect("a folder");
    let fitted =
        fit("vae", "hidden = 64\nepochs = 3\nbatch = 4", pictures("normal", 8), &context(&folder, 2));
    let detector = fitted.adapt(&pictures("support", 2)).expect("a detector");
    let twice = pictures("query", 2).at(&[0, 1, 0]);
    let given = scores(&*detector, &twice, &[0, 1, 2], 3);
    assert_eq!(given[0], given[2]);
    assert_ne!(given[0], given[1]);
}

#[test]
fn reconstruction_learns_the_same_from_the_same_seed_alone() {
    let folder = TempDir::new().expect("a folder");
    for name in ["ae", "vae", "dae", "dpa", "ogae"] {
        let run = |seed: u64| {
            let context = Context { seed, ..context(&folder, 2) };
            let trial = find(name).expect("known").trial;
            let fitted = fit(name, trial, pictures("normal", 8), &context);
            let detector = fitted.adapt(&pictures("support", 2)).expect("a detector");
            scores(&*detector, &pictures("query", 3), &[0, 1, 2], 3)
        };
        assert_eq!(run(1), run(1), "{name}");
        assert_ne!(run(1), run(2), "{name}");
    }
}

#[test]
fn reconstruction_learns_from_views_of_few_supports() {
    let folder = TempDir::new().expect("a folder");
    for name in ["ae", "vae", "dae", "dpa", "ogae"] {
        let entry = find(name).expect("known");
        let settings = format!("train_on = 'supports'\n{}", entry.trial);
        let built = (entry.build)(toml::from_str(&settings).expect("TOML")).expect("settings");
        assert_eq!(built.sees.regime(), "R1");
        let fitted = built.method.fit(&[], &context(&folder, 1), &mut |_, _, _| Ok(())).expect("fitted");
        let detector = fitted.adapt(&pictures("support", 1)).expect("a detector");
        assert_eq!(scores(&*detector, &pictures("query", 2), &[0, 1], 2).len(), 2, "{name}");
    }
}

#[test]
fn settings_that_cannot_be_are_refused_by_name() {
    for (name, settings, key) in [
        ("ae", "input = 40", "input"),
        ("ae", "kl_weight = 0.1", "kl_weight"),
        ("vae", "batch = 1", "batch"),
        ("dae", "resolution = 1", "resolution"),
        ("dae", "sigma = 0.0", "sigma"),
        ("dpa", "input = 60", "input"),
        ("ogae", "nu = 1.5", "nu"),
        ("ogae", "gama = 'scale'", "gamma"),
    ] {
        let refusal = refusal(name, settings);
        assert!(refusal.contains(name) && refusal.contains(key), "{refusal}");
    }
}

#[test]
fn a_unet_keeps_every_size() {
    tch::no_grad(|| {
        for depth in [1, 3, 4, 5] {
            let store = VarStore::new(Device::Cpu);
            let network = UNet::new(&store.root(), unet::Shape { channels: 3, width: 2, depth });
            initial::initialise_plain(&store, 1);
            for side in [33, 50, 64, 96, 128, 224] {
                let x = normal("sizes", &[1, 3, side, side]);
                let y = network.forward(&x);
                assert_eq!(y.size(), x.size(), "depth {depth}");
                assert!(y.isfinite().all().int64_value(&[]) == 1);
            }
        }
    });
}

/// Correlation of neighbours `lag` apart along rows.
fn correlation(noise: &Tensor, lag: i64) -> f64 {
    let side = noise.size()[3];
    let (a, b) = (noise.narrow(3, 0, side - lag), noise.narrow(3, lag, side - lag));
    ((&a * &b).mean(None::<Kind>) / (a.std(false) * b.std(false))).double_value(&[])
}

#[test]
fn coarse_noise_is_as_coarse_and_as_strong_as_asked() {
    for resolution in [8, 16, 32] {
        let noise =
            coarse_noise(&[32, 1, 128, 128], resolution, 0.2, &mut Stream::new(3, "n", 0), Device::Cpu);
        let deviation = noise.std(false).double_value(&[]);
        assert!((0.12..0.2).contains(&deviation), "deviation {deviation} at {resolution}");
        // Neighbours on the grid are independent, and stand so far apart.
        let apart = 128 / resolution;
        assert!(correlation(&noise, apart / 4) > 0.7, "{resolution}: {}", correlation(&noise, apart / 4));
        assert!(correlation(&noise, apart / 2) > 0.3, "{resolution}");
        assert!(correlation(&noise, 2 * apart).abs() < 0.1, "{resolution}");
    }
    let pixels = coarse_noise(&[32, 1, 128, 128], 128, 0.2, &mut Stream::new(3, "n", 0), Device::Cpu);
    assert!(correlation(&pixels, 1).abs() < 0.02);
    assert!((pixels.std(false).double_value(&[]) - 0.2).abs() < 0.002);
}

const DISC_SIDE: i64 = 48;

/// A softly shaded disc on black; `blob` adds a bright one to it. Returns pixels and where the blob is.
fn disc(purpose: &str, index: usize, blob: bool) -> (Vec<u8>, Vec<bool>) {
    let mut stream = Stream::new(5, purpose, index as u64);
    let middle = [stream.between(22.0, 26.0), stream.between(22.0, 26.0)];
    let (radius, light) = (stream.between(18.0, 20.0), stream.between(90.0, 130.0));
    let turn = stream.between(0.0, std::f64::consts::TAU);
    let spot = [middle[0] + 9.0 * turn.sin(), middle[1] + 9.0 * turn.cos()];
    let [along, across] = [0, 1].map(|_| stream.between(0.0, std::f64::consts::TAU));
    let shade = |place: i64, phase: f64| 20.0 * (place as f64 * std::f64::consts::TAU / 32.0 + phase).sin();
    let (mut values, mut inside) = (Vec::new(), Vec::new());
    for y in 0..DISC_SIDE {
        for x in 0..DISC_SIDE {
            let from =
                |place: [f64; 2]| ((y as f64 - place[0]).powi(2) + (x as f64 - place[1]).powi(2)).sqrt();
            let in_spot = blob && from(spot) < 6.0;
            let value = match from(middle) < radius {
                true => {
                    light
                        + shade(x, along)
                        + shade(y, across)
                        + 40.0 * f64::from(u8::from(in_spot))
                        + stream.between(-4.0, 4.0)
                }
                false => 0.0,
            };
            values.push(value as u8);
            inside.push(in_spot);
        }
    }
    (values, inside)
}

fn discs(purpose: &str, n: usize, blob: bool) -> (Pictures, Vec<bool>) {
    let (mut bytes, mut inside) = (Vec::new(), Vec::new());
    for index in 0..n {
        let (values, is_inside) = disc(purpose, index, blob);
        (0..3).for_each(|_| bytes.extend_from_slice(&values));
        inside.extend(is_inside);
    }
    let pixels = Tensor::from_data_size(&bytes, &[n as i64, 3, DISC_SIDE, DISC_SIDE], Kind::Uint8);
    let acquisition = vec![Acquisition { width: 32, height: 32, file_bytes: 1000 }; n];
    (Pictures { pixels, acquisition }, inside)
}

fn maps(detector: &dyn Detector, queries: &Pictures) -> Vec<f64> {
    match detector.score(queries).expect("a prediction") {
        Prediction::Maps(maps) | Prediction::Both(maps, _) => {
            maps.values().iter().map(|&v| v.into()).collect()
        }
        Prediction::Scores(_) => panic!("no maps"),
    }
}

#[test]
fn a_pasted_blob_is_erased_by_coarse_noise_and_less_by_pixel_noise() {
    // Beside other tests more threads only wait for each other.
    tch::set_num_threads(1);
    let folder = TempDir::new().expect("a folder");
    let map_auroc = |resolution: i64| {
        let settings = format!(
            "width = 6\ndepth = 3\nsteps = 400\nbatch = 4\nlearning_rate = 3e-3\ncosine_epochs = 10\nresolution = {resolution}"
        );
        let fitted = fit("dae", &settings, discs("normal disc", 32, false).0, &context(&folder, 2));
        let (queries, inside) = discs("ill disc", 16, true);
        let detector = fitted.adapt(&queries).expect("a detector");
        let maps = maps(&*detector, &queries);
        let of = |blob: bool| -> Vec<f64> {
            maps.iter().zip(&inside).filter(|(_, is)| **is == blob).map(|(value, _)| *value).collect()
        };
        auroc(&of(false), &of(true)).expect("both classes")
    };
    let (coarse, pixel) = (map_auroc(6), map_auroc(DISC_SIDE));
    assert!(coarse > 0.9, "AUROC of maps is {coarse}");
    assert!(coarse > pixel + 0.1, "coarse noise gives {coarse}, noise by the pixel {pixel}");
}

#[test]
fn nothing_outside_the_foreground_is_anomalous() {
    let folder = TempDir::new().expect("a folder");
    let fitted = fit(
        "dae",
        "width = 4\ndepth = 2\nsteps = 3\nbatch = 4\nresolution = 4",
        discs("normal disc", 8, false).0,
        &context(&folder, 2),
    );
    let (queries, _) = discs("ill disc", 4, true);
    let detector = fitted.adapt(&queries).expect("a detector");
    let maps = maps(&*detector, &queries);
    let grey = queries.pixels.narrow(1, 0, 1).contiguous().flatten(0, -1);
    let grey: Vec<u8> = Vec::try_from(grey).expect("bytes");
    let side = DISC_SIDE as usize;
    // A median over 5 x 5 of an eroded mask reaches no pixel of the background.
    let background = (0..maps.len()).filter(|&at| grey[at] == 0);
    let highest = background.map(|at| maps[at]).fold(0.0, f64::max);
    assert_eq!(highest, 0.0);
    assert!(maps[side * (side / 2) + side / 2] > 0.0);
}

fn vgg(folder: &TempDir, seed: u64) -> Vgg {
    let origin = Origin::Random { seed, cache: Some(folder.path().to_owned()) };
    Vgg::new(&origin, Some(&pictures("calibration", 4).pixels), Device::Cpu).expect("a stand-in")
}

/// -1 to 1, of 64 pixels.
fn large(shown: &Pictures) -> Tensor {
    let unit = shown.pixels.to_kind(Kind::Float) / 127.5 - 1.0;
    unit.upsample_bilinear2d([64, 64], false, None, None)
}

#[test]
fn vgg_has_the_published_shapes_and_its_stand_in_is_labelled_calibrated_and_cached() {
    let folder = TempDir::new().expect("a folder");
    let fresh = vgg(&folder, 4);
    // Convolutions 3-64-64, 64-128-128, 128-256-256-256-256, 256-512-512 with biases.
    let n: usize = fresh.store.variables().values().map(Tensor::numel).sum();
    assert_eq!(n, 5_865_536);
    let names = fresh.store.variables();
    assert!(names.contains_key("features.0.weight") && names.contains_key("features.21.bias"));
    let x = large(&pictures("query", 2));
    let features = fresh.features(&x, Layer::R42);
    assert_eq!(features.size(), [2, 512, 8, 8]);
    assert_eq!(fresh.features(&x, Layer::R32).size(), [2, 256, 16, 16]);
    let deviation = features.std(false).double_value(&[]);
    assert!((0.2..5.0).contains(&deviation), "features have deviation {deviation}");
    assert!(vgg(&folder, 4).features(&x, Layer::R42).equal(&features), "the cached one differs");
    assert_eq!(std::fs::read_dir(folder.path()).expect("a folder").count(), 1);
    let origin = Origin::Random { seed: 4, cache: None };
    assert!(origin.label(Network::Vgg19).contains("vgg19, random teacher"));
}

#[test]
fn a_full_vgg_file_loads_and_a_wrong_one_is_refused() {
    let folder = TempDir::new().expect("a folder");
    let write = |name: &str, extra: &[(&str, i64)]| {
        let store = VarStore::new(Device::Cpu);
        let own = vgg(&folder, 4);
        for (name, value) in own.store.variables() {
            let (path, leaf) = name.rsplit_once('.').expect("a path");
            let path = path.split('.').fold(store.root(), |path, part| path / part);
            let _ = path.var_copy(leaf, &value);
        }
        for (name, size) in extra {
            let (path, leaf) = name.rsplit_once('.').expect("a path");
            let path = path.split('.').fold(store.root(), |path, part| path / part);
            let _ = path.zeros(leaf, &[*size]);
        }
        let file = folder.path().join(name);
        weights::save(&store, &file).expect("a file");
        Vgg::new(&Origin::file(file).expect("a file"), None, Device::Cpu).err().map(|e| format!("{e:#}"))
    };
    assert_eq!(write("full.safetensors", &[("features.23.bias", 512), ("classifier.0.bias", 8)]), None);
    let error = write("odd.safetensors", &[("features.3.bias", 64)]).expect("an error");
    assert!(error.contains("features.3.bias"), "{error}");
    let resnet = Origin::file(super::teacher_file(&folder)).expect("a file");
    let error = Vgg::new(&resnet, None, Device::Cpu).err().map(|e| format!("{e:#}")).expect("an error");
    assert!(error.contains("missing"), "{error}");
}

#[test]
fn perceptual_loss_is_zero_for_equals_relative_and_orders_by_likeness() {
    let folder = TempDir::new().expect("a folder");
    let vgg = vgg(&folder, 4);
    let x = large(&pictures("query", 6));
    let a = vgg.features(&x, Layer::R42);
    let b = vgg.features(&(&x * 0.5), Layer::R42);
    let mean = |map: Tensor| map.mean(None::<Kind>).double_value(&[]);
    assert_eq!(mean(relative(&a, &a)), 0.0);
    let once = mean(relative(&a, &b));
    assert!(once > 0.0 && (mean(relative(&(&a * 7.0), &(&b * 7.0))) / once - 1.0).abs() < 1e-5);
    let blurred = x.reflection_pad2d([1, 1, 1, 1]).avg_pool2d([3, 3], [1, 1], [0, 0], false, true, None);
    let foreign = (normal("texture", &[6, 3, 64, 64]) * 0.5).clamp(-1.0, 1.0);
    for statistics in [Statistics::None, Statistics::Normals] {
        let measure = Measure::new(&vgg, &x, statistics);
        let far = |y: &Tensor| measure.distance(&vgg, &x, y);
        assert_eq!(mean(far(&x)), 0.0);
        let nearer = far(&blurred).lt_tensor(&far(&foreign));
        assert_eq!(nearer.all().int64_value(&[]), 1, "{statistics:?}");
    }
}

#[test]
fn a_growing_autoencoder_fades_from_one_level_to_the_next() {
    let store = VarStore::new(Device::Cpu);
    let shape = growing::Shape { channels: 3, levels: 3, width: 4, latent: 4, grows: true };
    let network = GrowingAutoEncoder::new(&store.root(), shape);
    initial::initialise_leaky(&store, 1);
    let x = normal("growing", &[2, 3, 64, 64]);
    for (level, side) in [(1, 16), (2, 32), (3, 64)] {
        let y = network.forward(&x.narrow(2, 0, side).narrow(3, 0, side), level, 1.0);
        assert_eq!(y.size(), [2, 3, side, side]);
    }
    // At the start of fading in, all goes through the level below.
    let start = network.forward(&x, 3, 0.0);
    let below = growing::doubled(&network.forward(&growing::halved(&x), 2, 1.0));
    assert!((start - below).abs().max().double_value(&[]) < 1e-5);
    let folder = TempDir::new().expect("a folder");
    let settings = "input = 32\nprogressive = true\nsteps = 2\nstage_steps = 2\nbatch = 4";
    let fitted = fit("dpa", settings, pictures("normal", 4), &context(&folder, 2));
    let detector = fitted.adapt(&pictures("support", 2)).expect("a detector");
    assert!(scores(&*detector, &pictures("query", 2), &[0, 1], 2).iter().all(|score| *score > 0.0));
}

fn cloud(n: usize, dimensions: usize) -> Points {
    let mut stream = Stream::new(2, "cloud", n as u64);
    Points::new((0..n * dimensions).map(|_| stream.normal()).collect(), dimensions).expect("rows")
}

fn kernel(points: &Points, gamma: f64) -> Vec<Vec<f64>> {
    let k = |i: usize, j: usize| medfsad::method::part::ocsvm::radial(points.row(i), points.row(j), gamma);
    (0..points.len()).map(|i| (0..points.len()).map(|j| k(i, j)).collect()).collect()
}

fn objective(kernel: &[Vec<f64>], alpha: &[f64]) -> f64 {
    let row = |row: &Vec<f64>| row.iter().zip(alpha).map(|(k, a)| k * a).sum::<f64>();
    kernel.iter().zip(alpha).map(|(k, a)| a * row(k)).sum()
}

/// Solves a small linear system by elimination; `None` if it is singular.
fn eliminate(mut rows: Vec<Vec<f64>>) -> Option<Vec<f64>> {
    let n = rows.len();
    for column in 0..n {
        let pivot = (column..n).max_by(|a, b| rows[*a][column].abs().total_cmp(&rows[*b][column].abs()))?;
        rows.swap(column, pivot);
        if rows[column][column].abs() < 1e-12 {
            return None;
        }
        let pivot = rows[column].clone();
        for (_, row) in rows.iter_mut().enumerate().filter(|(other, _)| *other != column) {
            let factor = row[column] / pivot[column];
            row.iter_mut().zip(&pivot).for_each(|(value, above)| *value -= factor * above);
        }
    }
    Some((0..n).map(|index| rows[index][n] / rows[index][index]).collect())
}

/// The least objective over every choice of points at zero, at the bound and between.
fn brute_force(kernel: &[Vec<f64>], bound: f64) -> f64 {
    let n = kernel.len();
    let mut least = f64::INFINITY;
    for choice in 0..3usize.pow(n as u32) {
        let state = |index: usize| choice / 3usize.pow(index as u32) % 3;
        let free: Vec<usize> = (0..n).filter(|&index| state(index) == 2).collect();
        let fixed = |index: usize| if state(index) == 1 { bound } else { 0.0 };
        let taken: f64 = (0..n).map(fixed).sum();
        // Gradient equals rho on free points, and weights sum to 1.
        let mut rows: Vec<Vec<f64>> = Vec::new();
        for &i in &free {
            let mut row: Vec<f64> = free.iter().map(|&j| kernel[i][j]).collect();
            row.push(-1.0);
            row.push(-(0..n).map(|j| kernel[i][j] * fixed(j)).sum::<f64>());
            rows.push(row);
        }
        let mut sum = vec![1.0; free.len()];
        sum.extend([0.0, 1.0 - taken]);
        rows.push(sum);
        let mut alpha: Vec<f64> = (0..n).map(fixed).collect();
        if free.is_empty() {
            if (taken - 1.0).abs() > 1e-9 {
                continue;
            }
        } else {
            let Some(solution) = eliminate(rows) else { continue };
            free.iter().zip(&solution).for_each(|(&index, &value)| alpha[index] = value);
        }
        if alpha.iter().all(|&value| (-1e-9..=bound + 1e-9).contains(&value)) {
            least = least.min(objective(kernel, &alpha));
        }
    }
    least
}

#[test]
fn the_one_class_machine_finds_what_brute_force_finds() {
    for (nu, gamma) in [(0.03, 0.5), (0.3, 0.5), (0.5, 0.1), (0.8, 2.0)] {
        let points = cloud(8, 3);
        let kernel = kernel(&points, gamma);
        let dual = solve(8, nu, |index| kernel[index].clone()).expect("a solution");
        assert!((dual.alpha.iter().sum::<f64>() - 1.0).abs() < 1e-9);
        assert!(dual.alpha.iter().all(|alpha| (0.0..=dual.bound + 1e-12).contains(alpha)));
        // Of K itself. A factor L of it in K's place has another optimum.
        let (own, least) = (objective(&kernel, &dual.alpha), brute_force(&kernel, 1.0 / (nu * 8.0)));
        assert!((own - least).abs() < 1e-4 * least, "nu {nu}: {own} against {least}");
    }
}

#[test]
fn with_nu_of_one_all_points_weigh_alike() {
    let machine = OneClass::fit(cloud(20, 4), 0.3, 1.0).expect("a machine");
    assert!(machine.dual().alpha.iter().all(|alpha| (alpha - 0.05).abs() < 1e-9));
}

#[test]
fn at_most_a_share_of_nu_lies_outside_the_machine_and_far_points_do() {
    for (n, nu) in [(50, 0.03), (200, 0.1), (200, 0.5)] {
        let points = cloud(n, 3);
        let machine = OneClass::fit(points.clone(), 1.0 / 3.0, nu).expect("a machine");
        let outside = (0..n).filter(|&index| machine.decide(points.row(index)) < -1e-6).count();
        let most = nu + 2.0 / (n as f64).sqrt();
        assert!(outside as f64 / n as f64 <= most, "{outside} of {n} at nu {nu}");
        assert!(machine.decide(&[8.0, 8.0, 8.0]) < 0.0 && machine.decide(&[0.0; 3]) > 0.0);
    }
    assert!(OneClass::fit(cloud(5, 2), 1.0, 0.0).is_err());
}

#[test]
fn guidance_pulls_codes_together_from_the_side_that_was_asked() {
    let settings = |guidance: Guidance| ogae::Settings { guidance, nu: 0.3, ..ogae::Settings::default() };
    for guidance in [Guidance::Compactor, Guidance::Expander, Guidance::Both] {
        let codes = normal("codes", &[32, 4]).set_requires_grad(true);
        let before = ogae::guidance(&codes, &settings(guidance));
        before.backward();
        let gradient = codes.grad();
        let size = |start: i64| gradient.narrow(0, start, 16).abs().sum(None::<Kind>).double_value(&[]);
        let (supporting, judged) = (size(0), size(16));
        assert_eq!(supporting > 0.0, guidance != Guidance::Compactor, "{guidance:?}");
        assert_eq!(judged > 0.0, guidance != Guidance::Expander, "{guidance:?}");
        let after = ogae::guidance(&(codes.detach() - gradient * 0.1), &settings(guidance));
        assert!(after.double_value(&[]) < before.double_value(&[]), "{guidance:?}");
    }
}

#[test]
fn guidance_falls_in_training_and_pictures_are_still_reconstructed() {
    let folder = TempDir::new().expect("a folder");
    let settings =
        "input = 16\nlatent = 8\nepochs = 60\nbatch = 32\nguidance = 'both'\nnu = 0.2\nlambda = 1.0";
    let entry = find("ogae").expect("known");
    let built = (entry.build)(toml::from_str(settings).expect("TOML")).expect("settings");
    let mut seen: Vec<[f64; 2]> = Vec::new();
    let mut observer = |_: u64, figures: &medfsad::method::EpochFigures, _: &dyn Fitted| {
        assert_eq!([figures[1].0, figures[2].0], ["squared-error", "guidance"]);
        seen.push([figures[1].1, figures[2].1]);
        Ok(())
    };
    built.method.fit(&normals(pictures("normal", 32)), &context(&folder, 2), &mut observer).expect("fitted");
    let (first, last) = (seen[0], seen[seen.len() - 1]);
    assert!(last[1] < first[1], "guidance went from {} to {}", first[1], last[1]);
    assert!(last[0] < first[0], "the squared error went from {} to {}", first[0], last[0]);
}
