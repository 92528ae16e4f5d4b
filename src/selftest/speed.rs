//! How fast a device is at what a bench does, in each of its precisions.

use anyhow::{Context as _, Result};
use serde::{Deserialize, Serialize};

use super::{Numbers, Options, Record, prepare};
use crate::evaluate::workload::{Timed, Workload};
use crate::metric::quantile::median;
use crate::network::{Backbone, operations};

/// One kind of work.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Timing {
    pub work: String,
    pub backbone: String,
    /// Side of the pictures in pixels.
    pub size: i64,
    pub precision: String,
    pub shots: Option<usize>,
    /// Pictures or maps at once.
    pub count: usize,
    /// Median of some runs.
    pub seconds: f64,
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

pub(super) fn run(options: &Options, record: &mut Record) -> Result<()> {
    let plan = match (options.quick, options.device.is_cuda()) {
        (true, _) => Plan { backbone: Backbone::Resnet18, size: 64, batch: 4, shots: &[2], repeats: 3 },
        (false, false) => {
            Plan { backbone: Backbone::WideResnet50x2, size: 128, batch: 4, shots: &[2], repeats: 3 }
        }
        (false, true) => {
            Plan { backbone: Backbone::WideResnet50x2, size: 128, batch: 16, shots: &[2, 4, 8], repeats: 12 }
        }
    };
    let folder = tempfile::tempdir().context("a folder for weights")?;
    println!(
        "{:<22} {:<5} {:>5} {:>6} {:>10} {:>9} {:>8}",
        "work", "", "shots", "count", "ms", "a second", "TFLOP/s"
    );
    for &numbers in Numbers::on(options.device).iter().filter(|numbers| **numbers != Numbers::F64) {
        prepare(options.device, numbers)?;
        let work =
            Workload::new(plan.backbone, plan.size, options.device, numbers.precision(), folder.path())?;
        let (teacher, decoder) = (work.teacher_operations, work.decoder_operations());
        let mut tell =
            |what: &str, shots: Option<usize>, count: usize, timed: &Timed, operations: Option<f64>| {
                // The first run warms up.
                let seconds = median(&mut timed.seconds[1..].to_vec()).unwrap_or(f64::NAN);
                let operations_per_second = operations.map(|operations| operations / seconds);
                let timing = Timing {
                    work: what.to_owned(),
                    backbone: plan.backbone.name().to_owned(),
                    size: plan.size,
                    precision: numbers.name().to_owned(),
                    shots,
                    count,
                    seconds,
                    operations_per_second,
                    memory_bytes: timed.memory,
                };
                println!("{}", line(&timing));
                record.speed.push(timing);
            };
        if !options.quick {
            let rate = operations::rate(numbers.precision(), options.device);
            let timed = Timed { seconds: vec![1.0, 1.0], ..Timed::default() };
            tell("multiplying at best", None, 1, &timed, Some(rate));
        }
        let (batch, repeats) = (plan.batch, plan.repeats);
        for count in [batch, 8 * batch] {
            let timed = work.encode(count, repeats);
            tell("teacher features", None, count, &timed, Some(count as f64 * teacher));
        }
        for &shots in plan.shots {
            let (timed, _) = work.train(shots, batch, repeats)?;
            // The gradient by the input and the one by the kernel each take what the way forward takes.
            let operations = 3.0 * (batch * (1 + shots)) as f64 * decoder;
            tell("training step", Some(shots), batch, &timed, Some(operations));
        }
        for count in [batch, 8 * batch] {
            let timed = work.score(plan.shots[0], count, repeats)?;
            tell("scoring", Some(plan.shots[0]), count, &timed, Some(count as f64 * (teacher + decoder)));
        }
        if numbers == Numbers::F32 {
            let count = if options.quick { 16 } else { 512 };
            tell("smoothing, all ways", None, count, &work.smooth(count, repeats.min(4))?, None);
        }
    }
    Ok(())
}

fn line(timing: &Timing) -> String {
    let shots = timing.shots.map_or(String::new(), |shots| shots.to_string());
    let rate = timing.operations_per_second.map_or(String::new(), |rate| format!("{:.2}", rate / 1e12));
    format!(
        "{:<22} {:<5} {shots:>5} {:>6} {:>10.3} {:>9.1} {rate:>8}",
        timing.work,
        timing.precision,
        timing.count,
        1e3 * timing.seconds,
        timing.count as f64 / timing.seconds
    )
}
