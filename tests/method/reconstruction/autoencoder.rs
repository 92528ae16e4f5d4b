//! The plain and the variational auto-encoder.

use medfsad::network::autoencoder::Code;
use medfsad::network::layer::Norm;
use medfsad::network::optimiser::{Adam, Optimiser, Rule};

use super::*;

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
        let mut adam = Optimiser::new(&[&store], Rule::Adam(Adam { learning_rate, ..Adam::default() }));
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
    let given = scores((&*fitted, &*detector), &twice, &[0, 1, 2], 3);
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
            scores((&*fitted, &*detector), &pictures("query", 3), &[0, 1, 2], 3)
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
        assert_eq!(built.regime.name(), "R1");
        let fitted =
            built.method.fit(&[], &context(&folder, 1), &mut medfsad::method::Unobserved).expect("fitted");
        let detector = fitted.adapt(&pictures("support", 1)).expect("a detector");
        assert_eq!(scores((&*fitted, &*detector), &pictures("query", 2), &[0, 1], 2).len(), 2, "{name}");
    }
}
