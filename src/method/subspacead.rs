//! SubspaceAD: what a principal subspace of the normals' features leaves over (arXiv 2602.23013, CVPR 2026).

use std::any::Any;
use std::rc::Rc;
use std::sync::Arc;

use anyhow::{Context as _, Result, ensure};
use serde::{Deserialize, Serialize};
use tch::{Kind, Tensor};

use super::contract::{Built, Context, Detector, Encoded, Entry, Observer, Output, Prediction};
use super::geometry::{FromFiles, Geometry, Role, views_of};
use super::part::grid;
use super::part::learner::{Learner, Learnt, build as build_learner};
use super::part::normals::made;
use super::part::scatter::Scatter;
use super::part::scored::highest;
use super::part::subspace::Subspace;
use super::train_on::TrainOn;
use super::views;
use super::work::{self, CellSize, Covariances, Operations, Work};
use crate::episode::batch::Pictures;
use crate::network::context::in_single;
use crate::network::remembering::{MOST_MADE, Made};
use crate::network::vit::reading::squares;
use crate::network::vit::{Deep, Filter, Interpolation, Plan, Reading, Shallow, Transformer};
use crate::network::{Backbone, Extractor, Features, Sight};
use crate::pixels::Pixels;
use crate::progress;
use crate::random::Stream;

/// `SubspaceAD`: what a principal subspace of the normals' features leaves over.
pub const ENTRY: Entry = Entry {
    name: "subspacead",
    about: "what a principal subspace of the normals' features leaves over, on a residual network's features or \
            DINOv2's, as in the authors' ablation",
    paper: "arXiv 2602.23013 (CVPR 2026)",
    regime: "R1 (or R5)",
    needs: "ImageNet wide_resnet50_2 (or dinov2_vits14)",
    cost: "one forward pass a picture, 31 a support, and one eigendecomposition",
    trial: "backbone = 'resnet18'",
    build,
    work: Some(work),
};

/// Defaults are the published ones, but for the features and the corners of turned copies: `backbone = "dinov2_vits14"` has
/// the features of the authors' ablation, `corners = "black"` their corners.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// Which normals of the target span the subspace.
    pub train_on: TrainOn,
    /// Its stages 2 and 3, joined, are the features. Of a transformer, the mean of the tokens after some blocks beyond
    /// the middle (8 and 9 of 12, 14 to 18 of 24), without a norm, its position table fitted as Hugging Face does.
    pub backbone: Extractor,
    /// Side in pixels that pictures are resized to before they enter a transformer, a multiple of the patch's; 448 unless
    /// set. Other networks take pictures as they are.
    pub side: Option<i64>,
    /// `published` prepares whole files for a transformer as the authors do: normals are turned at their own size, and all is
    /// stretched to `side` at once, with the bicubic filter. Only `score` has files; a board takes `square`.
    pub geometry: Geometry,
    /// Share of the variance that the subspace holds, at least.
    pub explained: f64,
    /// Turned copies beside each normal, by random angles of 0 to 345 degrees. Without any, few supports span
    /// so little that the subspace keeps nearly all of it.
    pub rotations: usize,
    /// What a turn brings in from outside.
    pub corners: Corners,
}

/// What a turn brings in from outside of a picture.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Corners {
    /// The picture's own reflection, and bilinear turns: nothing that no picture has.
    Reflected,
    /// Black, and turns from the nearest pixels: as published, so that black wedges are normal too.
    Black,
}

impl Default for Settings {
    fn default() -> Settings {
        Settings {
            train_on: TrainOn::Supports,
            backbone: Backbone::WideResnet50x2.into(),
            side: None,
            geometry: Geometry::Square,
            explained: 0.99,
            rotations: 30,
            corners: Corners::Reflected,
        }
    }
}

fn build(settings: toml::Table) -> Result<Built> {
    let mut settings: Settings = settings.try_into().context("settings of subspacead")?;
    settings.settle_side()?;
    let on_references = settings.train_on == TrainOn::Supports;
    settings.geometry.check_learns_from_references(on_references, "subspacead", "train_on = \"supports\"")?;
    let explained = settings.explained;
    ensure!(explained > 0.0 && explained < 1.0, "subspacead: explained must be above 0 and below 1");
    let network = Some(settings.backbone.into());
    let built =
        build_learner(SubspaceAd { settings: settings.clone() }, settings.train_on, &settings, network)?;
    let from_files = settings.geometry.from_files(|| settings.published());
    Ok(built.giving(Output::Both).reading_files(from_files))
}

fn work(settings: &str, cell: &CellSize) -> Result<Work> {
    let settings: Settings = serde_json::from_str(settings)?;
    let Settings { train_on, backbone, rotations, .. } = settings;
    let n = (cell.learnt_from(train_on, false) * (1 + rotations)) as f64;
    let [_, c2, c3, _] = backbone.channels();
    let (encoder, width, size) = match backbone {
        Extractor::Pyramid(_) => (work::encoder(backbone, cell.size), c2 + c3, cell.size),
        Extractor::Transformer(transformer) => {
            let (plan, size) = (transformer.plan(), settings.side.unwrap_or(SIDE));
            (plan.operations(size, blocks(plan).1), plan.width, size)
        }
    };
    let covariance = Covariances::new(1.0, width);
    let tokens = CellSize { size, ..*cell }.positions(backbone.strides()[1]);
    // An eigendecomposition takes some thirty times what a factorisation takes. A subspace has fewer directions than
    // there are: queries are counted from above.
    let forward = n * (encoder + tokens * covariance.each) + 30.0 * covariance.factoring;
    let remembered = match train_on {
        TrainOn::Supports => (cell.shots as f64 * covariance.bytes).min(MOST_MADE as f64),
        TrainOn::Normals => 0.0,
    };
    Ok(Work {
        fit: Operations { forward, training: 0.0 },
        query: encoder + 2.0 * tokens * covariance.distance,
        encode: encoder,
        teacher: encoder,
        maps: true,
        bytes: covariance.bytes + remembered,
        ..Work::default()
    }
    .on(train_on))
}

/// Side of a transformer's pictures in the authors' ablation.
const SIDE: i64 = 448;

impl Settings {
    fn settle_side(&mut self) -> Result<()> {
        let name = self.backbone.name();
        match self.backbone {
            Extractor::Pyramid(_) => {
                ensure!(
                    self.side.is_none(),
                    "subspacead: side is for transformers; {name} takes pictures as they are"
                );
                ensure!(
                    self.geometry == Geometry::Square,
                    "subspacead: geometry = \"published\" is for transformers, and {name} is none; set backbone = \"dinov2_vits14\" as well"
                );
            }
            Extractor::Transformer(transformer) => {
                let (side, patch) = (*self.side.get_or_insert(SIDE), transformer.plan().patch);
                ensure!(
                    side > 0 && side % patch == 0,
                    "subspacead: side must be a multiple of {patch}, the patch of {name}"
                );
            }
        }
        Ok(())
    }

    fn published(&self) -> FromFiles {
        let (rotations, corners, side) = (self.rotations, self.corners, self.side.unwrap_or(SIDE));
        let stretched = FromFiles::stretched(side, Filter::Bicubic);
        if rotations == 0 {
            return stretched;
        }
        let words = match corners {
            Corners::Reflected => "reflected corners, the authors' are black",
            Corners::Black => "black corners",
        };
        let about = format!("references turned at their own size ({words}); {}", stretched.about);
        let views = move |picture: &Pixels, role: Role| match role {
            Role::Query => Ok(Vec::new()),
            Role::Reference { seed } => squares_of_turned(picture, corners, &angles(rotations, seed), side),
        };
        FromFiles { views: Some(Arc::new(views)), about, ..stretched }
    }

    /// Whether normals are turned at their own size.
    fn turns_files(&self) -> bool {
        self.geometry == Geometry::Published && self.rotations > 0
    }

    fn sight(&self) -> Sight {
        match self.backbone {
            Extractor::Pyramid(_) => Sight::of(self.backbone),
            Extractor::Transformer(transformer) => {
                let (first, last) = blocks(transformer.plan());
                let reading = Reading {
                    deep: Deep::Mean { first, last },
                    side: self.side,
                    scales: Shallow::Empty,
                    ..hugging_face(transformer)
                };
                Sight::Tokens(transformer, reading)
            }
        }
    }

    /// Tokens, `[n, d, h, w]`; of a pyramid, its features take their place.
    fn tokens(&self, features: Features) -> Tensor {
        match self.backbone {
            Extractor::Pyramid(_) => {
                let [_, second, third] = &features.scales;
                grid::joined(&[second, third], true)
            }
            Extractor::Transformer(_) => features.deep,
        }
    }
}

/// The first and the last of the blocks whose tokens are averaged, counted from 1.
fn blocks(plan: Plan) -> (usize, usize) {
    match plan.depth {
        12 => (8, 9),
        24 => (14, 18),
        depth => (depth.div_ceil(2), depth.div_ceil(2)),
    }
}

/// As `Dinov2Model` and `Dinov2WithRegistersModel` of Hugging Face's transformers fit the position table.
fn hugging_face(transformer: Transformer) -> Reading {
    let owners = Reading::of(transformer);
    let interpolation = match owners.interpolation {
        Interpolation::Offset => Interpolation::Exact,
        other => other,
    };
    Reading { interpolation, ..owners }
}

struct SubspaceAd {
    settings: Settings,
}

impl Learner for SubspaceAd {
    fn learn(
        &self,
        normals: &Pictures,
        context: &Context,
        observer: &mut dyn Observer,
    ) -> Result<Box<dyn Detector>> {
        let teacher = context.seeing(self.settings.sight())?;
        let angles = angles(self.settings.rotations, context.seed);
        let turned = |picture: &Tensor| {
            Tensor::cat(&views(picture, self.settings.corners, &angles).collect::<Vec<_>>(), 0)
        };
        let of = |features| Turned(Scatter::of(&grid::positions(&self.settings.tokens(features))));
        let seen: Box<dyn Iterator<Item = Rc<Turned>>> = match self.settings.turns_files() {
            false => Box::new(made(&teacher, &normals.pixels, &turned, of)),
            true => {
                Box::new(views_of(normals)?.iter().map(|views| teacher.made_of_views(&together(views), of)))
            }
        };
        let bar = progress::bar(normals.len(), &context.label);
        let mut scatter: Option<Scatter> = None;
        for part in seen {
            scatter.get_or_insert_with(|| Scatter::empty(&part.0)).add(&part.0);
            bar.inc(1);
        }
        let scatter = scatter.context("subspacead needs at least one normal")?;
        let subspace = Subspace::new(&scatter, self.settings.explained).context("subspacead")?;
        let components = subspace.components();
        log::info!("{}: {components} components", context.label);
        bar.finish_and_clear();
        let ready = SubspaceAdDetector { subspace, side: self.settings.side };
        let model = Learnt { learner: self, context: context.clone(), detector: &ready };
        observer.after_epoch(1, &vec![("components", components as f64)], &model)?;
        Ok(Box::new(ready))
    }

    fn sees(&self) -> Option<Sight> {
        Some(self.settings.sight())
    }

    fn reads(&self, _: &Context, features: Features) -> Box<dyn Any> {
        Box::new(self.settings.tokens(features))
    }
}

/// The tokens of a normal and its turned copies.
struct Turned(Scatter);

impl Made for Turned {
    fn bytes(&self) -> usize {
        self.0.bytes()
    }
}

/// A picture `[1, 3, h, w]` of 0 to 255 and turned copies, in single precision.
fn views(picture: &Tensor, corners: Corners, angles: &[f64]) -> impl Iterator<Item = Tensor> {
    let picture = picture.to_kind(Kind::Float);
    let first = picture.shallow_clone();
    let turned = angles.iter().map(move |&angle| match corners {
        Corners::Reflected => views::turned(&picture, angle),
        Corners::Black => views::turned_on_black(&picture, angle),
    });
    std::iter::once(first).chain(turned)
}

/// An RGB picture of its own size and turned copies, each stretched to a square of `side` pixels after it is turned.
fn squares_of_turned(picture: &Pixels, corners: Corners, angles: &[f64], side: i64) -> Result<Vec<Pixels>> {
    let size = [1, 3, picture.height() as i64, picture.width() as i64];
    let whole = Tensor::from_data_size(&picture.to_planes(), &size, Kind::Uint8);
    let square = |view: Tensor| {
        let planes = Vec::<u8>::try_from(squares(&view, side, Filter::Bicubic).flatten(0, -1))?;
        Pixels::from_planes(side as usize, side as usize, 3, &planes)
    };
    views(&whole, corners, angles).map(square).collect()
}

/// RGB pictures of one size, `[n, 3, h, w]`.
fn together(pictures: &[Pixels]) -> Tensor {
    let [h, w] = pictures.first().map_or([0, 0], |first| [first.height() as i64, first.width() as i64]);
    let planes: Vec<u8> = pictures.iter().flat_map(Pixels::to_planes).collect();
    Tensor::from_data_size(&planes, &[pictures.len() as i64, 3, h, w], Kind::Uint8)
}

/// Random angles of 0 to 345 degrees, in radians; the same for all normals, so that their order does not count.
fn angles(count: usize, seed: u64) -> Vec<f64> {
    let mut stream = Stream::new(seed, "subspacead angles", 0);
    (0..count).map(|_| stream.between(0.0, 345.0).to_radians()).collect()
}

struct SubspaceAdDetector {
    subspace: Subspace,
    /// Of the map that the image score is made of; the pictures' own where there is none.
    side: Option<i64>,
}

impl Detector for SubspaceAdDetector {
    fn score(&self, queries: &Encoded) -> Result<Prediction> {
        let tokens: &Tensor = queries.made()?;
        let (n, h, w) = (tokens.size()[0], tokens.size()[2], tokens.size()[3]);
        let residual = |index: i64| {
            let one = grid::positions(&tokens.narrow(0, index, 1));
            self.subspace.residuals(&one).view([1, h, w])
        };
        let grids = Tensor::cat(&(0..n).map(residual).collect::<Vec<_>>(), 0);
        let size = queries.pictures().size();
        let maps = grid::upsample(&grids, size, false);
        let scored = match self.side {
            Some(side) if side != size => image_scores(&grid::upsample(&grids, side, false)),
            _ => image_scores(&maps),
        };
        Ok(Prediction::Both(grid::to_maps(&maps)?, grid::to_scores(&scored)?))
    }
}

/// Mean of the highest 1 % (at least one value) of maps `[n, h, w]` that a Gaussian of 3 x 3 pixels and
/// deviation 4 has smoothed: `[n]`.
pub fn image_scores(maps: &Tensor) -> Tensor {
    let edge = (-0.5f64 / 16.0).exp();
    let weights = [edge, 1.0, edge].map(|weight| weight / (1.0 + 2.0 * edge));
    let row = Tensor::from_slice(&weights).to_device(maps.device()).to_kind(maps.kind());
    let kernel = row.unsqueeze(1) * row.unsqueeze(0);
    let padded = maps.unsqueeze(1).reflection_pad2d([1, 1, 1, 1]);
    let kernel = kernel.view([1, 1, 3, 3]);
    highest(&in_single(|| padded.conv2d::<Tensor>(&kernel, None, [1], [0], [1], 1)))
}
