//! The pretrained network that methods are given: from a file, or with random weights.

use std::path::PathBuf;

use medfsad::network::encoder::Encoder;
use medfsad::network::origin::Origin;
use medfsad::network::teacher::Teacher;
use medfsad::network::{Backbone, Input, Network, initial, weights};
use tch::Device;
use tch::nn::VarStore;
use tempfile::TempDir;

use super::{pictures, teacher_file};

#[test]
fn weights_of_another_network_are_refused_by_name() {
    let folder = TempDir::new().expect("a folder");
    let origin = Origin::file(teacher_file(&folder)).expect("a file");
    let calibration = pictures("calibration", 4).pixels;
    let load = |backbone| {
        Teacher::new(backbone, Input::Unit, &origin, Some(&calibration), Device::Cpu)
            .err()
            .map(|e| format!("{e:#}"))
    };
    assert_eq!(load(Backbone::Resnet18), None);
    let error = load(Backbone::Resnet34).expect("an error");
    assert!(error.contains("teacher.safetensors") && error.contains("missing"), "{error}");
    let error = load(Backbone::WideResnet50x2).expect("an error");
    assert!(error.contains("teacher.safetensors"), "{error}");
    // Exchanged since its hash was taken, for other weights of the same network.
    let (planned, other) = (folder.path().join("planned.safetensors"), VarStore::new(Device::Cpu));
    std::fs::copy(teacher_file(&folder), &planned).expect("a copy");
    let origin = Origin::file(planned.clone()).expect("a file");
    let load = || Teacher::new(Backbone::Resnet18, Input::Unit, &origin, None, Device::Cpu).map(drop);
    load().expect("the planned weights");
    Encoder::new(&other.root(), Backbone::Resnet18);
    initial::initialise(&other, 9);
    weights::save(&other, &planned).expect("other weights");
    let error = format!("{:#}", load().expect_err("exchanged weights"));
    assert!(error.contains("planned.safetensors was exchanged"), "{error}");
    let absent = Origin::file(folder.path().join("absent.safetensors")).expect_err("an error");
    assert!(format!("{absent:#}").contains("absent.safetensors"));
}

#[test]
fn the_random_teacher_is_labelled_calibrated_and_cached() {
    let folder = TempDir::new().expect("a folder");
    let origin = Origin::Random { seed: 4, cache: Some(folder.path().to_owned()) };
    let resnet18 = Network::Backbone(Backbone::Resnet18);
    assert!(origin.label(resnet18).contains("random teacher"));
    assert_ne!(origin.hash(resnet18), Origin::Random { seed: 5, cache: None }.hash(resnet18));
    let calibration = pictures("calibration", 16);
    let features = || {
        let teacher =
            Teacher::new(Backbone::Resnet18, Input::Unit, &origin, Some(&calibration.pixels), Device::Cpu)
                .expect("a teacher");
        teacher.features(&calibration.pixels).deep
    };
    let (fresh, cached) = (features(), features());
    assert!(fresh.equal(&cached), "the cached teacher differs from the fresh one");
    // The weights and their hash. Altered weights are not believed, but drawn again.
    let kept = || {
        let files =
            std::fs::read_dir(folder.path()).expect("a folder").map(|file| file.expect("a file").path());
        files.collect::<Vec<_>>()
    };
    assert_eq!(kept().len(), 2);
    let is_weights = |path: &&PathBuf| path.extension().is_some_and(|ending| ending == "safetensors");
    let path = kept().iter().find(is_weights).expect("weights").clone();
    let mut altered = weights::read(&path).expect("weights");
    let first = altered.get_mut("conv1.weight").expect("a weight");
    *first = &*first * 2.0;
    weights::write(altered, None, &path).expect("weights");
    assert!(fresh.equal(&features()), "altered weights were believed");
    // Without calibration, variance doubles with every residual block; with it, features stay near one.
    let deviation = fresh.std(false).double_value(&[]);
    assert!(0.2 < deviation && deviation < 5.0, "features have deviation {deviation}");
}

/// Cached stand-ins are called `v1`, and cells are told apart by the seed alone: if this value moves, raise the
/// version in `network::teacher`.
#[test]
fn initial_values_of_the_random_teacher_never_move() {
    let store = VarStore::new(Device::Cpu);
    Encoder::new(&store.root(), Backbone::Resnet18);
    initial::initialise(&store, 3);
    let first: Vec<f32> = Vec::try_from(store.variables()["conv1.weight"].flatten(0, -1)).expect("floats");
    let golden: [f32; 4] = [-0.0007494866, 0.047517527, -0.00110233, 0.03268231];
    let worst = first.iter().zip(golden).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
    assert!(worst < 1e-7, "the first values are {:?}", &first[..4]);
    // Kaiming normal over fan-out: 64 filters of 7 x 7.
    let mean_square = first.iter().map(|v| v * v).sum::<f32>() / first.len() as f32;
    assert!((mean_square * (64.0 * 49.0 / 2.0) - 1.0).abs() < 0.05);
}
