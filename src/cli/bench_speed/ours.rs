//! Our side: the code that `bench` runs, on formula weights and pictures.

use std::path::Path;
use std::time::Instant;

use anyhow::Result;
use tch::nn::VarStore;
use tch::{Device, Tensor};

use super::{Timed, bound};
use crate::method::d24fad::training::{Episode, Training};
use crate::method::d24fad::{Model, Settings};
use crate::method::part::grid;
use crate::network::precision::Precision;
use crate::network::resnet::Encoder;
use crate::network::teacher::{Origin, Teacher};
use crate::network::{Backbone, Input, formula, weights};

pub struct Ours {
    model: Model,
    settings: Settings,
    size: i64,
}

impl Ours {
    pub fn new(backbone: Backbone, size: i64, precision: Precision, folder: &Path) -> Result<Ours> {
        let store = VarStore::new(Device::Cpu);
        let _encoder = Encoder::new(&store.root(), backbone);
        formula::fill(&store, "encoder.");
        let file = folder.join("teacher.safetensors");
        weights::save(&store, &file)?;
        let teacher = Teacher::new(backbone, Input::Unit, &Origin::file(file)?, None, Device::Cpu)?;
        let teacher = teacher.computing_in(precision);
        let settings = Settings { backbone, ..Settings::default() };
        Ok(Ours { model: Model::new(teacher, &settings, Device::Cpu), settings, size })
    }

    /// Operations of one picture through the decoder, forward.
    pub fn operations(&self) -> f64 {
        bound::operations(&self.model.student.store, self.size)
    }

    /// Steps on one batch, and the seconds that teacher features of its queries took.
    pub fn train(&self, shots: usize, batch: usize, repeats: usize) -> Result<(Timed, f64)> {
        formula::fill(&self.model.student.store, "");
        let (n_queries, n_supports) = (batch as i64, (shots * batch) as i64);
        let queries = formula::pictures("image.query", n_queries, self.size);
        let supports = formula::pictures("image.support", n_supports, self.size);
        let pixels = Tensor::cat(&[queries, supports], 0) * 255.0;
        let clock = Instant::now();
        let mut training = Training::new(&self.model, &self.settings, &pixels)?;
        // In training, every picture is a query once an epoch, and a support without further cost.
        let once = clock.elapsed().as_secs_f64() / (1.0 + shots as f64);
        let episodes: Vec<Episode> = (0..n_queries)
            .map(|query| Episode {
                query,
                supports: (0..shots as i64).map(|k| n_queries + k * n_queries + query).collect(),
            })
            .collect();
        let batch: Vec<&Episode> = episodes.iter().collect();
        let mut timed = Timed { seconds: Vec::new(), values: Vec::new() };
        for _ in 0..repeats {
            let clock = Instant::now();
            let [total, ..] = training.step(&batch);
            timed.values.push(total.double_value(&[]));
            timed.seconds.push(clock.elapsed().as_secs_f64());
        }
        Ok((timed, once))
    }

    /// Maps of one batch, smoothed one by one, and the seconds that encoding the supports took, once a test set.
    pub fn score(&self, shots: usize, batch: usize, repeats: usize) -> Result<(Timed, f64)> {
        formula::fill(&self.model.student.store, "");
        let queries = formula::pictures("image.query", batch as i64, self.size) * 255.0;
        let clock = Instant::now();
        let supports = formula::pictures("image.support", shots as i64, self.size) * 255.0;
        let ready = self.model.ready(&supports);
        let once = clock.elapsed().as_secs_f64();
        let mut timed = Timed { seconds: Vec::new(), values: Vec::new() };
        for _ in 0..repeats {
            let clock = Instant::now();
            let maps = grid::to_maps(&ready.maps(&queries))?;
            let smoothed = maps.smoothed(4.0);
            timed.seconds.push(clock.elapsed().as_secs_f64());
            assert_eq!(smoothed.values().len(), maps.values().len());
            let sum: f64 = maps.values().iter().map(|&value| f64::from(value)).sum();
            timed.values.push(sum / maps.values().len() as f64);
        }
        Ok((timed, once))
    }
}
