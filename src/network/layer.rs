//! Convolution and batch norm with torchvision's parameter names and no hidden mode.

use std::cell::RefCell;

use tch::Tensor;
use tch::nn::{self, Path};

use super::kernels::{self, Kernels};

/// Floating-point operations of one picture through a convolution that gives `side` x `side` positions; of a transposed
/// one, that is given so many. A multiplication with its addition counts two.
pub fn of_convolution(c_in: i64, c_out: i64, kernel: i64, side: i64) -> f64 {
    2.0 * (c_in * c_out * kernel * kernel * side * side) as f64
}

/// Which statistics a batch norm uses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Norm {
    /// Stored statistics; nothing changes.
    Stored,
    /// The batch's own, blended into the stored ones with momentum 0.1.
    Batch,
    /// Those of this many batches of equal size, given one after another along `n`: each its own, blended into the
    /// stored ones in turn, as if they came one by one.
    Batches(i64),
    /// The same for batches whose pictures take turns along `n`, first of all batches, second of all, ...: one kernel
    /// for all of them.
    Interleaved(i64),
    /// The batch's own, which replace the stored ones.
    Calibrate,
}

/// Batch norm over channels.
pub struct BatchNorm {
    epsilon: f64,
    weight: Tensor,
    bias: Tensor,
    running_mean: Tensor,
    running_var: Tensor,
    /// What [`Norm::Interleaved`] writes to, kept from call to call.
    turns: RefCell<Option<Turns>>,
}

/// Statistics of batches that take turns.
struct Turns {
    count: i64,
    /// `[count * c]`
    mean: Tensor,
    var: Tensor,
    /// How much of each batch is left in the stored statistics when all have been blended in, `[count]`.
    shares: Tensor,
}

impl Turns {
    fn new(count: i64, like: &Tensor) -> Turns {
        let zeros = || Tensor::zeros([count * like.numel() as i64], (like.kind(), like.device()));
        let share = |batch: i64| MOMENTUM * (1.0 - MOMENTUM).powi((count - 1 - batch) as i32);
        let shares: Vec<f64> = (0..count).map(share).collect();
        let shares = Tensor::from_slice(&shares).to_kind(like.kind()).to_device(like.device());
        Turns { count, mean: zeros(), var: zeros(), shares }
    }

    /// Blends the batches into stored statistics in turn.
    fn blend_into(&self, mut mean: Tensor, mut var: Tensor) {
        let rest = (1.0 - MOMENTUM).powi(self.count as i32);
        tch::no_grad(|| {
            for (stored, own) in [(&mut mean, &self.mean), (&mut var, &self.var)] {
                let own = own.view([self.count, -1]).transpose(0, 1);
                let _ = stored.g_mul_scalar_(rest).addmv_(&own, &self.shares);
            }
        });
    }
}

/// Of the batch's own statistics, in the stored ones.
const MOMENTUM: f64 = 0.1;
/// Added to variances by nearly all networks.
const EPSILON: f64 = 1e-5;

impl BatchNorm {
    /// Adds 1e-5 to variances.
    pub fn new(path: &Path, channels: i64) -> BatchNorm {
        BatchNorm::adding(path, channels, EPSILON)
    }

    /// Adds `epsilon` to variances.
    pub fn adding(path: &Path, channels: i64, epsilon: f64) -> BatchNorm {
        BatchNorm {
            epsilon,
            weight: path.ones("weight", &[channels]),
            bias: path.zeros("bias", &[channels]),
            running_mean: path.zeros_no_train("running_mean", &[channels]),
            running_var: path.ones_no_train("running_var", &[channels]),
            turns: RefCell::new(None),
        }
    }

    /// `[n, c, h, w] -> [n, c, h, w]`
    pub fn forward(&self, x: &Tensor, norm: Norm) -> Tensor {
        let (own_statistics, momentum) = match norm {
            Norm::Stored => (false, 0.0),
            Norm::Batch => (true, MOMENTUM),
            Norm::Batches(count) => {
                let batches: Vec<Tensor> =
                    x.chunk(count, 0).iter().map(|batch| self.forward(batch, Norm::Batch)).collect();
                return Tensor::cat(&batches, 0);
            }
            Norm::Interleaved(count) => return self.in_turns(x, count),
            Norm::Calibrate => (true, 1.0),
        };
        let [weight, bias, mean, var] =
            [&self.weight, &self.bias, &self.running_mean, &self.running_var].map(Some);
        let cudnn = x.device().is_cuda();
        x.batch_norm(weight, bias, mean, var, own_statistics, momentum, self.epsilon, cudnn)
    }

    /// Batches that take turns, as channels beside one another.
    fn in_turns(&self, x: &Tensor, count: i64) -> Tensor {
        let (n, c, h, w) = x.size4().expect("pictures are [n, c, h, w]");
        let mut turns = self.turns.borrow_mut();
        let turns = match &mut *turns {
            Some(turns) if turns.count == count && turns.mean.kind() == self.running_mean.kind() => turns,
            turns => turns.insert(Turns::new(count, &self.running_mean)),
        };
        let repeated = |values: &Tensor| values.unsqueeze(0).expand([count, c], false).reshape([-1]);
        let [weight, bias] = [&self.weight, &self.bias].map(|values| Some(repeated(values)));
        let (mean, var) = (Some(&turns.mean), Some(&turns.var));
        let beside = x.contiguous().view([n / count, count * c, h, w]);
        let cudnn = x.device().is_cuda();
        let y = beside.batch_norm(weight.as_ref(), bias.as_ref(), mean, var, true, 1.0, self.epsilon, cudnn);
        turns.blend_into(self.running_mean.shallow_clone(), self.running_var.shallow_clone());
        // A plain view would make what is done in place afterwards copy gradients.
        y.internal_unsafe_view([n, c, h, w])
    }
}

/// A convolution without bias, or its transpose, with "same" padding for its kernel.
pub struct Conv {
    weight: Tensor,
    stride: i64,
    padding: i64,
    transposed: bool,
}

impl Conv {
    /// `[n, c_in, h, w] -> [n, c_out, h / stride, w / stride]`, odd `kernel`.
    pub fn new(path: &Path, c_in: i64, c_out: i64, kernel: i64, stride: i64) -> Conv {
        let weight = path.zeros("weight", &[c_out, c_in, kernel, kernel]);
        Conv { weight, stride, padding: kernel / 2, transposed: false }
    }

    /// 2 x 2 transposed, `[n, c_in, h, w] -> [n, c_out, 2 h, 2 w]`.
    pub fn doubling(path: &Path, c_in: i64, c_out: i64) -> Conv {
        let weight = path.zeros("weight", &[c_in, c_out, 2, 2]);
        Conv { weight, stride: 2, padding: 0, transposed: true }
    }

    /// 4 x 4, `[n, c_in, h, w] -> [n, c_out, h / 2, w / 2]`.
    pub fn halving(path: &Path, c_in: i64, c_out: i64) -> Conv {
        let weight = path.zeros("weight", &[c_out, c_in, 4, 4]);
        Conv { weight, stride: 2, padding: 1, transposed: false }
    }

    /// The mirror of [`Conv::halving`]: 4 x 4 transposed, `[n, c_in, h, w] -> [n, c_out, 2 h, 2 w]`.
    pub fn upsampling(path: &Path, c_in: i64, c_out: i64) -> Conv {
        let weight = path.zeros("weight", &[c_in, c_out, 4, 4]);
        Conv { weight, stride: 2, padding: 1, transposed: true }
    }

    /// In the kind of `x`.
    pub fn forward(&self, x: &Tensor) -> Tensor {
        let weight = self.weight.to_kind(x.kind());
        let product = (Kernels::of(x) == Kernels::Products).then(|| self.product(x, &weight)).flatten();
        product.unwrap_or_else(|| self.by_libtorch(x, &weight))
    }

    fn by_libtorch(&self, x: &Tensor, weight: &Tensor) -> Tensor {
        let (stride, padding) = ([self.stride; 2], [self.padding; 2]);
        if self.transposed {
            return x.conv_transpose2d(weight, None::<&Tensor>, stride, padding, [0, 0], 1, [1, 1]);
        }
        x.conv2d(weight, None::<&Tensor>, stride, padding, [1, 1], 1)
    }

    /// The same by matrix products, where that can be; `x` and what comes out have channels beside one another.
    fn product(&self, x: &Tensor, weight: &Tensor) -> Option<Tensor> {
        let (n, c_in, h, w) = x.size4().ok()?;
        let size = weight.size();
        let kernel = [size[2], size[3]];
        if self.transposed && self.padding == 0 && kernel == [self.stride; 2] {
            let (c_out, stride) = (size[1], self.stride);
            let y = vectors(x).matmul(&weight.view([c_in, -1])).view([n, h, w, c_out, stride, stride]);
            let y = y.permute([0, 1, 4, 2, 5, 3]).reshape([n, h * stride, w * stride, c_out]);
            return Some(y.permute([0, 3, 1, 2]));
        }
        let is_same = !self.transposed && (self.stride, self.padding) == (1, 1) && kernel == [3, 3];
        is_same.then(|| kernels::convolution(x, weight))
    }
}

/// One vector per position of pictures whose channels lie beside one another, `[n, c, h, w]` to `[n * h * w, c]`.
fn vectors(x: &Tensor) -> Tensor {
    x.permute([0, 2, 3, 1]).reshape([-1, x.size()[1]])
}

/// A 1 x 1 convolution with bias.
pub fn pointwise(path: &Path, c_in: i64, c_out: i64) -> nn::Conv2D {
    convolution(path, c_in, c_out, 1)
}

/// A convolution with bias and zeros around, `[n, c_in, h, w] -> [n, c_out, h, w]`, odd `kernel`.
pub fn convolution(path: &Path, c_in: i64, c_out: i64, kernel: i64) -> nn::Conv2D {
    let zero = nn::init::Init::Const(0.0);
    let config = nn::ConvConfig { ws_init: zero, bs_init: zero, padding: kernel / 2, ..Default::default() };
    nn::conv2d(path, c_in, c_out, kernel, config)
}

/// A fully connected layer with bias, `[n, from] -> [n, to]`.
pub fn linear(path: &Path, from: i64, to: i64) -> nn::Linear {
    let zero = nn::init::Init::Const(0.0);
    nn::linear(path, from, to, nn::LinearConfig { ws_init: zero, bs_init: Some(zero), bias: true })
}

#[cfg(test)]
mod tests {
    use tch::nn::VarStore;
    use tch::{Device, Kind};

    use super::*;
    use crate::network::layout;

    fn uniform(size: [i64; 4], kind: Kind) -> Tensor {
        Tensor::empty(size, (kind, Device::Cpu)).uniform_(-1.0, 1.0)
    }

    /// What a convolution gives, and the gradients of its input and weight for one of its output.
    fn both(conv: &Conv, x: &Tensor, back: &Tensor, as_product: bool) -> [Tensor; 3] {
        let x = layout::for_convolutions(x).detach().set_requires_grad(true);
        let weight = conv.weight.detach().set_requires_grad(true);
        let conv = Conv { weight: weight.shallow_clone(), ..*conv };
        let y = match as_product {
            true => conv.product(&x, &weight).expect("it is one"),
            false => conv.by_libtorch(&x, &weight),
        };
        let loss = (&y * back).sum(y.kind());
        let gradients = Tensor::run_backward(&[&loss], &[&x, &weight], false, false);
        let [of_x, of_weight] = <[Tensor; 2]>::try_from(gradients).expect("two were asked for");
        [y.detach(), of_x, of_weight]
    }

    fn conv(make: impl Fn(&Path) -> Conv, kind: Kind) -> Conv {
        let store = VarStore::new(Device::Cpu);
        let conv = make(&store.root());
        let size = <[i64; 4]>::try_from(conv.weight.size()).expect("weights have four sizes");
        Conv { weight: uniform(size, kind), ..conv }
    }

    #[test]
    fn products_are_convolutions_and_so_are_their_gradients() {
        tch::manual_seed(5);
        // The third and the fourth are computed in parts.
        let cases: [(Conv, [i64; 4], [i64; 4]); 5] = [
            (conv(|path| Conv::new(path, 3, 5, 3, 1), Kind::Double), [2, 3, 4, 6], [2, 5, 4, 6]),
            (conv(|path| Conv::new(path, 2, 3, 3, 1), Kind::Double), [2, 2, 5, 1], [2, 3, 5, 1]),
            (conv(|path| Conv::new(path, 64, 2, 3, 1), Kind::Double), [5, 64, 32, 32], [5, 2, 32, 32]),
            (conv(|path| Conv::new(path, 2, 90, 3, 1), Kind::Double), [3, 2, 33, 31], [3, 90, 33, 31]),
            (conv(|path| Conv::doubling(path, 3, 4), Kind::Double), [2, 3, 3, 5], [2, 4, 6, 10]),
        ];
        for (conv, of_x, of_y) in cases {
            let (x, back) = (uniform(of_x, Kind::Double), uniform(of_y, Kind::Double));
            let found = [true, false].map(|as_product| both(&conv, &x, &back, as_product));
            for (ours, theirs) in found[0].iter().zip(&found[1]) {
                assert_eq!(ours.size(), theirs.size());
                let apart = (ours - theirs).abs().max().double_value(&[]);
                assert!(apart < 1e-12 * theirs.abs().max().double_value(&[]), "{of_x:?}: {apart}");
            }
            assert_eq!(found[0][0].stride()[1], 1, "channels stay beside one another");
        }
    }

    #[test]
    fn what_trains_is_computed_as_the_processor_is_best_at_and_what_scores_by_libtorch() {
        tch::manual_seed(6);
        let conv = conv(|path| Conv::new(path, 16, 8, 3, 1), Kind::Float);
        let conv = Conv { weight: conv.weight.detach().set_requires_grad(true), ..conv };
        let x = layout::for_convolutions(&uniform([2, 16, 8, 8], Kind::Float));
        let product = || conv.product(&x, &conv.weight).expect("it is one").detach();
        let (filtered, plain) = (product(), conv.by_libtorch(&x, &conv.weight).detach());
        assert_ne!(filtered, plain, "they round differently, which tells them apart");
        let expected = match Kernels::here() {
            Kernels::Products => &filtered,
            Kernels::Convolutions => &plain,
        };
        assert_eq!(&conv.forward(&x).detach(), expected);
        assert_eq!(tch::no_grad(|| (conv.forward(&x), product())), (plain.shallow_clone(), plain));
    }

    #[test]
    fn others_are_no_products() {
        let x = layout::for_convolutions(&uniform([1, 2, 4, 4], Kind::Float));
        let is_product = |conv: Conv| conv.product(&x, &conv.weight).is_some();
        assert!(!is_product(conv(|path| Conv::new(path, 2, 3, 1, 1), Kind::Float)));
        assert!(!is_product(conv(|path| Conv::new(path, 2, 3, 3, 2), Kind::Float)));
        assert!(!is_product(conv(|path| Conv::new(path, 2, 3, 5, 1), Kind::Float)));
        assert!(!is_product(conv(|path| Conv::halving(path, 2, 3), Kind::Float)));
        assert!(!is_product(conv(|path| Conv::upsampling(path, 2, 3), Kind::Float)));
    }

    #[test]
    #[should_panic(expected = "to have 3 channels")]
    fn what_libtorch_refuses_says_so() {
        let conv = conv(|path| Conv::new(path, 3, 5, 3, 1), Kind::Float);
        let _ = conv.product(&layout::for_convolutions(&uniform([1, 2, 4, 4], Kind::Float)), &conv.weight);
    }
}
