//! AnomalyDINO: the nearest of the supports' tokens (Damm et al., arXiv 2405.14529, WACV 2025).

use std::any::Any;
use std::sync::Arc;

use anyhow::{Context as _, Result, ensure};
use serde::{Deserialize, Serialize};
use tch::{Kind, Tensor};

use super::contract::{Built, Context, Detector, Encoded, Entry, NearestPlace, Observer, Output, Prediction};
use super::geometry::{FromFiles, Geometry, Role, views_of};
use super::part::grid;
use super::part::learner::{Learner, build as build_learner};
use super::part::nearest::Bank;
use super::part::normals::{Views, features};
use super::part::scored::highest;
use super::part::search_cost::MAX_BYTES;
use super::train_on::TrainOn;
use super::work::{CellSize, Operations, Work};
use crate::episode::batch::Pictures;
use crate::network::remembering::Remembering;
use crate::network::vit::{Deep, Filter, Reading, Shallow, Transformer};
use crate::network::{Features, Network, Sight};
use crate::pixels::Pixels;
use crate::progress;
use mask::Mask;

/// Which patches show the object.
pub mod mask;
/// Pictures as the authors prepare them.
pub mod published;
/// Pictures turned as OpenCV turns them.
pub mod rotation;

/// AnomalyDINO: the distance of each token to the nearest of the supports' and their turned copies' tokens.
pub const ENTRY: Entry = Entry {
    name: "anomalydino",
    about: "distance of each token to the nearest of the supports' and their turned copies' tokens",
    paper: "arXiv 2405.14529 (WACV 2025)",
    regime: "R1",
    needs: "DINOv2 dinov2_vits14",
    cost: "one forward pass of 448 x 448 pixels a picture (63 GFLOP), 8 a support, and each of its 1,024 tokens against \
           8,192 a support",
    trial: "backbone = 'dinov2_tiny14'\nside = 28",
    build,
    work: Some(work),
};

/// Defaults are the published ones, without the mask, which was made for photographs of objects.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// Its last block's tokens, after the final norm, are compared.
    pub backbone: Transformer,
    /// Side in pixels that pictures are resized to, a multiple of the patch's.
    pub side: i64,
    /// `published` prepares whole files as the authors do: supports are turned at their own size, then the shorter edge becomes
    /// `side`, the other one keeps its proportion and is cut to whole patches at its end; the map is stretched to the whole
    /// picture. Only `score` has files; a board takes `square`.
    pub geometry: Geometry,
    /// Whether each support enters in eight views, turned by eighths.
    pub rotations: bool,
    /// Nearest tokens whose squared distances are averaged.
    pub neighbours: usize,
    /// Which of a query's patches count; the others' distance is 0. Supports are never masked.
    pub mask: Mask,
}

impl Default for Settings {
    fn default() -> Settings {
        Settings {
            backbone: Transformer::Dinov2Small,
            side: 448,
            geometry: Geometry::Square,
            rotations: true,
            neighbours: 1,
            mask: Mask::None,
        }
    }
}

impl Settings {
    fn sight(&self) -> Sight {
        let side = (self.geometry == Geometry::Square).then_some(self.side);
        let reading =
            Reading { deep: Deep::Last, side, scales: Shallow::Empty, ..Reading::of(self.backbone) };
        Sight::Tokens(self.backbone, reading)
    }

    fn published(&self) -> FromFiles {
        let Settings { side, rotations, .. } = *self;
        let turned = if rotations { "references turned by eighths at their own size; " } else { "" };
        let about = format!(
            "{turned}the shorter edge {side} pixels (bicubic), the other in proportion and cut at its end to whole patches"
        );
        let patch = self.backbone.plan().patch;
        let prepared = move |picture: &Pixels| published::prepared(picture, side, patch);
        let views = move |picture: &Pixels, role: Role| {
            published::refuse_strip(picture)?;
            Ok(match role {
                Role::Reference { .. } if rotations => {
                    published::eighths(picture).into_iter().map(|view| prepared(&view)).collect()
                }
                _ => vec![prepared(picture)],
            })
        };
        FromFiles { side, filter: Filter::Bicubic, views: Some(Arc::new(views)), about }
    }

    fn views(&self) -> usize {
        if self.rotations { rotation::COUNT } else { 1 }
    }
}

fn build(settings: toml::Table) -> Result<Built> {
    let settings: Settings = settings.try_into().context("settings of anomalydino")?;
    let patch = settings.backbone.plan().patch;
    ensure!(
        settings.side > 0 && settings.side % patch == 0,
        "anomalydino: side must be a multiple of {patch}, the patch of {}",
        settings.backbone.name()
    );
    ensure!(settings.neighbours >= 1, "anomalydino: neighbours must be at least 1");
    let network = Some(Network::Transformer(settings.backbone));
    let learner = AnomalyDino { settings: settings.clone() };
    let built = build_learner(learner, TrainOn::Supports, &settings, network)?.giving(Output::Both);
    Ok(built.reading_files(settings.geometry.from_files(|| settings.published())))
}

fn work(settings: &str, cell: &CellSize) -> Result<Work> {
    let settings: Settings = serde_json::from_str(settings)?;
    let plan = settings.backbone.plan();
    let (tokens, width) = (((settings.side / plan.patch) as f64).powi(2), plan.width as f64);
    let encoder = plan.operations(settings.side, plan.depth);
    let views = (cell.learnt_from(TrainOn::Supports, false) * settings.views()) as f64;
    Ok(Work {
        adapt: Operations { forward: views * encoder, training: 0.0 },
        query: encoder + 2.0 * tokens * views * tokens * width,
        encode: encoder,
        teacher: encoder,
        maps: true,
        bytes: 4.0 * views * tokens * width,
        ..Work::default()
    })
}

struct AnomalyDino {
    settings: Settings,
}

impl Learner for AnomalyDino {
    fn learn(
        &self,
        normals: &Pictures,
        context: &Context,
        _: &mut dyn Observer,
    ) -> Result<Box<dyn Detector>> {
        let teacher = context.seeing(self.settings.sight())?;
        let views = self.settings.rotations.then_some(&rotation::eighths as Views);
        let parts: Vec<Tensor> = match self.settings.geometry {
            Geometry::Square => features(&teacher, &normals.pixels, views).map(|seen| seen.deep).collect(),
            Geometry::Published => of_files(&teacher, normals, context)?,
        };
        let (parts, grids) = (parts.iter().map(grid::positions), parts.iter().flat_map(grids_of));
        let grids: Vec<[i64; 2]> = grids.collect();
        let bank = TokenBank::new(&Tensor::cat(&parts.collect::<Vec<_>>(), 0));
        let Settings { neighbours, mask, .. } = self.settings;
        Ok(Box::new(AnomalyDinoDetector { bank, neighbours, mask, views: self.settings.views(), grids }))
    }

    fn sees(&self) -> Option<Sight> {
        (self.settings.geometry == Geometry::Square).then(|| self.settings.sight())
    }

    fn reads(&self, _: &Context, features: Features) -> Box<dyn Any> {
        Box::new(vec![features.deep])
    }

    fn encode<'p>(&self, context: &Context, pictures: &'p Pictures) -> Result<Encoded<'p>> {
        let teacher = context.seeing(self.settings.sight())?;
        // What else a reference may enter as comes after the picture itself.
        let seen = |views: &Arc<[Pixels]>| {
            let picture = views.first().context("a picture without views")?;
            Ok(teacher.features(&entering(picture)).deep)
        };
        let seen = views_of(pictures)?.iter().map(seen).collect::<Result<Vec<Tensor>>>()?;
        Ok(Encoded::new(pictures, Box::new(seen)))
    }
}

/// One prepared picture, `[1, 3, h, w]`.
fn entering(picture: &Pixels) -> Tensor {
    let size = [1, 3, picture.height() as i64, picture.width() as i64];
    Tensor::from_data_size(&picture.to_planes(), &size, Kind::Uint8)
}

/// Sides of each of the grids `[n, d, h, w]`.
fn grids_of(tokens: &Tensor) -> Vec<[i64; 2]> {
    let (n, _, h, w) = tokens.size4().expect("tokens are [n, d, h, w]");
    vec![[h, w]; n as usize]
}

/// Tokens `[1, d, h, w]` of each view of supports.
fn of_files(teacher: &Remembering, normals: &Pictures, context: &Context) -> Result<Vec<Tensor>> {
    let bar = progress::bar(normals.len(), &context.label);
    let mut parts = Vec::new();
    for views in views_of(normals)? {
        let tokens = |view: &Pixels| teacher.features_again(&entering(view)).deep;
        parts.extend(views.iter().map(tokens));
        bar.inc(1);
    }
    bar.finish_and_clear();
    Ok(parts)
}

/// Tokens of normals, without their lengths.
pub struct TokenBank(Bank);

impl TokenBank {
    /// Of tokens `[m, d]`, single precision.
    pub fn new(tokens: &Tensor) -> TokenBank {
        TokenBank(Bank::new(unit(tokens)))
    }

    /// One less the cosine to the nearest, or the mean of that over several, of tokens `[m, d]`: `[m]`, double precision.
    pub fn distances(&self, tokens: &Tensor, neighbours: usize) -> Tensor {
        let nearest = self.0.nearest(&unit(tokens), neighbours, MAX_BYTES).distances;
        // Of unit vectors, the squared distance is twice one less the cosine.
        nearest.square().mean_dim(1, false, None::<Kind>) / 2.0
    }

    /// Row of the nearest to one token `[1, d]`, and the cosine to it.
    fn nearest(&self, token: &Tensor) -> (i64, f64) {
        let found = self.0.nearest(&unit(token), 1, MAX_BYTES);
        let distance = found.distances.double_value(&[0, 0]);
        (found.rows.int64_value(&[0, 0]), 1.0 - distance * distance / 2.0)
    }

    fn bytes(&self) -> usize {
        self.0.bytes()
    }
}

/// Tokens `[m, d]` of length 1.
fn unit(tokens: &Tensor) -> Tensor {
    let wide = tokens.to_kind(Kind::Double);
    let length = wide.square().sum_dim_intlist(1, true, None::<Kind>).sqrt();
    (wide / length.clamp_min(1e-12)).to_kind(Kind::Float)
}

struct AnomalyDinoDetector {
    bank: TokenBank,
    neighbours: usize,
    mask: Mask,
    /// Views of each support.
    views: usize,
    /// Sides of the grid of each view, in the order of the bank.
    grids: Vec<[i64; 2]>,
}

impl AnomalyDinoDetector {
    /// The support of a row of the bank, from 0, and the place in it.
    fn origin(&self, mut row: i64) -> (usize, [f64; 2]) {
        let mut view = 0;
        while row >= self.grids[view][0] * self.grids[view][1] {
            row -= self.grids[view][0] * self.grids[view][1];
            view += 1;
        }
        let size = self.grids[view].map(|side| side as f64);
        let place = middle(row, self.grids[view]);
        (view / self.views, rotation::origin(place, size, view % self.views))
    }

    /// Of one query's distances that count, `[h, w]`, and its tokens `[1, d, h, w]`.
    fn nearest_of(&self, counted: &Tensor, tokens: &Tensor) -> NearestPlace {
        let peak = counted.flatten(0, -1).argmax(0, false).int64_value(&[]);
        let token = grid::positions(tokens).narrow(0, peak, 1);
        let (row, cosine) = self.bank.nearest(&token);
        let (support, place) = self.origin(row);
        NearestPlace { peak: middle(peak, [counted.size()[0], counted.size()[1]]), support, place, cosine }
    }

    /// Distances that count of pictures of one shape, or of each by itself.
    fn all_counted(&self, parts: &[Tensor]) -> Result<Vec<Tensor>> {
        parts.iter().map(|tokens| self.counted(tokens)).collect()
    }

    /// Distances that count, `[n, h, w]`, of tokens `[n, d, h, w]`.
    fn counted(&self, tokens: &Tensor) -> Result<Tensor> {
        let (n, _, h, w) = tokens.size4()?;
        let distances = self.bank.distances(&grid::positions(tokens), self.neighbours).view([n, h, w]);
        Ok(match self.mask {
            Mask::None => distances,
            mask => {
                let kept = |index: i64| {
                    let rows = grid::positions(&tokens.narrow(0, index, 1));
                    mask.kept(&rows, [h, w])
                };
                let kept = (0..n).map(kept).collect::<Result<Vec<Tensor>>>()?;
                distances * Tensor::stack(&kept, 0).to_device(tokens.device())
            }
        })
    }
}

/// Maps and scores of distances that count, each `[n, h, w]`, of pictures of `size` pixels.
fn judged(counted: &[Tensor], size: i64) -> Result<Prediction> {
    let maps: Vec<Tensor> = counted.iter().map(|counted| grid::upsample(counted, size, false)).collect();
    let scores: Vec<Tensor> = counted.iter().map(highest).collect();
    let (maps, scores) = (Tensor::cat(&maps, 0), Tensor::cat(&scores, 0));
    Ok(Prediction::Both(grid::to_maps(&maps)?, grid::to_scores(&scores)?))
}

impl Detector for AnomalyDinoDetector {
    fn score(&self, queries: &Encoded) -> Result<Prediction> {
        let counted = self.all_counted(queries.made::<Vec<Tensor>>()?)?;
        judged(&counted, queries.pictures().size())
    }

    fn bytes(&self) -> usize {
        self.bank.bytes()
    }

    fn score_with_nearest(&self, queries: &Encoded) -> Result<(Prediction, Option<Vec<NearestPlace>>)> {
        let parts: &Vec<Tensor> = queries.made()?;
        let counted = self.all_counted(parts)?;
        let mut places = Vec::new();
        for (counted, tokens) in counted.iter().zip(parts) {
            let one = |query: i64| self.nearest_of(&counted.get(query), &tokens.narrow(0, query, 1));
            places.extend((0..counted.size()[0]).map(one));
        }
        Ok((judged(&counted, queries.pictures().size())?, Some(places)))
    }
}

/// The middle of a place of a grid of `h x w`, counted row by row, as parts of its sides.
fn middle(place: i64, [h, w]: [i64; 2]) -> [f64; 2] {
    [(place / w, h), (place % w, w)].map(|(at, side)| (at as f64 + 0.5) / side as f64)
}
