//! PaDiM: a Gaussian at each position (Defard et al., arXiv 2011.08785).

use std::any::Any;

use anyhow::{Context as _, Result, ensure};
use serde::{Deserialize, Serialize};
use tch::Tensor;

use super::contract::{Built, Context, Detector, Encoded, Entry, Observer, Prediction};
use super::part::gaussian::Regular;
use super::part::grid;
use super::part::learner::{Learner, build as build_learner};
use super::part::normals::{Views, features};
use super::part::positionwise::{self, Fitting, Positionwise};
use super::train_on::TrainOn;
use super::views;
use super::work::{self, CellSize, Operations, Work};
use crate::episode::batch::Pictures;
use crate::network::{Backbone, Extractor, Features, Sight};
use crate::random::Stream;

/// PaDiM: the Mahalanobis distance at each position, over random channels of three layers.
pub const ENTRY: Entry = Entry {
    name: "padim",
    about: "Mahalanobis distance at each position, random channels of three layers",
    paper: "arXiv 2011.08785",
    regime: "R1 (or R5)",
    needs: "ImageNet resnet18",
    cost: "one forward pass a picture, 22 a support; (side / 4)^2 times \
           channels^2 times 8 (fitting) and 4 (scoring) bytes, fewer where views are less than half as many as channels",
    trial: "channels = 20",
    build,
    work: Some(work),
};

/// Defaults are the published ones, and 22 views of each support.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// Which normals of the target are the sample.
    pub train_on: TrainOn,
    /// Its stages 1 to 3 are the features.
    pub backbone: Extractor,
    /// Random channels kept of those stages. Unless set, 100 of 448 (resnet18, resnet34) or of 176
    /// (efficientnet_lite0), or 550 of 1792.
    pub channels: Option<i64>,
    /// Added to the diagonal of every covariance.
    pub ridge: f64,
    /// Whether covariances are Ledoit and Wolf's rather than unbiased ones.
    pub ledoit_wolf: bool,
    /// Whether each normal enters in 22 views ([`views::augmented`]); unless set, supports do, all train
    /// normals do not.
    pub views: Option<bool>,
}

impl Default for Settings {
    fn default() -> Settings {
        Settings {
            train_on: TrainOn::Supports,
            backbone: Backbone::Resnet18.into(),
            channels: None,
            ridge: 0.01,
            ledoit_wolf: false,
            views: None,
        }
    }
}

fn build(settings: toml::Table) -> Result<Built> {
    let mut settings: Settings = settings.try_into().context("settings of padim")?;
    let has_bottlenecks =
        matches!(settings.backbone, Extractor::Pyramid(backbone) if backbone.has_bottlenecks());
    let usual = if has_bottlenecks { 550 } else { 100 };
    let channels = *settings.channels.get_or_insert(usual);
    let views = *settings.views.get_or_insert(settings.train_on == TrainOn::Supports);
    let total: i64 = settings.backbone.channels()[..3].iter().sum();
    ensure!(
        (1..=total).contains(&channels),
        "padim: channels must be from 1 to the {total} that {} has",
        settings.backbone.name()
    );
    ensure!(settings.ridge > 0.0, "padim: ridge must be positive");
    let network = Some(settings.backbone.into());
    let padim = Padim {
        backbone: settings.backbone,
        channels: channels as usize,
        regular: Regular { shrink: settings.ledoit_wolf, ridge: settings.ridge },
        views,
    };
    build_learner(padim, settings.train_on, &settings, network)
}

fn work(settings: &str, cell: &CellSize) -> Result<Work> {
    let Settings { train_on, backbone, channels, views, .. } = serde_json::from_str(settings)?;
    let (n, encoder) =
        (cell.learnt_from(train_on, views.unwrap_or_default()), work::encoder(backbone, cell.size));
    let gaussians =
        positionwise::work(cell.positions(backbone.strides()[0]), n, channels.unwrap_or_default());
    let forward = n as f64 * (encoder + gaussians.each) + gaussians.factoring;
    Ok(Work {
        fit: Operations { forward, training: 0.0 },
        query: encoder + gaussians.distance,
        encode: encoder,
        teacher: encoder,
        maps: true,
        bytes: gaussians.bytes,
        ..Work::default()
    }
    .on(train_on))
}

struct Padim {
    backbone: Extractor,
    channels: usize,
    regular: Regular,
    views: bool,
}

impl Learner for Padim {
    fn learn(
        &self,
        normals: &Pictures,
        context: &Context,
        _: &mut dyn Observer,
    ) -> Result<Box<dyn Detector>> {
        let teacher = context.seeing(Sight::of(self.backbone))?;
        let chosen = self.chosen(context);
        let views = self.views.then_some(&views::augmented as Views);
        let mut fitting = Fitting::default();
        for features in features(&teacher, &normals.pixels, views) {
            fitting.add(&chosen.vectors(&features));
        }
        let normal = fitting.finish(self.regular).context("padim: raise `ridge`")?;
        Ok(Box::new(PadimDetector { normal }))
    }

    fn sees(&self) -> Option<Sight> {
        Some(Sight::of(self.backbone))
    }

    fn reads(&self, context: &Context, features: Features) -> Box<dyn Any> {
        Box::new(self.chosen(context).vectors(&features))
    }
}

impl Padim {
    fn chosen(&self, context: &Context) -> Chosen {
        let [first, second, third, _] = self.backbone.channels();
        let chosen = channels(first + second + third, self.channels, context.seed);
        Chosen(split(&chosen, [first, second, third]))
    }
}

/// `count` of `total` channels, drawn once for a seed; ascending.
fn channels(total: i64, count: usize, seed: u64) -> Vec<i64> {
    let mut all: Vec<i64> = (0..total).collect();
    Stream::new(seed, "padim channels", 0).shuffle(&mut all);
    all.truncate(count);
    all.sort_unstable();
    all
}

/// Chosen channels of the joined stages as channels of each.
fn split(chosen: &[i64], widths: [i64; 3]) -> [Vec<i64>; 3] {
    let mut start = 0;
    widths.map(|width| {
        let range = start..start + width;
        start += width;
        chosen
            .iter()
            .filter(|&channel| range.contains(channel))
            .map(|channel| channel - range.start)
            .collect()
    })
}

/// Channels kept of stages 1 to 3.
struct Chosen([Vec<i64>; 3]);

impl Chosen {
    /// One vector per position, `[n, h / 4, w / 4, channels]`; coarser stages by the nearest position.
    fn vectors(&self, features: &Features) -> Tensor {
        let scales = &features.scales;
        let size = [scales[0].size()[2], scales[0].size()[3]];
        let kept = |(scale, chosen): (&Tensor, &Vec<i64>)| {
            let kept = scale.index_select(1, &Tensor::from_slice(chosen).to_device(scale.device()));
            if kept.size()[2..] == size { kept } else { kept.upsample_nearest2d(size, None, None) }
        };
        let kept: Vec<Tensor> =
            scales.iter().zip(&self.0).filter(|(_, chosen)| !chosen.is_empty()).map(kept).collect();
        grid::channels_last(&Tensor::cat(&kept, 1))
    }
}

struct PadimDetector {
    normal: Positionwise,
}

impl Detector for PadimDetector {
    fn score(&self, queries: &Encoded) -> Result<Prediction> {
        let grids = self.normal.distance(queries.made()?);
        let side = queries.pictures().size();
        Ok(Prediction::Maps(grid::to_maps(&grid::upsample(&grids, side, false))?))
    }

    fn bytes(&self) -> usize {
        self.normal.bytes()
    }
}
