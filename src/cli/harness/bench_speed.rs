//! `bench-speed`: D2-4FAD's training steps and scoring against plain PyTorch, on the same arithmetic in one run.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};
use tch::Device;

use super::speed_record::{Job, Record, Row, Versions, Work, line, print_head, row, typical};
use crate::cli::child_process::ChildProcess;
use crate::cli::common::use_threads;
use crate::evaluate::device::{self, Wanted};
use crate::evaluate::memory;
use crate::evaluate::workload::{Timed, Workload};
use crate::network::card::Card;
use crate::network::kernels::Kernels;
use crate::network::precision::Precision;
use crate::network::subnormals::Subnormals;
use crate::network::{Backbone, rate};
use crate::{files, progress};

const PROGRAM: &str = include_str!("../../../benchmarks/speed/reference.py");

/// Time D2-4FAD's training and scoring against plain PyTorch
///
/// Times D2-4FAD in plain PyTorch (benchmarks/speed/reference.py, as published) and in medfsad: one training
/// step, scoring one batch and, on request, a whole epoch or a whole cell with its evaluation, in turns, with the same device,
/// threads, batch and size. Both compute the same losses and maps from the same formula; the command fails if
/// they differ. `at most` is the speed-up if training did nothing but the decoder's multiplications at the
/// fastest rate that this machine reached; they are counted as a convolution has them, so that it bounds less strictly where
/// 3 x 3 ones are filtered, which takes fewer (`MEDFSAD_KERNELS`). On a CPU the reference is also timed with subnormal
/// numbers flushed to zero, as medfsad has them and PyTorch by default does not.
///
/// Under `cargo xtask` a Python environment with PyTorch (5 GB) is created on the first call.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Python with torch, numpy and scipy
    #[arg(long, default_value = "python3")]
    python: PathBuf,
    /// Device of both sides: cpu, cuda or cuda:N
    #[arg(long, default_value = "cpu")]
    device: Wanted,
    /// Pretrained network: resnet18, resnet34, resnet50 or wide_resnet50_2
    #[arg(long, default_value = "wide_resnet50_2")]
    backbone: String,
    /// Size of the pictures in pixels, a multiple of 32
    #[arg(long, default_value_t = 128, value_parser = clap::value_parser!(u16).range(32..=512))]
    size: u16,
    /// Support set sizes, separated by commas [default: 2,4,8; with --cell 2,8]
    #[arg(long, value_delimiter = ',')]
    shots: Vec<usize>,
    /// Queries per training step [default: 4 on a CPU, 16 on a card, as published]
    #[arg(long)]
    batch: Option<usize>,
    /// Queries scored at once
    #[arg(long, default_value_t = 16)]
    scored: usize,
    /// Precisions of medfsad, separated by commas: f32, tf32 (CUDA only), bf16. On a card PyTorch uses the
    /// same, by autocast and its switches, with cuDNN benchmarking; on a CPU always f32
    #[arg(long, value_enum, value_delimiter = ',', default_value = "f32")]
    precision: Vec<Precision>,
    /// What is timed: a training step, scoring a batch, scoring it again with kept features, a whole epoch with its
    /// evaluation, a whole cell [default: train,score]
    #[arg(long, value_enum, value_delimiter = ',', conflicts_with = "cell")]
    work: Vec<Work>,
    /// Time whole cells as the published script computes them: --epochs epochs, the test set after each, the best epoch
    /// on it; as --work cell. Hours on a CPU
    #[arg(long)]
    cell: bool,
    /// Of an epoch: pictures that train, and pictures that are scored after it [default: 4500,1000; with --cell 320,400]
    #[arg(long, value_delimiter = ',', value_name = "TRAIN,TEST")]
    epoch: Vec<usize>,
    /// Epochs of a cell
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u16).range(1..=100))]
    epochs: u16,
    /// Timed repetitions, of which the median is taken; one more warms up
    #[arg(long, default_value_t = 6, value_parser = clap::value_parser!(u16).range(1..=100))]
    repeats: u16,
    /// Threads of each side [default: all cores]
    #[arg(long)]
    threads: Option<usize>,
    /// Also write all times to this file, as JSON, updated after each row
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
}

impl Args {
    pub(crate) fn run(mut self) -> Result<()> {
        self.complete();
        let threads = use_threads(self.threads)?;
        memory::keep_freed();
        let backbone = Backbone::parse(&self.backbone).context("--backbone")?;
        ensure!(self.size.is_multiple_of(32), "--size must be a multiple of 32");
        let [n_train, n_test] = self.epoch[..] else { bail!("--epoch takes two numbers, such as 4500,1000") };
        let device = self.device.open(Precision::F32)?;
        for precision in &self.precision {
            precision.check(device.is_cuda())?;
        }
        let batch = self.batch.unwrap_or(if device.is_cuda() { 16 } else { 4 });
        ensure!(batch >= 2 && self.scored >= 1, "--batch must be at least 2, --scored at least 1");
        ensure!(n_train >= batch && n_test >= 1, "--epoch: fewer pictures than a batch of {batch}");
        tch::set_num_threads(threads as i32);
        let mut record = Record {
            medfsad: crate::VERSION,
            git_revision: crate::GIT_REVISION,
            reference: None,
            subnormals: Subnormals::here().to_string(),
            kernels: Kernels::here().to_string(),
            device: format!("{device:?}").to_lowercase(),
            card: Card::of(device),
            backbone: backbone.name(),
            size: i64::from(self.size),
            threads,
            rows: Vec::new(),
        };
        let folder = tempfile::tempdir().context("making a folder for the reference")?;
        for &precision in &self.precision {
            self.time(precision, [batch, n_train, n_test], device, folder.path(), &mut record)?;
        }
        if let Some(out) = &self.out {
            println!("written to {}", out.display());
        }
        Ok(())
    }

    /// Puts in what was not given.
    fn complete(&mut self) {
        let of = |given: &mut Vec<usize>, otherwise: &[usize]| {
            if given.is_empty() {
                given.extend_from_slice(otherwise);
            }
        };
        if self.work.is_empty() {
            self.work = if self.cell { vec![Work::Cell] } else { vec![Work::Train, Work::Score] };
        }
        let are_cells = self.work.contains(&Work::Cell);
        of(&mut self.shots, if are_cells { &[2, 8] } else { &[2, 4, 8] });
        of(&mut self.epoch, if are_cells { &[320, 400] } else { &[4500, 1000] });
    }

    fn jobs(&self, batch: usize) -> Vec<Job> {
        let of = |work| if matches!(work, Work::Score | Work::Again) { self.scored } else { batch };
        let works = |&shots| self.work.iter().map(move |&work| Job { work, shots, batch: of(work) });
        self.shots.iter().flat_map(works).collect()
    }

    /// Everything in one precision.
    fn time(
        &self,
        precision: Precision,
        [batch, n_train, n_test]: [usize; 3],
        device: Device,
        folder: &Path,
        record: &mut Record,
    ) -> Result<()> {
        let backbone = Backbone::parse(&self.backbone)?;
        device::set_up(device, precision)?;
        let mut reference = self.reference(precision, device, false, folder, record)?;
        let flushed = || self.reference(precision, device, true, folder, record);
        let mut flushed = (!device.is_cuda()).then(flushed).transpose()?;
        let ours = Workload::new(backbone, record.size, device, precision, folder)?;
        let rate = rate::of(precision, device);
        let repeats = usize::from(self.repeats) + 1;
        let jobs = self.jobs(batch);
        let bar = progress::bar(2 * jobs.len(), "timing");
        print_head(record, precision);
        for job in jobs {
            let Job { work, shots, batch } = job;
            // Whole epochs take long and need no median.
            let repeats = if matches!(work, Work::Epoch | Work::Cell) { 1 } else { repeats };
            let epochs = usize::from(self.epochs);
            let name = work.name();
            let request = match work {
                Work::Epoch => format!("{name} {shots} {batch} {n_train} {n_test} {repeats}"),
                Work::Cell => format!("{name} {shots} {batch} {n_train} {n_test} {epochs}"),
                // It keeps nothing.
                Work::Again => format!("score {shots} {batch} {repeats}"),
                _ => format!("{name} {shots} {batch} {repeats}"),
            };
            let theirs: Timed = reference.ask(&request)?;
            let theirs_flushed = flushed.as_mut().map(|flushed| flushed.ask(&request)).transpose()?;
            bar.inc(1);
            let (timed, once) = ours_of(&ours, job, [n_train, n_test], epochs, repeats)?;
            bar.inc(1);
            let mut row = row(job, precision, (theirs, theirs_flushed), timed, once)?;
            self.compare_with_peak(&mut row, &ours, [n_train, n_test], rate);
            let published = record.rows.iter().find(|known| {
                (known.work, known.shots, known.batch, known.precision)
                    == (work, shots, batch, Precision::F32)
            });
            row.times_faster_than_f32 =
                published.map(|known| known.reference_seconds() / row.medfsad_seconds());
            println!("{}", line(&row));
            record.rows.push(row);
            if let Some(out) = &self.out {
                files::write_whole(out, serde_json::to_string_pretty(&record)?.as_bytes())?;
            }
        }
        bar.finish_and_clear();
        Ok(())
    }

    /// How far the work is from what this machine's fastest `rate` allows.
    fn compare_with_peak(&self, row: &mut Row, ours: &Workload, [n_train, n_test]: [usize; 2], rate: f64) {
        let epochs = usize::from(self.epochs);
        let (teacher, decoder) = (ours.teacher_operations, ours.decoder_operations());
        // The gradient by the input and the one by the kernel each take what the way forward takes.
        let trained = 3.0 * (row.batch * (row.shots + 1)) as f64 * decoder;
        match row.work {
            Work::Train => {
                row.at_most = Some(row.reference_seconds() / (trained / rate));
                row.share_of_peak = Some(trained / typical(&row.medfsad.seconds) / rate);
            }
            Work::Score | Work::Again => {
                let teacher = if row.work == Work::Score { teacher } else { 0.0 };
                let needed = row.batch as f64 * (teacher + decoder);
                row.share_of_peak = Some(needed / typical(&row.medfsad.seconds) / rate);
            }
            Work::Cell => {
                let scored = n_test as f64 * decoder;
                let of_epochs = epochs as f64 * ((n_train / row.batch) as f64 * trained + scored);
                let needed = of_epochs + (n_train + n_test) as f64 * teacher;
                row.at_most = Some(row.reference_seconds() / (needed / rate));
                row.share_of_peak = Some(needed / row.medfsad_seconds() / rate);
                row.pictures_per_second = (epochs * n_train) as f64 / row.medfsad_seconds();
            }
            Work::Epoch => row.pictures_per_second = n_train as f64 / row.medfsad_seconds(),
        }
    }

    fn reference(
        &self,
        precision: Precision,
        device: Device,
        flushed: bool,
        folder: &Path,
        record: &mut Record,
    ) -> Result<ChildProcess> {
        let script = folder.join("reference.py");
        std::fs::write(&script, PROGRAM)?;
        let mut command = Command::new(&self.python);
        command.arg(&script).args(["--backbone", record.backbone, "--size", &record.size.to_string()]);
        command.args(["--threads", &record.threads.to_string()]);
        if flushed {
            command.arg("--flush-subnormals");
        }
        if device.is_cuda() {
            command.args(["--device", &self.device.settled().to_string(), "--precision", precision.name()]);
        }
        let remedy = "the reference needs torch, numpy and scipy; `cargo xtask bench-speed` without --python makes \
            an environment that has them";
        let (child, versions) = ChildProcess::start::<Versions>(&mut command, remedy)?;
        record.reference = Some(versions);
        Ok(child)
    }
}

/// What ours takes, and seconds of what is done once for a training.
fn ours_of(
    ours: &Workload,
    Job { work, shots, batch }: Job,
    [n_train, n_test]: [usize; 2],
    epochs: usize,
    repeats: usize,
) -> Result<(Timed, f64)> {
    Ok(match work {
        Work::Train => ours.train(shots, batch, repeats)?,
        Work::Score => (ours.score(shots, batch, repeats)?, 0.0),
        Work::Again => (ours.score_again(shots, batch, repeats)?, 0.0),
        Work::Cell => (ours.cell(shots, batch, [n_train, n_test], epochs)?, 0.0),
        Work::Epoch => {
            let once = typical(&ours.encode(8 * batch, 3).seconds) / (8 * batch) as f64;
            (ours.epoch(shots, batch, [n_train, n_test], repeats)?, once * n_train as f64)
        }
    })
}
