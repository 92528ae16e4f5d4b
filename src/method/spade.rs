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
use super::part::nearest::Bank;
use super::part::normals::{CHUNK, all_pooled, features, pooled};
use super::part::search_cost::{MAX_BYTES, joined_operations};
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
    let stages = backbone.channels().into_iter().zip(backbone.strides()).take(3);
    let grids: f64 = stages.map(|(c, stride)| c as f64 * cell.positions(stride)).sum();
    let bank = 4.0 * retrieved * (positions * channels as f64 + grids);
    Ok(Work {
        fit: Operations { forward: n as f64 * encoder, training: 0.0 },
        query: encoder + retrieved * (again + joined_operations(backbone, 1, cell)),
        encode: encoder,
        teacher: encoder,
        maps: true,
        bytes: bank + MAX_BYTES as f64,
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
            Gallery::Positions(bank(&Joined::cat(&parts.collect::<Vec<_>>())))
        } else {
            Gallery::Pixels(normals.pixels.shallow_clone())
        };
        Ok(Box::new(SpadeDetector { teacher, pictures, neighbours, gallery }))
    }

    fn sees(&self) -> Option<Sight> {
        Some(Sight::of(self.settings.backbone))
    }

    fn reads(&self, _: &Context, features: Features) -> Box<dyn Any> {
        Box::new(Seen { vectors: pooled(&features), positions: positions(&features) })
    }
}

/// What is seen of queries.
struct Seen {
    /// `[n, c4]`.
    vectors: Tensor,
    positions: Joined,
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
        let Seen { vectors, positions } = queries.made()?;
        let found = self.pictures.nearest(vectors, self.neighbours, MAX_BYTES);
        let scores = found.distances.mean_dim(1, false, None::<Kind>);
        let distances = match &self.gallery {
            Gallery::Positions(bank) => nearest(bank, positions),
            Gallery::Pixels(pixels) => {
                let of = |index| {
                    let retrieved = pixels.index_select(0, &found.rows.get(index).to_device(Device::Cpu));
                    self.nearest_of(&retrieved, &positions.narrow(index, 1))
                };
                Tensor::cat(&(0..positions.pictures()).map(of).collect::<Vec<_>>(), 0)
            }
        };
        // Positions of a square.
        let grid = positions.positions().isqrt();
        let maps = grid::upsample(&distances.view([-1, grid, grid]), queries.pictures().size(), false);
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
    /// As [`nearest`], of normals that pass the teacher again.
    fn nearest_of(&self, retrieved: &Tensor, queries: &Joined) -> Tensor {
        let chunks = retrieved.split(CHUNK, 0);
        let distances = chunks.iter().map(|chunk| {
            let normals = positions(&self.teacher.features(chunk));
            nearest(&bank(&normals), queries)
        });
        distances.reduce(|a, b| a.minimum(&b)).expect("at least one normal is retrieved")
    }
}

/// Distances of all positions of pictures to the nearest of the bank, `[m]`.
fn nearest(bank: &Bank, queries: &Joined) -> Tensor {
    bank.nearest_joined(queries, 1, MAX_BYTES).distances.squeeze_dim(1)
}

/// Stages 1 to 3 on the first one's grid, one vector per position of all pictures.
fn positions(features: &Features) -> Joined {
    Joined::new(features.scales.iter().map(Tensor::shallow_clone).collect())
}

fn bank(positions: &Joined) -> Bank {
    Bank::of_pictures(positions.vectors().shallow_clone(), positions.grids())
}
