//! The deep perceptual auto-encoder and VGG19.

use medfsad::method;
use medfsad::method::dpa::{Measure, Perception, Statistics, relative};
use medfsad::network::growing_autoencoder::{self, GrowingAutoEncoder};
use medfsad::network::origin::Origin;
use medfsad::network::teacher::Teacher;
use medfsad::network::vgg::{Layer, Vgg};
use medfsad::network::{Backbone, Input, Network};

use super::*;

const LITE: Backbone = Backbone::EfficientNetLite0;

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
    assert_eq!(std::fs::read_dir(folder.path()).expect("a folder").count(), 2, "the weights and their hash");
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
    let resnet = Origin::file(super::super::teacher_file(&folder)).expect("a file");
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
fn efficientnet_takes_the_place_of_vgg19_and_its_gradients_reach_the_pictures() {
    let folder = TempDir::new().expect("a folder");
    let origin = Origin::Random { seed: 4, cache: Some(folder.path().to_owned()) };
    let calibration = pictures("calibration", 4).pixels;
    let lite =
        Teacher::new(LITE, Input::ImageNet, &origin, Some(&calibration), Device::Cpu).expect("a stand-in");
    let x = large(&pictures("query", 2));
    let of = |layer| Perception::features(&lite, &x, layer);
    assert_eq!((of(Layer::R32).size(), of(Layer::R42).size()), (vec![2, 24, 16, 16], vec![2, 40, 8, 8]));
    let expected = lite.features(&((&x + 1.0) * 127.5));
    assert!(of(Layer::R42).allclose(&expected.scales[1], 1e-5, 1e-6, false));
    let picture = x.copy().set_requires_grad(true);
    Measure::new(&lite, &x, Statistics::None)
        .distance(&lite, &(&x * 0.5), &picture)
        .sum(None::<Kind>)
        .backward();
    assert!(picture.grad().abs().sum(None::<Kind>).double_value(&[]) > 0.0);
    let settings = "network = 'efficientnet_lite0'\ninput = 32\nsteps = 2\nbatch = 4\ntrain_on = 'supports'";
    let built = (method::find("dpa").unwrap().build)(settings.parse().unwrap()).unwrap();
    assert_eq!(built.network, Some(Network::Backbone(LITE)));
    let error = (method::find("dpa").unwrap().build)("network = 'resnet18'".parse().unwrap()).err().unwrap();
    assert!(format!("{error:#}").contains("expected `vgg19` or `efficientnet_lite0`"), "{error:#}");
}

#[test]
fn a_growing_autoencoder_fades_from_one_level_to_the_next() {
    let store = VarStore::new(Device::Cpu);
    let shape = growing_autoencoder::Shape { channels: 3, levels: 3, width: 4, latent: 4, grows: true };
    let network = GrowingAutoEncoder::new(&store.root(), shape);
    initial::initialise_leaky(&store, 1);
    let x = normal("growing", &[2, 3, 64, 64]);
    for (level, side) in [(1, 16), (2, 32), (3, 64)] {
        let y = network.forward(&x.narrow(2, 0, side).narrow(3, 0, side), level, 1.0);
        assert_eq!(y.size(), [2, 3, side, side]);
    }
    // At the start of fading in, all goes through the level below.
    let start = network.forward(&x, 3, 0.0);
    let below = growing_autoencoder::doubled(&network.forward(&growing_autoencoder::halved(&x), 2, 1.0));
    assert!((start - below).abs().max().double_value(&[]) < 1e-5);
    let folder = TempDir::new().expect("a folder");
    let settings = "input = 32\nprogressive = true\nsteps = 2\nstage_steps = 2\nbatch = 4";
    let fitted = fit("dpa", settings, pictures("normal", 4), &context(&folder, 2));
    let detector = fitted.adapt(&pictures("support", 2)).expect("a detector");
    assert!(
        scores((&*fitted, &*detector), &pictures("query", 2), &[0, 1], 2).iter().all(|score| *score > 0.0)
    );
}
