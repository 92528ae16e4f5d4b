//! Texts alone, for a target of which nothing is known: adapters learn from other tasks' normals and anomalies.

use anyhow::Result;
use tch::Tensor;
use tch::nn::VarStore;

use super::loss;
use super::model::Adapters;
use super::reader::Reader;
use super::scoring::{chance_maps, chances};
use crate::episode::batch::Pictures;
use crate::method::contract::{Detector, Encoded, Fitted, Prediction, TrainTask};
use crate::method::part::grid;
use crate::method::part::trainer::{Step, StepFigures, Training};
use crate::network::optimiser::Optimiser;

pub(super) struct ZeroShot {
    pub reader: Reader,
    pub adapters: Adapters,
    /// Of the target, `[1, 2, joint]`.
    pub texts: Tensor,
}

impl Fitted for ZeroShot {
    fn encode<'p>(&self, queries: &'p Pictures) -> Result<Encoded<'p>> {
        let stem = self.reader.stem(&self.reader.squares(&queries.pixels));
        Ok(Encoded::new(queries, Box::new(self.reader.det_of_all(&self.adapters, &stem))))
    }

    fn adapt<'a>(&'a self, _: &Pictures) -> Result<Box<dyn Detector + 'a>> {
        Ok(Box::new(Reading { texts: &self.texts }))
    }

    fn ignores_supports(&self) -> bool {
        true
    }
}

struct Reading<'a> {
    texts: &'a Tensor,
}

impl Detector for Reading<'_> {
    fn score(&self, queries: &Encoded) -> Result<Prediction> {
        let middles: &Vec<Tensor> = queries.made()?;
        let maps = chance_maps(middles, self.texts, queries.pictures().size());
        let scores = chances(middles, self.texts);
        Ok(Prediction::Both(grid::to_maps(&maps)?, grid::to_scores(&scores)?))
    }
}

/// Pictures of other tasks, numbered through: normals of the first task, its anomalies, normals of the second, and so on.
pub(super) struct Shown<'a> {
    parts: Vec<Part<'a>>,
    /// Of each task, `[2, joint]`.
    texts: Vec<Tensor>,
}

struct Part<'a> {
    pictures: &'a Pictures,
    task: usize,
    /// 1 for anomalies.
    label: f32,
}

impl<'a> Shown<'a> {
    /// Tasks, their anomalies, and what texts are to each.
    pub(super) fn new(tasks: &'a [TrainTask], anomalies: Vec<&'a Pictures>, texts: Vec<Tensor>) -> Shown<'a> {
        let both = |(task, (from, anomalies)): (usize, (&'a TrainTask, &'a Pictures))| {
            [(&from.pictures, 0.0), (anomalies, 1.0)].map(|(pictures, label)| Part { pictures, task, label })
        };
        Shown { parts: tasks.iter().zip(anomalies).enumerate().flat_map(both).collect(), texts }
    }

    pub(super) fn len(&self) -> usize {
        self.parts.iter().map(|part| part.pictures.len()).sum()
    }

    /// Pictures `[b, 3, h, w]` of 0 to 255, their labels `[b]`, and texts `[b, 2, joint]`.
    fn batch(&self, items: &[i64]) -> [Tensor; 3] {
        let (mut pictures, mut labels, mut texts) = (Vec::new(), Vec::new(), Vec::new());
        for &item in items {
            let mut left = item;
            let mut parts = self.parts.iter();
            let part = loop {
                let part = parts.next().expect("an item is a picture");
                let n = part.pictures.len() as i64;
                if left < n {
                    break part;
                }
                left -= n;
            };
            pictures.push(part.pictures.pixels.get(left));
            labels.push(part.label);
            texts.push(&self.texts[part.task]);
        }
        [Tensor::stack(&pictures, 0), Tensor::from_slice(&labels), Tensor::stack(&texts, 0)]
    }
}

/// Adapters for whole pictures learn to tell anomalies of other tasks.
pub(super) struct ZeroShotTraining<'a> {
    pub model: &'a ZeroShot,
    pub shown: Shown<'a>,
}

impl Training for ZeroShotTraining<'_> {
    fn stores(&self) -> Vec<&VarStore> {
        vec![&self.model.adapters.det]
    }

    fn step(&mut self, step: &Step, optimiser: &mut Optimiser) -> Result<StepFigures> {
        let ZeroShot { reader, adapters, .. } = self.model;
        let [pictures, labels, texts] = self.shown.batch(&step.batch);
        let stem = reader.stem(&reader.squares(&pictures));
        let labels = labels.to_device(texts.device());
        let loss = loss::of_pictures(&reader.det(adapters, &stem), &texts, &labels);
        optimiser.step(&loss);
        Ok(vec![("loss", loss)])
    }

    fn model(&self) -> Result<Box<dyn Fitted + '_>> {
        Ok(Box::new(self.model))
    }
}
