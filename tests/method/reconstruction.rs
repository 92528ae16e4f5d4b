//! Methods that reconstruct: plain, variational, denoising, perceptual and guided auto-encoders.

use medfsad::episode::batch::Pictures;
use medfsad::ids::TaskName;
use medfsad::method::{Context, Fitted, TrainTask, find};
use medfsad::network::autoencoder::{AutoEncoder, Shape};
use medfsad::network::unet::{self, UNet};
use medfsad::network::{initial, weights};
use medfsad::random::Stream;
use tch::nn::VarStore;
use tch::{Device, Kind, Tensor};
use tempfile::TempDir;

use super::{context, pictures, scores};

mod autoencoder;
mod dae;
mod dpa;
mod ogae;

fn normals(shown: Pictures) -> Vec<TrainTask> {
    vec![TrainTask {
        name: TaskName::new("target"),
        pictures: shown,
        pairs: Vec::new(),
        anomalies: None,
        pool: None,
    }]
}

fn fit(name: &str, settings: &str, shown: Pictures, context: &Context) -> Box<dyn Fitted> {
    let entry = find(name).expect("a known method");
    let built = (entry.build)(toml::from_str(settings).expect("TOML")).expect("good settings");
    built.method.fit(&normals(shown), context, &mut medfsad::method::Unobserved).expect("a fitted method")
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
