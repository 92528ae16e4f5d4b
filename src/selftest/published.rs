//! D2-4FAD against the published implementation in double precision (`published.json`): features, decoder, weighted
//! supports, maps, the losses of the first steps and the gradients of the first.

use std::collections::BTreeMap;

use anyhow::{Context, Result};
use serde::Deserialize;
use tch::nn::VarStore;
use tch::{Device, Tensor};

use super::{Fault, Numbers, Options, Part, Record, prepare, values};
use crate::method::d24fad::student::Student;
use crate::network::encoder::Encoder;
use crate::network::layer::Norm;
use crate::network::optimiser::{Adam, Optimiser, Rule};
use crate::network::{Backbone, Features, formula};

const PUBLISHED: &str = include_str!("published.json");

/// What one backbone must give.
#[derive(Deserialize)]
struct Expected {
    /// Self-distillation, teacher-student and total before each step.
    losses: Vec<[f64; 3]>,
    /// Norms before the first step.
    gradients: BTreeMap<String, f64>,
    encoder: Vec<Sample>,
    decoder: Vec<Sample>,
    weighted: Vec<Sample>,
    map: Sample,
}

/// A tensor in a few numbers.
#[derive(Deserialize)]
struct Sample {
    mean: f64,
    std: f64,
    sample: Vec<f64>,
}

impl Sample {
    /// The largest difference of samples and mean, in deviations of the expected.
    fn apart(&self, tensor: &Tensor) -> f64 {
        let all = values(tensor);
        let place = |index: usize| (index as u64).wrapping_mul(2_654_435_761) as usize % all.len();
        let off = |(index, &expected): (usize, &f64)| (all[place(index)] - expected).abs();
        let worst = self.sample.iter().enumerate().map(off).fold(0.0, f64::max);
        let mean = all.iter().sum::<f64>() / all.len() as f64;
        // `max` would drop what is no number.
        if mean.is_finite() { worst.max((mean - self.mean).abs()) / self.std } else { f64::NAN }
    }
}

/// How far off each may be, in deviations or relatively.
struct Bounds {
    features: f64,
    maps: f64,
    gradients: f64,
    /// Of self-distillation, teacher-student and total before each step; `None` where rounding decides.
    losses: &'static [[Option<f64>; 3]],
}

/// What is too coarse to be bounded.
const NONE: f64 = f64::INFINITY;

const fn all(bound: f64) -> [Option<f64>; 3] {
    [Some(bound); 3]
}

/// In single precision, four times what the published implementation itself differs by between processors and thread
/// counts; supports of the wide network are weighted by a softmax of logits in the thousands, so that its training is
/// chaotic after two steps. Coarser numbers: four to five times what an H100 gave.
fn bounds(backbone: Backbone, numbers: Numbers) -> Bounds {
    let is_wide = backbone == Backbone::WideResnet50x2;
    match (numbers, is_wide) {
        (Numbers::F64, false) => Bounds {
            features: 1e-9,
            maps: 1e-8,
            gradients: 1e-7,
            losses: const { &[all(1e-9), all(1e-9), all(1e-9), all(1e-9), all(1e-9)] },
        },
        (Numbers::F64, true) => Bounds {
            features: 1e-9,
            maps: 1e-8,
            gradients: 1e-7,
            losses: const { &[all(1e-9), all(1e-9), all(1e-6), all(1e-6), all(1e-5)] },
        },
        (Numbers::F32, false) => Bounds {
            features: 1e-4,
            maps: 1e-3,
            gradients: 1e-3,
            losses: const {
                &[
                    [Some(1e-5), Some(1e-6), Some(5e-6)],
                    [Some(4e-4), Some(2e-5), Some(2e-4)],
                    [Some(1e-3), Some(2e-4), Some(3e-4)],
                    [Some(2e-3), Some(2e-4), Some(4e-4)],
                    [Some(3e-3), Some(4e-4), Some(5e-4)],
                ]
            },
        },
        (Numbers::F32, true) => Bounds {
            features: 1e-4,
            maps: 1e-3,
            gradients: 1e-2,
            losses: const {
                &[
                    [Some(1.5e-5), Some(4e-6), Some(1.5e-5)],
                    [Some(4e-3), Some(3e-4), Some(3e-3)],
                    [Some(5e-2), Some(4e-3), Some(4e-2)],
                    [None, Some(3e-2), None],
                    [None, Some(6e-2), None],
                ]
            },
        },
        (Numbers::Tf32, _) => Bounds {
            features: 1.5e-2,
            maps: NONE,
            gradients: 1.2e-1,
            losses: const { &[[Some(2e-3), Some(1e-4), Some(1e-3)]] },
        },
        (Numbers::Bf16, _) => Bounds {
            features: 2e-1,
            maps: NONE,
            gradients: 4e-1,
            losses: const { &[[Some(1.5e-2), Some(1e-3), Some(1e-2)]] },
        },
    }
}

/// Teacher and student by the formula.
pub(super) struct Rig {
    encoder: Encoder,
    pub student: Student,
    numbers: Numbers,
    device: Device,
    _store: VarStore,
}

impl Rig {
    pub(super) fn new(backbone: Backbone, numbers: Numbers, options: &Options) -> Result<Rig> {
        let device = options.device;
        prepare(device, numbers)?;
        let mut store = VarStore::new(device);
        let encoder = Encoder::new(&store.root(), backbone);
        formula::fill(&store, "encoder.");
        let mut student = Student::new(backbone, device).computing_in(numbers.precision());
        formula::fill(&student.store, "");
        if options.fault == Some(Fault::Weight) {
            tch::no_grad(|| {
                let mut first = student.store.variables()["decoder.layer1.0.bn1.weight"].get(0);
                let _ = first.g_mul_scalar_(1.1);
            });
        }
        if numbers == Numbers::F64 {
            store.double();
            student.store.double();
        }
        store.freeze();
        Ok(Rig { encoder, student, numbers, device, _store: store })
    }

    /// Formula pictures on the device, in the numbers of the networks.
    pub(super) fn pictures(&self, name: &str, n: i64) -> Tensor {
        formula::pictures(name, n, SIDE).to_device(self.device).to_kind(self.numbers.kind())
    }

    pub(super) fn encode(&self, pictures: &Tensor) -> Features {
        let precision = self.numbers.precision();
        tch::no_grad(|| {
            let Features { scales, deep } = self.encoder.forward(&precision.enter(pictures), Norm::Stored);
            let scales = scales.each_ref().map(|scale| precision.leave(scale));
            Features { scales, deep: precision.leave(&deep) }
        })
    }

    /// First and second supports of both queries, as stage 4 features.
    pub(super) fn supports(&self) -> Vec<Tensor> {
        let pictures = self.pictures("image.support", 4).view([2, 2, 3, SIDE, SIDE]);
        (0..2).map(|k| self.encode(&pictures.get(k)).deep).collect()
    }

    /// Raw maps of four pictures against two supports.
    pub(super) fn maps(&self) -> Tensor {
        let supports = self.student.encode_supports(&self.encode(&self.pictures("image.support2", 2)).deep);
        let query = self.encode(&self.pictures("image.query4", 4));
        self.student.maps(&query.scales, &self.student.decode_queries(&query.deep), &supports, SIDE)
    }

    /// Losses before each of some steps, and the optimiser after the first.
    pub(super) fn train(&self, n_steps: usize, after_first: &mut dyn FnMut(&Optimiser)) -> Vec<[f64; 3]> {
        let query = self.encode(&self.pictures("image.query", 2));
        let supports = self.supports();
        let rule = Rule::Adam(Adam { learning_rate: 1e-4, beta1: 0.5, ..Adam::default() });
        let mut adam = Optimiser::new(&[&self.student.store], rule);
        let step = |index: usize| {
            let losses = self.student.losses(&query.scales, &query.deep, &supports, 0.1);
            adam.step(&losses.total);
            if index == 0 {
                after_first(&adam);
            }
            [losses.self_distillation, losses.teacher_student, losses.total]
                .map(|loss| loss.double_value(&[]))
        };
        (0..n_steps).map(step).collect()
    }
}

const SIDE: i64 = 128;

pub(super) fn run(options: &Options, record: &mut Record) -> Result<()> {
    let published: serde_json::Value = serde_json::from_str(PUBLISHED)?;
    for backbone in [Backbone::Resnet18, Backbone::WideResnet50x2] {
        let expected: Expected = serde_json::from_value(published[backbone.name()].clone())
            .with_context(|| format!("published values of {}", backbone.name()))?;
        for &numbers in Numbers::on(options.device) {
            // On a CPU without instructions for bfloat16 these take minutes.
            let is_slow = numbers != Numbers::F32 && backbone == Backbone::WideResnet50x2;
            if options.quick && (is_slow || numbers == Numbers::Bf16) {
                continue;
            }
            compare(backbone, numbers, &expected, options, record)?;
        }
    }
    Ok(())
}

fn compare(
    backbone: Backbone,
    numbers: Numbers,
    expected: &Expected,
    options: &Options,
    record: &mut Record,
) -> Result<()> {
    let (name, bounds) = (backbone.name(), bounds(backbone, numbers));
    let rig = Rig::new(backbone, numbers, options)?;
    let query = rig.encode(&rig.pictures("image.query", 2));
    let stages = query.scales.iter().chain([&query.deep]);
    let worst = |pairs: Vec<(&Sample, Tensor)>| {
        let each = pairs.iter().map(|(expected, found)| expected.apart(found));
        each.fold(0.0, |worst: f64, off| if off.is_nan() || off > worst { off } else { worst })
    };
    let mut told = |what: &str, deviation: f64, bound: Option<f64>| {
        record.check(Part::Published, &format!("{name} {what}"), numbers, deviation, bound);
    };
    let pairs = expected.encoder.iter().zip(stages.map(Tensor::shallow_clone)).collect();
    told("encoder's four stages, in deviations", worst(pairs), Some(bounds.features));
    let student = tch::no_grad(|| rig.student.decode(&query.deep, Norm::Stored));
    let pairs = expected.decoder.iter().zip(student.each_ref().map(Tensor::shallow_clone)).collect();
    told("decoder's three scales, in deviations", worst(pairs), Some(bounds.features));
    let supports: Vec<_> =
        rig.supports().iter().map(|deep| tch::no_grad(|| rig.student.decode(deep, Norm::Stored))).collect();
    let weighted = [0, 1, 2].map(|scale| {
        let stack = Tensor::stack(&supports.iter().map(|scales| &scales[scale]).collect::<Vec<_>>(), 0);
        tch::no_grad(|| rig.student.weigh(scale, &student[scale], &stack).1)
    });
    let pairs = expected.weighted.iter().zip(weighted).collect();
    // Logits in the thousands: what is coarser than single precision may well choose another support.
    let coarse = matches!(numbers, Numbers::Tf32 | Numbers::Bf16);
    told("weighted supports, in deviations", worst(pairs), (!coarse).then_some(bounds.features));
    let mut maps = rig.maps();
    if options.fault == Some(Fault::Shift) {
        maps = maps.roll([1], [2]);
    }
    told(
        "raw maps, in deviations",
        expected.map.apart(&maps),
        bounds.maps.is_finite().then_some(bounds.maps),
    );
    let mut gradients = f64::NAN;
    let losses = rig.train(bounds.losses.len(), &mut |adam| {
        let off = |(name, norm): (&String, &f64)| {
            let found = adam.gradient(&format!("decoder.{name}")).map(|gradient| values(&gradient.norm())[0]);
            (found.unwrap_or(f64::NAN) / norm - 1.0).abs()
        };
        let each = expected.gradients.iter().map(off);
        gradients = each.fold(0.0, |worst: f64, off| if off.is_nan() || off > worst { off } else { worst });
    });
    told("gradients before the first step, relative", gradients, Some(bounds.gradients));
    for (step, (found, bounds)) in losses.iter().zip(bounds.losses).enumerate() {
        for (index, what) in ["self-distillation", "teacher-student", "total"].into_iter().enumerate() {
            let off = (found[index] / expected.losses[step][index] - 1.0).abs();
            told(&format!("{what} before step {step}, relative"), off, bounds[index]);
        }
    }
    Ok(())
}
