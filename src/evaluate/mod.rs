//! The cell: fit, adapt, score, measure, write. One training serves all draws that share it.

use std::collections::HashMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, Result, anyhow};
use tch::{Device, Tensor};

use crate::decode::resize::RESIZE_ID;
use crate::episode::Episodes;
use crate::episode::batch::Pictures;
use crate::manifest::store::PixelStore;
use crate::manifest::{Manifest, Row, Split};
use crate::method::{Context, EpochFigures, Fitted, Keep, Observer, Sees, TrainTask};
use crate::network::precision::Precision;
use crate::network::teacher::Teachers;
use crate::random::Stream;
use crate::results::{self, Cell, CellResult, Identity, Provenance};
use crate::{files, progress};
use draw::{Draw, Gathered};
use lock::Lock;
use plan::{Group, State};
use test_set::TestSet;

mod cases;
/// What a bench runs.
pub mod definition;
/// CPU or CUDA.
pub mod device;
/// What one support draw gathers.
mod draw;
/// Feature vectors for audits.
pub mod embed;
/// Pictures of a user's own.
pub mod folder;
/// Who computes what.
pub mod lock;
/// Every number of a cell.
mod measure;
/// Freed memory is kept.
pub mod memory;
/// From a definition to cells.
pub mod plan;
/// A plan on disk.
pub mod planned;
/// What a signal waits for.
pub mod stop;
mod test_set;

/// libtorch that `tch` 0.24 is made for; its build refuses another.
pub const LIBTORCH_VERSION: &str = "2.11.0";

/// Train normals per task on which a random teacher's batch norms are calibrated.
const CALIBRATION_PER_TASK: usize = 16;

/// The first few train normals of each of `tasks`; `None` without tasks.
fn calibration(manifest: &Manifest, tasks: &[String], size: usize) -> Result<Option<Tensor>> {
    let part = |task: &String| {
        let rows: Vec<&Row> = manifest.select(task, Split::Train).take(CALIBRATION_PER_TASK).collect();
        let store = PixelStore::open(&manifest.folder, task, size, RESIZE_ID, &rows)?;
        Ok(Pictures::load(&store, &rows)?.pixels)
    };
    let parts: Vec<Tensor> = tasks.iter().map(part).collect::<Result<_>>()?;
    Ok((!parts.is_empty()).then(|| Tensor::cat(&parts, 0)))
}

/// Least time between two kept states of a training.
const KEEP_EVERY: Duration = Duration::from_secs(60);

/// Scores all draws after each epoch.
struct Watch<'a> {
    draws: Vec<Draw<'a>>,
    test: &'a TestSet,
    sources: &'a [SourceTask],
    /// Spent here, not in training.
    seconds: f64,
}

impl Observer for Watch<'_> {
    fn look(&mut self, epoch: u64, figures: &EpochFigures, model: &dyn Fitted) -> Result<()> {
        let start = Instant::now();
        let on_sources = mean_auroc(self.sources, model)?;
        for draw in &mut self.draws {
            draw.observe(epoch, figures, model, self.test, on_sources)?;
        }
        self.seconds += start.elapsed().as_secs_f64();
        Ok(())
    }

    fn gathered(&self) -> Result<String> {
        let each: Vec<&Gathered> = self.draws.iter().map(|draw| &draw.gathered).collect();
        Ok(serde_json::to_string(&each)?)
    }

    fn recall(&mut self, gathered: &str) -> Result<()> {
        let each: Vec<Gathered> = serde_json::from_str(gathered)?;
        anyhow::ensure!(each.len() == self.draws.len(), "it is of {} draws", each.len());
        self.draws.iter_mut().zip(each).for_each(|(draw, gathered)| draw.gathered = gathered);
        Ok(())
    }
}

/// The test set of a task that trains, and supports for it.
struct SourceTask {
    supports: Pictures,
    test: TestSet,
}

/// Mean over source tasks of image AUROC under `clean`; `None` without tasks, or where one is undefined.
fn mean_auroc(sources: &[SourceTask], model: &dyn Fitted) -> Result<Option<f64>> {
    let one = |source: &SourceTask| -> Result<Option<f64>> {
        let detector = model.adapt(&source.supports)?;
        let clean = source.test.score(&*detector)?.scores.clean;
        Ok(source.test.auroc(&clean.into_iter().map(Some).collect::<Vec<_>>()))
    };
    let aurocs = sources.iter().map(one).collect::<Result<Option<Vec<f64>>>>()?;
    Ok(aurocs.filter(|all| !all.is_empty()).map(|all| all.iter().sum::<f64>() / all.len() as f64))
}

/// What all cells of a run share.
pub struct Run<'a> {
    pub bench: String,
    pub size: usize,
    pub manifest: &'a Manifest,
    pub episodes: &'a Episodes,
    pub teachers: &'a Teachers,
    pub device: Device,
    pub precision: Precision,
    /// Groups of cells run at once. Each computes on one thread, so that no sum depends on their number.
    pub workers: usize,
    /// Receives `cells/<id>/`.
    pub folder: PathBuf,
    pub command: String,
    /// Whether cells that ended with an error are computed again.
    pub retry_failed: bool,
}

/// What became of a run's groups.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Outcome {
    /// Cells that now ended with an error.
    pub failed: usize,
    /// Cells that another process computes.
    pub elsewhere: usize,
}

impl std::iter::Sum for Outcome {
    fn sum<I: Iterator<Item = Outcome>>(outcomes: I) -> Outcome {
        outcomes.fold(Outcome::default(), |sum, one| Outcome {
            failed: sum.failed + one.failed,
            elsewhere: sum.elsewhere + one.elsewhere,
        })
    }
}

impl Run<'_> {
    /// Runs all groups, several at once.
    ///
    /// # Errors
    /// If results cannot be written. What fails inside a cell is its row.
    pub fn run_all(&self, groups: &[&Group]) -> Result<Outcome> {
        let bar = progress::bar(groups.len(), "all cells");
        let next = AtomicUsize::new(0);
        let work = || -> Result<Outcome> {
            tch::set_num_threads(1);
            let mut outcomes = Vec::new();
            while let Some(group) = groups.get(next.fetch_add(1, Ordering::Relaxed)) {
                outcomes.push(self.run(group)?);
                bar.inc(1);
            }
            Ok(outcomes.into_iter().sum())
        };
        let outcome = std::thread::scope(|scope| {
            let workers: Vec<_> = (0..self.workers).map(|_| scope.spawn(work)).collect();
            let join = |worker: std::thread::ScopedJoinHandle<Result<Outcome>>| {
                worker
                    .join()
                    .unwrap_or_else(|panic| Err(anyhow!("a worker panicked: {}", panic_text(&*panic))))
            };
            workers.into_iter().map(join).sum::<Result<Outcome>>()
        });
        bar.finish_and_clear();
        outcome
    }

    /// Cells of `group` that this run is to compute.
    fn todo<'g>(&self, group: &'g Group) -> Vec<&'g Identity> {
        let is_wanted = |identity: &&Identity| match plan::state(&self.folder, identity) {
            State::ToDo => true,
            State::Failed => self.retry_failed,
            State::Done => false,
        };
        group.cells.iter().filter(is_wanted).collect()
    }

    /// Runs what there is to do of `group`, unless another process does. A failure becomes a row.
    fn run(&self, group: &Group) -> Result<Outcome> {
        if self.todo(group).is_empty() {
            return Ok(Outcome::default());
        }
        let lock = self.folder.join("jobs").join(format!("{}.lock", group.job()));
        let Some(_lock) = Lock::take(&lock)? else {
            return Ok(Outcome { failed: 0, elsewhere: self.todo(group).len() });
        };
        // Another process may have finished it since.
        let todo = self.todo(group);
        if todo.is_empty() {
            return Ok(Outcome::default());
        }
        for identity in &todo {
            files::remove_drafts_in(&self.folder.join("cells").join(identity.id()))?;
        }
        let started = SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs();
        let outcome = catch_unwind(AssertUnwindSafe(|| self.run_cells(group, &todo, started)));
        let error = match outcome {
            Ok(Ok(())) => return Ok(Outcome::default()),
            Ok(Err(error)) => error,
            Err(panic) => anyhow!("libtorch or the method panicked: {}", panic_text(&*panic)),
        };
        let mut failed = 0;
        for identity in todo {
            if plan::state(&self.folder, identity) != State::Done {
                let cell = self.cell(group, identity, started, 0.0, 0.0, Some(format!("{error:#}")));
                let _writing = stop::writing();
                self.empty_result(cell).write()?;
                failed += 1;
            }
        }
        Ok(Outcome { failed, elsewhere: 0 })
    }

    fn run_cells(&self, group: &Group, todo: &[&Identity], started: u64) -> Result<()> {
        let rows: Vec<&Row> = self.manifest.rows.iter().filter(|row| row.task == group.task).collect();
        let store = PixelStore::open(&self.manifest.folder, &group.task, self.size, RESIZE_ID, &rows)?;
        let test_rows = rows.iter().copied().filter(|row| row.split == Split::Test).cloned().collect();
        let shuffle = group
            .built
            .against_shuffled_labels
            .then(|| Stream::new(group.seed, &format!("label shuffle {}", group.task), 0));
        let test = TestSet::load(&store, test_rows, shuffle)?;
        let draws: Vec<Draw> =
            todo.iter().map(|identity| self.draw(&store, &rows, identity)).collect::<Result<_>>()?;
        let tasks: Vec<TrainTask> =
            group.training.iter().map(|task| self.train_task(task)).collect::<Result<_>>()?;
        let ids: Vec<String> = todo.iter().map(|identity| identity.id()).collect();
        let name = format!("{}.safetensors", files::fingerprint(ids.join(" ").as_bytes()));
        let keep = Keep { path: self.folder.join("training").join(name), every: KEEP_EVERY };
        let context = Context {
            device: self.device,
            precision: self.precision,
            seed: group.seed,
            shots: group.cells[0].shots,
            teachers: self.teachers.clone(),
            calibration: calibration(self.manifest, &group.calibration, self.size)?.map(Rc::new),
            task: group.task.clone(),
            label: format!("{} {}", group.method, group.task),
            keep: Some(keep.clone()),
        };
        let start = Instant::now();
        let sources: Vec<SourceTask> = match todo[0].epoch_by_sources {
            true => {
                group.training.iter().map(|task| self.source(task, todo[0].shots)).collect::<Result<_>>()?
            }
            false => Vec::new(),
        };
        let mut watch = Watch { draws, test: &test, sources: &sources, seconds: 0.0 };
        let fitted = group.built.method.fit(&tasks, &context, &mut watch)?;
        let fit_seconds = start.elapsed().as_secs_f64() - watch.seconds;
        for mut draw in watch.draws {
            if draw.last.is_none() {
                draw.score(&*fitted, &test)?;
            }
            if group.built.sees != Sees::TargetNormals {
                draw.preset(&*fitted)?;
            }
            let mut cell = self.cell(group, draw.identity, started, fit_seconds, draw.seconds, None);
            if draw.identity.draw == 0 {
                cell.provenance.latency_seconds = Some(draw.latency(&*fitted, &test)?);
            }
            let _writing = stop::writing();
            draw.finish(self.empty_result(cell), &test, &store)?;
        }
        files::remove_if_there(&keep.path)
    }

    /// A task that trains, to be scored as if it were the target: its first supports, its test set.
    fn source(&self, task: &str, shots: usize) -> Result<SourceTask> {
        let rows: Vec<&Row> = self.manifest.rows.iter().filter(|row| row.task == task).collect();
        let store = PixelStore::open(&self.manifest.folder, task, self.size, RESIZE_ID, &rows)?;
        let test = rows.iter().copied().filter(|row| row.split == Split::Test).cloned().collect();
        let supports = self.supports(&rows, task, 0, shots)?;
        Ok(SourceTask {
            supports: Pictures::load(&store, &supports)?,
            test: TestSet::load(&store, test, None)?,
        })
    }

    fn draw<'a>(&self, store: &PixelStore, rows: &[&Row], identity: &'a Identity) -> Result<Draw<'a>> {
        let supports = self.supports(rows, &identity.task, identity.draw, identity.shots)?;
        Ok(Draw::new(identity, Pictures::load(store, &supports)?))
    }

    /// The rows of a task's supports.
    fn supports<'r>(&self, rows: &[&'r Row], task: &str, draw: usize, shots: usize) -> Result<Vec<&'r Row>> {
        let ids = &self.episodes.supports[task][draw][..shots];
        let find = |id: &String| {
            rows.iter().copied().find(|row| row.image_id == *id).context("a support is not in the manifest")
        };
        ids.iter().map(find).collect()
    }

    fn train_task(&self, task: &str) -> Result<TrainTask> {
        let rows: Vec<&Row> = self.manifest.select(task, Split::Train).collect();
        let store = PixelStore::open(&self.manifest.folder, task, self.size, RESIZE_ID, &rows)?;
        let places: HashMap<&str, usize> =
            rows.iter().enumerate().map(|(place, row)| (row.image_id.as_str(), place)).collect();
        let place = |id: &String| {
            places.get(id.as_str()).copied().context("a training picture is not in the manifest")
        };
        let pairs = self.episodes.pairs.get(task).context("a task without pairs")?;
        let pairs = pairs
            .iter()
            .map(|pair| Ok((place(&pair.query)?, pair.supports.iter().map(place).collect::<Result<_>>()?)))
            .collect::<Result<_>>()?;
        Ok(TrainTask { name: task.to_owned(), pictures: Pictures::load(&store, &rows)?, pairs })
    }

    fn cell(
        &self,
        group: &Group,
        identity: &Identity,
        started_at: u64,
        fit_seconds: f64,
        score_seconds: f64,
        error: Option<String>,
    ) -> Cell {
        let header = &self.manifest.header;
        let network = group.built.network;
        let provenance = Provenance {
            bench: self.bench.clone(),
            regime: group.built.sees.regime().to_owned(),
            spec: header.spec.clone(),
            spec_version: header.spec_version,
            spec_title: header.title.clone(),
            backbone: network.map(|network| network.name().to_owned()).unwrap_or_default(),
            weights: network
                .map_or_else(|| "none".to_owned(), |network| self.teachers.of(network).label(network)),
            random_weights: network.is_some_and(|network| self.teachers.of(network).is_random()),
            version: crate::VERSION.to_owned(),
            git_revision: crate::GIT_REVISION.to_owned(),
            libtorch: LIBTORCH_VERSION.to_owned(),
            device: format!("{:?}", self.device).to_lowercase(),
            threads: self.workers,
            precision: self.precision.name().to_owned(),
            command: self.command.clone(),
            started_at,
            fit_seconds,
            score_seconds,
            latency_seconds: None,
            peak_memory_bytes: peak_memory_bytes().unwrap_or_default(),
        };
        Cell { format: results::FORMAT, id: identity.id(), identity: identity.clone(), provenance, error }
    }

    fn empty_result(&self, cell: Cell) -> CellResult {
        let folder = self.folder.join("cells").join(&cell.id);
        CellResult { cell, scores: Vec::new(), metrics: Vec::new(), epochs: Vec::new(), folder }
    }
}

fn panic_text(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().map(String::as_str).or(panic.downcast_ref::<&str>().copied());
    // libtorch appends a C++ stack trace to its message.
    text.unwrap_or("no message").split("\nException raised from").next().unwrap_or_default().to_owned()
}

/// The most memory this process has held so far, where the system tells.
fn peak_memory_bytes() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find(|line| line.starts_with("VmHWM:"))?;
    line.split_whitespace().nth(1)?.parse::<u64>().ok().map(|kib| kib * 1024)
}

/// Sets aside cells that no table may mix with current ones, and takes back planned ones that an earlier call
/// set aside; returns how many went. Set aside are cells of other code or data, of another file format, and
/// failed ones that are not planned. They stay in `cells-stale` and can be looked at.
pub fn tidy(run: &Path, planned: &[String], manifest_hash: &str) -> Result<usize> {
    let (cells, aside) = (run.join("cells"), run.join("cells-stale"));
    for id in
        planned.iter().filter(|id| aside.join(id).join("cell.json").exists() && !cells.join(id).exists())
    {
        std::fs::create_dir_all(&cells)?;
        std::fs::rename(aside.join(id), cells.join(id))?;
    }
    let mut n_moved = 0;
    for entry in std::fs::read_dir(&cells).into_iter().flatten() {
        let folder = entry.with_context(|| format!("listing {}", cells.display()))?.path();
        let is_planned = planned.iter().any(|id| folder.ends_with(id));
        if folder.join("cell.json").exists() && !is_planned && !is_current(&folder, manifest_hash) {
            let to = aside.join(folder.file_name().unwrap_or_default());
            std::fs::create_dir_all(&aside)?;
            if to.exists() {
                std::fs::remove_dir_all(&to)?;
            }
            std::fs::rename(&folder, &to).with_context(|| format!("setting {} aside", folder.display()))?;
            n_moved += 1;
        }
    }
    Ok(n_moved)
}

fn is_current(folder: &Path, manifest_hash: &str) -> bool {
    CellResult::read(folder).is_ok_and(|CellResult { cell, .. }| {
        let Identity { code_hash, manifest_hash: of, .. } = &cell.identity;
        cell.error.is_none() && code_hash == crate::CODE_HASH && of == manifest_hash
    })
}
