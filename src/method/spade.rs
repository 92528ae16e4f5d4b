//! SPADE: nearest normals for the picture, then nearest of their positions for each of its own (Cohen and
//! Hoshen, arXiv 2005.02357).

use std::any::Any;
use std::rc::Rc;

use anyhow::{Context as _, Result, ensure};
use serde::{Deserialize, Serialize};
use tch::{Device, Kind, Tensor};

use super::contract::{Built, Context, Detector, Encoded, Entry, Observer, Output, Prediction};
use super::part::grid;
use super::part::joined::Joined;
use super::part::learner::{Learner, build as build_learner};
use super::part::nearest::{Bank, MAX_BYTES};
use super::part::normals::{CHUNK, all_pooled, features, pooled};
use super::train_on::TrainOn;
use super::work::{self, CellSize, Operations, Work};
use crate::episode::batch::Pictures;
use crate::network::remembering::Remembering;
use crate::network::{Backbone, Extractor, Features, Sight};

/// SPADE: the nearest normals of the picture, and for maps the nearest position of any of them.
pub const ENTRY: Entry = Entry {
    name: "spade",
    about: "nearest normals of the picture, and for maps the nearest position of any of them",
    paper: "arXiv 2005.02357",
    regime: "R1 (or R5)",
    needs: "ImageNet wide_resnet50_2",
    cost: "maps: each of the (side / 4)^2 positions against those of up to 50 normals; where there are more, those retrieved pass the network again for each query",
    trial: "backbone = 'resnet18'",
    build,
    work: Some(work),
};

/// Defaults are the published ones.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// Which normals of the target are the neighbours.
    pub train_on: TrainOn,
    /// Last stage for pictures, stages 1 to 3 for positions.
    pub backbone: Extractor,
    /// Normals that are retrieved for a picture; all, if there are fewer. Their mean distance is its score. The
    /// features of so many are held in memory, at most.
    pub neighbours: usize,
}

impl Default for Settings {
    fn default() -> Settings {
        Settings { train_on: TrainOn::Supports, backbone: Backbone::WideResnet50x2.into(), neighbours: 50 }
    }
}

fn build(settings: toml::Table) -> Result<Built> {
    let settings: Settings = settings.try_into().context("settings of spade")?;
    ensure!(settings.neighbours >= 1, "spade: neighbours must be at least 1");
    let network = Some(settings.backbone.into());
    let built = build_learner(Spade { settings: settings.clone() }, settings.train_on, &settings, network)?;
    Ok(built.giving(Output::Both))
}

fn work(settings: &str, cell: &CellSize) -> Result<Work> {
    let Settings { train_on, backbone, neighbours } = serde_json::from_str(settings)?;
    let (n, encoder) = (cell.learnt_from(train_on, false), work::encoder(backbone, cell.size));
    let channels: i64 = backbone.channels()[..3].iter().sum();
    let (retrieved, positions) = (n.min(neighbours) as f64, cell.positions(backbone.strides()[0]));
    // Those that do not stay in memory pass the network again.
    let again = if n > neighbours { encoder } else { 0.0 };
    // As if all stages had the first one's grid; passes over memory make up for what their own grids save.
    let bank = 4.0 * retrieved * positions * channels as f64;
    let compared = 2.0 * positions * positions * channels as f64;
    Ok(Work {
        fit: Operations { forward: n as f64 * encoder, training: 0.0 },
        query: encoder + retrieved * (again + compared),
        encode: encoder,
        teacher: encoder,
        maps: true,
        bytes: bank + bank.min(MAX_BYTES as f64),
        ..Work::default()
    }
    .on(train_on))
}

struct Spade {
    settings: Settings,
}

impl Learner for Spade {
    fn learn(
        &self,
        normals: &Pictures,
        context: &Context,
        _: &mut dyn Observer,
    ) -> Result<Box<dyn Detector>> {
        let teacher = context.seeing(Sight::of(self.settings.backbone))?;
        let pictures = Bank::new(all_pooled(&teacher, &normals.pixels, None));
        let neighbours = self.settings.neighbours;
        let gallery = if normals.len() <= neighbours {
            let parts = features(&teacher, &normals.pixels, None).map(|features| positions(&features));
            Gallery::Positions(Bank::new(Tensor::cat(&parts.collect::<Vec<_>>(), 0)))
        } else {
            Gallery::Pixels(normals.pixels.shallow_clone())
        };
        Ok(Box::new(SpadeDetector { teacher, pictures, neighbours, gallery }))
    }

    fn sees(&self) -> Option<Sight> {
        Some(Sight::of(self.settings.backbone))
    }

    fn reads(&self, features: Features) -> Box<dyn Any> {
        let positions = (0..features.deep.size()[0]).map(|index| positions_of(&features, index)).collect();
        Box::new(Seen { vectors: pooled(&features), positions, grid: features.scales[0].size()[2] })
    }
}

/// What is seen of queries.
struct Seen {
    /// `[n, c4]`.
    vectors: Tensor,
    /// Of each picture.
    positions: Vec<Positions>,
    /// Positions along a side.
    grid: i64,
}

/// What is seen of a picture's positions.
struct Positions {
    /// `[h * w, c]`
    vectors: Tensor,
    /// What they are joined of, where that is smaller: a transformer's stages have one size.
    grids: Option<[Tensor; 3]>,
}

/// Where positions of normals come from.
enum Gallery {
    /// All of them, where all normals are retrieved for every picture.
    Positions(Bank),
    /// The normals themselves; retrieved ones pass the teacher again, for their positions would fill memory.
    Pixels(Tensor),
}

struct SpadeDetector {
    teacher: Rc<Remembering>,
    /// One vector per normal.
    pictures: Bank,
    neighbours: usize,
    gallery: Gallery,
}

impl Detector for SpadeDetector {
    fn score(&self, queries: &Encoded) -> Result<Prediction> {
        let Seen { vectors, positions, grid } = queries.made()?;
        let found = self.pictures.nearest(vectors, self.neighbours, MAX_BYTES);
        let scores = found.distances.mean_dim(1, false, None::<Kind>);
        let ready = match &self.gallery {
            // Many are made ready part by part.
            Gallery::Positions(bank) => (bank.bytes() <= MAX_BYTES).then(|| bank.ready()),
            Gallery::Pixels(_) => None,
        };
        let map = |(index, positions): (usize, &Positions)| {
            let retrieved = found.rows.get(index as i64);
            self.distances(positions, &retrieved, ready.as_ref()).view([1, *grid, *grid])
        };
        let maps = Tensor::cat(&positions.iter().enumerate().map(map).collect::<Vec<_>>(), 0);
        let maps = grid::upsample(&maps, queries.pictures().size(), false);
        Ok(Prediction::Both(grid::to_maps(&maps)?, grid::to_scores(&scores)?))
    }

    fn bytes(&self) -> usize {
        match &self.gallery {
            Gallery::Positions(bank) => bank.bytes(),
            Gallery::Pixels(_) => 0,
        }
    }
}

impl SpadeDetector {
    /// Distances of a query's positions to the nearest of the `retrieved` normals' positions, `[m]`; `ready` are all of them,
    /// if they are made ready.
    fn distances(&self, query: &Positions, retrieved: &Tensor, ready: Option<&Tensor>) -> Tensor {
        let Positions { vectors, grids } = query;
        let nearest = |bank: &Bank| {
            let found = match grids {
                Some(grids) => bank.nearest_joined(&Joined { vectors, grids }, ready, 1, MAX_BYTES),
                None => bank.nearest(vectors, 1, MAX_BYTES),
            };
            found.distances.squeeze_dim(1)
        };
        match &self.gallery {
            Gallery::Positions(bank) => nearest(bank),
            Gallery::Pixels(pixels) => pixels
                .index_select(0, &retrieved.to_device(Device::Cpu))
                .split(CHUNK, 0)
                .iter()
                .map(|chunk| nearest(&Bank::new(positions(&self.teacher.features(chunk)))))
                .reduce(|a, b| a.minimum(&b))
                .expect("at least one normal is retrieved"),
        }
    }
}

/// Stages 1 to 3 on the first one's grid, one vector per position of all pictures.
fn positions(features: &Features) -> Tensor {
    let [first, second, third] = &features.scales;
    grid::positions(&grid::joined(&[first, second, third], true))
}

/// The same of one picture.
fn positions_of(features: &Features, index: i64) -> Positions {
    let grids = features.scales.each_ref().map(|scale| scale.narrow(0, index, 1));
    let vectors = grid::positions(&grid::joined(&grids.each_ref(), true));
    let are_smaller = grids[1].size()[2] < grids[0].size()[2];
    Positions { vectors, grids: are_smaller.then_some(grids) }
}
