//! PatchCore: the nearest of all normals' patches (Roth et al., arXiv 2106.08265, CVPR 2022).

use std::any::Any;

use anyhow::{Context as _, Result, ensure};
use serde::{Deserialize, Serialize};
use tch::{Kind, Tensor};

use super::contract::{Built, Context, Detector, Encoded, Entry, Observer, Output, Prediction};
use super::part::grid;
use super::part::joined::Joined;
use super::part::learner::{Learner, build as build_learner};
use super::part::nearest::Bank;
use super::part::normals::features;
use super::part::search_cost::{joined_at_once, joined_operations};
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
    /// makes of the pictures that are scored at once, their patches among it. Where the normals' patches do not fit, a coreset
    /// of those seen so far makes place for the next.
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
    // A bank that holds all is made of whole pictures, whose stages are compared on their own grids.
    let searching = if bank >= rows {
        n as f64 * joined_operations(settings.backbone, 2, cell)
    } else {
        2.0 * positions * bank * channels as f64
    };
    let choosing = if bank < rows { 2.0 * bank * rows * PROJECTED as f64 } else { 0.0 };
    Ok(Work {
        fit: Operations { forward: n as f64 * encoder + choosing, training: 0.0 },
        query: encoder + searching,
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
        let mut filling: Option<Filling> = None;
        for features in features(&teacher, &normals.pixels, None) {
            let patches = patches(&features);
            if filling.is_none() {
                filling = Some(self.filling(&patches, normals, context)?);
            }
            if let Some(filling) = &mut filling {
                filling.add(&patches);
            }
        }
        let filling = filling.context("patchcore needs at least one normal")?;
        Ok(Box::new(filling.finish(self.ratio, self.settings.reweight)))
    }

    fn sees(&self) -> Option<Sight> {
        Some(Sight::of(self.settings.backbone))
    }

    fn reads(&self, _: &Context, features: Features) -> Box<dyn Any> {
        Box::new(patches(&features))
    }
}

impl PatchCore {
    /// An empty bank for `normals`, whose patches are like `patches`.
    fn filling(&self, patches: &Joined, normals: &Pictures, context: &Context) -> Result<Filling> {
        let (positions, channels) = (patches.positions(), patches.vectors().size()[1]);
        let (n, side) = (normals.len(), normals.size() as usize);
        let memory = self.settings.memory(channels as usize, positions as usize, n, side);
        let plan = memory.plan(self.settings.memory_mib << 20)?;
        let grids: usize = patches.grids().iter().map(Tensor::numel).sum();
        let bytes = size_of::<f32>() * grids / patches.pictures() as usize * n;
        let is_whole = self.ratio >= 1.0 && plan.capacity == positions as usize * n;
        // Grids take of the room what copies of rows would.
        let keeps = is_whole
            && bytes > 0
            && bytes <= plan.room / 2
            && joined_at_once(positions, positions, plan.room - bytes).is_some();
        Ok(Filling {
            builder: BankBuilder::new(memory, plan, context.seed, context.device),
            room: if keeps { plan.room - bytes } else { plan.room },
            grids: keeps.then(Default::default),
        })
    }
}

/// The bank as it fills.
struct Filling {
    builder: BankBuilder,
    /// Scratch bytes of a search.
    room: usize,
    /// What all rows are joined of, where the bank stays whole.
    grids: Option<[Vec<Tensor>; 2]>,
}

impl Filling {
    fn add(&mut self, patches: &Joined) {
        for rows in patches.vectors().chunk(patches.pictures(), 0) {
            self.builder.add(&rows);
        }
        for (parts, grid) in self.grids.iter_mut().flatten().zip(patches.grids()) {
            parts.push(grid.shallow_clone());
        }
    }

    fn finish(self, ratio: f64, reweight: bool) -> PatchCoreDetector {
        let rows = self.builder.finish(ratio);
        let bank = match self.grids {
            Some(grids) => Bank::of_pictures(rows, &grids.map(|parts| Tensor::cat(&parts, 0))),
            None => Bank::new(rows),
        };
        PatchCoreDetector { bank, room: self.room, reweight }
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
        let patches: &Joined = queries.made()?;
        let distances = self.bank.nearest_joined(patches, 1, self.room).distances.squeeze_dim(1);
        let n = queries.pictures().len() as i64;
        // Positions of a square.
        let grid = (distances.size()[0] / n).isqrt();
        let scores = match self.reweight {
            true => reweighted(&self.bank, patches.vectors(), &distances.view([n, -1]), self.room)?,
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

/// Patches of all pictures, of `c2 + c3` values: each stage averaged over 3 x 3 positions (zeros beyond the
/// border), the deeper one brought to the grid of the shallower.
fn patches(features: &Features) -> Joined {
    // Faster on a CPU than with positions beside one another, to the same bits.
    let pooled = |scale: &Tensor| {
        let scale = layout::for_convolutions(scale);
        scale.avg_pool2d([3, 3], [1, 1], [1, 1], false, true, None).contiguous()
    };
    let [_, second, third] = &features.scales;
    Joined::new(vec![pooled(second), pooled(third)])
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
