//! What imported scores and maps come to under every protocol that can be had of them.

use std::collections::BTreeMap;

use anyhow::Result;

use super::map_file;
use super::matched::Given;
use crate::manifest::{Label, Row};
use crate::maps::MapStack;
use crate::metric::{Group, Metric};
use crate::protocol::{self, Protocol, Reduction};

/// Scores by protocol, one for each row, and the maps that they are of.
pub(super) struct Predicted {
    pub scores: BTreeMap<Protocol, Vec<Option<f64>>>,
    pub maps: Option<MapStack>,
}

impl Predicted {
    /// Of rows in class-sorted order, whose pictures have `side` pixels a side. Of scores alone only the protocol that
    /// ranks is known: in which order and batches they were computed nobody says. Where there are maps, they are
    /// treated as maps that are computed here.
    ///
    /// # Errors
    /// A map that cannot be read or does not fit.
    pub(super) fn of(given: &Given, rows: &[&Row], side: usize) -> Result<Predicted> {
        let own: Vec<f64> = rows.iter().filter_map(|row| given.scores.get(&row.image_id).copied()).collect();
        let mut values = Vec::new();
        for row in rows {
            if let Some(path) = given.maps.get(&row.image_id) {
                values.extend(map_file::read(path, side)?);
            }
        }
        if values.is_empty() {
            let own = own.into_iter().map(Some).collect();
            return Ok(Predicted { scores: [(Protocol::RANKED, own)].into(), maps: None });
        }
        let maps = MapStack::new(rows.len(), side, side, values)?;
        let of_maps = protocol::score_maps(&maps);
        let all = if own.is_empty() { of_maps } else { protocol::own_scores(&own, of_maps) };
        let is_open = rows.iter().all(|row| row.label != Label::Unopened);
        let kept = all.iter().filter(|(protocol, _)| is_open || protocol.is_of_one_picture());
        Ok(Predicted {
            scores: kept.map(|(protocol, all)| (protocol, all.to_vec())).collect(),
            maps: Some(maps),
        })
    }

    /// Whether a number is given under a protocol, as in cells that are computed here.
    pub(super) fn counts(&self, protocol: Protocol, metric: Metric) -> bool {
        let is_maximum = protocol.rule().reduction == Reduction::Maximum;
        match metric.group() {
            _ if protocol == Protocol::RANKED => true,
            Group::Image => is_maximum || metric == Metric::RANKED,
            Group::Preset | Group::Pixel => false,
        }
    }
}
