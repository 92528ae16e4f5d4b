//! What SAGAN's generator is made of: norms of each picture by itself, and layers around them. Names are the authors'.

use tch::Tensor;
use tch::nn::{Conv2D, Module, Path};

use crate::network::layer::{Conv, pointwise};

/// Added to variances.
const EPSILON: f64 = 1e-5;
/// Of the pictures' own statistics, in the stored ones.
const MOMENTUM: f64 = 0.1;

/// Which statistics the norms use that store any; the others always use each window's own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Statistics {
    /// The stored ones; nothing changes.
    Stored,
    /// Each window's own; nothing changes.
    Own,
    /// Each window's own, whose means are blended into the stored ones.
    Blended,
}

/// Instance norm with factors, shifts and stored statistics of its channels.
struct InstanceNorm {
    weight: Tensor,
    bias: Tensor,
    running_mean: Tensor,
    running_var: Tensor,
}

impl InstanceNorm {
    fn new(path: &Path, channels: i64) -> InstanceNorm {
        InstanceNorm {
            weight: path.ones("weight", &[channels]),
            bias: path.zeros("bias", &[channels]),
            running_mean: path.zeros_no_train("running_mean", &[channels]),
            running_var: path.ones_no_train("running_var", &[channels]),
        }
    }

    fn forward(&self, x: &Tensor, statistics: Statistics) -> Tensor {
        let [mean, var] = [Some(&self.running_mean), Some(&self.running_var)];
        let (weight, bias, cudnn) = (Some(&self.weight), Some(&self.bias), x.device().is_cuda());
        match statistics {
            // A batch norm does the same, and does not write its statistics back, rounded.
            Statistics::Stored => x.batch_norm(weight, bias, mean, var, false, 0.0, EPSILON, cudnn),
            Statistics::Own => x.instance_norm(weight, bias, None, None, true, MOMENTUM, EPSILON, cudnn),
            Statistics::Blended => x.instance_norm(weight, bias, mean, var, true, MOMENTUM, EPSILON, cudnn),
        }
    }
}

/// Instance norm that knows nothing but the window.
fn bare_norm(x: &Tensor) -> Tensor {
    let none = || None::<&Tensor>;
    x.instance_norm(none(), none(), none(), none(), true, MOMENTUM, EPSILON, x.device().is_cuda())
}

/// A convolution and its norm.
struct Normed {
    conv: Conv,
    norm: InstanceNorm,
}

impl Normed {
    /// The convolution is entry `at` of a sequence, its norm the next.
    fn new(path: &Path, at: usize, channels: i64, conv: impl Fn(&Path) -> Conv) -> Normed {
        Normed { conv: conv(&(path / at)), norm: InstanceNorm::new(&(path / (at + 1)), channels) }
    }

    fn forward(&self, x: &Tensor, statistics: Statistics) -> Tensor {
        self.norm.forward(&self.conv.forward(x), statistics)
    }
}

/// Convolution, norm, ReLU.
pub(super) struct Stage(Normed);

impl Stage {
    /// 7 x 7 on grey.
    pub(super) fn first(path: &Path, c_out: i64) -> Stage {
        Stage(Normed::new(path, 0, c_out, |path| Conv::new(path, 1, c_out, 7, 1)))
    }

    /// To twice the channels and half the side.
    pub(super) fn halving(path: &Path, c_in: i64) -> Stage {
        Stage(Normed::new(path, 0, 2 * c_in, |path| Conv::halving(path, c_in, 2 * c_in)))
    }

    /// To half the channels and twice the side, from entry `at` of a sequence on.
    pub(super) fn doubling(path: &Path, at: usize, c_in: i64) -> Stage {
        Stage(Normed::new(path, at, c_in / 2, |path| Conv::upsampling(path, c_in, c_in / 2)))
    }

    pub(super) fn forward(&self, x: &Tensor, statistics: Statistics) -> Tensor {
        self.0.forward(x, statistics).relu()
    }
}

/// Two 3 x 3 convolutions whose outcome is added to what entered.
pub(super) struct Residual(Normed, Normed);

impl Residual {
    pub(super) fn new(path: &Path, channels: i64) -> Residual {
        let main = path / "main";
        let conv = |path: &Path| Conv::new(path, channels, channels, 3, 1);
        Residual(Normed::new(&main, 0, channels, conv), Normed::new(&main, 3, channels, conv))
    }

    pub(super) fn forward(&self, x: &Tensor, statistics: Statistics) -> Tensor {
        let Residual(first, second) = self;
        x + second.forward(&first.forward(x, statistics).relu(), statistics)
    }
}

/// The same on fewer channels than entered: the second convolution's outcome is added to the first's.
pub(super) struct Narrowing(Normed, Normed);

impl Narrowing {
    pub(super) fn new(path: &Path, c_in: i64, c_out: i64) -> Narrowing {
        let conv = |c_in: i64| move |path: &Path| Conv::new(path, c_in, c_out, 3, 1);
        Narrowing(
            Normed::new(&(path / "main"), 0, c_out, conv(c_in)),
            Normed::new(&(path / "sc"), 0, c_out, conv(c_out)),
        )
    }

    pub(super) fn forward(&self, x: &Tensor, statistics: Statistics) -> Tensor {
        let Narrowing(first, second) = self;
        let first = first.forward(x, statistics).relu();
        &first + second.forward(&first, statistics)
    }
}

/// Channels mixed with those that tell a window's place.
pub(super) struct Mixing(Conv2D);

impl Mixing {
    pub(super) fn new(path: &Path, channels: i64, places: i64) -> Mixing {
        Mixing(pointwise(&(path / 0), channels + places, channels))
    }

    pub(super) fn forward(&self, x: &Tensor) -> Tensor {
        bare_norm(&self.0.forward(x)).relu()
    }
}

/// Lets through of an encoder's features what the decoder's ask for.
pub(super) struct Gate {
    asking: Conv2D,
    asked: Conv2D,
    verdict: Conv2D,
}

impl Gate {
    pub(super) fn new(path: &Path, channels: i64) -> Gate {
        let half = channels / 2;
        let of = |name: &str, c_in: i64, c_out: i64| pointwise(&(path / name / 0), c_in, c_out);
        Gate {
            asking: of("W_gate", channels, half),
            asked: of("W_x", channels, half),
            verdict: of("psi", half, 1),
        }
    }

    /// What is left of `skipped`.
    pub(super) fn forward(&self, asking: &Tensor, skipped: &Tensor) -> Tensor {
        let both = bare_norm(&self.asking.forward(asking)) + bare_norm(&self.asked.forward(skipped));
        skipped * bare_norm(&self.verdict.forward(&both.relu())).sigmoid()
    }
}
