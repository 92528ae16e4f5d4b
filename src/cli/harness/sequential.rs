//! `bench --stop-when-decided`: draws are scored look by look, and a method that is told from the best one needs no more.

use std::collections::BTreeSet;
use std::path::Path;

use anyhow::Result;

use crate::evaluate::plan::Job;
use crate::evaluate::planned::{self, Opened};
use crate::ids::CellId;
use crate::metric::sequential::looks;
use crate::report::sequential::{Told, told_apart};
use crate::results::{Identity, Stopped};

/// Whether draws are scored look by look.
#[derive(clap::Args)]
pub(super) struct Args {
    /// Score draws look by look (after 3, 5, 7, 10 and all), and leave out further draws of a method once it is told from the
    /// best one, at a level of 5 % divided by the number of looks; its row says so. For methods that each draw costs anew
    #[arg(long)]
    pub stop_when_decided: bool,
}

impl Args {
    /// What an earlier process has stopped of the same cells; nothing where all draws are wanted.
    ///
    /// # Errors
    /// A list of these that cannot be read.
    pub(super) fn stopped(&self, opened: &Opened, folder: &Path) -> Result<Vec<Stopped>> {
        if self.stop_when_decided { opened.stopped(folder) } else { Ok(Vec::new()) }
    }
}

/// The draws of a run that are still to be scored.
pub(super) struct Draws<'a> {
    opened: &'a Opened,
    folder: &'a Path,
    looks: Vec<usize>,
    /// Methods that each draw costs anew. Where draws share a training, or all of the scoring, all are scored at once.
    methods: BTreeSet<String>,
    stopped: Vec<Stopped>,
}

impl<'a> Draws<'a> {
    /// With what an earlier process has stopped.
    pub(super) fn new(opened: &'a Opened, folder: &'a Path, stopped: Vec<Stopped>) -> Draws<'a> {
        let is_one = |job: &&Job| {
            let regime = job.built.regime;
            !regime.learns_from_others() && !regime.sees_whole_target() && !job.method.starts_with("control-")
        };
        let methods = opened.jobs.iter().filter(is_one).map(|job| job.method.clone()).collect();
        let looks = looks(opened.planned.definition.draws);
        Draws { opened, folder, looks, methods, stopped }
    }

    /// The looks, the last at all draws.
    pub(super) fn looks(&self) -> &[usize] {
        &self.looks
    }

    /// Which cells are not to be scored before a look, or not at all.
    pub(super) fn skip(&self, look: usize) -> impl Fn(&Identity) -> bool + Sync + use<> {
        let (methods, stopped) = (self.methods.clone(), self.stopped.clone());
        move |cell| {
            (cell.draw >= look && methods.contains(&cell.method))
                || stopped.iter().any(|one| one.leaves_out_cell(cell))
        }
    }

    /// Looks at what is stored, and keeps and says which methods need no more draws.
    ///
    /// # Errors
    /// Results that cannot be read, or a list that cannot be written.
    pub(super) fn look(&mut self, look: usize) -> Result<()> {
        let planned: BTreeSet<CellId> = self.opened.cells().map(Identity::id).collect();
        let told = told_apart(self.folder, look, self.looks.len(), |id| planned.contains(id))?;
        for Told { method, shots, from } in told {
            let is_known = self.stopped.iter().any(|one| one.method == method && one.shots == shots);
            if is_known || !self.methods.contains(&method) {
                continue;
            }
            log::info!("{method} at {shots} shots needs no more than {look} draws: it is told from {from}");
            let planned = self.opened.cells_of(&method, shots);
            self.stopped.push(Stopped { method, shots, draws: look, from, planned });
        }
        let _alone = planned::alone(self.folder)?;
        Stopped::write(self.folder, &self.stopped)
    }
}
