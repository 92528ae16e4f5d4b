//! The cells of one job: fit, adapt, score, measure, write. One training serves all draws that share it.

use std::collections::HashMap;
use std::rc::Rc;
use std::time::Instant;

use anyhow::{Context as _, Result};
use tch::Device;

use super::LIBTORCH_VERSION;
use super::calibration::calibration;
use super::draw::{self, Draw, Given};
use super::plan::Job;
use super::run::Run;
use super::seen;
use super::target;
use super::test_set::TestSet;
use super::watch::{SourceTask, Watch};
use crate::episode::batch::Pictures;
use crate::files;
use crate::files::lock::Lock;
use crate::ids::{ImageId, TaskName};
use crate::manifest::store::PixelStore;
use crate::manifest::{Label, Row, Split};
use crate::method::{Context, OpenTeachers, StateFile, TrainTask};
use crate::network::card::Card;
use crate::network::kernels::Kernels;
use crate::network::origin::Origin;
use crate::network::subnormals::Subnormals;
use crate::random::Stream;
use crate::regime::Regime;
use crate::results::{self, Cell, CellResult, Identity, Lacked, Provenance};

impl Run<'_> {
    /// Computes and writes `todo`, cells of `job`, on which `lock` is held.
    pub(super) fn run_cells(&self, job: &Job, todo: &[&Identity], started: u64, lock: &Lock) -> Result<()> {
        let task = self.manifest.task(&job.task)?;
        let store = task.store(self.size)?;
        let test_rows = task.of(Split::Test).into_iter().cloned().collect();
        let shuffled = || Stream::new(job.seed, &format!("label shuffle {}", job.task), 0);
        let shuffle = job.built.against_shuffled_labels.then(shuffled);
        let test = TestSet::load(&store, test_rows, shuffle, self.device)?;
        let draws: Vec<Draw> = todo
            .iter()
            .map(|identity| self.draw(job, &store, &task.rows, identity))
            .collect::<Result<_>>()?;
        let tasks: Vec<TrainTask> =
            job.training.iter().map(|task| self.train_task(task, job)).collect::<Result<_>>()?;
        // Of the job, not of what is left of it: cells that were finished before a stop are no reason to start over.
        let name = format!("{}.safetensors", job.name());
        let state_file = StateFile { path: self.folder.join("training").join(name), every: StateFile::EVERY };
        let context = Context {
            device: self.device,
            precision: self.precision,
            seed: job.seed,
            shots: job.cells[0].shots,
            teachers: self.teachers.for_target(&job.task)?,
            calibration: calibration(self.manifest, &job.calibration, self.size)?.map(Rc::new),
            task: job.task.clone(),
            label: format!("{} {}", job.method, job.task),
            state_file: Some(state_file.clone()),
            opened: OpenTeachers::keeping(self.keeping.clone()),
        };
        let start = Instant::now();
        let sources: Vec<SourceTask> = match todo[0].epoch_by_sources {
            true => {
                job.training.iter().map(|task| self.source(task, todo[0].shots)).collect::<Result<_>>()?
            }
            false => Vec::new(),
        };
        let every = todo[0].observed_every.unwrap_or(1) as u64;
        let mut watch = Watch { draws, test: &test, sources: &sources, every, seconds: 0.0 };
        let fitted = job.built.method.fit(&tasks, &context, &mut watch)?;
        watch.look_at_last(&*fitted)?;
        let observe_seconds = watch.seconds;
        let fit_seconds = start.elapsed().as_secs_f64() - observe_seconds;
        let mut draws = watch.draws;
        while !draws.is_empty() {
            let is_scored = |draw: &&Draw| draw.last.is_some();
            let n = match draws.iter().take_while(is_scored).count() {
                0 => draw::score_some(&mut draws, &*fitted, &test)?,
                n => n,
            };
            for mut draw in draws.drain(..n) {
                if !job.built.regime.sees_whole_target() {
                    draw.preset(&*fitted)?;
                }
                let seconds = Some([fit_seconds, observe_seconds, draw.seconds]);
                let mut cell = self.cell(job, draw.identity, started, seconds, None);
                if draw.identity.draw == 0 {
                    cell.provenance.latency_seconds = Some(draw.latency(&*fitted, &test)?);
                }
                draw.finish(self.empty_result(cell), &test, &store, lock)?;
            }
        }
        state_file.remove()
    }

    /// A task that trains, to be scored as if it were the target: its first supports, its test set.
    fn source(&self, task: &str, shots: usize) -> Result<SourceTask> {
        let rows = self.manifest.task(task)?;
        let store = rows.store(self.size)?;
        let test = rows.of(Split::Test).into_iter().cloned().collect();
        let supports = self.supports(&rows.rows, task, 0, shots)?;
        Ok(SourceTask {
            supports: Pictures::load(&store, &supports)?,
            test: TestSet::load(&store, test, None, self.device)?,
        })
    }

    fn draw<'a>(
        &self,
        job: &Job,
        store: &PixelStore,
        rows: &[&Row],
        identity: &'a Identity,
    ) -> Result<Draw<'a>> {
        let supports = self.supports(rows, &identity.task, identity.draw, identity.shots)?;
        let given = Given {
            supports: Pictures::load(store, &supports)?,
            anomalies: match job.built.regime {
                Regime::TargetAnomalies => {
                    let shown = target::anomalies(rows, identity, self.episodes.settings.seed)?;
                    Some(Pictures::load(store, &shown)?)
                }
                _ => None,
            },
        };
        Ok(Draw::new(identity, given, self.keep_maps))
    }

    /// The rows of a task's supports.
    fn supports<'r>(&self, rows: &[&'r Row], task: &str, draw: usize, shots: usize) -> Result<Vec<&'r Row>> {
        let ids = &self.episodes.supports[task][draw][..shots];
        let find = |id: &ImageId| {
            rows.iter().copied().find(|row| row.image_id == *id).context("a support is not in the manifest")
        };
        ids.iter().map(find).collect()
    }

    fn train_task(&self, task: &str, job: &Job) -> Result<TrainTask> {
        let rows = self.manifest.task(task)?;
        let pool = target::pool(&rows.rows, job.built.regime, job.seed)?;
        let anomalous = rows.rows.clone().into_iter().filter(|row| row.label == Label::Anomalous);
        let (store, rows) = (rows.store(self.size)?, rows.of(Split::Train));
        let places: HashMap<&str, usize> =
            rows.iter().enumerate().map(|(place, row)| (row.image_id.as_str(), place)).collect();
        let place = |id: &ImageId| {
            places.get(id.as_str()).copied().context("a training picture is not in the manifest")
        };
        let pairs = self.episodes.pairs.get(task).context("a task without pairs")?;
        let pairs = pairs
            .iter()
            .map(|pair| Ok((place(&pair.query)?, pair.supports.iter().map(place).collect::<Result<_>>()?)))
            .collect::<Result<_>>()?;
        let sees_anomalies = job.built.regime == Regime::OtherAnomalies;
        let unseen = || self.manifest.without_pictures_of(&job.task, anomalous);
        let anomalies = sees_anomalies.then(|| Pictures::load(&store, &unseen())).transpose()?;
        Ok(TrainTask {
            name: TaskName::new(task),
            pictures: Pictures::load(&store, &rows)?,
            pairs,
            anomalies,
            pool: pool.map(|pool| Pictures::load(&store, &pool)).transpose()?,
        })
    }

    /// A cell's identity and circumstances; `seconds` are of training, of observing it and of scoring.
    pub(super) fn cell(
        &self,
        job: &Job,
        identity: &Identity,
        started_at: u64,
        seconds: Option<[f64; 3]>,
        error: Option<&anyhow::Error>,
    ) -> Cell {
        let header = &self.manifest.header;
        let network = job.built.network;
        let sources = self.manifest.rows.iter().filter(|row| row.task == identity.task);
        let sources = sources.map(|row| row.source.as_str()).collect();
        let origin = network.map(|network| {
            let origin = self.teachers.of(network).and_then(|origin| origin.for_target(&job.task));
            origin.expect("the plan has asked for its weights")
        });
        let origin = origin.as_ref();
        let (trained_on, seen_before) = origin.map(|origin| seen::seen(origin, &sources)).unzip();
        let tuned = origin.and_then(|origin| origin.tuned().expect("the plan has read what it says"));
        let provenance = Provenance {
            bench: self.bench.clone(),
            regime: job.built.regime,
            spec: header.spec.clone(),
            spec_version: header.spec_version,
            spec_title: header.title.clone(),
            backbone: network.map(|network| network.name().to_owned()).unwrap_or_default(),
            weights: network.zip(origin).map_or("none".to_owned(), |(network, origin)| origin.label(network)),
            extension: job.built.extension.map(str::to_owned),
            random_weights: origin.is_some_and(Origin::is_random),
            weights_trained_on: trained_on.flatten(),
            seen_before,
            teacher_regime: tuned.as_ref().map(|tuned| tuned.classes.regime()),
            teacher_recipe: tuned.map(|tuned| tuned.recipe.clone()),
            version: crate::VERSION.to_owned(),
            git_revision: crate::GIT_REVISION.to_owned(),
            libtorch: LIBTORCH_VERSION.to_owned(),
            device: device_words(self.device),
            threads: self.workers,
            precision: self.precision.name().to_owned(),
            subnormals: Some(Subnormals::here().to_string()),
            kernels: (!self.device.is_cuda()).then(|| Kernels::here().to_string()),
            command: self.command.clone(),
            started_at,
            fit_seconds: seconds.map(|[fit, ..]| fit),
            observe_seconds: seconds.map(|[_, observe, _]| observe),
            score_seconds: seconds.map(|[.., score]| score),
            latency_seconds: None,
            peak_memory_bytes: peak_memory_bytes().filter(|_| error.is_none()),
        };
        Cell {
            format: results::FORMAT,
            id: identity.id(),
            identity: identity.clone(),
            provenance,
            error: error.map(|error| files::without_folders(&format!("{error:#}"))),
            lacked: error.filter(|error| files::lacks_room(error)).map(|_| Lacked::Room),
        }
    }

    pub(super) fn empty_result(&self, cell: Cell) -> CellResult {
        let folder = self.folder.join("cells").join(&cell.id);
        CellResult { cell, scores: Vec::new(), metrics: Vec::new(), epochs: Vec::new(), folder }
    }
}

/// The device, and the card that it is.
fn device_words(device: Device) -> String {
    let kind = format!("{device:?}").to_lowercase();
    Card::of(device).map_or(kind.clone(), |card| format!("{kind}, {}", card.name))
}

/// The most memory this process has held so far, where the system tells.
fn peak_memory_bytes() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find(|line| line.starts_with("VmHWM:"))?;
    line.split_whitespace().nth(1)?.parse::<u64>().ok().map(|kib| kib * 1024)
}
