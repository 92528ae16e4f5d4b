//! `--samil`: what trains the aggregator of `studies`.

use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};

use super::compute::Compute;
use super::settings::MethodArgs;
use super::teacher::{self, TeacherArgs};
use crate::episode::HeldOut;
use crate::evaluate::device::Wanted;
use crate::evaluate::samil::{self, Request, Settings};
use crate::files;
use crate::manifest::Manifest;
use crate::names;
use crate::network::origin::Origin;
use crate::network::precision::Precision;
use crate::network::{Backbone, Extractor, Network};
use crate::report::studies::Run;

/// How SAMIL is trained.
#[derive(clap::Args)]
pub(crate) struct SamilArgs {
    /// Train SAMIL on the studies of the other tasks first; what is trained already stays
    #[arg(long)]
    samil: bool,
    /// Give SAMIL this method's slice scores beside the features, as a further row; it must not learn from other tasks (R2, R3). May be
    /// repeated
    #[arg(long, value_name = "METHOD", value_delimiter = ',', requires = "samil")]
    scores_of: Vec<String>,
    /// Which tasks train for a target: dataset (every other) or organ (those of another organ) [default: the rule of the run's first
    /// cell that trains on other tasks; dataset where none does]
    #[arg(long, value_parser = HeldOut::parse, requires = "samil")]
    held_out: Option<HeldOut>,
    /// Seed of the training
    #[arg(long, default_value_t = 1, requires = "samil")]
    seed: u64,
    /// Save resumable state every MINUTES (0: every step); run the command again to resume
    #[arg(long, default_value_t = 5.0, value_name = "MINUTES", requires = "samil")]
    keep_every: f64,
    #[command(flatten)]
    method: MethodArgs,
    #[command(flatten)]
    teacher: TeacherArgs,
    #[command(flatten)]
    compute: Compute,
}

impl SamilArgs {
    /// Sets the process up, before anything is read.
    ///
    /// # Errors
    /// No threads at all.
    pub(crate) fn set_up(&self) -> Result<()> {
        self.compute.set_up().map(drop)
    }

    /// Trains SAMIL for every task of the run with studies, if that was asked for.
    ///
    /// # Errors
    /// Names the argument that does not fit; as [`samil::train`].
    pub(crate) fn train(&self, run: &Run, manifest: &Manifest, shots: usize) -> Result<()> {
        if !self.samil {
            let is_network = !self.teacher.is_empty() || self.method.backbone.backbone.is_some();
            let is_place = self.compute.device != Wanted::Auto || self.compute.precision != Precision::F32;
            ensure!(
                !is_network && !is_place && self.method.table()?.is_empty() && self.method.size.is_none(),
                "--teacher, --backbone, --size, --set, --device and --precision are for --samil, which is not given"
            );
            return Ok(());
        }
        let every = Duration::try_from_secs_f64(60.0 * self.keep_every).context("--keep-every")?;
        let settings = self.settings()?;
        let random = Origin::Random { seed: 0, cache: Some(files::cache_folder()?.join("weights")) };
        let usual = if self.teacher.is_empty() { teacher::DEFAULT } else { Backbone::Resnet18 };
        let extractor = self.method.backbone.backbone.unwrap_or(Extractor::Pyramid(usual));
        let network = Network::from(extractor);
        let chosen = self.teacher.choose(&random)?;
        chosen.check_used_by(&[network])?;
        let teachers = chosen.complete(&[network])?;
        let first = run.cells().first().context("the run has no cell")?;
        let of_run = &first.cell.identity;
        let is_run = |task: &str| run.cells().iter().any(|cell| cell.cell.identity.task == *task);
        let mut targets = samil::tasks_with_studies(manifest);
        targets.retain(|task| is_run(task));
        let with = |method: &String| run.slice_scores(manifest, method, shots).map(Some);
        let mut inputs = vec![None];
        inputs.extend(self.scores_of.iter().map(with).collect::<Result<Vec<_>>>()?);
        let held_out = self.held_out.unwrap_or_else(|| run.held_out());
        if held_out == HeldOut::None {
            bail!("--held-out must be dataset or organ: SAMIL trains on other tasks");
        }
        let (device, workers) = (self.compute.open()?, rayon::current_num_threads());
        let request = Request {
            manifest,
            rejected: run.rejected(),
            run: run.folder(),
            targets,
            inputs,
            held_out,
            size: self.method.size.map_or(of_run.size, usize::from),
            extractor,
            teachers: &teachers,
            device,
            precision: self.compute.precision,
            device_class: self.compute.device.class(self.compute.precision)?,
            settings: &settings,
            seed: self.seed,
            workers,
            every,
        };
        println!("teacher: {}", teachers.of(network)?.label(network));
        let [n_all, n_there] = samil::train(&request)?;
        println!("SAMIL: {n_all} trainings, of which {n_there} were there already");
        Ok(())
    }

    fn settings(&self) -> Result<Settings> {
        let mut table = self.method.table()?;
        table.remove("backbone");
        let known: toml::Table = toml::Table::try_from(Settings::default())?;
        let wrong = table.keys().find(|key| !known.contains_key(*key)).cloned();
        Settings::of(table).map_err(|error| {
            let meant = wrong.map(|key| names::did_you_mean(&key, known.keys().map(String::as_str)));
            anyhow::anyhow!("{error:#}{}", meant.unwrap_or_default())
        })
    }
}
