//! Jobs from a queue, several at once; each by one process, and a failure is a row.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Result, anyhow};
use tch::Device;

use super::plan::{self, Job, Retry, State};
use super::stop;
use super::workers::on_workers;
use crate::episode::Episodes;
use crate::files::lock::{Lock, Lost};
use crate::manifest::Manifest;
use crate::network::origin::Teachers;
use crate::network::precision::Precision;
use crate::network::remembering::Keeping;
use crate::progress::STEPS;
use crate::results::Identity;
use crate::{files, panics, progress};

/// What all cells of a run share.
pub struct Run<'a> {
    /// The definition's name.
    pub bench: String,
    /// Side of the pictures, in pixels.
    pub size: usize,
    /// The curated benchmark.
    pub manifest: &'a Manifest,
    /// The episodes drawn from it.
    pub episodes: &'a Episodes,
    /// Where the weights of pretrained networks come from.
    pub teachers: &'a Teachers,
    /// Where networks are computed.
    pub device: Device,
    /// In what precision networks compute.
    pub precision: Precision,
    /// Jobs run at once. Each computes on one thread, so that no sum depends on their number.
    pub workers: usize,
    /// What teachers may keep of features, and where.
    pub keeping: Keeping,
    /// Receives `cells/<id>/`.
    pub folder: PathBuf,
    /// How the user called it.
    pub command: String,
    /// Whether cells keep the maps of their test pictures.
    pub keep_maps: bool,
    /// Which cells that ended with an error are computed again.
    pub retry: Retry,
    /// Which cells are left for later, or for good.
    pub skip: &'a (dyn Fn(&Identity) -> bool + Sync),
    /// Seconds that each job is expected to take, in their order; `None` where nobody can tell.
    pub expected: Option<&'a [f64]>,
}

/// What became of a run's jobs.
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
    /// Runs all jobs, several at once.
    ///
    /// # Errors
    /// If results cannot be written. What fails inside a cell is its row.
    pub fn run_all(&self, jobs: &[&Job]) -> Result<Outcome> {
        let total = jobs.iter().map(|job| job.cells.len()).sum::<usize>();
        let wanted: Vec<usize> = jobs.iter().map(|job| self.wanted(job).len()).collect();
        let work_of = |(index, &wanted): (usize, &usize)| match self.expected {
            // All that is wanted of a job, which may be less than was expected.
            Some(expected) if wanted > 0 => expected[index],
            Some(_) => 0.0,
            None => wanted as f64,
        };
        let work: Vec<f64> = wanted.iter().enumerate().map(work_of).collect();
        let n_wanted = wanted.iter().sum::<usize>();
        let bar = progress::Cells::new(total, total - n_wanted, work.iter().sum(), "all cells");
        let todo: Vec<((&&Job, usize), f64)> = jobs.iter().zip(wanted).zip(work).collect();
        let next = AtomicUsize::new(0);
        let work = || -> Result<Outcome> {
            tch::set_num_threads(1);
            let mut outcomes = Vec::new();
            while let Some(((job, wanted), work)) = todo.get(next.fetch_add(1, Ordering::Relaxed)) {
                outcomes.push(self.run(job)?);
                bar.finished(*wanted, *work);
            }
            Ok(outcomes.into_iter().sum())
        };
        let outcomes = on_workers(self.workers, &work)?;
        bar.end();
        Ok(outcomes.into_iter().sum())
    }

    /// Cells of a job that are to be computed now.
    fn wanted<'j>(&self, job: &'j Job) -> Vec<&'j Identity> {
        let mut wanted = job.wanted(&self.folder, self.retry);
        wanted.retain(|identity| !(self.skip)(identity));
        wanted
    }

    /// Runs what there is to do of `job`, unless another process does. A failure becomes a row.
    fn run(&self, job: &Job) -> Result<Outcome> {
        if self.wanted(job).is_empty() {
            return Ok(Outcome::default());
        }
        let lock = self.folder.join("jobs").join(format!("{}.lock", job.name()));
        let Some(lock) = Lock::take(&lock)? else {
            return Ok(Outcome { failed: 0, elsewhere: self.wanted(job).len() });
        };
        // Another process may have finished it since.
        let todo = self.wanted(job);
        if todo.is_empty() {
            return Ok(Outcome::default());
        }
        for identity in &todo {
            files::remove_drafts_in(&self.folder.join("cells").join(identity.id()))?;
        }
        let started = SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs();
        let (what, clock) = (words(job, todo.len()), Instant::now());
        log::debug!(target: STEPS, "{what}: starts");
        let outcome = catch_unwind(AssertUnwindSafe(|| self.run_cells(job, &todo, started, &lock)));
        let took = progress::seconds(clock.elapsed());
        let error = match outcome {
            Ok(Ok(())) => {
                log::debug!(target: STEPS, "{what}: done in {took}");
                return Ok(Outcome::default());
            }
            Ok(Err(error)) => error,
            Err(panic) => anyhow!("libtorch or the method panicked: {}", panics::message(&*panic)),
        };
        log::error!(target: STEPS, "{what}: failed after {took}: {error:#}");
        match self.write_failed(job, &todo, started, &error, &lock) {
            Err(lost) if lost.is::<Lost>() => Ok(Outcome { failed: 0, elsewhere: todo.len() }),
            failed => Ok(Outcome { failed: failed?, elsewhere: 0 }),
        }
    }

    /// Writes the rows of those of `todo` that `error` left without a result, and counts them.
    fn write_failed(
        &self,
        job: &Job,
        todo: &[&Identity],
        started: u64,
        error: &anyhow::Error,
        lock: &Lock,
    ) -> Result<usize> {
        let mut failed = 0;
        for identity in todo {
            let _writing = stop::writing();
            // Also where that is why it failed.
            lock.ensure_held()?;
            if plan::state(&self.folder, identity) != State::Done {
                self.empty_result(self.cell(job, identity, started, None, Some(error))).write()?;
                failed += 1;
            }
        }
        Ok(failed)
    }
}

/// A job, of which `n` cells are to do, as the log names it.
fn words(job: &Job, n: usize) -> String {
    let cells = if n == 1 { "cell" } else { "cells" };
    format!("job {}, {} on {}, {n} {cells}", &job.name()[..8], job.method, job.task)
}
