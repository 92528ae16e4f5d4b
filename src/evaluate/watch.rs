//! Looks at a training after each epoch: every draw is scored, and the source tasks where they choose an epoch.

use std::collections::BTreeMap;
use std::time::Instant;

use anyhow::{Context as _, Result};

use super::draw::{self, Draw, Gathered};
use super::test_set::TestSet;
use crate::episode::batch::Pictures;
use crate::ids::CellId;
use crate::method::{EpochFigures, Fitted, Observer};
use crate::protocol::Protocol;

/// Scores all draws after each epoch.
pub(super) struct Watch<'a> {
    pub draws: Vec<Draw<'a>>,
    pub test: &'a TestSet,
    pub sources: &'a [SourceTask],
    /// Epochs from one look to the next.
    pub every: u64,
    /// Spent here, not in training.
    pub seconds: f64,
}

impl Watch<'_> {
    /// Looks at the last epoch, if that was passed over.
    pub(super) fn look_at_last(&mut self, model: &dyn Fitted) -> Result<()> {
        let passed = self.draws.first().and_then(|draw| draw.gathered.passed);
        passed.map_or(Ok(()), |epoch| self.look(epoch, &Vec::new(), model))
    }

    fn look(&mut self, epoch: u64, figures: &EpochFigures, model: &dyn Fitted) -> Result<()> {
        let start = Instant::now();
        let on_sources = mean_auroc(self.sources, model)?;
        let mut n_scored = 0;
        while n_scored < self.draws.len() {
            n_scored += draw::score_some(&mut self.draws[n_scored..], model, self.test)?;
        }
        for draw in &mut self.draws {
            draw.observe(epoch, figures, self.test, on_sources)?;
        }
        self.seconds += start.elapsed().as_secs_f64();
        Ok(())
    }
}

impl Observer for Watch<'_> {
    fn after_epoch(&mut self, epoch: u64, figures: &EpochFigures, model: &dyn Fitted) -> Result<()> {
        if epoch.is_multiple_of(self.every) {
            return self.look(epoch, figures, model);
        }
        self.draws.iter_mut().for_each(|draw| draw.pass_over(epoch, figures));
        Ok(())
    }

    fn state(&self) -> Result<String> {
        let each: BTreeMap<CellId, &Gathered> =
            self.draws.iter().map(|draw| (draw.identity.id(), &draw.gathered)).collect();
        Ok(serde_json::to_string(&each)?)
    }

    fn restore(&mut self, state: &str) -> Result<()> {
        let mut each: BTreeMap<CellId, Gathered> = serde_json::from_str(state)?;
        for draw in &mut self.draws {
            let id = draw.identity.id();
            draw.gathered = each.remove(&id).with_context(|| {
                format!("the saved training did not score cell {id}; remove the run's `training` folder to start over")
            })?;
        }
        Ok(())
    }
}

/// The test set of a task that trains, and supports for it.
pub(super) struct SourceTask {
    pub supports: Pictures,
    pub test: TestSet,
}

/// Mean over source tasks of image AUROC under the protocol that ranks; `None` without tasks, or where one is undefined.
fn mean_auroc(sources: &[SourceTask], model: &dyn Fitted) -> Result<Option<f64>> {
    let one = |source: &SourceTask| -> Result<Option<f64>> {
        let detector = model.adapt(&source.supports)?;
        let scored = source.test.score(model, &[&*detector])?;
        Ok(scored.first().and_then(|scored| source.test.auroc(&scored.scores[Protocol::RANKED])))
    };
    let aurocs = sources.iter().map(one).collect::<Result<Option<Vec<f64>>>>()?;
    Ok(aurocs.filter(|all| !all.is_empty()).map(|all| all.iter().sum::<f64>() / all.len() as f64))
}
