//! Layers, one by one, forward and backward, against the same on the CPU in double precision.

use anyhow::Result;
use tch::nn::{Module, Path, VarStore};
use tch::{Device, Kind, Tensor};

use super::{Numbers, Options, Part, Record, apart, prepare, values};
use crate::evaluate::smoothing::OnDevice;
use crate::maps::MapStack;
use crate::method::part::grid;
use crate::method::part::nearest::Bank;
use crate::method::part::search_cost::MAX_BYTES;
use crate::network::layer::{BatchNorm, Conv, Norm, pointwise};
use crate::network::weighting::{Scaling, Weighting};
use crate::network::{Backbone, formula, layout};
use crate::protocol::{self, Host};

type Layer = Box<dyn Fn(&[Tensor]) -> Tensor>;

/// A layer with its inputs.
struct Operator {
    name: &'static str,
    build: fn(&Path) -> Layer,
    inputs: &'static [&'static [i64]],
}

const PICTURES: &[&[i64]] = &[&[4, 3, 64, 64]];
const FEATURES: &[&[i64]] = &[&[6, 32, 16, 16]];
const PAIR: &[&[i64]] = &[&[4, 64, 8, 8], &[3, 4, 64, 8, 8]];
const LIKE: &[&[i64]] = &[&[6, 32, 16, 16], &[6, 32, 16, 16]];

fn conv(conv: Conv) -> Layer {
    Box::new(move |x| conv.forward(&x[0]))
}

fn norm(path: &Path, norm: Norm) -> Layer {
    let layer = BatchNorm::new(path, 32);
    Box::new(move |x| layer.forward(&x[0], norm))
}

const OPERATORS: &[Operator] = &[
    Operator { name: "convolution 7x7 by 2", build: |p| conv(Conv::new(p, 3, 64, 7, 2)), inputs: PICTURES },
    Operator { name: "convolution 3x3", build: |p| conv(Conv::new(p, 32, 48, 3, 1)), inputs: FEATURES },
    Operator { name: "convolution 3x3 by 2", build: |p| conv(Conv::new(p, 32, 48, 3, 2)), inputs: FEATURES },
    Operator { name: "convolution 1x1", build: |p| conv(Conv::new(p, 32, 64, 1, 1)), inputs: FEATURES },
    Operator { name: "convolution 4x4 by 2", build: |p| conv(Conv::halving(p, 32, 16)), inputs: FEATURES },
    Operator { name: "transposed 2x2", build: |p| conv(Conv::doubling(p, 32, 16)), inputs: FEATURES },
    Operator { name: "transposed 4x4", build: |p| conv(Conv::upsampling(p, 32, 16)), inputs: FEATURES },
    Operator {
        name: "convolution 1x1 with bias",
        build: |p| {
            let layer = pointwise(p, 32, 32);
            Box::new(move |x| {
                let kind = x[0].kind();
                let bias = layer.bs.as_ref().map(|bias| bias.to_kind(kind));
                x[0].conv2d(&layer.ws.to_kind(kind), bias, [1, 1], [0, 0], [1, 1], 1)
            })
        },
        inputs: FEATURES,
    },
    Operator { name: "batch norm, stored", build: |p| norm(p, Norm::Stored), inputs: FEATURES },
    Operator { name: "batch norm, own", build: |p| norm(p, Norm::Batch), inputs: FEATURES },
    Operator { name: "batch norm, three batches", build: |p| norm(p, Norm::Batches(3)), inputs: FEATURES },
    Operator {
        name: "max pool",
        build: |_| Box::new(|x| x[0].max_pool2d([3, 3], [2, 2], [1, 1], [1, 1], false)),
        inputs: FEATURES,
    },
    Operator {
        name: "average pool",
        build: |_| Box::new(|x| x[0].avg_pool2d([3, 3], [1, 1], [1, 1], false, true, None)),
        inputs: FEATURES,
    },
];

/// What computes in single precision always.
const SINGLE: &[Operator] = &[
    Operator {
        name: "weighting of supports",
        build: |p| {
            let weighting = Weighting::new(p, Backbone::Resnet18, Scaling::SqrtChw);
            Box::new(move |x| weighting.weigh(0, &x[0], &x[1]).1)
        },
        inputs: PAIR,
    },
    Operator {
        name: "cosine over channels, upsampled",
        build: |_| {
            Box::new(|x| grid::upsample(&(1.0 - Tensor::cosine_similarity(&x[0], &x[1], 1, 1e-8)), 64, true))
        },
        inputs: LIKE,
    },
    Operator {
        name: "bilinear, corners not aligned",
        build: |_| Box::new(|x| x[0].upsample_bilinear2d([40, 40], false, None, None)),
        inputs: FEATURES,
    },
    Operator {
        name: "convolution of one layer with bias",
        build: |p| {
            let layer = pointwise(p, 32, 32);
            Box::new(move |x| layer.forward(&x[0]))
        },
        inputs: FEATURES,
    },
];

/// How inputs lie in memory, by what follows a check's name. Decoders train with channels beside one another on a CPU, by
/// kernels of their own where products compute.
const LAYOUTS: [(&str, Layout); 2] =
    [("", layout::plain), (", channels beside one another", layout::for_convolutions)];

type Layout = fn(&Tensor) -> Tensor;

pub(super) fn run(options: &Options, record: &mut Record) -> Result<()> {
    for &numbers in Numbers::on(options.device) {
        let coarse = matches!(numbers, Numbers::Tf32 | Numbers::Bf16);
        let layouts = if options.device.is_cuda() { &LAYOUTS[..1] } else { &LAYOUTS };
        for operator in OPERATORS {
            check(operator, layouts, numbers, options.device, record)?;
        }
        for operator in SINGLE.iter().filter(|_| !coarse) {
            check(operator, &LAYOUTS[..1], numbers, options.device, record)?;
        }
    }
    products(options, record)?;
    prepare(options.device, Numbers::F32)?;
    smoothing(options, record)?;
    neighbours(options, record);
    Ok(())
}

fn check(
    operator: &Operator,
    layouts: &[(&str, Layout)],
    numbers: Numbers,
    device: Device,
    record: &mut Record,
) -> Result<()> {
    let exact = compute(operator, layout::plain, Device::Cpu, Numbers::F64)?;
    let bound = match numbers {
        Numbers::F64 => 1e-12,
        Numbers::F32 => 2e-5,
        Numbers::Tf32 => 3e-3,
        Numbers::Bf16 => 2e-2,
    };
    for (lies, layout) in layouts {
        let ours = compute(operator, *layout, device, numbers)?;
        for ((what, found), (_, expected)) in ours.iter().zip(&exact) {
            // Rounding makes equals of a window's highest two, and the gradient goes to either.
            let is_coarse = matches!(numbers, Numbers::Tf32 | Numbers::Bf16);
            let is_free = is_coarse && operator.name == "max pool" && *what == "backward";
            let bound = (!is_free).then_some(bound);
            let what = format!("{}{lies}, {what}, relative", operator.name);
            record.check(Part::Operators, &what, numbers, apart(found, expected), bound);
        }
    }
    Ok(())
}

/// Outputs with what layers store, and gradients of all that goes in.
fn compute(
    operator: &Operator,
    layout: Layout,
    device: Device,
    numbers: Numbers,
) -> Result<[(&'static str, Vec<f64>); 2]> {
    prepare(device, numbers)?;
    let precision = numbers.precision();
    let mut store = VarStore::new(device);
    let layer = (operator.build)(&store.root());
    formula::fill(&store, operator.name);
    if numbers == Numbers::F64 {
        store.double();
    }
    let input = |(index, shape): (usize, &&[i64])| {
        let n = shape.iter().product::<i64>();
        let uniform = formula::uniform(&format!("{} input {index}", operator.name), n as usize);
        let values = Tensor::from_slice(&uniform).view(*shape).to_kind(Kind::Float) * 2.0 - 1.0;
        values.to_kind(numbers.kind()).to_device(device).set_requires_grad(true)
    };
    let inputs: Vec<Tensor> = operator.inputs.iter().enumerate().map(input).collect();
    let entered: Vec<Tensor> = inputs.iter().map(|x| layout(&precision.enter(x))).collect();
    let out = precision.leave(&layer(&entered));
    let weights = formula::uniform(&format!("{} output", operator.name), out.numel());
    let weights = Tensor::from_slice(&weights).view(out.size().as_slice()).to_kind(Kind::Float) - 0.5;
    let loss = (&out * weights.to_kind(out.kind()).to_device(device)).sum(None::<Kind>);
    let mut named: Vec<(String, Tensor)> = store.variables().into_iter().collect();
    named.sort_by(|a, b| a.0.cmp(&b.0));
    let (learnt, stored): (Vec<_>, Vec<_>) =
        named.into_iter().partition(|(_, tensor)| tensor.requires_grad());
    let moved: Vec<&Tensor> = inputs.iter().chain(learnt.iter().map(|(_, tensor)| tensor)).collect();
    let gradients = Tensor::run_backward(&[loss], &moved, false, false);
    let outputs = [&out].into_iter().chain(stored.iter().map(|(_, tensor)| tensor));
    Ok([
        ("forward", outputs.flat_map(values).collect()),
        ("backward", gradients.iter().filter(|gradient| gradient.defined()).flat_map(values).collect()),
    ])
}

/// Maps smoothed where they are made against the host's.
fn smoothing(options: &Options, record: &mut Record) -> Result<()> {
    let (n, side) = (37, 128);
    let values = formula::uniform("maps", n * side * side).into_iter().map(|value| value as f32).collect();
    let maps = MapStack::new(n, side, side, values)?;
    let host = protocol::score(&Host(&maps))?;
    let ours = protocol::score(&OnDevice::new(&maps, options.device))?;
    let kept = |scores: &[Option<f64>]| scores.iter().flatten().copied().collect::<Vec<f64>>();
    for (protocol, scores) in host.iter() {
        let what = format!("smoothing, {protocol}, relative to the host's");
        let apart = apart(&kept(&ours[protocol]), &kept(scores));
        record.check(Part::Operators, &what, Numbers::F32, apart, Some(1e-7));
    }
    Ok(())
}

/// Products of matrices: a transformer's are coarse where that is asked for, and those around it, such as distances, never.
fn products(options: &Options, record: &mut Record) -> Result<()> {
    let random = |name: &str| {
        let values = formula::uniform(name, 512 * 512);
        Tensor::from_slice(&values).view([512, 512]).to_kind(Kind::Float) * 2.0 - 1.0
    };
    let [left, right] = ["left factor", "right factor"].map(random);
    let exact = values(&left.to_kind(Kind::Double).matmul(&right.to_kind(Kind::Double)));
    let [left, right] = [left, right].map(|factor| factor.to_device(options.device));
    let product = || left.matmul(&right);
    let coarse = Numbers::on(options.device).iter().filter(|numbers| **numbers == Numbers::Tf32);
    for &numbers in coarse.chain([&Numbers::F32]) {
        prepare(options.device, numbers)?;
        let inside = numbers.precision().in_tower(product);
        let apart = |found: &Tensor| apart(&values(found), &exact);
        let (off, is_coarse) = (apart(&inside), numbers == Numbers::Tf32);
        let what = "products in a transformer, relative";
        record.check(Part::Operators, what, numbers, off, Some(if is_coarse { 3e-3 } else { 2e-5 }));
        if is_coarse {
            // Else TensorFloat-32 was asked for and not used.
            let what = "products in a transformer, 1e-5 over their relative error";
            record.check(Part::Operators, what, numbers, 1e-5 / off, Some(1.0));
        }
        let what = "products beside a transformer, relative";
        record.check(Part::Operators, what, numbers, apart(&product()), Some(2e-5));
    }
    Ok(())
}

/// Distances to the nearest rows against all pairs in double precision, one query among the rows.
fn neighbours(options: &Options, record: &mut Record) {
    let random = |name: &str, n: i64| {
        let values = formula::uniform(name, (n * 96) as usize);
        Tensor::from_slice(&values).view([n, 96]).to_kind(Kind::Float)
    };
    let rows = random("rows", 3000);
    let queries = Tensor::cat(&[random("queries", 200), rows.narrow(0, 17, 1)], 0);
    let bank = Bank::new(rows.to_device(options.device));
    let found = bank.nearest(&queries.to_device(options.device), 3, MAX_BYTES).distances;
    let (rows, queries) = (rows.to_kind(Kind::Double), queries.to_kind(Kind::Double));
    let all =
        (queries.unsqueeze(1) - rows.unsqueeze(0)).square().sum_dim_intlist(2, false, None::<Kind>).sqrt();
    let exact = all.topk(3, 1, false, true).0;
    let off = apart(&values(&found), &values(&exact));
    record.check(Part::Operators, "distances to nearest neighbours, relative", Numbers::F32, off, Some(1e-6));
}
