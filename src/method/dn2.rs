//! DN2: distance to the nearest normals in one vector per picture (Bergman, Cohen and Hoshen, arXiv
//! 2002.10445).

use std::any::Any;

use anyhow::{Context as _, Result, ensure};
use serde::{Deserialize, Serialize};
use tch::{Kind, Tensor};

use super::contract::{Built, Context, Detector, Encoded, Entry, Observer, Output, Prediction};
use super::part::grid;
use super::part::learner::{Learner, build as build_learner};
use super::part::nearest::Bank;
use super::part::normals::{all_pooled, pooled};
use super::part::search_cost::MAX_BYTES;
use super::train_on::TrainOn;
use super::work::{self, CellSize, Operations, Work};
use crate::episode::batch::Pictures;
use crate::network::{Backbone, Extractor, Features, Sight};

/// DN2: the mean distance to the nearest normals in globally averaged features.
pub const ENTRY: Entry = Entry {
    name: "dn2",
    about: "mean distance to the nearest normals in globally averaged features",
    paper: "arXiv 2002.10445",
    regime: "R1 (or R5)",
    needs: "ImageNet wide_resnet50_2",
    cost: "one forward pass a picture",
    trial: "backbone = 'resnet18'",
    build,
    work: Some(work),
};

/// Defaults are the published ones, but for the backbone (resnet101 there; 2048 values as here).
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// Which normals of the target are the neighbours.
    pub train_on: TrainOn,
    /// Its last stage, averaged over all positions, is the picture's vector.
    pub backbone: Extractor,
    /// Neighbours that are averaged; all normals, if there are fewer.
    pub neighbours: usize,
    /// Distance between vectors.
    pub distance: Distance,
}

/// Between two pictures' vectors.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Distance {
    /// Length of the difference.
    Euclidean,
    /// One less the cosine.
    Cosine,
}

impl Default for Settings {
    fn default() -> Settings {
        Settings {
            train_on: TrainOn::Supports,
            backbone: Backbone::WideResnet50x2.into(),
            neighbours: 2,
            distance: Distance::Euclidean,
        }
    }
}

fn build(settings: toml::Table) -> Result<Built> {
    let settings: Settings = settings.try_into().context("settings of dn2")?;
    ensure!(settings.neighbours >= 1, "dn2: neighbours must be at least 1");
    let network = Some(settings.backbone.into());
    let built = build_learner(Dn2 { settings: settings.clone() }, settings.train_on, &settings, network)?;
    Ok(built.giving(Output::Scores))
}

fn work(settings: &str, cell: &CellSize) -> Result<Work> {
    let Settings { train_on, backbone, .. } = serde_json::from_str(settings)?;
    let encoder = work::encoder(backbone, cell.size);
    let forward = cell.learnt_from(train_on, false) as f64 * encoder;
    let fit = Operations { forward, training: 0.0 };
    Ok(Work { fit, query: encoder, encode: encoder, teacher: encoder, ..Work::default() }.on(train_on))
}

struct Dn2 {
    settings: Settings,
}

impl Learner for Dn2 {
    fn learn(
        &self,
        normals: &Pictures,
        context: &Context,
        _: &mut dyn Observer,
    ) -> Result<Box<dyn Detector>> {
        let teacher = context.seeing(Sight::of(self.settings.backbone))?;
        let neighbours = Neighbours::new(
            all_pooled(&teacher, &normals.pixels, None),
            self.settings.neighbours,
            self.settings.distance,
        );
        Ok(Box::new(Dn2Detector { neighbours }))
    }

    fn sees(&self) -> Option<Sight> {
        Some(Sight::of(self.settings.backbone))
    }

    fn reads(&self, _: &Context, features: Features) -> Box<dyn Any> {
        Box::new(pooled(&features))
    }
}

struct Dn2Detector {
    neighbours: Neighbours,
}

impl Detector for Dn2Detector {
    fn score(&self, queries: &Encoded) -> Result<Prediction> {
        Ok(Prediction::Scores(grid::to_scores(&self.neighbours.scores(queries.made()?))?))
    }
}

/// Normals' vectors, and how far from them is anomalous.
pub struct Neighbours {
    bank: Bank,
    count: usize,
    distance: Distance,
}

impl Neighbours {
    /// Of the `count` nearest among `normals` `[n, c]`, single precision.
    pub fn new(normals: Tensor, count: usize, distance: Distance) -> Neighbours {
        Neighbours { bank: Bank::new(scaled(normals, distance)), count, distance }
    }

    /// Mean distance of `vectors` `[m, c]` to the nearest normals, `[m]`, double precision.
    pub fn scores(&self, vectors: &Tensor) -> Tensor {
        let vectors = scaled(vectors.shallow_clone(), self.distance);
        let distances = self.bank.nearest(&vectors, self.count, MAX_BYTES).distances;
        let distances = match self.distance {
            Distance::Euclidean => distances,
            // Of unit vectors, the squared distance is twice one less the cosine.
            Distance::Cosine => distances.square() / 2.0,
        };
        distances.mean_dim(1, false, None::<Kind>)
    }
}

/// Unit vectors where lengths do not count.
fn scaled(vectors: Tensor, distance: Distance) -> Tensor {
    match distance {
        Distance::Euclidean => vectors,
        Distance::Cosine => {
            let length = vectors.to_kind(Kind::Double).square().sum_dim_intlist(1, true, None::<Kind>).sqrt();
            (vectors.to_kind(Kind::Double) / length.clamp_min(1e-8)).to_kind(Kind::Float)
        }
    }
}
