//! What a trained SAMIL makes of the target's studies.

use anyhow::Result;
use tch::{Device, Kind, Tensor};

use super::frozen::Frozen;
use super::select::queries;
use super::{Request, Samil, Todo};
use crate::manifest::Row;
use crate::study::learned::{SliceAttention, StudyScore};

impl Request<'_> {
    /// Every test study of the target; no label is looked at.
    pub(super) fn score(
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
