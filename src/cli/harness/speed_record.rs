//! What the speed benchmark measures, row by row, as a table and as JSON.

use anyhow::{Context, Result, ensure};
use serde::{Deserialize, Serialize};

use crate::evaluate::workload::Timed;
use crate::metric::quantile::median;
use crate::network::card::Card;
use crate::network::precision::Precision;

/// What is timed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub(super) enum Work {
    /// A training step.
    Train,
    /// Scoring a batch.
    Score,
    /// Scoring a batch again, the teacher's features being kept.
    Again,
    /// An epoch with its evaluation.
    Epoch,
    /// A cell as the published script computes one: epochs, each with its evaluation, and the best on the test set.
    Cell,
}

impl Work {
    pub(super) fn name(self) -> &'static str {
        match self {
            Work::Train => "train",
            Work::Score => "score",
            Work::Again => "again",
            Work::Epoch => "epoch",
            Work::Cell => "cell",
        }
    }
}

/// Everything measured, as written to a file. Memory is of the whole card on our side, the reference's included, and of the
/// reference's own allocations on its side.
#[derive(Serialize)]
pub(super) struct Record {
    pub medfsad: &'static str,
    pub git_revision: &'static str,
    pub reference: Option<Versions>,
    /// What ours does with subnormal numbers.
    pub subnormals: String,
    /// What computes ours on a CPU.
    pub kernels: String,
    pub device: String,
    pub card: Option<Card>,
    pub backbone: &'static str,
    pub size: i64,
    pub threads: usize,
    pub rows: Vec<Row>,
}

#[derive(Clone, Debug, Deserialize, Serialize)]
pub(super) struct Versions {
    pub python: String,
    pub torch: String,
    pub numpy: String,
    pub scipy: String,
}

/// One kind of work at one support set size.
#[derive(Serialize)]
pub(super) struct Row {
    pub work: Work,
    pub precision: Precision,
    pub shots: usize,
    pub batch: usize,
    pub reference: Timed,
    /// With subnormal numbers flushed to zero; not on a card, which has no slow ones.
    pub reference_flushed: Option<Timed>,
    pub medfsad: Timed,
    /// What comes on top for work that is done once: teacher features of training pictures over 70 epochs.
    pub medfsad_once: f64,
    pub times_faster: f64,
    pub times_faster_than_flushed: Option<f64>,
    /// Against the reference in single precision, which is what was published, where that was timed too.
    pub times_faster_than_f32: Option<f64>,
    /// What `times_faster` would be if training did nothing but the decoder's multiplications, forward and backward, at
    /// this machine's fastest rate.
    pub at_most: Option<f64>,
    /// Queries a second.
    pub pictures_per_second: f64,
    /// Of this machine's fastest rate, by the multiplications that the work needs.
    pub share_of_peak: Option<f64>,
    /// Relative difference of the first loss, or of the maps' mean.
    pub apart: f64,
}

/// Two sides did the same work if their first values differ by no more, relatively: sums in another order.
const SAME: f64 = 1e-3;
/// The same for products of numbers of 8 to 11 bits.
const SAME_ROUNDED: f64 = 3e-2;
/// The published number of epochs, over which work that is done once is shared.
const EPOCHS: f64 = 70.0;

/// One thing to be timed.
#[derive(Clone, Copy)]
pub(super) struct Job {
    pub work: Work,
    pub shots: usize,
    pub batch: usize,
}

pub(super) fn row(
    job: Job,
    precision: Precision,
    (reference, reference_flushed): (Timed, Option<Timed>),
    medfsad: Timed,
    once: f64,
) -> Result<Row> {
    let Job { work, shots, batch } = job;
    let (theirs, own) =
        (reference.values.first().context("no value")?, medfsad.values.first().context("no value")?);
    let apart = (own / theirs - 1.0).abs();
    let same = if precision == Precision::F32 { SAME } else { SAME_ROUNDED };
    // An epoch is the same work on other pictures, and what becomes of a training after some steps is chaotic.
    ensure!(
        apart <= same || matches!(work, Work::Epoch | Work::Cell),
        "{} with {shots} supports: the reference computes {theirs}, ours {own}, so their times do not compare",
        work.name()
    );
    let medfsad_once = once / EPOCHS;
    let mut row = Row {
        work,
        precision,
        shots,
        batch,
        reference,
        reference_flushed,
        medfsad,
        medfsad_once,
        times_faster: 0.0,
        times_faster_than_flushed: None,
        times_faster_than_f32: None,
        at_most: None,
        pictures_per_second: 0.0,
        share_of_peak: None,
        apart,
    };
    row.times_faster = row.reference_seconds() / row.medfsad_seconds();
    row.times_faster_than_flushed =
        row.reference_flushed.as_ref().map(|flushed| typical(&flushed.seconds) / row.medfsad_seconds());
    row.pictures_per_second = batch as f64 / row.medfsad_seconds();
    Ok(row)
}

impl Row {
    pub(super) fn reference_seconds(&self) -> f64 {
        typical(&self.reference.seconds)
    }

    pub(super) fn medfsad_seconds(&self) -> f64 {
        typical(&self.medfsad.seconds) + self.medfsad_once
    }
}

/// The median of at least one number, without the first where there are more: it warms up caches and memory.
pub(super) fn typical(seconds: &[f64]) -> f64 {
    let counted = if seconds.len() > 1 { &seconds[1..] } else { seconds };
    median(&mut counted.to_vec()).unwrap_or(f64::NAN)
}

pub(super) fn print_head(record: &Record, precision: Precision) {
    if let Some(Versions { python, torch, numpy, scipy }) = &record.reference {
        println!("reference: Python {python}, torch {torch}, numpy {numpy}, scipy {scipy}");
    }
    println!(
        "medfsad {} ({}) in {}, {} at {} pixels, {} threads each, on {}\n",
        record.medfsad,
        record.git_revision,
        precision.name(),
        record.backbone,
        record.size,
        record.threads,
        record.card.as_ref().map_or("the CPU", |card| &card.name)
    );
    println!(
        "{:<6} {:>5} {:>6} {:>12} {:>10} {:>10} {:>7} {:>7} {:>8} {:>7} {:>9} {:>6} {:>6} {:>6}  values apart",
        "work",
        "shots",
        "batch",
        "reference, s",
        "flushed, s",
        "ours, s",
        "times",
        "flushed",
        "than f32",
        "at most",
        "a second",
        "peak",
        "GiB",
        "theirs"
    );
}

pub(super) fn line(row: &Row) -> String {
    let times = |times: Option<f64>| times.map_or(String::new(), |times| format!("{times:.2}"));
    let gibibytes = |bytes: Option<u64>| {
        bytes.map_or(String::new(), |bytes| format!("{:.1}", bytes as f64 / f64::from(1u32 << 30)))
    };
    let flushed = row.reference_flushed.as_ref().map(|flushed| typical(&flushed.seconds));
    let share = row.share_of_peak.map_or(String::new(), |share| format!("{:.0} %", 100.0 * share));
    let apart = match row.work {
        Work::Epoch | Work::Cell => "other pictures".to_owned(),
        _ => format!("{:.1e}", row.apart),
    };
    format!(
        "{:<6} {:>5} {:>6} {:>12.4} {:>10} {:>10.4} {:>7.2} {:>7} {:>8} {:>7} {:>9.1} {share:>6} {:>6} {:>6}  {apart}",
        row.work.name(),
        row.shots,
        row.batch,
        row.reference_seconds(),
        flushed.map_or(String::new(), |seconds| format!("{seconds:.4}")),
        row.medfsad_seconds(),
        row.times_faster,
        times(row.times_faster_than_flushed),
        times(row.times_faster_than_f32),
        times(row.at_most),
        row.pictures_per_second,
        gibibytes(row.medfsad.memory),
        gibibytes(row.reference.memory),
    )
}
