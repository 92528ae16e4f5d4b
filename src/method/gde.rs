//! GDE: Mahalanobis distance to the normals in one vector per picture, with Ledoit and Wolf's covariance
//! (the baseline of MedIAnomaly, arXiv 2404.04518; Rippel et al., arXiv 2005.14140).

use std::any::Any;

use anyhow::{Context as _, Result, ensure};
use serde::{Deserialize, Serialize};
use tch::{Kind, Tensor};

use super::contract::{Built, Context, Detector, Encoded, Entry, Observer, Output, Prediction};
use super::part::gaussian::{Gaussian, Moments, Regular};
use super::part::grid;
use super::part::learner::{Learner, build as build_learner};
use super::part::normals::{Views, all_pooled, pooled};
use super::train_on::TrainOn;
use super::views;
use super::work::{self, CellSize, Operations, Work};
use crate::episode::batch::Pictures;
use crate::network::{Backbone, Extractor, Features, Sight};

/// Gaussian density: the Mahalanobis distance to the normals in globally averaged features.
pub const ENTRY: Entry = Entry {
    name: "gde",
    about: "Mahalanobis distance to the normals in globally averaged features, Ledoit-Wolf covariance",
    paper: "arXiv 2404.04518 (MedIAnomaly), arXiv 2005.14140",
    regime: "R1 (or R5)",
    needs: "ImageNet resnet18",
    cost: "one forward pass a picture, 22 a support",
    trial: "backbone = 'resnet18'",
    build,
    work: Some(work),
};

/// Defaults are MedIAnomaly's, and 22 views of each support.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// Which normals of the target are the sample.
    pub train_on: TrainOn,
    /// Its last stage, averaged over all positions, is the picture's vector.
    pub backbone: Extractor,
    /// Whether each normal enters in 22 views ([`views::augmented`]); unless set, supports do, all train
    /// normals do not. Without them at least 3 normals are needed.
    pub views: Option<bool>,
}

impl Default for Settings {
    fn default() -> Settings {
        Settings { train_on: TrainOn::Supports, backbone: Backbone::Resnet18.into(), views: None }
    }
}

fn build(settings: toml::Table) -> Result<Built> {
    let mut settings: Settings = settings.try_into().context("settings of gde")?;
    let views = *settings.views.get_or_insert(settings.train_on == TrainOn::Supports);
    let network = Some(settings.backbone.into());
    let built =
        build_learner(Gde { backbone: settings.backbone, views }, settings.train_on, &settings, network)?;
    Ok(built.giving(Output::Scores))
}

fn work(settings: &str, cell: &CellSize) -> Result<Work> {
    let Settings { train_on, backbone, views } = serde_json::from_str(settings)?;
    let encoder = work::encoder(backbone, cell.size);
    let forward = cell.learnt_from(train_on, views.unwrap_or_default()) as f64 * encoder;
    let fit = Operations { forward, training: 0.0 };
    Ok(Work { fit, query: encoder, encode: encoder, teacher: encoder, ..Work::default() }.on(train_on))
}

struct Gde {
    backbone: Extractor,
    views: bool,
}

impl Learner for Gde {
    fn learn(
        &self,
        normals: &Pictures,
        context: &Context,
        _: &mut dyn Observer,
    ) -> Result<Box<dyn Detector>> {
        ensure!(
            self.views || normals.len() >= 3,
            "gde: {} normals have no covariance; set views = true or give at least 3",
            normals.len()
        );
        let teacher = context.seeing(Sight::of(self.backbone))?;
        let views = self.views.then_some(&views::augmented as Views);
        let vectors = all_pooled(&teacher, &normals.pixels, views);
        let regular = Regular { shrink: true, ridge: 0.0 };
        let gaussian = Moments::new(&vectors.unsqueeze(0))
            .gaussian(regular, Kind::Double)
            .context("gde: the normals are all alike; give more of them")?;
        Ok(Box::new(GdeDetector { gaussian }))
    }

    fn sees(&self) -> Option<Sight> {
        Some(Sight::of(self.backbone))
    }

    fn reads(&self, _: &Context, features: Features) -> Box<dyn Any> {
        Box::new(pooled(&features))
    }
}

struct GdeDetector {
    gaussian: Gaussian,
}

impl Detector for GdeDetector {
    fn score(&self, queries: &Encoded) -> Result<Prediction> {
        let vectors: &Tensor = queries.made()?;
        Ok(Prediction::Scores(grid::to_scores(
            &self.gaussian.distances(&vectors.unsqueeze(0)).squeeze_dim(0),
        )?))
    }
}
