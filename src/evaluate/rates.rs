//! How fast a device is, as `medfsad selftest` found it.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use serde::Deserialize;
use tch::nn::VarStore;
use tch::{Device, Kind, Tensor};

use super::device::Wanted;
use crate::files;
use crate::method::work::{CellSize, Operations, Work};
use crate::network::layer::{BatchNorm, Conv, Norm, of_convolution};
use crate::network::layout;
use crate::network::precision::Precision;
use crate::regime::Regime;

/// How fast a device is, as `medfsad selftest` found.
#[derive(Clone, Debug)]
pub struct Speed {
    /// The file, and the device that it is of.
    pub source: String,
    /// Operations a second of a training step, by its number of supports.
    training: Vec<(usize, f64)>,
    /// Operations a second of pictures that pass forward, and of scoring.
    forward: f64,
    scoring: f64,
    /// Pixels of maps that are smoothed in a second, under every protocol.
    smoothing: f64,
    /// Bytes of a card's memory that the self-test came to hold; 0 for a CPU.
    pub held: f64,
    /// Cells that are computed at once, and share what the device can do.
    pub at_once: f64,
    is_card: bool,
}

/// What counts here of the record that `medfsad selftest` writes.
#[derive(Deserialize)]
struct Record {
    device: String,
    /// Of small networks, which say nothing of large ones.
    quick: bool,
    card: Option<Card>,
    threads: usize,
    speed: Vec<Timing>,
}

#[derive(Deserialize)]
struct Card {
    name: String,
}

#[derive(Deserialize)]
struct Timing {
    work: String,
    /// Side of the pictures in pixels.
    size: f64,
    precision: String,
    shots: Option<usize>,
    /// Pictures or maps at once.
    count: usize,
    seconds: Option<f64>,
    operations_per_second: Option<f64>,
    memory_bytes: Option<u64>,
}

impl Speed {
    /// Reads a self-test's record, for a plan for `device` in `precision`.
    ///
    /// # Errors
    /// A file that is missing, that is something else, that is of a device of another kind, or that lacks a time.
    pub fn read(path: &Path, device: Wanted, precision: Precision) -> Result<Speed> {
        let text = files::read_text(path).context(
            "--speed takes what `medfsad selftest --out FILE` wrote on the machine that shall compute",
        )?;
        let file = path.display();
        let record: Record = serde_json::from_str(&text)
            .with_context(|| format!("{file} is no record that this version's `medfsad selftest` wrote"))?;
        record.speed(&file.to_string(), &device.class(Precision::F32)?, precision)
    }

    /// Times a few layers on pictures of `size` pixels, forwards and with a step of training: rough, for a device of which no
    /// self-test is at hand. Layers of small pictures reach a fraction of what those of large ones do.
    pub fn measured(device: Device, size: i64) -> Speed {
        let layers: Vec<Layer> = (0..4).map(|stage| Layer::new(device, size, stage)).collect();
        let operations: f64 = layers.iter().map(Layer::operations).sum();
        let forward = |layers: &[Layer]| layers.iter().for_each(|layer| drop(layer.forward()));
        let forward = operations / seconds_of(device, &|| tch::no_grad(|| forward(&layers)));
        let training = 3.0 * operations / seconds_of(device, &|| layers.iter().for_each(Layer::step));
        let threads = tch::get_num_threads().max(1) as usize;
        let is_card = device != Device::Cpu;
        Speed {
            source: "a few layers timed on this device".to_owned(),
            training: vec![(1, training)],
            forward,
            scoring: forward,
            // Two products of a map of 128 x 128 with a matrix of its side, for two ways of smoothing.
            smoothing: forward / (2.0 * 2.0 * 2.0 * 128.0),
            held: 0.0,
            at_once: if is_card { 1.0 } else { threads as f64 },
            is_card,
        }
    }

    fn training(&self, shots: usize) -> f64 {
        let nearest = self.training.iter().min_by_key(|(timed, _)| timed.abs_diff(shots));
        nearest.map_or(f64::NAN, |(_, rate)| *rate)
    }

    /// Seconds that `operations` take, with training at the rate of the nearest number of shots that was
    /// timed.
    pub fn of(&self, operations: Operations, shots: usize) -> f64 {
        operations.training / self.training(shots) + operations.forward / self.forward
    }

    /// Seconds of scoring `count` pictures and smoothing their maps.
    pub fn of_scoring(&self, work: &Work, count: usize, size: i64) -> f64 {
        let smoothing = if work.maps { (size * size) as f64 / self.smoothing } else { 0.0 };
        count as f64 * (work.query / self.scoring + smoothing)
    }

    /// Seconds of one cell, without what its job shares: its training, and making of the test set what does not depend on
    /// supports.
    pub fn of_cell(&self, work: &Work, load: &CellSize, sees: Regime) -> f64 {
        let adapting = self.of(work.adapt, load.shots);
        let own = Work { query: work.query - work.encode, ..*work };
        let each = adapting + self.of_scoring(&own, load.n_test, load.size);
        // Each support is scored by the others, where taking them in is no training.
        let is_preset = !sees.sees_whole_target() && work.adapt.training == 0.0 && load.shots > 1;
        let preset = (load.shots - 1) as f64 * adapting + load.shots as f64 * work.query / self.scoring;
        work.evaluations as f64 * each + if is_preset { preset } else { 0.0 }
    }

    /// Seconds of making of the test set what does not depend on supports: once for a job, and for each training or support
    /// set that is trained on. A teacher's features are kept on a CPU.
    pub fn of_encoding(&self, work: &Work, n_test: usize) -> [f64; 2] {
        let kept = if self.is_card { 0.0 } else { work.teacher };
        let again = work.evaluations as f64 * (work.encode - kept);
        [kept, again].map(|operations| n_test as f64 * operations / self.scoring)
    }
}

/// A convolution with batch norm and activation, as one of a residual network's four stages has it.
struct Layer {
    input: Tensor,
    conv: Conv,
    norm: BatchNorm,
    store: VarStore,
}

/// Larger pictures are computed no faster for each of their pixels.
const LARGEST: i64 = 256;

impl Layer {
    const BATCH: i64 = 8;

    fn new(device: Device, size: i64, stage: u32) -> Layer {
        let (channels, side) = (64 << stage, (size.min(LARGEST) / (4 << stage)).max(1));
        let store = VarStore::new(device);
        Layer {
            input: Tensor::ones([Layer::BATCH, channels, side, side], (Kind::Float, device)),
            conv: Conv::new(&store.root(), channels, channels, 3, 1),
            norm: BatchNorm::new(&(store.root() / "norm"), channels),
            store,
        }
    }

    /// Of the way forward.
    fn operations(&self) -> f64 {
        let (_, channels, side, _) = self.input.size4().expect("four dimensions");
        Layer::BATCH as f64 * of_convolution(channels, channels, 3, side)
    }

    /// As a frozen teacher.
    fn forward(&self) -> Tensor {
        self.norm.activated(&self.conv.forward(&self.input), None, Norm::Stored)
    }

    /// Of training, by the kernels that decoders train with.
    fn step(&self) {
        let input = layout::for_convolutions(&self.input).set_requires_grad(true);
        let made = self.norm.activated(&self.conv.forward(&input), None, Norm::Batch);
        let mut weights = self.store.trainable_variables();
        // The layer before it needs the input's, too.
        let moved: Vec<&Tensor> = [&input].into_iter().chain(&weights).collect();
        let gradients = Tensor::run_backward(&[made.sum(Kind::Float)], &moved, false, false);
        tch::no_grad(|| {
            for (weights, gradient) in weights.iter_mut().zip(&gradients[1..]) {
                let _ = weights.g_sub_(&(gradient * 1e-6));
            }
        });
    }
}

/// The least seconds that `work` took, of as many runs as fit into a quarter of a second.
fn seconds_of(device: Device, work: &dyn Fn()) -> f64 {
    let wait = || {
        if let Device::Cuda(index) = device {
            tch::Cuda::synchronize(index as i64);
        }
    };
    // The first run also loads kernels, and on a card chooses them.
    work();
    wait();
    let (start, mut least) = (Instant::now(), f64::INFINITY);
    while start.elapsed() < Duration::from_millis(250) || least.is_infinite() {
        let run = Instant::now();
        work();
        wait();
        least = least.min(run.elapsed().as_secs_f64());
    }
    least
}

impl Record {
    fn speed(&self, file: &str, class: &str, precision: Precision) -> Result<Speed> {
        ensure!(
            !self.quick,
            "{file} is of `selftest --quick`, whose small networks say nothing of large ones: run it without --quick"
        );
        let timed = if self.device.starts_with("cuda") { "cuda" } else { "cpu" };
        ensure!(
            timed == class,
            "{file} is the self-test of a {timed} device, and the plan is for {class}: give one that was written on \
             such a machine, or plan with --device {timed}"
        );
        let name = precision.name();
        let lacks = |work: &str| {
            format!("{file} has no time of `{work}` in {name}: let `medfsad selftest` run to its end there")
        };
        let of = |work: &'static str| self.speed.iter().filter(move |timing| timing.work == work);
        let rate = |work: &'static str| {
            let most = of(work).filter(|timing| timing.precision == name).max_by_key(|timing| timing.count);
            most.and_then(|timing| timing.operations_per_second).with_context(|| lacks(work))
        };
        let held = self
            .speed
            .iter()
            .filter(|timing| timing.precision == name)
            .filter_map(|timing| timing.memory_bytes);
        let steps = of("training step").filter(|timing| timing.precision == name);
        let training: Vec<(usize, f64)> =
            steps.filter_map(|timing| timing.shots.zip(timing.operations_per_second)).collect();
        ensure!(!training.is_empty(), lacks("training step"));
        let smoothing = of("smoothing, all ways").next();
        let pixels = |timing: &Timing| Some(timing.count as f64 * timing.size.powi(2) / timing.seconds?);
        let (device, at_once) = match &self.card {
            Some(card) => (card.name.clone(), 1),
            None => (format!("{timed}, {} threads", self.threads), self.threads.max(1)),
        };
        Ok(Speed {
            source: format!("{file} ({device})"),
            training,
            forward: rate("teacher features")?,
            scoring: rate("scoring")?,
            smoothing: smoothing.and_then(pixels).with_context(|| lacks("smoothing, all ways"))?,
            held: held.max().unwrap_or_default() as f64,
            at_once: at_once as f64,
            is_card: self.card.is_some(),
        })
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// A card's, its times chosen so that rates are round.
    const RECORD: &str = r#"{"device": "cuda(0)", "card": {"name": "A Card", "memory": 1}, "threads": 16, "quick": false, "checks": [],
        "speed": [
        {"work": "teacher features", "size": 128, "precision": "f32", "count": 16, "seconds": 1.0,
         "operations_per_second": 1e12, "memory_bytes": 3000000000},
        {"work": "teacher features", "size": 128, "precision": "f32", "count": 128, "seconds": 1.0,
         "operations_per_second": 2e12, "memory_bytes": 5000000000},
        {"work": "training step", "size": 128, "precision": "f32", "shots": 2, "count": 16, "seconds": 1.0,
         "operations_per_second": 4e12},
        {"work": "training step", "size": 128, "precision": "f32", "shots": 8, "count": 16, "seconds": 1.0,
         "operations_per_second": 5e12},
        {"work": "scoring", "size": 128, "precision": "f32", "shots": 2, "count": 128, "seconds": 1.0,
         "operations_per_second": 3e12},
        {"work": "smoothing, all ways", "size": 128, "precision": "f32", "count": 500, "seconds": 0.5,
         "operations_per_second": null}]}"#;

    /// Of that card.
    pub(in crate::evaluate) fn speed() -> Speed {
        let record: Record = serde_json::from_str(RECORD).unwrap();
        record.speed("selftest.json", "cuda", Precision::F32).unwrap()
    }

    fn refusal(text: &str, device: Wanted, precision: Precision) -> String {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("selftest.json");
        std::fs::write(&path, text).unwrap();
        format!("{:#}", Speed::read(&path, device, precision).unwrap_err())
    }

    #[test]
    fn rates_are_those_of_the_largest_batch_and_the_nearest_shots() {
        let speed = speed();
        assert_eq!(speed.source, "selftest.json (A Card)");
        assert_eq!((speed.forward, speed.scoring, speed.held, speed.at_once), (2e12, 3e12, 5e9, 1.0));
        assert_eq!([1, 2, 4, 6, 16].map(|shots| speed.training(shots)), [4e12, 4e12, 4e12, 5e12, 5e12]);
        assert_eq!(speed.smoothing, 1000.0 * 128.0 * 128.0);
    }

    #[test]
    fn a_timed_layer_gives_rates_for_all_kinds_of_work() {
        let speed = Speed::measured(Device::Cpu, 64);
        let rates = [speed.training(4), speed.forward, speed.scoring, speed.smoothing];
        assert!(rates.iter().all(|rate| rate.is_finite() && *rate > 0.0), "{rates:?}");
        assert!(!speed.is_card && speed.at_once >= 1.0);
    }

    #[test]
    fn files_that_do_not_fit_are_refused_by_name() {
        let error = refusal(RECORD, Wanted::Cpu, Precision::F32);
        assert!(error.contains("selftest.json is the self-test of a cuda device"), "{error}");
        assert!(error.contains("the plan is for cpu") && error.contains("--device cuda"), "{error}");
        let quick = RECORD.replace("\"quick\": false", "\"quick\": true");
        let error = refusal(&quick, Wanted::Cuda(0), Precision::F32);
        assert!(error.contains("run it without --quick"), "{error}");
        let error = refusal(RECORD, Wanted::Cuda(0), Precision::Bf16);
        assert!(error.contains("no time of `training step` in bf16"), "{error}");
        let error = refusal("{\"speed\": 3}", Wanted::Cuda(0), Precision::F32);
        assert!(error.contains("selftest.json is no record"), "{error}");
        let missing = Speed::read(Path::new("nowhere.json"), Wanted::Cpu, Precision::F32).unwrap_err();
        let missing = format!("{missing:#}");
        assert!(missing.contains("nowhere.json") && missing.contains("medfsad selftest --out"), "{missing}");
    }
}
