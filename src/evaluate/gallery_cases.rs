//! Telling cases for the gallery: per class the clearest, the median and the hardest.

use anyhow::Result;

use super::test_set::{Scored, TestSet};
use crate::manifest::store::PixelStore;
use crate::manifest::{Label, Row};
use crate::maps::MapStack;
use crate::pixels::Pixels;
use crate::protocol::SIGMA;
use crate::results::gallery::{Caption, Case};

/// Picks cases by the score that ranks; ties go to the earlier picture.
pub(super) fn pick(test: &TestSet, store: &PixelStore, scored: &Scored) -> Result<Vec<Case>> {
    let scores = scored.scores.ranked();
    let mut cases = Vec::new();
    for label in [Label::Anomalous, Label::Normal] {
        let mut order: Vec<usize> = (0..test.rows.len()).filter(|&i| test.rows[i].label == label).collect();
        order.sort_by(|&a, &b| scores[a].total_cmp(&scores[b]));
        if label == Label::Anomalous {
            order.reverse();
        }
        // Clearest first: the highest anomalous, the lowest normal.
        for (role, place) in
            [("clearest", 0), ("median", order.len() / 2), ("hardest", order.len().saturating_sub(1))]
        {
            if let Some(&index) = order.get(place) {
                cases.push(case(&test.rows[index], store, scored.maps.as_ref(), index, scores[index], role)?);
            }
        }
    }
    Ok(cases)
}

fn case(
    row: &Row,
    store: &PixelStore,
    maps: Option<&MapStack>,
    index: usize,
    score: f64,
    role: &str,
) -> Result<Case> {
    let side = store.size();
    let planes = store.picture(&row.pixel_hash)?;
    let area = side * side;
    let samples = (0..area).flat_map(|i| [planes[i], planes[area + i], planes[2 * area + i]]).collect();
    let mask = match &row.mask_hash {
        Some(hash) => Some(Pixels::new(side, side, 1, store.mask(hash)?.to_vec())?),
        None => None,
    };
    let caption = Caption {
        image_id: row.image_id.clone(),
        label: row.label,
        finding: row.finding.clone(),
        score,
        role: role.to_owned(),
    };
    let map = maps.map(|maps| maps.at(&[index]).smoothed(SIGMA).values().to_vec()).unwrap_or_default();
    Ok(Case { caption, picture: Pixels::new(side, side, 3, samples)?, map, mask })
}
