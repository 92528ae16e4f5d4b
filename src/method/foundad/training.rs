//! FoundAD's steps: normals, some of them corrupted, and what the projector makes of their tokens.

use anyhow::Result;
use tch::nn::VarStore;
use tch::{Device, Kind, Tensor};

use super::FoundAdModel;
use super::corruption::{augmented, corrupted};
use crate::episode::batch;
use crate::method::contract::Fitted;
use crate::method::part::dropout::{decide, dropped};
use crate::method::part::learner::Fixed;
use crate::method::part::trainer::{Step, StepFigures, Training};
use crate::network::optimiser::Optimiser;
use crate::random::Stream;

/// The projector learns to give clean tokens of pictures that are corrupted or not.
pub(super) struct FoundAdTraining<'a> {
    pub model: &'a FoundAdModel,
    /// `[n, 3, h, w]` of 0 to 255, on the CPU.
    pub pixels: Tensor,
    pub seed: u64,
}

impl FoundAdTraining<'_> {
    /// The step's normals, at the network's side.
    fn clean(&self, step: &Step) -> Tensor {
        let settings = &self.model.settings;
        let chosen = self.pixels.index_select(0, &step.indices(Device::Cpu));
        if !settings.augmented {
            return settings.reading().resized(&chosen);
        }
        let mut stream = Stream::new(self.seed, "foundad normals", step.number);
        let one = |picture: i64| augmented(&chosen.get(picture), settings.kernel(), &mut stream);
        let pictures: Vec<Tensor> = (0..chosen.size()[0]).map(one).collect();
        settings.reading().resized(&Tensor::stack(&pictures, 0))
    }

    /// The same with a piece pasted into each; `None` in steps in which they stay clean.
    fn corrupted(&self, clean: &Tensor, step: &Step) -> Option<Tensor> {
        let settings = &self.model.settings;
        let mut stream = Stream::new(self.seed, "foundad pieces", step.number);
        if stream.unit() >= settings.corrupted {
            return None;
        }
        let floating = clean.to_kind(Kind::Float).contiguous();
        let mut values = Vec::with_capacity(floating.numel());
        for picture in 0..clean.size()[0] {
            let picture = floating.get(picture).flatten(0, -1);
            let picture: Vec<f32> = Vec::try_from(picture).expect("pictures are floats now");
            values.extend(corrupted(&picture, settings.side as usize, settings.cut_paste, &mut stream));
        }
        Some(Tensor::from_slice(&values).view(clean.size().as_slice()))
    }

    /// What dropout keeps of tokens of that size: 1, else 0.
    fn kept(&self, size: &[i64], step: &Step) -> Tensor {
        let mut stream = Stream::new(self.seed, "foundad dropout", step.number);
        let n = size.iter().product::<i64>() as usize;
        let mut kept = vec![0; n];
        decide(&mut stream, self.model.settings.dropout, &mut kept);
        batch::to(&Tensor::from_slice(&kept).view(size), self.model.device)
    }
}

impl Training for FoundAdTraining<'_> {
    fn stores(&self) -> Vec<&VarStore> {
        vec![&self.model.store]
    }

    fn step(&mut self, step: &Step, optimiser: &mut Optimiser) -> Result<StepFigures> {
        let settings = &self.model.settings;
        let pictures = self.clean(step);
        let clean = self.model.tokens(&self.model.teacher.features(&pictures));
        let seen = match self.corrupted(&pictures, step) {
            Some(pictures) => self.model.tokens(&self.model.teacher.features(&pictures)),
            None => clean.shallow_clone(),
        };
        let seen = match settings.dropout {
            share if share > 0.0 => dropped(&seen, &self.kept(&seen.size(), step), share),
            _ => seen,
        };
        let loss = settings.measure.of(&self.model.projector.forward(&seen), &clean);
        optimiser.step(&loss);
        Ok(vec![("loss", loss)])
    }

    fn model(&self) -> Result<Box<dyn Fitted + '_>> {
        Ok(Box::new(Fixed::seeing(&self.model.teacher, self.model)))
    }
}
