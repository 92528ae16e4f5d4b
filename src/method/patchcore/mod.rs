//! PatchCore: the nearest of all normals' patches (Roth et al., arXiv 2106.08265, CVPR 2022).

use std::any::Any;

use anyhow::{Context as _, Result, ensure};
use serde::{Deserialize, Serialize};
use tch::{Kind, Tensor};

use super::contract::{Built, Context, Detector, Encoded, Entry, Observer, Output, Prediction};
use super::part::grid;
use super::part::learner::{Learner, build as build_learner};
use super::part::nearest::Bank;
use super::part::normals::features;
use super::train_on::TrainOn;
use super::work::{self, CellSize, Operations, Work};
use crate::episode::batch::Pictures;
use crate::network::{Backbone, Extractor, Features, Sight, layout};
use bank::BankBuilder;
use coreset::PROJECTED;

/// The bank as it fills.
pub mod bank;
/// Greedy choice of few rows.
pub mod coreset;
/// Memory within a budget.
pub mod memory;

/// PatchCore: the distance of each patch to the nearest of the normals' patches.
pub const ENTRY: Entry = Entry {
    name: "patchcore",
    about: "distance of each patch to the nearest of the normals' patches",
    paper: "arXiv 2106.08265 (CVPR 2022)",
    regime: "R1 (or R5)",
    needs: "ImageNet wide_resnet50_2",
    cost: "one forward pass a picture, and each of its (side / 8)^2 patches against all of the bank",
    trial: "backbone = 'resnet18'",
    build,
    work: Some(work),
};

/// Neighbours in the bank over which a re-weighted score is a softmax.
const REWEIGHTED_OVER: usize = 9;

/// Queries scored at once.
const BATCH: usize = 16;

/// Defaults are the published ones, but the whole bank is kept of supports.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// Which normals of the target fill the bank.
    pub train_on: TrainOn,
    /// Its stages 2 and 3, averaged over 3 x 3 positions and joined, are the patches.
    pub backbone: Extractor,
    /// Share of the normals' patches that the coreset keeps. Unless set, 1 on supports, because their
    /// patches are few, and the published 0.1 on all train normals.
    pub coreset_ratio: Option<f64>,
    /// Whether the image score is the highest patch score weighed down where its nearest patch is itself
    /// far from others (the paper), rather than the highest of the map (the published code).
    pub reweight: bool,
    /// MiB of memory, on the device, for all that PatchCore holds beside the teacher and what the teacher
    /// makes of the pictures that are scored at once, their patches among it. Where the normals' patches do not fit, a coreset of those seen so far makes
    /// place for the next.
    pub memory_mib: usize,
}

impl Default for Settings {
    fn default() -> Settings {
        Settings {
            train_on: TrainOn::Supports,
            backbone: Backbone::WideResnet50x2.into(),
            coreset_ratio: None,
            reweight: false,
            memory_mib: 2048,
        }
    }
}

fn build(settings: toml::Table) -> Result<Built> {
    let mut settings: Settings = settings.try_into().context("settings of patchcore")?;
    let ratio = *settings.coreset_ratio.get_or_insert(match settings.train_on {
        TrainOn::Supports => 1.0,
        TrainOn::Normals => 0.1,
    });
    ensure!(ratio > 0.0 && ratio <= 1.0, "patchcore: coreset_ratio must be above 0 and at most 1");
    ensure!(settings.memory_mib >= 1, "patchcore: memory_mib must be at least 1");
    let network = Some(settings.backbone.into());
    let built = build_learner(
        PatchCore { settings: settings.clone(), ratio },
        settings.train_on,
        &settings,
        network,
    )?;
    Ok(built.giving(if settings.reweight { Output::Both } else { Output::Maps }))
}

fn work(settings: &str, cell: &CellSize) -> Result<Work> {
    let settings: Settings = serde_json::from_str(settings)?;
    let (n, encoder) =
        (cell.learnt_from(settings.train_on, false), work::encoder(settings.backbone, cell.size));
    let [_, c2, c3, _] = settings.backbone.channels();
    let stride = settings.backbone.strides()[1];
    let (channels, positions) = ((c2 + c3) as usize, cell.positions(stride));
    let memory = settings.memory(channels, positions as usize, n, cell.size as usize);
    // A budget that is too small fails when the cell is computed, and says so there.
    let (capacity, bytes) = memory
        .plan(settings.memory_mib << 20)
        .map_or((0.0, 0.0), |plan| (plan.capacity as f64, plan.bytes as f64));
    let rows = positions * n as f64;
    let bank = (settings.coreset_ratio.unwrap_or(1.0) * rows).min(capacity);
    let choosing = if bank < rows { 2.0 * bank * rows * PROJECTED as f64 } else { 0.0 };
    Ok(Work {
        fit: Operations { forward: n as f64 * encoder + choosing, training: 0.0 },
        query: encoder + 2.0 * positions * bank * channels as f64,
        encode: encoder,
        teacher: encoder,
        maps: true,
        bytes,
        ..Work::default()
    }
    .on(settings.train_on))
}

struct PatchCore {
    settings: Settings,
    ratio: f64,
}

impl Learner for PatchCore {
    fn learn(
        &self,
        normals: &Pictures,
        context: &Context,
        _: &mut dyn Observer,
    ) -> Result<Box<dyn Detector>> {
        let teacher = context.seeing(Sight::of(self.settings.backbone))?;
        let mut builder: Option<(BankBuilder, usize)> = None;
        for features in features(&teacher, &normals.pixels, None) {
            let n = features.deep.size()[0];
            for rows in patches(&features).chunk(n, 0) {
                if builder.is_none() {
                    let (positions, channels) = (rows.size()[0] as usize, rows.size()[1] as usize);
                    let side = normals.size() as usize;
                    let bank_size = self.settings.memory(channels, positions, normals.len(), side);
                    let plan = bank_size.plan(self.settings.memory_mib << 20)?;
                    builder =
                        Some((BankBuilder::new(bank_size, plan, context.seed, context.device), plan.room));
                }
                if let Some((builder, _)) = &mut builder {
                    builder.add(&rows);
                }
            }
        }
        let (builder, room) = builder.context("patchcore needs at least one normal")?;
        let bank = Bank::new(builder.finish(self.ratio));
        Ok(Box::new(PatchCoreDetector { bank, room, reweight: self.settings.reweight }))
    }

    fn sees(&self) -> Option<Sight> {
        Some(Sight::of(self.settings.backbone))
    }

    fn reads(&self, features: Features) -> Box<dyn Any> {
        Box::new(patches(&features))
    }
}

impl Settings {
    /// What is held, of `pictures` of `side` pixels with so many `positions`.
    fn memory(&self, channels: usize, positions: usize, pictures: usize, side: usize) -> memory::BankSize {
        let neighbours = if self.reweight { REWEIGHTED_OVER } else { 1 };
        memory::BankSize { channels, positions, pictures, neighbours, side, queries: BATCH }
    }
}

struct PatchCoreDetector {
    bank: Bank,
    room: usize,
    reweight: bool,
}

impl Detector for PatchCoreDetector {
    fn score(&self, queries: &Encoded) -> Result<Prediction> {
        // Of all pictures at once: the bank is read once for many patches.
        let patches: &Tensor = queries.made()?;
        let distances = patch_scores(&self.bank, patches, self.room);
        let n = queries.pictures().len() as i64;
        // Positions of a square.
        let grid = (distances.size()[0] / n).isqrt();
        let scores = match self.reweight {
            true => reweighted(&self.bank, patches, &distances.view([n, -1]), self.room)?,
            false => Vec::new(),
        };
        let maps = grid::upsample(&distances.view([n, grid, grid]), queries.pictures().size(), false);
        let maps = grid::to_maps(&maps)?;
        Ok(if self.reweight { Prediction::Both(maps, scores) } else { Prediction::Maps(maps) })
    }

    fn batch(&self) -> usize {
        BATCH
    }
}

/// Patches of all pictures, `[n * positions, c2 + c3]`: each stage averaged over 3 x 3 positions (zeros beyond the
/// border), the deeper one brought to the grid of the shallower.
fn patches(features: &Features) -> Tensor {
    // Faster on a CPU than with positions beside one another, to the same bits.
    let pooled = |scale: &Tensor| {
        let scale = layout::for_convolutions(scale);
        scale.avg_pool2d([3, 3], [1, 1], [1, 1], false, true, None).contiguous()
    };
    let [_, second, third] = &features.scales;
    grid::positions(&grid::joined(&[&pooled(second), &pooled(third)], true))
}

/// Distance of each patch `[m, c]` to the nearest of the bank, `[m]`.
pub fn patch_scores(bank: &Bank, patches: &Tensor, room: usize) -> Tensor {
    bank.nearest(patches, 1, room).distances.squeeze_dim(1)
}

/// Of each picture, from the scores of its patches `[n, m]`, all patches being `[n * m, c]`: the highest patch score s
/// times `1 - exp(s) / sum of exp(d)`, where d are the distances of that patch to the nine rows of the bank nearest to its
/// nearest one, itself among them (section 3.3 of the paper).
///
/// # Errors
/// What libtorch fails with.
pub fn reweighted(bank: &Bank, patches: &Tensor, scores: &Tensor, room: usize) -> Result<Vec<f64>> {
    let (n, m) = scores.size2()?;
    let first = Tensor::arange_start_step(0, n * m, m, (Kind::Int64, scores.device()));
    let patches = patches.index_select(0, &(scores.argmax(1, false) + first));
    // All pictures' at once: the bank is read twice in all.
    let nearest = bank.nearest(&patches, 1, room);
    let rows = bank.rows().index_select(0, &nearest.rows.squeeze_dim(1));
    let around = bank.nearest(&rows, REWEIGHTED_OVER, room).rows;
    let rows = bank.rows().index_select(0, &around.flatten(0, -1)).view([n, around.size()[1], -1]);
    let differences = (rows - patches.unsqueeze(1)).to_kind(Kind::Double);
    let distances = differences.square().sum_dim_intlist(2, false, None::<Kind>).sqrt();
    // Distances of tens overflow an exponential in single precision, hundreds one in double.
    let log_sum = distances.logsumexp([1i64].as_slice(), false);
    let score = nearest.distances.squeeze_dim(1);
    grid::to_scores(&(&score * (1.0 - (&score - log_sum).exp())))
}
