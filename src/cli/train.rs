//! `train`: D2-4FAD on a user's own folders of normal pictures, kept as a checkpoint.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use tch::Tensor;

use super::compute::Compute;
use crate::evaluate::folder;
use crate::files;
use crate::method::d24fad::{self, Settings};
use crate::method::{Context, EpochFigures, Fitted, Observer, StateFile, TrainTask};
use crate::network::teacher::{Origin, Teacher, Teachers};
use crate::network::{Backbone, Network};
use crate::random::Stream;

/// Trains D2-4FAD on folders of normal pictures, one for each kind (organ, modality), none of them of the kind that
/// is to be scored, and writes decoder and weighting as a safetensors file that `score` takes. Pictures are PNG,
/// JPEG, TIFF, BMP, DICOM or NIfTI.
#[derive(clap::Args)]
pub struct Args {
    /// A folder of normal pictures; repeat it for each kind
    #[arg(long, value_name = "DIR", required = true)]
    normal: Vec<PathBuf>,
    /// Teacher weights: a safetensors file with torchvision's names; or `random` for a seeded stand-in, which is
    /// written beside the checkpoint and says nothing about published numbers
    #[arg(long, value_name = "FILE")]
    teacher: String,
    /// Where to write the checkpoint
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    /// resnet18, resnet34, resnet50 or wide_resnet50_2
    #[arg(long, default_value = "wide_resnet50_2")]
    backbone: String,
    /// Side to which pictures are resized, a multiple of 32
    #[arg(long, default_value_t = 128)]
    size: u16,
    /// Size of the support set that will be given when scoring
    #[arg(long, default_value_t = 2)]
    shots: usize,
    /// Epochs [default: the published 70]
    #[arg(long)]
    epochs: Option<u64>,
    /// Queries per step [default: the published 16]
    #[arg(long)]
    batch: Option<usize>,
    /// Further settings of the method, as `key = value` in TOML; may be repeated
    #[arg(long, value_name = "KEY=VALUE")]
    set: Vec<String>,
    /// Same seed, same weights on the same device
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Minutes between two states that are kept beside the checkpoint; the same call goes on from there after a stop,
    /// to the same bits on the CPU. 0 keeps one after every step
    #[arg(long, default_value_t = 5.0, value_name = "MINUTES")]
    keep_every: f64,
    #[command(flatten)]
    compute: Compute,
}

impl Args {
    pub fn run(self) -> Result<()> {
        let device = self.compute.start()?;
        let backbone = Backbone::parse(&self.backbone).context("--backbone")?;
        ensure!(self.size >= 32 && self.size.is_multiple_of(32), "--size must be a multiple of 32");
        ensure!(self.shots >= 1, "--shots must be at least 1");
        let settings = self.settings(backbone)?;
        let tasks: Vec<TrainTask> =
            self.normal.iter().map(|folder| self.task(folder)).collect::<Result<_>>()?;
        let network = Network::Resnet(backbone);
        let few = |task: &TrainTask| task.pictures.pixels.narrow(0, 0, task.pictures.len().min(16) as i64);
        let calibration = Rc::new(Tensor::cat(&tasks.iter().map(few).collect::<Vec<_>>(), 0));
        let origin = match self.teacher.as_str() {
            "random" => {
                let origin = Origin::Random { seed: self.seed, cache: None };
                let teacher =
                    Teacher::new(backbone, settings.input(), &origin, Some(&calibration), tch::Device::Cpu)?;
                let path = folder::beside(&self.out, "teacher.safetensors")?;
                teacher.save(&path)?;
                println!(
                    "random teacher written to {}; scores say that training runs, no more",
                    path.display()
                );
                Origin::file(path)?
            }
            path => Origin::named(path).context("--teacher")?,
        };
        println!("teacher: {}", origin.label(network));
        let every = Duration::try_from_secs_f64(60.0 * self.keep_every).context("--keep-every")?;
        let state_file = StateFile { path: folder::beside(&self.out, "unfinished.safetensors")?, every };
        let context = Context {
            device,
            precision: self.compute.precision,
            seed: self.seed,
            shots: self.shots,
            teachers: Teachers { named: BTreeMap::new(), other: origin },
            calibration: None,
            task: "target".to_owned(),
            label: "training".to_owned(),
            state_file: Some(state_file.clone()),
        };
        let mut log = Log::default();
        d24fad::train_to(&settings, &tasks, &context, &mut log, &self.out)?;
        state_file.remove()?;
        let table = folder::beside(&self.out, "training.csv")?;
        files::write_whole(&table, &log.csv()?)?;
        println!(
            "written to {}; losses of {} epochs in {}",
            self.out.display(),
            log.0.len(),
            table.display()
        );
        Ok(())
    }

    fn settings(&self, backbone: Backbone) -> Result<Settings> {
        let mut table = super::settings(&self.set)?;
        table.insert("backbone".to_owned(), backbone.name().into());
        if let Some(epochs) = self.epochs {
            table.insert("epochs".to_owned(), (epochs as i64).into());
        }
        if let Some(batch) = self.batch {
            table.insert("batch".to_owned(), (batch as i64).into());
        }
        table.try_into().context("settings of d24fad")
    }

    /// One folder, with supports drawn for each of its pictures as in a bench.
    fn task(&self, path: &Path) -> Result<TrainTask> {
        let read = folder::references(path, usize::from(self.size)).context("--normal")?;
        let (n, name) = (read.names.len(), path.display().to_string());
        ensure!(n >= 2, "--normal {name}: a picture's supports are others of its folder, which holds {n}");
        println!("{n} normal pictures in {name}");
        let pair = |query: usize| {
            let mut stream = Stream::new(self.seed, &format!("pair {}", read.names[query]), 0);
            (query, (0..self.shots).map(|_| stream.other_than(query, n)).collect())
        };
        Ok(TrainTask { name, pictures: read.pictures(), pairs: (0..n).map(pair).collect() })
    }
}

/// Figures of every epoch, by name.
#[derive(Default)]
struct Log(Vec<(u64, Vec<(String, f64)>)>);

impl Observer for Log {
    fn after_epoch(&mut self, epoch: u64, figures: &EpochFigures, _: &dyn Fitted) -> Result<()> {
        let owned = figures.iter().map(|(name, value)| ((*name).to_owned(), *value));
        self.0.push((epoch, owned.collect()));
        Ok(())
    }

    fn state(&self) -> Result<String> {
        Ok(serde_json::to_string(&self.0)?)
    }

    fn restore(&mut self, state: &str) -> Result<()> {
        self.0 = serde_json::from_str(state)?;
        Ok(())
    }
}

impl Log {
    fn csv(&self) -> Result<Vec<u8>> {
        let mut writer = csv::Writer::from_writer(Vec::new());
        if let Some((_, first)) = self.0.first() {
            let names = first.iter().map(|(name, _)| name.as_str());
            writer.write_record(std::iter::once("epoch").chain(names))?;
        }
        for (epoch, figures) in &self.0 {
            let values = figures.iter().map(|(_, value)| value.to_string());
            writer.write_record(std::iter::once(epoch.to_string()).chain(values))?;
        }
        writer.into_inner().context("finishing the table")
    }
}
