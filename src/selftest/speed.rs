//! How fast a device is at what a bench does, in each of its precisions.

use anyhow::{Context as _, Result};
use serde::{Deserialize, Serialize};

use super::{Numbers, Options, Record, prepare};
use crate::evaluate::workload::{Timed, Workload};
use crate::metric::quantile::median;
use crate::network::{Backbone, card, rate};

/// One kind of work.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Timing {
    /// What was timed, such as `training step`.
    pub work: String,
    /// The encoder, by name.
    pub backbone: String,
    /// Side of the pictures in pixels.
    pub size: i64,
    /// The precision it was computed in.
    pub precision: String,
    /// Supports of each query; `None` where the work has none.
    pub shots: Option<usize>,
    /// Pictures or maps at once.
    pub count: usize,
    /// Median of some runs; `None` for a mere rate.
    pub seconds: Option<f64>,
    /// Multiplications and additions of the convolutions a second.
    pub operations_per_second: Option<f64>,
    /// Of a card's memory, held in the end.
    pub memory_bytes: Option<u64>,
}

/// What is timed.
struct Plan {
    backbone: Backbone,
    size: i64,
    batch: usize,
    shots: &'static [usize],
    repeats: usize,
}

impl Plan {
    fn of(options: &Options) -> Plan {
        match (options.quick, options.device.is_cuda()) {
            (true, _) => Plan { backbone: Backbone::Resnet18, size: 64, batch: 4, shots: &[2], repeats: 3 },
            (false, false) => {
                Plan { backbone: Backbone::WideResnet50x2, size: 128, batch: 4, shots: &[2], repeats: 3 }
            }
            (false, true) => Plan {
                backbone: Backbone::WideResnet50x2,
                size: 128,
                batch: 16,
                shots: &[2, 4, 8],
                repeats: 12,
            },
        }
    }
}

pub(super) fn run(options: &Options, record: &mut Record) -> Result<()> {
    let plan = Plan::of(options);

    let folder = tempfile::tempdir().context("a folder for weights")?;
    println!(
        "{:<22} {:<5} {:>5} {:>6} {:>10} {:>9} {:>8}",
        "work", "", "shots", "count", "ms", "a second", "TFLOP/s"
    );
    for &numbers in Numbers::on(options.device).iter().filter(|numbers| **numbers != Numbers::F64) {
        prepare(options.device, numbers)?;
        card::give_back_memory(options.device);
        let work =
            Workload::new(plan.backbone, plan.size, options.device, numbers.precision(), folder.path())?;
        let (teacher, decoder) = (work.teacher_operations, work.decoder_operations());
        let timing = |what: &str| Timing {
            work: what.to_owned(),
            backbone: plan.backbone.name().to_owned(),
            size: plan.size,
            precision: numbers.name().to_owned(),
            shots: None,
            count: 0,
            seconds: None,
            operations_per_second: None,
            memory_bytes: None,
        };
        let mut tell = |timing: Timing| {
            println!("{}", line(&timing));
            record.speed.push(timing);
        };
        let timed =
            |what: &str, shots: Option<usize>, count: usize, timed: &Timed, operations: Option<f64>| {
                // The first run warms up.
                let seconds = median(&mut timed.seconds[1..].to_vec());
                let operations_per_second =
                    operations.zip(seconds).map(|(operations, seconds)| operations / seconds);
                let memory_bytes = timed.memory;
                Timing { shots, count, seconds, operations_per_second, memory_bytes, ..timing(what) }
            };
        if !options.quick {
            let rate = rate::of(numbers.precision(), options.device);
            tell(Timing { operations_per_second: Some(rate), ..timing("multiplying at best") });
        }
        for count in [plan.batch, 8 * plan.batch] {
            let encoded = work.encode(count, plan.repeats);
            tell(timed("teacher features", None, count, &encoded, Some(count as f64 * teacher)));
        }
        for &shots in plan.shots {
            let (trained, _) = work.train(shots, plan.batch, plan.repeats)?;
            // The gradient by the input and the one by the kernel each take what the way forward takes.
            let operations = 3.0 * (plan.batch * (1 + shots)) as f64 * decoder;
            tell(timed("training step", Some(shots), plan.batch, &trained, Some(operations)));
        }
        for count in [plan.batch, 8 * plan.batch] {
            let scored = work.score(plan.shots[0], count, plan.repeats)?;
            let operations = count as f64 * (teacher + decoder);
            tell(timed("scoring", Some(plan.shots[0]), count, &scored, Some(operations)));
        }
        if numbers == Numbers::F32 {
            let count = if options.quick { 16 } else { 512 };
            let smoothed = work.smooth(count, plan.repeats.min(4))?;
            tell(timed("smoothing, all ways", None, count, &smoothed, None));
        }
    }
    Ok(())
}

fn line(timing: &Timing) -> String {
    let shots = timing.shots.map_or(String::new(), |shots| shots.to_string());
    let rate = timing.operations_per_second.map_or(String::new(), |rate| format!("{:.2}", rate / 1e12));
    let told =
        |value: Option<f64>, digits: usize| value.map_or(String::new(), |value| format!("{value:.digits$}"));
    format!(
        "{:<22} {:<5} {shots:>5} {:>6} {:>10} {:>9} {rate:>8}",
        timing.work,
        timing.precision,
        timing.count,
        told(timing.seconds.map(|seconds| 1e3 * seconds), 3),
        told(timing.seconds.map(|seconds| timing.count as f64 / seconds), 1)
    )
}
