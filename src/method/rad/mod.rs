//! RAD: the nearest patches of similar normals around the same place, in several blocks of a transformer (Zhang et al., arXiv
//! 2601.22763).
//!
//! The authors take DINOv3 ViT-B/16, which is not among our networks; here it is DINOv2, whose patches are of 14 pixels. Their
//! bank holds the normals of all classes together; here each task has its own.

use anyhow::{Context as _, Result, ensure};
use serde::{Deserialize, Serialize};
use tch::Tensor;

use super::contract::{Built, Context, Detector, Encoded, Entry, Observer, Output, Prediction};
use super::geometry::Geometry;
use super::part::grid;
use super::part::learner::{Learner, build as build_learner};
use super::part::middle::Middle;
use super::part::normals::features;
use super::part::scored::image_scores;
use super::train_on::TrainOn;
use super::work::{CellSize, Operations, Work};
use crate::episode::batch::Pictures;
use crate::network::vit::{Deep, Transformer};
use crate::network::{Features, Network, Sight};
use bank::{Banks, Reach};

/// What is compared.
pub mod bank;

/// RAD: distance of each patch to the nearest around its place, in four blocks.
pub const ENTRY: Entry = Entry {
    name: "rad",
    about: "distance of each patch to the nearest around the same place in similar normals, in four blocks of a transformer",
    paper: "arXiv 2601.22763",
    regime: "R1 (or R5)",
    needs: "DINOv2 dinov2_vitb14",
    cost: "one forward pass of 448 x 448 pixels a picture (214 GFLOP), and each of its 1,024 patches against 9 a normal, in four \
           blocks; 12.6 MB are kept of each normal",
    trial: "backbone = 'dinov2_tiny14'\nside = 42\nmargin = 7\nneighbours = 2",
    build,
    work: Some(work),
};

/// Defaults are the published ones for `MVTec` AD, but for the network.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// Supports of the episode, or all train normals of the target.
    pub train_on: TrainOn,
    /// Its tokens are compared, after the final norm: after blocks 4, 7, 10 and 12 of 12, and at the same parts of other depths,
    /// which may give a block of a very shallow network twice.
    pub backbone: Transformer,
    /// Side in pixels of what is seen, a multiple of the patch's.
    pub side: i64,
    /// Pixels cut off at each edge once pictures are resized to `side` and two margins. 32 as published, which hides 23 % of
    /// a picture; 0 shows all of it.
    pub margin: i64,
    /// `published` stretches whole files to `side` and two margins at once, bilinearly, as the authors do. Only `score` has files;
    /// a board takes `square`.
    pub geometry: Geometry,
    /// Normals that count for a query, those whose class tokens are nearest; all, if there are fewer. The authors take 48 to 900
    /// by data set, of the normals of all its classes.
    pub neighbours: usize,
    /// How far from its own place a patch looks, in patches along rows and columns; the authors take 0, 1 or 2 by data set.
    pub radius: i64,
    /// Whether a patch looks at every place, as where pictures are not aligned; `radius` does not count then.
    pub everywhere: bool,
}

impl Default for Settings {
    fn default() -> Settings {
        Settings {
            train_on: TrainOn::Supports,
            backbone: Transformer::Dinov2Base,
            side: 448,
            margin: 32,
            geometry: Geometry::Square,
            neighbours: 150,
            radius: 1,
            everywhere: false,
        }
    }
}

/// Layers that are compared.
const LAYERS: [usize; 4] = [4, 7, 10, 12];
/// Blocks of the network that they were published for.
const DEPTH: usize = 12;
/// Deviation of the blur before image scores, in pixels.
const SIGMA: f64 = 1.0;

impl Settings {
    fn check(&self) -> Result<()> {
        self.middle().check("rad")?;
        ensure!(self.neighbours >= 1, "rad: neighbours must be at least 1");
        ensure!((0..=4).contains(&self.radius), "rad: radius must be 0 to 4; set everywhere = true for more");
        Ok(())
    }

    fn middle(&self) -> Middle {
        Middle { backbone: self.backbone, side: self.side, margin: self.margin }
    }

    fn sight(&self) -> Sight {
        let deep = Deep::Four(layers(self.backbone.plan().depth));
        Sight::Tokens(self.backbone, self.middle().reading(deep))
    }

    fn reach(&self) -> Reach {
        if self.everywhere { Reach::Everywhere } else { Reach::Radius(self.radius) }
    }
}

/// Blocks, counted from 1.
fn layers(depth: usize) -> [usize; 4] {
    LAYERS.map(|layer| (layer * depth).div_ceil(DEPTH))
}

fn build(settings: toml::Table) -> Result<Built> {
    let settings: Settings = settings.try_into().context("settings of rad")?;
    settings.check()?;
    let on_references = settings.train_on == TrainOn::Supports;
    settings.geometry.check_learns_from_references(on_references, "rad", "train_on = \"supports\"")?;
    let network = Some(Network::Transformer(settings.backbone));
    let built = build_learner(Rad { settings: settings.clone() }, settings.train_on, &settings, network)?;
    let from_files = settings.geometry.from_files(|| settings.middle().published());
    Ok(built.giving(Output::Both).reading_files(from_files))
}

fn work(settings: &str, cell: &CellSize) -> Result<Work> {
    let settings: Settings = serde_json::from_str(settings)?;
    let plan = settings.backbone.plan();
    let (patches, values) = (((settings.side / plan.patch) as f64).powi(2), 4.0 * plan.width as f64);
    let encoder = plan.operations(settings.side, plan.depth);
    let n = cell.learnt_from(settings.train_on, false);
    let places = if settings.everywhere { patches } else { ((2 * settings.radius + 1) as f64).powi(2) };
    let comparing = 2.0 * patches * places * n.min(settings.neighbours) as f64 * values;
    let fit = Operations { forward: n as f64 * encoder, training: 0.0 };
    let bytes = 4.0 * n as f64 * patches * values;
    let work = Work { fit, query: encoder + comparing, encode: encoder, teacher: encoder, ..Work::default() };
    Ok(Work { maps: true, bytes, ..work }.on(settings.train_on))
}

struct Rad {
    settings: Settings,
}

impl Learner for Rad {
    fn learn(
        &self,
        normals: &Pictures,
        context: &Context,
        _: &mut dyn Observer,
    ) -> Result<Box<dyn Detector>> {
        let teacher = context.seeing(self.settings.sight())?;
        let (n, mut start) = (normals.len() as i64, 0);
        let mut banks: Option<Banks> = None;
        for features in features(&teacher, &normals.pixels, None) {
            let (class, grids) = read(&features);
            match &mut banks {
                None => banks = Some(Banks::with_room(n, &class, &grids)),
                Some(banks) => banks.put(start, &class, &grids),
            }
            start += class.size()[0];
        }
        let banks = banks.context("rad: there are no normals")?;
        Ok(Box::new(RadDetector { banks, settings: self.settings.clone() }))
    }

    fn sees(&self) -> Option<Sight> {
        Some(self.settings.sight())
    }
}

/// Class tokens of the last layer, `[n, width]`, and patches of each layer, `[n, width, h, w]`.
fn read(features: &Features) -> (Tensor, [Tensor; 4]) {
    let width = features.deep.size()[1] / 4;
    let class = features.scales[0].narrow(1, 3 * width, width).select(2, 0).squeeze_dim(2);
    (class, [0, 1, 2, 3].map(|layer| features.deep.narrow(1, layer * width, width)))
}

struct RadDetector {
    banks: Banks,
    settings: Settings,
}

impl Detector for RadDetector {
    fn score(&self, queries: &Encoded) -> Result<Prediction> {
        let Settings { side, margin, neighbours, .. } = self.settings;
        let (class, grids) = read(queries.made()?);
        let one = |query: i64| {
            let grids = grids.each_ref().map(|grid| grid.narrow(0, query, 1));
            self.banks.distances(&class.narrow(0, query, 1), &grids, neighbours, self.settings.reach())
        };
        let distances: Vec<Tensor> = (0..class.size()[0]).map(one).collect();
        let distances = Tensor::stack(&distances, 0);
        let seen = grid::upsample(&distances, side, false);
        let maps = grid::whole(&seen, margin, queries.pictures().size());
        Ok(Prediction::Both(grid::to_maps(&maps)?, grid::to_scores(&image_scores(&distances, SIGMA))?))
    }

    fn bytes(&self) -> usize {
        self.banks.bytes()
    }
}

#[cfg(test)]
mod tests {
    use tch::{Device, Kind};

    use super::*;

    #[test]
    fn the_last_blocks_class_token_and_each_blocks_patches_are_read() {
        let counted = |shape: [i64; 4]| {
            Tensor::arange(shape.iter().product::<i64>(), (Kind::Float, Device::Cpu)).view(shape)
        };
        // Of width 3, with four registers.
        let (prefix, deep) = (counted([2, 12, 5, 1]), counted([2, 12, 2, 2]));
        let none = || deep.narrow(1, 0, 0);
        let (class, grids) = read(&Features { scales: [prefix.copy(), none(), none()], deep: deep.copy() });
        assert_eq!(class.size(), [2, 3]);
        for (picture, value) in [(0, 0), (0, 2), (1, 1)] {
            let expected = prefix.double_value(&[picture, 9 + value, 0, 0]);
            assert_eq!(class.double_value(&[picture, value]), expected);
        }
        for (layer, grid) in grids.iter().enumerate() {
            assert!(grid.equal(&deep.narrow(1, 3 * layer as i64, 3)), "layer {layer}");
        }
    }

    #[test]
    fn layers_are_at_the_published_parts_of_other_depths() {
        assert_eq!(layers(12), [4, 7, 10, 12]);
        assert_eq!(layers(24), [8, 14, 20, 24]);
        assert_eq!(layers(3), [1, 2, 3, 3]);
    }
}
