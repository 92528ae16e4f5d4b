//! SAMIL (arXiv 2306.00003) as an aggregator of slices to studies: trained on labelled studies of other tasks.
//!
//! The paper's network begins with convolutions of its own and its relevance with a classifier of views. Here a frozen
//! network stands in the place of the convolutions, a method's slice scores may enter beside its features, and the
//! relevance needs no label: the share of a slice that is tissue, or whether its view is among those named.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use tch::{Device, Kind, Tensor};

use super::calibration::calibration;
use crate::episode::HeldOut;
use crate::files::lock::Lock;
use crate::ids::{CellId, TaskName};
use crate::manifest::{Manifest, Row, Split};
use crate::method::part::trainer::{self, Subject};
use crate::method::{Context, EpochFigures, Fitted, Observer, OpenTeachers, StateFile};
use crate::network::origin::Teachers;
use crate::network::precision::Precision;
use crate::network::teacher::Teacher;
use crate::network::{Extractor, Network, Sight};
use crate::regime::Regime;
use crate::results::{Epoch, Seed};
use crate::study::grouping::{self, Study};
use crate::study::learned::{self, Learned, LearnedIdentity, SliceAttention, StudyScore};
use crate::study::slices::{Draw, SliceScores};
use bag::{Bag, Parts};
use frozen::{Frozen, on_workers};
use select::{Sources, queries, sources};
pub use settings::Settings;
pub use training::{Samil, SamilTraining};

/// One study.
pub mod bag;
mod frozen;
/// What is minimised.
pub mod loss;
/// Which studies train.
pub mod select;
mod settings;
mod training;

/// What is trained, on what and where.
pub struct Request<'a> {
    /// The curated benchmark.
    pub manifest: &'a Manifest,
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
    let (mut todo, mut n_there) = (Vec::new(), 0);
    for target in &request.targets {
        for scores in &request.inputs {
            let one = request.todo(target, scores.as_ref())?;
            match Learned::find(request.run, &one.identity)? {
                Some(_) => n_there += 1,
                None => todo.push(one),
            }
        }
    }
    let n_all = todo.len() + n_there;
    if request.origin()?.is_random() {
        // Its batch norms are calibrated on the training tasks, so that it is another network for each target.
        let targets: BTreeSet<TaskName> = todo.iter().map(|one| one.identity.task.clone()).collect();
        for target in targets {
            let (own, rest): (Vec<Todo>, Vec<Todo>) =
                todo.into_iter().partition(|one| one.identity.task == target);
            request.train_all(&own, Some(&target))?;
            todo = rest;
        }
    } else {
        request.train_all(&todo, None)?;
    }
    Ok([n_all, n_there])
}

impl Request<'_> {
    fn network(&self) -> Network {
        Network::from(self.extractor)
    }

    fn origin(&self) -> Result<&crate::network::origin::Origin> {
        self.teachers.of(self.network())
    }

    /// What a training is, before it is begun.
    fn todo<'r>(&'r self, target: &TaskName, scores: Option<&'r SliceScores>) -> Result<Todo<'r>> {
        let with_studies = tasks_with_studies(self.manifest);
        let mut tasks = self.held_out.training_tasks(self.manifest, target);
        // Train normals of a task need not be test studies of several slices, but a task without any has none to teach.
        tasks.retain(|task| with_studies.contains(task));
        let sources = sources(self.manifest, target, tasks, scores)?;
        let of_task =
            |task: &TaskName| scores.and_then(|scores| scores.draws.get(task)).into_iter().flatten();
        let cells: Vec<CellId> = std::iter::once(target)
            .chain(&sources.tasks)
            .flat_map(of_task)
            .map(|draw: &Draw| draw.cell.clone())
            .collect();
        ensure!(
            scores.is_none_or(|scores| scores.draws.contains_key(target)),
            "no cell scored the slices of {target}"
        );
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
            weights_hash: self.origin()?.hash(self.network()),
            device_class: self.device_class.clone(),
        };
        Ok(Todo { identity, scores, sources })
    }

    /// Computes features of all slices that enter, then trains. `target` names the only one, where the network depends on it.
    fn train_all(&self, todo: &[Todo], target: Option<&TaskName>) -> Result<()> {
        if todo.is_empty() {
            return Ok(());
        }
        let mut rows: BTreeMap<TaskName, BTreeMap<&str, &Row>> = BTreeMap::new();
        for one in todo {
            let of_sources = one.sources.studies.iter().flat_map(|(_, study, _)| study.rows.clone());
            let of_target = self.manifest.select(&one.identity.task, Split::Test);
            for row in of_sources.chain(of_target.filter(|row| grouping::study_of(row).is_some())) {
                rows.entry(row.task.clone()).or_default().insert(row.image_id.as_str(), row);
            }
        }
        let sight = Sight::of(self.extractor);
        let open = || -> Result<Teacher> {
            let origin = self.origin()?;
            let tasks = target.map(|target| self.held_out.training_tasks(self.manifest, target));
            let pictures =
                tasks.map(|tasks| calibration(self.manifest, &tasks, self.size)).transpose()?.flatten();
            Ok(Teacher::seeing(sight, origin, pictures.as_ref(), self.device)?.computing_in(self.precision))
        };
        let workers = if self.device.is_cuda() { 1 } else { self.workers };
        let mut frozen = Frozen::new();
        for (task, rows) in &rows {
            let store = self.manifest.task(task)?.store(self.size)?;
            let rows: Vec<&Row> = rows.values().copied().collect();
            frozen.add(&store, &rows, &open, self.settings, (self.seed, workers))?;
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
        let Todo { identity, scores, sources } = todo;
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
        let mut losses = Losses::default();
        let context = self.context(identity, state_file.clone());
        train_bags(&model, &bags, sources.counts, identity, &context, &mut losses)?;
        let (studies, attention) = self.score(&model, todo, frozen, (&mean, &deviation))?;
        let training = learned::Training {
            teacher: self.origin()?.label(self.network()),
            random_weights: self.origin()?.is_random(),
            regime: Regime::OtherAnomalies,
            sources: sources.tasks.clone(),
            n_studies: sources.counts,
            n_left_out: sources.n_left_out,
            seconds: started.elapsed().as_secs_f64(),
        };
        let identity = identity.clone();
        Learned { identity, training, studies, attention, epochs: losses.0 }.write(self.run)?;
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

    /// Every test study of the target; no label is looked at.
    fn score(
        &self,
        model: &Samil,
        todo: &Todo,
        frozen: &Frozen,
        (mean, deviation): (&Tensor, &Tensor),
    ) -> Result<(Vec<StudyScore>, Vec<SliceAttention>)> {
        let target = &todo.identity.task;
        let draws = todo.scores.and_then(|scores| scores.draws.get(target));
        let (mut scores, mut attention) = (Vec::new(), Vec::new());
        for study in queries(self.manifest, target) {
            let is_scored = |row: &&Row| {
                draws.is_none_or(|draws| draws.iter().all(|draw| draw.places.contains_key(&row.image_id)))
            };
            // One whose label is not opened has no place among those that are.
            if !study.rows.iter().all(is_scored) {
                continue;
            }
            let mut bag = self.bag(&study, false, frozen, draws);
            bag.scale(mean, deviation);
            let relevance = numbers(&bag.relevance)?;
            for draw in 0..bag.n_draws() {
                let found = model.of(&bag.plain(draw));
                let logits = numbers(&found.logits)?;
                let draw = draw as u64;
                scores.push(StudyScore { study: study.id.to_owned(), draw, score: logits[1] - logits[0] });
                let branches = [
                    numbers(&found.log_supervised.exp())?,
                    numbers(&found.log_free.exp())?,
                    numbers(&found.attention)?,
                ];
                attention.extend(study.rows.iter().enumerate().map(|(slice, row)| SliceAttention {
                    image_id: row.image_id.clone(),
                    draw,
                    supervised: branches[0][slice],
                    free: branches[1][slice],
                    combined: branches[2][slice],
                    relevance: relevance[slice],
                }));
            }
        }
        Ok((scores, attention))
    }
}

fn numbers(tensor: &Tensor) -> Result<Vec<f64>> {
    Ok(Vec::try_from(tensor.to_kind(Kind::Double).to_device(Device::Cpu).contiguous().flatten(0, -1))?)
}

/// Mean and deviation of each feature over the slices that train, `[d]`; a feature without spread is not scaled.
fn moments(bags: &[Bag]) -> (Tensor, Tensor) {
    let n: usize = bags.iter().map(Bag::len).sum();
    let sums = bags.iter().skip(1).fold(bags[0].sums(), |sums, bag| sums + bag.sums()) / n as f64;
    let (mean, squares) = (sums.get(0), sums.get(1));
    let deviation = (squares - mean.square()).clamp_min(0.0).sqrt();
    let deviation = deviation.where_self(&deviation.gt(1e-6), &deviation.ones_like());
    (mean.to_kind(Kind::Float), deviation.to_kind(Kind::Float))
}

/// Trains to the end, from the state that was saved if there is one.
///
/// # Errors
/// As [`trainer::train`].
pub fn train_bags(
    model: &Samil,
    bags: &[Bag],
    counts: [usize; 2],
    identity: &LearnedIdentity,
    context: &Context,
    observer: &mut dyn Observer,
) -> Result<()> {
    let settings: Settings = serde_json::from_str(&identity.settings)?;
    let bytes: Vec<u8> = bags.iter().flat_map(Bag::bytes).collect();
    let bytes = Tensor::from_slice(&bytes);
    let subject = Subject::of_pictures("samil", &identity, None, &bytes)?;
    let mut training = SamilTraining { model, bags, seed: context.seed, counts };
    trainer::train(&mut training, &Samil::recipe(&settings, bags.len()), &subject, context, observer)
}

/// Losses by epoch, of both stages.
#[derive(Default)]
struct Losses(Vec<Epoch>);

impl Observer for Losses {
    fn after_epoch(&mut self, epoch: u64, figures: &EpochFigures, _: &dyn Fitted) -> Result<()> {
        let rows = figures.iter().map(|(quantity, value)| Epoch {
            epoch,
            quantity: (*quantity).to_owned(),
            value: Some(*value),
        });
        self.0.extend(rows);
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
