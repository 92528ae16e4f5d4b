//! How long the cells of a plan will take: as cells like them took; else from the operations that methods count and the
//! rates that a self-test found.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::Result;

use super::experience::Experience;
use super::plan::{Job, Retry};
use super::planned::Opened;
use super::rates::Speed;
use crate::ids::TaskName;
use crate::manifest::{Row, Split};
use crate::method;
use crate::method::work::{CellSize, Work};
use crate::results::{Identity, Stopped};

/// Seconds in which a core measures a cell and writes it, for each picture of its test set, mostly for bootstraps:
/// 2,192 pictures took 0.7 s on a core of an EPYC.
const MEASURING: f64 = 3e-4;

/// Bytes of a cell's files, and more for each picture of its test set: 1,722 took 106 kB.
const CELL_BYTES: f64 = 8e3;
const ROW_BYTES: f64 = 70.0;

/// Bytes of the gallery for each pixel of a picture: three pictures of each class, with colours and a map.
const GALLERY_BYTES: f64 = 6.0 * (3.0 + 4.0);

/// How many cells there are, by what is known of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Known {
    /// Cells like them were computed.
    pub measured: usize,
    /// Their operations are counted.
    pub counted: usize,
    /// Nothing.
    pub unknown: usize,
}

impl Known {
    /// All of them.
    pub fn cells(self) -> usize {
        self.measured + self.counted + self.unknown
    }

    /// Whether there is an estimate: of some, or no cell is to do.
    pub fn is_some(self) -> bool {
        self.measured + self.counted > 0 || self.unknown == 0
    }

    fn add(&mut self, other: Known) {
        self.measured += other.measured;
        self.counted += other.counted;
        self.unknown += other.unknown;
    }
}

/// What the cells to do of one method take.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct MethodEstimate {
    /// The method, as the definition calls it.
    pub method: String,
    /// How many of its cells are measured, counted or unknown.
    pub known: Known,
    /// On one device, of those that are not unknown.
    pub seconds: f64,
}

/// What one job takes: the cells to do that share a training.
#[derive(Clone, Debug, Default)]
pub struct JobEstimate {
    /// The method, as the definition calls it.
    pub method: String,
    /// The task whose pictures are scored.
    pub task: TaskName,
    /// How many of its cells are measured, counted or unknown.
    pub known: Known,
    /// On the worker that computes it.
    pub seconds: f64,
    /// Bytes of memory that grow with what counted cells are given, and of steps of transformers.
    pub memory: f64,
    /// Bytes of its results.
    pub disk: f64,
}

/// What all cells to do take together.
#[derive(Clone, Debug, Default)]
pub struct Estimate {
    /// How many of the cells are measured, counted or unknown.
    pub known: Known,
    /// Seconds on one device.
    pub seconds: f64,
    /// Of each method with cells to do, longest first.
    pub methods: Vec<MethodEstimate>,
    /// The job that takes longest.
    pub longest: JobEstimate,
    /// Seconds of each job of the plan, in its order, on the worker that computes it.
    pub jobs: Vec<f64>,
    /// The most bytes of memory that any job keeps beside what the self-test held.
    pub memory: f64,
    /// Bytes of all results.
    pub disk: f64,
}

impl Estimate {
    /// Of the cells that are still to be computed and were not `stopped`; without `speed`, of those alone that others are like.
    ///
    /// # Errors
    /// Settings of a method that cannot be read.
    pub fn new(
        opened: &Opened,
        folder: &Path,
        stopped: &[Stopped],
        speed: Option<&Speed>,
    ) -> Result<Estimate> {
        let experience = Experience::gather(folder);
        let counts = Counts::of(&opened.manifest.rows);
        let jobs = opened.jobs.iter().map(|job| {
            let mut wanted = job.wanted(folder, Retry::Lacked);
            wanted.retain(|cell| !stopped.iter().any(|one| one.leaves_out_cell(cell)));
            counts.estimate(job, &wanted, &experience, speed)
        });
        Ok(Estimate::sum(jobs.collect::<Result<Vec<_>>>()?, speed.map_or(1.0, |speed| speed.at_once)))
    }

    fn sum(jobs: Vec<JobEstimate>, at_once: f64) -> Estimate {
        let mut sum = Estimate::default();
        let mut methods: BTreeMap<String, MethodEstimate> = BTreeMap::new();
        for estimate in jobs {
            sum.known.add(estimate.known);
            sum.jobs.push(estimate.seconds);
            sum.seconds += estimate.seconds / at_once;
            sum.memory = sum.memory.max(estimate.memory);
            sum.disk += estimate.disk;
            let of_method = methods.entry(estimate.method.clone()).or_default();
            of_method.method.clone_from(&estimate.method);
            of_method.known.add(estimate.known);
            of_method.seconds += estimate.seconds / at_once;
            if estimate.seconds > sum.longest.seconds {
                sum.longest = estimate;
            }
        }
        sum.methods = methods.into_values().filter(|of_method| of_method.known.cells() > 0).collect();
        sum.methods.sort_by(|a, b| b.seconds.total_cmp(&a.seconds));
        sum
    }
}

/// Train and test pictures of each task.
struct Counts(BTreeMap<TaskName, [usize; 2]>);

impl Counts {
    fn of(rows: &[Row]) -> Counts {
        let mut counts: BTreeMap<TaskName, [usize; 2]> = BTreeMap::new();
        for row in rows {
            let [train, test] = counts.entry(row.task.clone()).or_default();
            match row.split {
                Split::Train => *train += 1,
                Split::Test => *test += 1,
                Split::Val => {}
            }
        }
        Counts(counts)
    }

    fn n_train(&self, tasks: &[TaskName]) -> usize {
        tasks.iter().filter_map(|task| self.0.get(task)).map(|[train, _]| train).sum()
    }

    fn n_test(&self, tasks: &[TaskName]) -> usize {
        tasks.iter().filter_map(|task| self.0.get(task)).map(|[_, test]| test).sum()
    }

    fn load(&self, job: &Job, identity: &Identity) -> CellSize {
        CellSize {
            size: identity.size as i64,
            shots: identity.shots,
            n_train: self.n_train(&job.training),
            n_test: self.n_test(std::slice::from_ref(&job.task)),
        }
    }

    /// What the `wanted` cells of a job take. What they share is counted once: their training, as it took where that is
    /// known, what is made of the test set whatever the supports, and all scoring where supports change nothing.
    fn estimate(
        &self,
        job: &Job,
        wanted: &[&Identity],
        experience: &Experience,
        speed: Option<&Speed>,
    ) -> Result<JobEstimate> {
        let mut estimate =
            JobEstimate { method: job.method.clone(), task: job.task.clone(), ..JobEstimate::default() };
        let (mut took, mut counted): (Option<f64>, f64) = (None, 0.0);
        let shares_scores = job.built.regime.sees_whole_target();
        for identity in wanted {
            let load = self.load(job, identity);
            let entry = method::find(&job.method)?;
            let work = entry.work.map(|work| work(&job.built.settings, &load)).transpose()?;
            let every = identity.observed_every.unwrap_or(1) as u64;
            let work = work.map(|work| Work { evaluations: work.evaluations.div_ceil(every), ..work });
            let cost = experience.of(identity);
            match (cost, work, speed) {
                (Some(cost), work, _) => {
                    estimate.known.measured += 1;
                    let scoring = work.map_or(1, |work| work.evaluations) as f64 * cost.score;
                    let (shared, own) = if shares_scores { (scoring, 0.0) } else { (0.0, scoring) };
                    took = Some((cost.fit + shared).max(took.unwrap_or_default()));
                    estimate.seconds += own;
                }
                (None, Some(work), Some(speed)) => {
                    estimate.known.counted += 1;
                    let cell = speed.of_cell(&work, &load, job.built.regime);
                    let [once, encoding] = speed.of_encoding(&work, load.n_test);
                    let shared = once + self.fitting(job, &work, &load, speed);
                    // Where supports are trained on, the test set is taken up anew for each.
                    let (shared, own) = match (shares_scores, work.adapt.training > 0.0) {
                        (true, _) => (shared + encoding + cell, 0.0),
                        (false, true) => (shared, encoding + cell),
                        (false, false) => (shared + encoding, cell),
                    };
                    counted = counted.max(shared);
                    estimate.seconds += speed.at_once * own;
                    estimate.memory = estimate.memory.max(work.bytes);
                }
                _ => {
                    estimate.known.unknown += 1;
                    continue;
                }
            }
            estimate.seconds += load.n_test as f64 * MEASURING;
            let maps = if work.is_some_and(|work| work.maps) { GALLERY_BYTES } else { 0.0 };
            let bytes = CELL_BYTES + ROW_BYTES * load.n_test as f64 + maps * load.positions(1);
            estimate.disk += cost.map_or(bytes, |cost| cost.disk);
        }
        estimate.seconds += took.unwrap_or(counted * speed.map_or(1.0, |speed| speed.at_once));
        Ok(estimate)
    }

    /// Seconds of the training that a job shares, and of scoring source tasks where they choose an epoch.
    fn fitting(&self, job: &Job, work: &Work, load: &CellSize, speed: &Speed) -> f64 {
        let fit = speed.of(work.fit, load.shots);
        if !job.cells.first().is_some_and(|cell| cell.epoch_by_sources) {
            return fit;
        }
        let adapting = job.training.len() as f64 * speed.of(work.adapt, load.shots);
        let scoring = speed.of_scoring(work, self.n_test(&job.training), load.size);
        fit + work.evaluations as f64 * (adapting + scoring)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::episode::HeldOut;
    use crate::evaluate::rates::tests::speed;
    use crate::method::work::{decoder, encoder};
    use crate::network::Backbone::{Resnet18, WideResnet50x2};
    use crate::results::Seed;

    /// A method on task `a`, with a cell for each number of shots.
    fn job(method: &str, settings: &str, training: &[&str], shots: &[usize]) -> Job {
        let built = (method::find(method).unwrap().build)(toml::from_str(settings).unwrap()).unwrap();
        let cell = |&shots: &usize| Identity {
            method: method.to_owned(),
            settings: built.settings.clone(),
            task: TaskName::new("a"),
            shots,
            draw: 0,
            seed: Seed(1),
            size: 128,
            held_out: HeldOut::Dataset,
            manifest_hash: String::new(),
            episode_seed: Seed(1),
            episodes_hash: String::new(),
            code_hash: String::new(),
            weights_hash: String::new(),
            device_class: "cuda".to_owned(),
            epoch_by_sources: false,
            observed_every: None,
        };
        let cells = shots.iter().map(cell).collect();
        let training = training.iter().map(|&task| TaskName::new(task)).collect();
        let (method, task) = (method.to_owned(), TaskName::new("a"));
        Job { method, built, task, training, calibration: Vec::new(), seed: 1, cells }
    }

    fn counts() -> Counts {
        let of = |task: &str, counts: [usize; 2]| (TaskName::new(task), counts);
        Counts(BTreeMap::from([of("a", [1000, 400]), of("b", [70, 30]), of("c", [30, 20])]))
    }

    fn estimate(job: &Job, experience: &Experience, speed: Option<&Speed>) -> JobEstimate {
        counts().estimate(job, &job.cells.iter().collect::<Vec<_>>(), experience, speed).unwrap()
    }

    fn assert_close(a: f64, b: f64) {
        assert!((a / b - 1.0).abs() < 1e-9, "{a} is not {b}");
    }

    #[test]
    fn a_plan_of_two_methods_takes_what_is_summed_by_hand() {
        let speed = speed();
        // Trained on 100 pictures of other tasks for two epochs; each scores 400 pictures for both cells.
        let trained = job("d24fad", "epochs = 2", &["b", "c"], &[2, 2]);
        let (teacher, student) = (encoder(WideResnet50x2, 128), decoder(WideResnet50x2, 128));
        let fit = 100.0 * teacher / 2e12 + 2.0 * 100.0 * 3.0 * 3.0 * student / 4e12;
        let taking_in = 2.0 * (teacher + student) / 2e12;
        let encoding = 2.0 * 400.0 * (teacher + student) / 3e12;
        let smoothing = 400.0 * 1e-3;
        let preset = taking_in + 2.0 * (teacher + student) / 3e12;
        let measuring = 400.0 * 3e-4;
        let first = fit + encoding + 2.0 * (2.0 * (taking_in + smoothing) + preset + measuring);
        let found = estimate(&trained, &Experience::default(), Some(&speed));
        assert_close(found.seconds, first);
        assert_close(found.memory, 100.0 * 2.015232e6);

        // Whole pictures' neighbours, one cell of 4 supports: no training, no maps.
        let remembered = job("dn2", "backbone = 'resnet18'", &[], &[4]);
        let teacher = encoder(Resnet18, 128);
        let preset = 3.0 * 4.0 * teacher / 2e12 + 4.0 * teacher / 3e12;
        let second = 4.0 * teacher / 2e12 + 400.0 * teacher / 3e12 + preset + measuring;
        let other = estimate(&remembered, &Experience::default(), Some(&speed));
        assert_close(other.seconds, second);
        assert_close(other.disk, 8e3 + 400.0 * 70.0);

        let sum = Estimate::sum(vec![other, found], 1.0);
        assert_close(sum.seconds, first + second);
        assert_eq!(sum.known, Known { measured: 0, counted: 3, unknown: 0 });
        let names: Vec<(&str, usize)> =
            sum.methods.iter().map(|one| (one.method.as_str(), one.known.cells())).collect();
        assert_eq!(names, [("d24fad", 2), ("dn2", 1)]);
        assert_eq!((sum.longest.method.as_str(), sum.longest.seconds), ("d24fad", sum.methods[0].seconds));
    }

    #[test]
    fn cells_at_once_share_a_processor() {
        let (alone, mut shared) = (speed(), speed());
        shared.at_once = 8.0;
        let trained = job("ae", "train_on = 'normals'", &["a"], &[2, 4]);
        let estimate = |speed: &Speed| estimate(&trained, &Experience::default(), Some(speed));
        let measuring = 2.0 * 400.0 * MEASURING;
        assert_close(estimate(&shared).seconds - measuring, 8.0 * (estimate(&alone).seconds - measuring));
        assert_close(Estimate::sum(vec![estimate(&shared)], 8.0).seconds, estimate(&shared).seconds / 8.0);
    }

    #[test]
    fn what_supports_do_not_change_is_done_once_for_all_cells() {
        let speed = speed();
        let measuring = 400.0 * MEASURING;
        let of = |method: &str, settings: &str, shots: &[usize]| {
            estimate(&job(method, settings, &["a"], shots), &Experience::default(), Some(&speed)).seconds
        };
        // Learnt from all normals, the method says the same of a picture in each cell.
        let one = of("stfpm", "train_on = 'normals'", &[2]);
        assert_close(of("stfpm", "train_on = 'normals'", &[2, 2, 2]), one + 2.0 * measuring);
        // Trained on supports, it is another student in each; a card does not keep what the teacher says.
        assert_close(of("stfpm", "", &[2, 2, 2]), 3.0 * of("stfpm", "", &[2]));
    }

    #[test]
    fn what_cells_took_is_counted_as_they_share_it() {
        let took = |settings: &str| {
            let job = job("gde", settings, &["a"], &[2, 2, 2]);
            let experience = Experience::of_one(&job.cells[0], [100.0, 7.0]);
            estimate(&job, &experience, None).seconds - 3.0 * 400.0 * MEASURING
        };
        assert_close(took("train_on = 'normals'"), 107.0);
        assert_close(took(""), 121.0);
    }

    #[test]
    fn a_program_is_unknown_and_so_is_all_without_a_self_test() {
        let program = job("external", "command = ['true']", &[], &[2, 4]);
        let unknown = Known { measured: 0, counted: 0, unknown: 2 };
        assert_eq!(estimate(&program, &Experience::default(), Some(&speed())).known, unknown);
        let counted = job("dn2", "", &[], &[2, 4]);
        let estimate = estimate(&counted, &Experience::default(), None);
        assert_eq!((estimate.known, estimate.seconds, estimate.disk), (unknown, 0.0, 0.0));
    }

    #[test]
    fn source_tasks_that_choose_an_epoch_are_scored_too() {
        let mut trained = job("d24fad", "epochs = 2", &["b", "c"], &[2]);
        let without = estimate(&trained, &Experience::default(), Some(&speed())).seconds;
        trained.cells[0].epoch_by_sources = true;
        let more = estimate(&trained, &Experience::default(), Some(&speed())).seconds - without;
        let query = encoder(WideResnet50x2, 128) + decoder(WideResnet50x2, 128);
        assert_close(more, 2.0 * (2.0 * 2.0 * query / 2e12 + 50.0 * (query / 3e12 + 1e-3)));
    }
}
