//! Normals alone: how far patches are from those of the supports, by adapters as they were drawn. Nothing trains.

use anyhow::{Result, ensure};
use tch::Tensor;

use super::model::Adapters;
use super::reader::{Reader, views};
use super::scoring::{distance_maps, distance_scores, distances};
use crate::episode::batch::Pictures;
use crate::method::contract::{Detector, Encoded, Fitted, Prediction};
use crate::method::part::grid;

pub(super) struct FewNormal {
    pub reader: Reader,
    pub adapters: Adapters,
}

impl Fitted for FewNormal {
    fn encode<'p>(&self, queries: &'p Pictures) -> Result<Encoded<'p>> {
        let stem = self.reader.stem(&self.reader.squares(&queries.pixels));
        Ok(Encoded::new(queries, Box::new(self.reader.det_of_all(&self.adapters, &stem))))
    }

    fn adapt<'a>(&'a self, supports: &Pictures) -> Result<Box<dyn Detector + 'a>> {
        ensure!(!supports.is_empty(), "mvfa with setting = \"few-normal\" needs at least one support");
        let stem = self.reader.stem(&views(&self.reader.squares(&supports.pixels)));
        let memory = self.reader.memory(&self.adapters, &stem);
        Ok(Box::new(Remembering { memory, side: self.reader.side() }))
    }
}

struct Remembering {
    memory: Vec<Tensor>,
    side: i64,
}

impl Detector for Remembering {
    fn score(&self, queries: &Encoded) -> Result<Prediction> {
        let middles: &Vec<Tensor> = queries.made()?;
        let distances = distances(middles, &self.memory);
        let scores = distance_scores(&distances, self.side);
        let maps = distance_maps(&distances, queries.pictures().size());
        Ok(Prediction::Both(grid::to_maps(&maps)?, grid::to_scores(&scores)?))
    }

    fn bytes(&self) -> usize {
        self.memory.iter().map(|rows| rows.numel() * rows.kind().elt_size_in_bytes()).sum()
    }
}
