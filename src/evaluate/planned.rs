//! A bench as planned: all that a process on another machine needs to compute its share, and a table of its cells.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use serde::{Deserialize, Serialize};
use tch::Device;

use super::definition::Definition;
use super::device::Wanted;
use super::experience::{Cost, Experience};
use super::plan::{self, Job, Retry, Setting, State};
use super::run::Run;
use super::stale_cells;
use crate::episode::{self, Episodes};
use crate::files;
use crate::files::lock::{self, Lock};
use crate::ids::{CellId, TaskName};
use crate::manifest::{Manifest, Split};
use crate::network::feature_folder::FeatureFolder;
use crate::network::origin::{Origin, Teachers};
use crate::network::precision::Precision;
use crate::network::remembering::FeatureLimits;
use crate::regime::Regime;
use crate::results::{Identity, KeptMaps, Seed, Stopped};
use crate::table::{Record, record};

/// Folder of teachers' features in a run.
const FEATURES: &str = "features";

/// Files that every process of a run writes, whichever cells it computes.
const SHARED: [&str; 5] = ["episodes.json", "episodes.parquet", "plan.json", "plan.parquet", "stopped.json"];

/// Waits until no other process writes the files that all processes of a run share, and removes what killed ones left of
/// their attempts. No other writes them until it is dropped.
///
/// # Errors
/// If the folder cannot be written.
pub fn alone(folder: &Path) -> Result<Lock> {
    let lock = Lock::wait(&folder.join("jobs/plan.lock"))?;
    SHARED.iter().try_for_each(|name| files::remove_drafts(&folder.join(name)))?;
    Ok(lock)
}

/// A bench and its circumstances, as resolved from definition and command line.
#[derive(Clone, Serialize, Deserialize)]
pub struct Planned {
    /// Which methods, tasks, shots, draws and seeds.
    pub definition: Definition,
    /// Folder of the curated benchmark. Plans write it as it is reached from the run's folder.
    pub manifest: PathBuf,
    /// Where the weights of pretrained networks come from.
    pub teachers: Teachers,
    /// A statement: the machine that plans need not have it. Older plans say `auto`, which each machine decides.
    pub device: Wanted,
    /// In what precision networks compute.
    pub precision: Precision,
    /// How much of teachers' features may be kept.
    #[serde(default)]
    pub features: FeatureLimits,
    /// How the user called it.
    pub command: String,
}

/// A planned bench with everything that it names at hand.
pub struct Opened {
    /// What was resolved.
    pub planned: Planned,
    /// The curated benchmark.
    pub manifest: Manifest,
    /// The episodes drawn from it.
    pub episodes: Episodes,
    /// The cells, by the training that they share.
    pub jobs: Vec<Job>,
}

/// How many cells there are of each state.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Not computed yet.
    pub to_do: usize,
    /// With results.
    pub done: usize,
    /// Ended with an error.
    pub failed: usize,
    /// Of these, for want of something that the machine may have by now.
    pub lacked: usize,
}

impl Planned {
    /// Draws episodes and lists the cells.
    ///
    /// # Errors
    /// What the plan cannot be made of, by name.
    pub fn open(self) -> Result<Opened> {
        let manifest =
            Manifest::read(&self.manifest).with_context(|| format!("bench `{}`", self.definition.name))?;
        self.on(manifest)
    }

    /// As [`Planned::open`], with the manifest that was read already.
    ///
    /// # Errors
    /// What the plan cannot be made of, by name.
    pub fn on(mut self, manifest: Manifest) -> Result<Opened> {
        // A plan names its tasks, so that nobody needs the benchmark to tell which cells are missing.
        if self.definition.tasks.is_empty() {
            self.definition.tasks = manifest.tasks();
        }
        let episodes = episode::draw(&manifest, self.definition.episodes())?;
        episodes.verify(&manifest)?;
        let device_class = self.device.class(self.precision)?;
        let setting =
            Setting { manifest: &manifest, episodes: &episodes, teachers: &self.teachers, device_class };
        let jobs = plan::plan(&self.definition, &setting)?;
        Ok(Opened { planned: self, manifest, episodes, jobs })
    }

    /// Reads what [`Opened::write`] wrote.
    ///
    /// # Errors
    /// A folder without a plan.
    pub fn read(folder: &Path) -> Result<Planned> {
        let path = folder.join("plan.json");
        ensure!(path.exists(), "{} holds no plan; make one with `plan`", folder.display());
        let text = files::read_text(&path)?;
        let planned: Planned = serde_json::from_str(&text)
            .with_context(|| format!("{} is of another version; plan again", path.display()))?;
        let cache = files::cache_folder()?;
        Ok(planned.with_paths(|path| files::stated(folder, &cache, path)))
    }

    /// With every path changed: that of the benchmark, and those of weights.
    fn with_paths(self, change: impl Fn(&Path) -> PathBuf) -> Planned {
        let origin = |origin: Origin| match origin {
            Origin::File { path, sha256 } => Origin::File { path: change(&path), sha256 },
            Origin::Random { seed, cache } => Origin::Random { seed, cache: cache.map(|path| change(&path)) },
            Origin::Targets { folder, sha256 } => Origin::Targets { folder: change(&folder), sha256 },
        };
        let Teachers { named, other } = self.teachers;
        let named = named.into_iter().map(|(network, from)| (network, origin(from))).collect();
        Planned {
            manifest: change(&self.manifest),
            teachers: Teachers { named, other: other.map(origin) },
            ..self
        }
    }

    /// As a plan in `folder` writes it.
    fn seen_from(&self, folder: &Path) -> Result<Planned> {
        std::fs::create_dir_all(folder).with_context(|| format!("creating {}", folder.display()))?;
        let folder = folder.canonicalize().with_context(|| format!("finding {}", folder.display()))?;
        // What is not there yet, such as a cache, has no links in it.
        let real = |path: &Path| path.canonicalize().or_else(|_| std::path::absolute(path));
        let cache = real(&files::cache_folder()?)?;
        let written = |path: &Path| match real(path) {
            Ok(path) => match path.strip_prefix(&cache) {
                Ok(below) => Path::new(files::CACHE).join(below),
                Err(_) => files::from_to(&folder, &path),
            },
            Err(_) => path.to_owned(),
        };
        Ok(self.clone().with_paths(written))
    }
}

impl Opened {
    /// Every cell, job after job.
    pub fn cells(&self) -> impl Iterator<Item = &Identity> {
        self.jobs.iter().flat_map(|job| &job.cells)
    }

    /// Names the cells of a method at a number of shots, all draws of all tasks and seeds.
    pub fn cells_of(&self, method: &str, shots: usize) -> String {
        let is_one = |cell: &&Identity| cell.method == method && cell.shots == shots;
        let ids: Vec<CellId> = self.cells().filter(is_one).map(Identity::id).collect();
        files::fingerprint(ids.join(" ").as_bytes())
    }

    /// The methods that were stopped before, of these very cells.
    ///
    /// # Errors
    /// A list of these that cannot be read.
    pub fn stopped(&self, folder: &Path) -> Result<Vec<Stopped>> {
        let holds = |one: &Stopped| one.planned == self.cells_of(&one.method, one.shots);
        Ok(Stopped::read(folder)?.into_iter().filter(holds).collect())
    }

    /// All cells by what has become of them, without those that were `stopped`.
    pub fn tally(&self, folder: &Path, stopped: &[Stopped]) -> Tally {
        let mut tally = Tally::default();
        let is_left_out = |identity: &&Identity| stopped.iter().any(|one| one.leaves_out_cell(identity));
        for identity in self.cells().filter(|identity| !is_left_out(identity)) {
            match plan::state(folder, identity) {
                State::ToDo => tally.to_do += 1,
                State::Done => tally.done += 1,
                State::Failed => tally.failed += 1,
                State::Lacked => {
                    tally.failed += 1;
                    tally.lacked += 1;
                }
            }
        }
        tally
    }

    /// Cells that will be computed, and at most how many bytes the maps of their test pictures take: of the last epoch and
    /// the best one.
    pub fn bytes_of_maps(&self, folder: &Path, retry: Retry) -> (usize, u64) {
        let side = self.planned.definition.size;
        let of_task = |task: &TaskName| {
            let pictures = self.manifest.select(task, Split::Test).count();
            (task.clone(), 2 * KeptMaps::bytes(pictures, side))
        };
        let bytes: BTreeMap<TaskName, u64> = self.planned.definition.tasks.iter().map(of_task).collect();
        let to_do = self.jobs.iter().flat_map(|job| job.wanted(folder, retry));
        to_do.fold((0, 0), |(cells, sum), identity| {
            (cells + 1, sum + bytes.get(&identity.task).copied().unwrap_or_default())
        })
    }

    /// What computes the cells on `device`, several jobs at once on a CPU.
    pub fn run(&self, device: Device, folder: &Path, workers: usize, retry: Retry) -> Run<'_> {
        Run {
            bench: self.planned.definition.name.clone(),
            size: self.planned.definition.size,
            manifest: &self.manifest,
            episodes: &self.episodes,
            teachers: &self.planned.teachers,
            device,
            precision: self.planned.precision,
            workers: if device == Device::Cpu { workers } else { 1 },
            keeping: self.planned.features.keeping_in(folder.join(FEATURES)),
            folder: folder.to_owned(),
            command: self.planned.command.clone(),
            keep_maps: false,
            retry,
            skip: &|_| false,
            expected: None,
        }
    }

    /// Sets stale cells aside and writes plan, episodes and which methods are `stopped`; returns how many cells went.
    ///
    /// # Errors
    /// If the folder cannot be written.
    pub fn write(&self, folder: &Path, stopped: &[Stopped]) -> Result<usize> {
        let _alone = alone(folder)?;
        let ids: Vec<CellId> = self.cells().map(Identity::id).collect();
        let n_aside = stale_cells::set_aside(folder, &ids, &self.manifest.header.canonical_hash)?;
        // Features of other code are not looked at.
        for other in std::fs::read_dir(folder.join(FEATURES)).into_iter().flatten().flatten() {
            if other.file_name() != crate::CODE_HASH {
                FeatureFolder::clear(&other.path())?;
            }
        }
        store_episodes(&self.episodes, &self.manifest, folder)?;
        files::write_whole(
            &folder.join("plan.json"),
            serde_json::to_string_pretty(&self.planned.seen_from(folder)?)?.as_bytes(),
        )?;
        self.write_table(folder)?;
        Stopped::write(folder, stopped)?;
        Ok(n_aside)
    }

    /// Removes what killed processes left and what cells shared, once all cells are there and nobody is at work.
    ///
    /// # Errors
    /// If something cannot be removed.
    pub fn tidy_up(&self, folder: &Path) -> Result<()> {
        let is_busy = lock::sweep(&folder.join("jobs"))?;
        let Tally { to_do, lacked, .. } = self.tally(folder, &self.stopped(folder)?);
        if is_busy || to_do + lacked > 0 {
            return Ok(());
        }
        files::remove_folder_if_there(&folder.join("training"))?;
        FeatureFolder::clear(&folder.join(FEATURES))
    }

    /// `plan.parquet`: one row per cell, with the job that computes it and, where cells of the same method and
    /// settings have been computed in this or a neighbouring run, what they took.
    fn write_table(&self, folder: &Path) -> Result<()> {
        let experience = Experience::gather(folder);
        let rows = self.jobs.iter().flat_map(|job| {
            let name = job.name();
            let row = |identity: &Identity| PlannedCell::new(identity, &name, job, experience.of(identity));
            job.cells.iter().map(row).collect::<Vec<_>>()
        });
        PlannedCell::write(&folder.join("plan.parquet"), &rows.collect::<Vec<_>>())
    }
}

record! {
/// One cell of a plan.
pub struct PlannedCell {
    /// The cell's id, which is the name of its folder.
    pub cell: CellId,
    /// The job that computes it: all cells with one job share a training.
    pub job: String,
    /// The method's name.
    pub method: String,
    /// The method's settings as resolved, one JSON object.
    pub settings: String,
    /// The task held out.
    pub task: TaskName,
    /// Size of the support set.
    pub shots: usize,
    /// Which support set of that size, from 0.
    pub draw: usize,
    /// Of the training.
    pub seed: Seed,
    /// Data regime: what the method is given.
    pub regime: Regime,
    /// Over all source files that can change a score.
    pub code_hash: String,
    /// Over the manifest's rows.
    pub manifest_hash: String,
    /// Of the pretrained weights; empty for methods without a network.
    pub weights_hash: String,
    /// Training of the whole job, as cells like it took; null if there are none.
    pub expected_fit_seconds_of_job: Option<f64>,
    /// Adapting and scoring, as cells like it took; null if there are none.
    pub expected_score_seconds: Option<f64>,
    /// The most memory that a process held which computed cells like it; null if there are none.
    pub expected_memory_bytes: Option<u64>,
}
}

impl PlannedCell {
    fn new(identity: &Identity, name: &str, job: &Job, expected: Option<Cost>) -> PlannedCell {
        let cell = identity.id();
        let Identity {
            method,
            settings,
            task,
            shots,
            draw,
            seed,
            code_hash,
            manifest_hash,
            weights_hash,
            ..
        } = identity.clone();
        PlannedCell {
            cell,
            job: name.to_owned(),
            method,
            settings,
            task,
            shots,
            draw,
            seed,
            regime: job.built.regime,
            code_hash,
            manifest_hash,
            weights_hash,
            expected_fit_seconds_of_job: expected.map(|cost| cost.fit),
            expected_score_seconds: expected.map(|cost| cost.score),
            expected_memory_bytes: expected.and_then(|cost| cost.bytes),
        }
    }
}

/// Keeps the larger of what is stored and what is drawn: earlier cells may have used more draws or shots,
/// and smaller sets are contained in larger ones.
fn store_episodes(drawn: &Episodes, manifest: &Manifest, folder: &Path) -> Result<()> {
    let mut settings = drawn.settings;
    let same = |stored: &Episodes| {
        stored.manifest_hash == drawn.manifest_hash && stored.settings.seed == drawn.settings.seed
    };
    if let Some(Episodes { settings: stored, .. }) = Episodes::read(folder).ok().filter(same) {
        settings.draws = settings.draws.max(stored.draws);
        settings.max_shots = settings.max_shots.max(stored.max_shots);
    }
    episode::draw(manifest, settings)?.write(folder)
}
