//! The trained half of D2-4FAD: decoder and support weighting, their losses and their maps.

use tch::nn::VarStore;
use tch::{Device, Kind, Tensor};

use super::switches::{Compared, Switches, Terms, Weighted};
use crate::method::part::grid;
use crate::network::decoder::Decoder;
use crate::network::layer::Norm;
use crate::network::layout;
use crate::network::precision::Precision;
use crate::network::weighting::{EncodedSupports, Scaling, Weighting};
use crate::network::{Backbone, Scales, initial};

/// Decoder and weighting; parameters are called `decoder.*` and `weight.*`, as published.
pub struct Student {
    /// All variables that train.
    pub store: VarStore,
    decoder: Decoder,
    weighting: Weighting,
    switches: Switches,
    precision: Precision,
    passage: Passage,
}

/// How queries and their supports pass the decoder in training; batch norms see the same batches either way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Passage {
    /// Batch after batch along `n`: for a CPU, where large tensors crowd the caches.
    OneByOne,
    /// Pictures of all batches in turn: for a card, where starting a kernel takes longer than the kernel.
    Interleaved,
}

/// One training step's losses, scalars.
pub struct Losses {
    /// Query against weighted supports, student against student.
    pub self_distillation: Tensor,
    /// Query, student against teacher.
    pub teacher_student: Tensor,
    /// Self-distillation plus lambda times teacher-student, or what [`Terms`] leaves of it.
    pub total: Tensor,
}

impl Student {
    /// As published.
    pub fn new(backbone: Backbone, device: Device) -> Student {
        Student::switched(backbone, device, Switches::default())
    }

    /// By other rules.
    pub fn switched(backbone: Backbone, device: Device, switches: Switches) -> Student {
        let store = VarStore::new(device);
        let decoder = Decoder::new(&(store.root() / "decoder"), backbone);
        let scaling = match switches.weighted {
            Weighted::Uniform => Scaling::Uniform,
            _ => switches.scaling,
        };
        let weighting = Weighting::new(&(store.root() / "weight"), backbone, scaling);
        let passage = if device.is_cuda() { Passage::Interleaved } else { Passage::OneByOne };
        Student { store, decoder, weighting, switches, precision: Precision::F32, passage }
    }

    /// The same student, with queries and supports passing the decoder in another way.
    pub fn passing(self, passage: Passage) -> Student {
        Student { passage, ..self }
    }

    /// The same student, with a decoder that computes in another precision.
    pub fn computing_in(self, precision: Precision) -> Student {
        Student { precision, ..self }
    }

    /// Draws initial values, and holds those of a weighting that does not learn.
    pub fn initialise(&self, seed: u64) {
        initial::initialise(&self.store, seed);
        let held = self.switches.weighted != Weighted::Learned;
        for (name, tensor) in self.store.variables() {
            if held && name.starts_with("weight.") {
                let _ = tensor.set_requires_grad(false);
            }
        }
    }

    /// The decoder alone: stage 4 features `[n, c4, h/32, w/32]` to three scales.
    pub fn decode(&self, deep: &Tensor, norm: Norm) -> Scales {
        let scales = self.decoder.forward(&self.enter(deep), norm);
        scales.each_ref().map(|scale| self.precision.leave(scale))
    }

    fn enter(&self, deep: &Tensor) -> Tensor {
        self.precision.enter(&layout::for_convolutions(deep))
    }

    /// As [`Student::decode`] on several batches of equal size, each normed by itself.
    fn decode_batches<'a>(&self, batches: impl Iterator<Item = &'a Tensor>) -> Vec<Scales> {
        let batches: Vec<Tensor> = batches.map(|deep| self.enter(deep)).collect();
        let decoded = self.decoder.forward_batches(&batches.iter().collect::<Vec<_>>());
        decoded.iter().map(|scales| scales.each_ref().map(|scale| self.precision.leave(scale))).collect()
    }

    /// Losses of one batch: teacher features of the queries (`teacher`, `deep`), and each query's supports
    /// as stage 4 features, one `[b, c4, h/32, w/32]` per support.
    ///
    /// Batch norms see `1 + k` batches, the queries and each query's first, second, ... support, as published.
    pub fn losses(&self, teacher: &Scales, deep: &Tensor, supports: &[Tensor], lambda: f64) -> Losses {
        let Together { query, weighted } = match self.passage {
            Passage::OneByOne => self.one_by_one(deep, supports),
            Passage::Interleaved => self.interleaved(deep, supports),
        };
        let compared = |x: &Tensor| match self.switches.compared {
            Compared::Flattened => x.flatten(1, -1),
            Compared::PerPosition => x.shallow_clone(),
        };
        let distance = |a: &Tensor, b: &Tensor| {
            let cosine = Tensor::cosine_similarity(&compared(a), &compared(b), 1, 1e-8);
            let distance: Tensor = 1.0 - cosine;
            distance.mean(None::<Kind>)
        };
        let taught = [0, 1, 2].map(|scale| distance(&teacher[scale], &query[scale]));
        let own = [0, 1, 2].map(|scale| distance(&query[scale], &weighted[scale]));
        let sum = |[first, second, third]: [Tensor; 3]| first + second + third;
        let (self_distillation, teacher_student) = (sum(own), sum(taught));
        let total = match self.switches.terms {
            Terms::Both => &self_distillation + lambda * &teacher_student,
            Terms::TeacherStudent => teacher_student.shallow_clone(),
            Terms::SelfDistillation => self_distillation.shallow_clone(),
        };
        Losses { self_distillation, teacher_student, total }
    }

    fn one_by_one(&self, deep: &Tensor, supports: &[Tensor]) -> Together {
        let mut decoded = self.decode_batches(std::iter::once(deep).chain(supports));
        let query = decoded.remove(0);
        let weighted = [0, 1, 2].map(|scale| {
            let stack: Vec<&Tensor> = decoded.iter().map(|scales| &scales[scale]).collect();
            self.weigh(scale, &query[scale], &Tensor::stack(&stack, 0)).1
        });
        Together { query, weighted }
    }

    fn interleaved(&self, deep: &Tensor, supports: &[Tensor]) -> Together {
        let batches: Vec<&Tensor> = std::iter::once(deep).chain(supports).collect();
        let count = batches.len() as i64;
        let decoded = self.decode(&Tensor::stack(&batches, 1).flatten(0, 1), Norm::Interleaved(count));
        // [b * (1 + k), c, h, w]: each query before its supports.
        let apart = decoded.map(|scale| {
            let size = scale.size();
            scale.view([-1, count, size[1], size[2], size[3]])
        });
        let query = apart.each_ref().map(|scale| scale.select(1, 0));
        let weighted = [0, 1, 2].map(|scale| {
            let supports = apart[scale].narrow(1, 1, count - 1);
            self.weighting.weigh_together(scale, &query[scale], &supports).1
        });
        Together { query, weighted }
    }

    /// Weights `[b, k]` and weighted supports `[b, c, h, w]` at one scale for queries `[b, c, h, w]`
    /// with supports of their own, `[k, b, c, h, w]`.
    pub fn weigh(&self, scale: usize, query: &Tensor, supports: &Tensor) -> (Tensor, Tensor) {
        self.weighting.weigh(scale, query, supports)
    }

    /// Encodes the supports of an episode once, from their stage 4 features `[k, c4, h/32, w/32]`.
    pub fn encode_supports(&self, deep: &Tensor) -> EncodedSupports {
        tch::no_grad(|| self.weighting.encode(self.decode(deep, Norm::Stored)))
    }

    /// Queries' decoded scales, from their stage 4 features, once for any number of support sets.
    pub fn decode_queries(&self, deep: &Tensor) -> Scales {
        tch::no_grad(|| self.decode(deep, Norm::Stored))
    }

    /// Anomaly maps `[b, side, side]` of queries, as teacher and student see them: one minus cosine per position over
    /// channels between query and weighted supports, upsampled (corners aligned) and summed over scales. Where it is
    /// switched on, the same between student and `teacher` is added with its weight.
    pub fn maps(&self, teacher: &Scales, query: &Scales, supports: &EncodedSupports, side: i64) -> Tensor {
        let Dissected { own, residual, .. } = self.dissect(teacher, query, supports, side);
        let [first, second, third] = own;
        residual.into_iter().flatten().fold(first + second + third, |maps, part| maps + part)
    }

    /// What the maps are made of.
    pub fn dissect(
        &self,
        teacher: &Scales,
        query: &Scales,
        supports: &EncodedSupports,
        side: i64,
    ) -> Dissected {
        tch::no_grad(|| {
            let between = |a: &Tensor, b: &Tensor| {
                let distance: Tensor = 1.0 - Tensor::cosine_similarity(a, b, 1, 1e-8);
                grid::upsample(&distance, side, true)
            };
            let weights = [0, 1, 2].map(|scale| supports.weights(scale, &query[scale]));
            let own =
                [0, 1, 2].map(|scale| between(&query[scale], &supports.combine(scale, &weights[scale])));
            let weight = self.switches.teacher_residual;
            let residual = (weight != 0.0)
                .then(|| [0, 1, 2].map(|scale| weight * between(&teacher[scale], &query[scale])));
            Dissected { weights, own, residual }
        })
    }
}

/// Decoded queries and their weighted supports, per scale, `[b, c, h, w]`.
struct Together {
    query: Scales,
    weighted: Scales,
}

/// The parts of maps, per scale.
pub struct Dissected {
    /// Of the supports, `[b, k]`.
    pub weights: Scales,
    /// Between query and weighted supports, `[b, side, side]`.
    pub own: Scales,
    /// Between student and teacher, already weighted, where that is switched on.
    pub residual: Option<Scales>,
}
