//! Batch norm.

use std::cell::RefCell;

use tch::Tensor;
use tch::nn::Path;

use crate::network::kernels::{self, Kernels, OwnStatistics};

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
        self.by_kernel(x, None, false, norm).unwrap_or_else(|| self.by_libtorch(x, norm))
    }

    /// ReLU of what [`BatchNorm::forward`] gives, after `added`, `[n, c, h, w]`, was added to it.
    pub fn activated(&self, x: &Tensor, added: Option<&Tensor>, norm: Norm) -> Tensor {
        self.by_kernel(x, added, true, norm).unwrap_or_else(|| {
            let mut y = self.by_libtorch(x, norm);
            // In place: neither norm nor sum needs its output to be differentiated.
            if let Some(added) = added {
                y = y.g_add_(added);
            }
            y.relu_()
        })
    }

    /// By a kernel of ours, where batches have statistics of their own, its weights train and products compute on `x`.
    fn by_kernel(&self, x: &Tensor, added: Option<&Tensor>, is_cut: bool, norm: Norm) -> Option<Tensor> {
        let batches = match norm {
            Norm::Batch => 1,
            Norm::Batches(count) => count,
            Norm::Stored | Norm::Interleaved(_) | Norm::Calibrate => return None,
        };
        let trains = self.weight.requires_grad() && self.weight.kind() == x.kind();
        (trains && Kernels::of(x) == Kernels::Products).then(|| self.in_batches(x, added, is_cut, batches))
    }

    fn in_batches(&self, x: &Tensor, added: Option<&Tensor>, is_cut: bool, batches: i64) -> Tensor {
        let BatchNorm { epsilon, ref weight, ref bias, ref running_mean, ref running_var, .. } = *self;
        let stored = [running_mean, running_var];
        let own = OwnStatistics { weight, bias, stored, batches, momentum: MOMENTUM, epsilon };
        kernels::batch_norm(x, added, is_cut, &own)
    }

    fn by_libtorch(&self, x: &Tensor, norm: Norm) -> Tensor {
        let (own_statistics, momentum) = match norm {
            Norm::Stored => (false, 0.0),
            Norm::Batch => (true, MOMENTUM),
            Norm::Batches(count) => {
                let batches: Vec<Tensor> =
                    x.chunk(count, 0).iter().map(|batch| self.by_libtorch(batch, Norm::Batch)).collect();
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

#[cfg(test)]
mod tests {
    use tch::nn::VarStore;
    use tch::{Device, Kind};

    use super::*;
    use crate::network::layer::tests::{in_any_number_of_threads, uniform};
    use crate::network::layout;

    /// What a batch norm of three batches gives, with what is added to it where `adds`, the gradients for one of its output,
    /// and the statistics it leaves.
    fn normed(
        norm: &BatchNorm,
        [x, added, back]: [&Tensor; 3],
        adds: bool,
        is_cut: bool,
        ours: bool,
    ) -> Vec<Tensor> {
        let trained = |tensor: &Tensor| tensor.detach().set_requires_grad(true);
        let [x, added] = [x, added].map(|tensor| trained(&layout::for_convolutions(tensor)));
        let norm = BatchNorm {
            weight: trained(&norm.weight),
            bias: trained(&norm.bias),
            running_mean: norm.running_mean.copy(),
            running_var: norm.running_var.copy(),
            turns: RefCell::new(None),
            epsilon: norm.epsilon,
        };
        let other = adds.then_some(&added);
        let y = match (ours, is_cut) {
            (true, _) => norm.in_batches(&x, other, is_cut, 3),
            (false, _) => {
                let y = norm.by_libtorch(&x, Norm::Batches(3));
                let y = other.map_or_else(|| y.shallow_clone(), |other| &y + other);
                if is_cut { y.relu() } else { y }
            }
        };
        let loss = (&y * back).sum(y.kind());
        let mut inputs = vec![&x, &norm.weight, &norm.bias];
        inputs.extend(other);
        let gradients = Tensor::run_backward(&[&loss], &inputs, false, false);
        let left = [y.detach(), norm.running_mean.shallow_clone(), norm.running_var.shallow_clone()];
        left.into_iter().chain(gradients).collect()
    }

    fn batch_norm(channels: i64, kind: Kind) -> BatchNorm {
        let one = || Tensor::empty([channels], (kind, Device::Cpu)).uniform_(0.5, 1.5);
        let norm = BatchNorm::new(&VarStore::new(Device::Cpu).root(), channels);
        BatchNorm { weight: one(), bias: one() - 1.0, running_mean: one(), running_var: one(), ..norm }
    }

    #[test]
    fn batch_norms_by_our_kernel_are_those_of_libtorch_and_so_are_their_gradients() {
        tch::manual_seed(7);
        // Rows of a batch that fill no part, one part, and some parts and a bit.
        for size in [[3, 5, 2, 3], [6, 4, 8, 4], [9, 17, 11, 7]] {
            let norm = batch_norm(size[1], Kind::Double);
            let [x, added, back] = [0, 1, 2].map(|_| uniform(size, Kind::Double));
            // Far from zero, where sums of squares cancel.
            let x = x + 1e3;
            for (adds, is_cut) in [(false, false), (false, true), (true, false), (true, true)] {
                let found = [true, false].map(|ours| normed(&norm, [&x, &added, &back], adds, is_cut, ours));
                assert_eq!(found[0].len(), if adds { 7 } else { 6 });
                for (index, (ours, theirs)) in found[0].iter().zip(&found[1]).enumerate() {
                    let apart = (ours - theirs).abs().max().double_value(&[]);
                    let bound = 1e-10 * theirs.abs().max().double_value(&[]);
                    assert!(apart < bound, "{size:?}, adds {adds}, cut {is_cut}, {index}: {apart}");
                }
                assert_eq!(found[0][0].stride()[1], 1, "channels stay beside one another");
            }
        }
    }

    #[test]
    fn a_value_that_is_not_a_number_passes_as_in_libtorch() {
        let x = uniform([3, 2, 4, 4], Kind::Float);
        let _ = x.get(1).get(0).get(2).get(3).fill_(f64::NAN);
        let back = x.ones_like();
        let of = |ours| normed(&batch_norm(2, Kind::Float), [&x, &x, &back], false, true, ours);
        for (ours, theirs) in of(true).iter().zip(of(false)) {
            assert_eq!(ours.isnan(), theirs.isnan());
        }
    }

    #[test]
    fn batches_that_train_are_normed_by_our_kernel_where_products_compute() {
        let norm = batch_norm(3, Kind::Float);
        let norm = BatchNorm { weight: norm.weight.set_requires_grad(true), ..norm };
        let (x, frozen) = (uniform([2, 3, 4, 4], Kind::Float), batch_norm(3, Kind::Float));
        let together = layout::for_convolutions(&x);
        let is_ours = |norm: &BatchNorm, x: &Tensor, which| norm.by_kernel(x, None, false, which).is_some();
        let here = Kernels::here() == Kernels::Products;
        assert_eq!(is_ours(&norm, &together, Norm::Batch), here);
        assert_eq!(is_ours(&norm, &together, Norm::Batches(2)), here);
        assert!(!is_ours(&norm, &together, Norm::Stored), "scores are libtorch's");
        assert!(!is_ours(&frozen, &together, Norm::Batch), "a frozen teacher's are, too");
        assert!(!is_ours(&norm, &x, Norm::Batch));
    }

    #[test]
    fn batch_norms_give_the_same_bits_whatever_the_number_of_threads() {
        tch::manual_seed(8);
        let norm = batch_norm(32, Kind::Float);
        let [x, added, back] = [0, 1, 2].map(|_| uniform([12, 32, 16, 16], Kind::Float));
        in_any_number_of_threads(|| normed(&norm, [&x, &added, &back], true, true, true));
    }

    #[test]
    #[should_panic(expected = "to be added, but got [3, 2, 1, 4]")]
    fn what_is_added_has_the_same_size() {
        let [x, added] =
            [[3, 2, 4, 4], [3, 2, 1, 4]].map(|size| layout::for_convolutions(&uniform(size, Kind::Float)));
        let _ = batch_norm(2, Kind::Float).in_batches(&x, Some(&added), false, 3);
    }

    #[test]
    #[should_panic(expected = "one value for each of 3 channels")]
    fn channels_are_those_of_the_norm() {
        let x = layout::for_convolutions(&uniform([3, 3, 4, 4], Kind::Float));
        let _ = batch_norm(2, Kind::Float).in_batches(&x, None, false, 3);
    }

    #[test]
    #[should_panic(expected = "more than one value per channel")]
    fn a_single_value_has_no_deviation() {
        let x = layout::for_convolutions(&uniform([3, 2, 1, 1], Kind::Float));
        let _ = batch_norm(2, Kind::Float).in_batches(&x, None, false, 3);
    }
}
