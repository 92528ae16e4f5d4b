//! SAMIL (arXiv 2306.00003) as an aggregator of slices to studies: trained on labelled studies of other tasks.
//!
//! The paper's network begins with convolutions of its own and its relevance with a classifier of views. Here a frozen
//! network stands in the place of the convolutions, a method's slice scores may enter beside its features, and the
//! relevance needs no label: the share of a slice that is tissue, or whether its view is among those named.

use std::collections::{BTreeMap, HashSet};
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use tch::Device;

use super::calibration::calibration;
use super::seen;
use super::training_log::TrainingLog;
use super::workers::on_workers;
use crate::episode::HeldOut;
use crate::files::lock::Lock;
use crate::ids::{CellId, TaskName};
use crate::manifest::{Manifest, Rejected, Row, Split};
use crate::method::{Context, OpenTeachers, StateFile};
use crate::network::origin::{Origin, Teachers};
use crate::network::precision::Precision;
use crate::network::teacher::Teacher;
use crate::network::{Extractor, Network, Sight};
use crate::regime::Regime;
use crate::results::Seed;
use crate::study::grouping::{self, Study};
use crate::study::learned::{self, Learned, LearnedIdentity};
use crate::study::slices::{Draw, SliceScores};
use bag::{Bag, Parts};
use fitting::moments;
pub use fitting::train_bags;
use frozen::Frozen;
use select::{Sources, sources};
pub use settings::Settings;
pub use training::{Samil, SamilTraining};

/// One study.
pub mod bag;
mod fitting;
mod frozen;
/// What is minimised.
pub mod loss;
mod scoring;
/// Which studies train.
pub mod select;
mod settings;
mod training;

/// What is trained, on what and where.
pub struct Request<'a> {
    /// The curated benchmark.
    pub manifest: &'a Manifest,
    /// The files of it that were found and not used.
    pub rejected: &'a [Rejected],
    /// The run that the trainings are written to.
    pub run: &'a Path,
    /// The tasks that are held out, one after the other.
    pub targets: Vec<TaskName>,
    /// What enters: features alone, or with a method's scores.
    pub inputs: Vec<Option<SliceScores>>,
    /// Which tasks train for a target.
    pub held_out: HeldOut,
    /// Side of the pictures.
    pub size: usize,
    /// The frozen network.
    pub extractor: Extractor,
    /// Where its weights come from.
    pub teachers: &'a Teachers,
    /// Where it computes.
    pub device: Device,
    /// In what precision.
    pub precision: Precision,
    /// Names both.
    pub device_class: String,
    /// How SAMIL is set up.
    pub settings: &'a Settings,
    /// Of the training.
    pub seed: u64,
    /// Trainings at once, each on a thread of its own.
    pub workers: usize,
    /// The least time between two saves of a training's state.
    pub every: Duration,
}

/// The tasks of a benchmark that have studies of several test pictures.
pub fn tasks_with_studies(manifest: &Manifest) -> Vec<TaskName> {
    let has = |task: &TaskName| grouping::have_several(manifest.select(task, Split::Test));
    manifest.tasks().into_iter().filter(has).collect()
}

/// One training to be done.
struct Todo<'a> {
    identity: LearnedIdentity,
    /// The frozen network's weights for this target.
    origin: Origin,
    scores: Option<&'a SliceScores>,
    sources: Sources<'a>,
}

/// Trains what is not there yet, and writes it to the run. A training that was cut short goes on where its state was saved.
/// Returns how many trainings there are and how many of them were there.
///
/// # Errors
/// Tasks without studies of both classes, weights or pictures that cannot be read, or a training that diverges.
pub fn train(request: &Request) -> Result<[usize; 2]> {
    let folder = request.run.join(learned::FOLDER);
    std::fs::create_dir_all(&folder).with_context(|| format!("making {}", folder.display()))?;
    // Of several processes, one trains.
    let _lock = Lock::wait(&folder.join("training.lock"))?;
    let (mut n_all, mut n_there) = (0, 0);
    // By what the frozen network is. The batch norms of a random one are calibrated on the training tasks, so that it is
    // another network for each target.
    let mut todo: BTreeMap<(String, Option<TaskName>), Vec<Todo>> = BTreeMap::new();
    for target in &request.targets {
        for scores in &request.inputs {
            let one = request.todo(target, scores.as_ref())?;
            n_all += 1;
            if Learned::find(request.run, &one.identity)?.is_some() {
                n_there += 1;
                continue;
            }
            let calibrated_for = one.origin.is_random().then(|| target.clone());
            todo.entry((one.identity.weights_hash.clone(), calibrated_for)).or_default().push(one);
        }
    }
    for ((_, target), own) in &todo {
        request.train_all(own, target.as_ref())?;
    }
    Ok([n_all, n_there])
}

impl Request<'_> {
    fn network(&self) -> Network {
        Network::from(self.extractor)
    }

    /// What a training is, before it is begun.
    fn todo<'r>(&'r self, target: &TaskName, scores: Option<&'r SliceScores>) -> Result<Todo<'r>> {
        let with_studies = tasks_with_studies(self.manifest);
        let mut tasks = self.held_out.training_tasks(self.manifest, target);
        // Train normals of a task need not be test studies of several slices, but a task without any has none to teach.
        tasks.retain(|task| with_studies.contains(task));
        let sources = sources(self.manifest, self.rejected, target, tasks, scores)?;
        sources.check_views(&self.settings.relevant_views)?;
        let of_task =
            |task: &TaskName| scores.and_then(|scores| scores.draws.get(task)).into_iter().flatten();
        let cells: Vec<CellId> = std::iter::once(target)
            .chain(&sources.tasks)
            .flat_map(of_task)
            .map(|draw: &Draw| draw.cell.clone())
            .collect();
        if let Some(SliceScores { label, shots, draws, .. }) = scores {
            ensure!(
                draws.contains_key(target),
                "no cell of {label} at {shots} shots in {} scored the slices of {target}; let the bench run on for that task, \
                 or do without --scores-of {label}",
                self.run.display()
            );
        }
        let network = self.network();
        let origin = seen::unseen(self.teachers, network, self.manifest, target, self.held_out)?;
        let identity = LearnedIdentity {
            settings: serde_json::to_string(self.settings)?,
            task: target.clone(),
            scores_of: scores.map(|scores| scores.label.clone()),
            shots: scores.map(|scores| scores.shots),
            cells,
            seed: Seed(self.seed),
            size: self.size,
            held_out: self.held_out,
            manifest_hash: self.manifest.header.canonical_hash.clone(),
            code_hash: crate::CODE_HASH.to_owned(),
            weights_hash: origin.hash(network),
            device_class: self.device_class.clone(),
        };
        Ok(Todo { identity, origin, scores, sources })
    }

    /// Computes features of all slices that enter, then trains. All have the same frozen network; `target` names the only
    /// one, where a network is calibrated for it.
    fn train_all(&self, todo: &[Todo], target: Option<&TaskName>) -> Result<()> {
        let Some(first) = todo.first() else { return Ok(()) };
        let mut needed: BTreeMap<&str, HashSet<&str>> = BTreeMap::new();
        for one in todo {
            let of_sources = one.sources.studies.iter().flat_map(|(_, study, _)| study.rows.iter().copied());
            let of_target = self.manifest.select(&one.identity.task, Split::Test);
            for row in of_sources.chain(of_target.filter(|row| grouping::study_of(row).is_some())) {
                needed.entry(row.task.as_str()).or_default().insert(row.image_id.as_str());
            }
        }
        let sight = Sight::of(self.extractor);
        let open = || -> Result<Teacher> {
            let tasks = target.map(|target| self.held_out.training_tasks(self.manifest, target));
            let pictures =
                tasks.map(|tasks| calibration(self.manifest, &tasks, self.size)).transpose()?.flatten();
            Ok(Teacher::seeing(sight, &first.origin, pictures.as_ref(), self.device)?
                .computing_in(self.precision))
        };
        let workers = if self.device.is_cuda() { 1 } else { self.workers };
        let mut frozen = Frozen::new();
        for (task, needed) in &needed {
            let of_task = self.manifest.task(task)?;
            let store = of_task.store(self.size)?;
            let mut rows = of_task.rows;
            rows.retain(|row| grouping::study_of(row).is_some());
            frozen.add(&store, (&rows, needed), &open, self.settings, (self.seed, workers))?;
        }
        let next = AtomicUsize::new(0);
        let work = || -> Result<()> {
            tch::set_num_threads(1);
            while let Some(one) = todo.get(next.fetch_add(1, Ordering::Relaxed)) {
                let task = &one.identity.task;
                self.train_one(one, &frozen).with_context(|| format!("SAMIL for {task}"))?;
            }
            Ok(())
        };
        on_workers(workers.min(todo.len()), &work).map(drop)
    }

    fn train_one(&self, todo: &Todo, frozen: &Frozen) -> Result<()> {
        let started = Instant::now();
        let Todo { identity, origin, scores, sources } = todo;
        let bag = |(task, study, is_anomalous): &(TaskName, Study, bool)| {
            self.bag(study, *is_anomalous, frozen, scores.and_then(|scores| scores.draws.get(task)))
        };
        let mut bags: Vec<Bag> = sources.studies.iter().map(bag).collect();
        let (mean, deviation) = moments(&bags);
        bags.iter_mut().for_each(|bag| bag.scale(&mean, &deviation));
        let model = Samil::new(self.settings, bags[0].n_inputs(), bags.len(), self.seed, self.device);
        let state_file = StateFile {
            path: Learned::folder(self.run, identity).join("state.safetensors"),
            every: self.every,
        };
        let mut log = TrainingLog::default();
        let context = self.context(identity, state_file.clone());
        train_bags(&model, &bags, sources.counts, identity, &context, &mut log)?;
        let (studies, attention) = self.score(&model, todo, frozen, (&mean, &deviation))?;
        let training = learned::Training {
            teacher: origin.label(self.network()),
            teacher_recipe: origin.tuned()?.map(|tuned| tuned.recipe.clone()),
            random_weights: origin.is_random(),
            regime: Regime::OtherAnomalies.max(scores.map_or(Regime::Nothing, |scores| scores.regime)),
            changed_settings: self.settings.changed()?,
            sources: sources.tasks.clone(),
            n_studies: sources.counts,
            n_left_out: sources.n_left_out,
            seconds: started.elapsed().as_secs_f64(),
        };
        let identity = identity.clone();
        Learned { identity, training, studies, attention, epochs: log.epochs() }.write(self.run)?;
        state_file.remove()
    }

    fn context(&self, identity: &LearnedIdentity, state_file: StateFile) -> Context {
        Context {
            device: self.device,
            precision: self.precision,
            seed: self.seed,
            shots: identity.shots.unwrap_or(0),
            teachers: self.teachers.clone(),
            calibration: None,
            task: identity.task.clone(),
            label: format!("SAMIL for {}", identity.task),
            state_file: Some(state_file),
            opened: OpenTeachers::default(),
        }
    }

    fn bag(&self, study: &Study, is_anomalous: bool, frozen: &Frozen, draws: Option<&Vec<Draw>>) -> Bag {
        let slices: Vec<_> = study.rows.iter().map(|row| frozen.of(&row.image_id)).collect();
        let n_versions = slices[0].versions.len();
        let versions =
            (0..n_versions).flat_map(|version| slices.iter().map(move |slice| &slice.versions[version]));
        let features: Vec<f32> = versions.flatten().copied().collect();
        let views = &self.settings.relevant_views;
        let relevance = |(row, slice): (&&Row, &&frozen::Slice)| match views.is_empty() {
            true => slice.tissue,
            false => f32::from(u8::from(row.view.as_ref().is_some_and(|view| views.contains(view)))),
        };
        let relevance: Vec<f32> = study.rows.iter().zip(&slices).map(relevance).collect();
        let of_draw = |draw: &Draw| study.rows.iter().map(|row| draw.places[&row.image_id]).collect();
        let places: Vec<Vec<f64>> = draws.into_iter().flatten().map(of_draw).collect();
        let parts =
            Parts { is_anomalous, relevance: &relevance, features: &features, n_versions, places: &places };
        Bag::new(&parts, self.device)
    }
}
