//! Normals and anomalies of the target: adapters learn to tell them by texts, and then normals are remembered.

use anyhow::{Result, bail, ensure};
use tch::Tensor;
use tch::nn::VarStore;

use super::Settings;
use super::loss;
use super::model::Adapters;
use super::reader::{Reader, VIEWS, views};
use super::scoring::{chance_maps, chances, distance_maps, distance_scores, distances};
use crate::episode::batch::Pictures;
use crate::method::contract::{Context, Detector, Encoded, Fitted, Prediction, Unobserved};
use crate::method::part::grid;
use crate::method::part::trainer::{self, Step, StepFigures, Subject, Training};
use crate::network::Network;
use crate::network::optimiser::Optimiser;

pub(super) struct FewShot {
    pub reader: Reader,
    /// `[1, 2, joint]`.
    pub texts: Tensor,
    pub settings: Settings,
    pub context: Context,
}

/// Tokens of pictures before the first adapters.
struct Stem(Tensor);

impl Fitted for FewShot {
    fn encode<'p>(&self, queries: &'p Pictures) -> Result<Encoded<'p>> {
        let stem = self.reader.stem(&self.reader.squares(&queries.pixels));
        Ok(Encoded::new(queries, Box::new(Stem(stem))))
    }

    fn adapt<'a>(&'a self, supports: &Pictures) -> Result<Box<dyn Detector + 'a>> {
        bail!(
            "mvfa learns from anomalies of the target beside its {} supports, and none are given; setting = \"few-normal\" \
             does without",
            supports.len()
        )
    }

    fn adapt_with_anomalies<'a>(
        &'a self,
        supports: &Pictures,
        anomalies: &Pictures,
    ) -> Result<Box<dyn Detector + 'a>> {
        ensure!(
            !supports.is_empty() && !anomalies.is_empty(),
            "mvfa needs a support and an anomaly at least"
        );
        let context = self.context.for_pictures(&[&supports.pixels, &anomalies.pixels])?;
        let network = Some(Network::Clip(self.settings.clip));
        let subject = Subject::of_pictures("mvfa", &self.settings, network, &supports.pixels)?;
        let shown = Shown::new(&self.reader, supports, anomalies);
        let recipe = self.settings.recipe(shown.len());
        let adapters = self.reader.fresh_adapters(context.seed);
        let mut training = FewShotTraining { model: self, adapters: &adapters, shown: &shown };
        trainer::train(
            &mut training,
            &recipe,
            &subject.beside(&anomalies.pixels),
            &context,
            &mut Unobserved,
        )?;
        Ok(Box::new(Judge::new(self, adapters, &shown)?))
    }

    fn trains_on_supports(&self) -> bool {
        true
    }
}

/// What is learnt from: views of normals and anomalies before the first adapters.
struct Shown {
    /// View after view, in each the normals and then the anomalies: `[views n, 1 + h w, width]`.
    stem: Tensor,
    /// 1 for anomalies, `[views n]`.
    labels: Tensor,
    /// Pictures of one view.
    n: i64,
}

impl Shown {
    fn new(reader: &Reader, supports: &Pictures, anomalies: &Pictures) -> Shown {
        let squares = reader.squares(&Tensor::cat(&[&supports.pixels, &anomalies.pixels], 0));
        let labels = [vec![0.0f32; supports.len()], vec![1.0; anomalies.len()]].concat();
        let labels = Tensor::from_slice(&labels.repeat(VIEWS)).to_device(squares.device());
        Shown { stem: reader.stem(&views(&squares)), labels, n: squares.size()[0] }
    }

    fn len(&self) -> usize {
        self.labels.size()[0] as usize
    }

    /// All views of the normals.
    fn normals(&self) -> Tensor {
        self.stem.index_select(0, &self.labels.eq(0.0).nonzero().flatten(0, -1))
    }

    /// All pictures as they are.
    fn plain(&self) -> Tensor {
        self.stem.narrow(0, 0, self.n)
    }
}

/// Adapters for whole pictures learn to tell anomalies from normals.
struct FewShotTraining<'a> {
    model: &'a FewShot,
    adapters: &'a Adapters,
    shown: &'a Shown,
}

impl Training for FewShotTraining<'_> {
    fn stores(&self) -> Vec<&VarStore> {
        vec![&self.adapters.det]
    }

    fn step(&mut self, step: &Step, optimiser: &mut Optimiser) -> Result<StepFigures> {
        let FewShot { reader, texts, .. } = self.model;
        let items = step.indices(self.shown.labels.device());
        let middles = reader.det(self.adapters, &self.shown.stem.index_select(0, &items));
        let loss = loss::of_pictures(&middles, texts, &self.shown.labels.index_select(0, &items));
        optimiser.step(&loss);
        Ok(vec![("loss", loss)])
    }

    /// Of no use to an observer, and none is given: what it learns here belongs to one support set.
    fn model(&self) -> Result<Box<dyn Fitted + '_>> {
        Ok(Box::new(self.model))
    }
}

/// Scores, or values of maps, of one part from the least to the largest that pictures had which it learnt from.
#[derive(Clone, Copy)]
struct Range {
    least: f64,
    spread: f64,
}

/// What is less far apart differs by rounding alone.
const LEAST_SPREAD: f64 = 1e-6;

impl Range {
    /// # Errors
    /// The same value for all.
    fn of([part, hint]: [&str; 2], values: &Tensor) -> Result<Range> {
        let least = values.min().double_value(&[]);
        let spread = values.max().double_value(&[]) - least;
        ensure!(
            spread > LEAST_SPREAD,
            "{part} give {least} for every picture that was learnt from, so that their part has no scale: {hint}"
        );
        Ok(Range { least, spread })
    }

    fn scaled(self, values: &Tensor) -> Tensor {
        (values - self.least) / self.spread
    }
}

/// What one part says of pictures.
struct Found {
    /// `[n]`.
    scores: Tensor,
    /// `[n, side, side]`.
    maps: Tensor,
}

/// Scales of one part.
#[derive(Clone, Copy)]
struct Scale {
    scores: Range,
    maps: Range,
}

impl Scale {
    fn of(part: [&str; 2], found: &Found) -> Result<Scale> {
        Ok(Scale { scores: Range::of(part, &found.scores)?, maps: Range::of(part, &found.maps)? })
    }

    fn scaled(self, found: &Found) -> Found {
        Found { scores: self.scores.scaled(&found.scores), maps: self.maps.scaled(&found.maps) }
    }
}

/// Distances and chances of queries, each scaled by what pictures had that were learnt from, and their mean. The published code
/// scales by the test set, so that no picture has a score of its own.
struct Judge<'a> {
    model: &'a FewShot,
    adapters: Adapters,
    memory: Vec<Tensor>,
    scales: [Scale; 2],
}

impl<'a> Judge<'a> {
    fn new(model: &'a FewShot, adapters: Adapters, shown: &Shown) -> Result<Judge<'a>> {
        let reader = &model.reader;
        let memory = reader.memory(&adapters, &shown.normals());
        let middles = reader.det_of_all(&adapters, &shown.plain());
        let [distances, chances] = found(model, &memory, &middles, reader.side());
        let scales = [
            Scale::of(
                ["mvfa: distances from the supports", "are the anomalies the supports again?"],
                &distances,
            )?,
            Scale::of(
                [
                    "mvfa: chances by texts",
                    "its training tells nothing apart; set another learning_rate or epochs",
                ],
                &chances,
            )?,
        ];
        Ok(Judge { model, adapters, memory, scales })
    }
}

/// What distances say, and what chances; scores are those of maps of the network's side, whatever side the maps have.
fn found(model: &FewShot, memory: &[Tensor], middles: &[Tensor], side: i64) -> [Found; 2] {
    let FewShot { reader, texts, .. } = model;
    let distances = distances(middles, memory);
    let (scores, maps) = (distance_scores(&distances, reader.side()), distance_maps(&distances, side));
    let by_texts = Found { scores: chances(middles, texts), maps: chance_maps(middles, texts, side) };
    [Found { scores, maps }, by_texts]
}

impl Detector for Judge<'_> {
    fn score(&self, queries: &Encoded) -> Result<Prediction> {
        let Stem(stem) = queries.made()?;
        let middles = self.model.reader.det_of_all(&self.adapters, stem);
        let parts = found(self.model, &self.memory, &middles, queries.pictures().size());
        let [distances, chances] = [0, 1].map(|part| self.scales[part].scaled(&parts[part]));
        let scores = (distances.scores + chances.scores) / 2.0;
        let maps = (distances.maps + chances.maps) / 2.0;
        Ok(Prediction::Both(grid::to_maps(&maps)?, grid::to_scores(&scores)?))
    }
}
