//! Convolutions without bias.

use tch::Tensor;
use tch::nn::Path;

use crate::network::kernels::{self, Kernels};

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
        let is_known = kernel == [3, 3] || kernel == [1, 1];
        let is_same = !self.transposed && self.stride == 1 && self.padding == kernel[0] / 2;
        (is_known && is_same).then(|| kernels::convolution(x, weight))
    }
}

/// One vector per position of pictures whose channels lie beside one another, `[n, c, h, w]` to `[n * h * w, c]`.
fn vectors(x: &Tensor) -> Tensor {
    x.permute([0, 2, 3, 1]).reshape([-1, x.size()[1]])
}

#[cfg(test)]
mod tests {
    use tch::nn::VarStore;
    use tch::{Device, Kind};

    use super::*;
    use crate::network::layer::tests::{in_any_number_of_threads, uniform};
    use crate::network::layout;

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
        let cases: [(Conv, [i64; 4], [i64; 4]); 6] = [
            (conv(|path| Conv::new(path, 3, 5, 3, 1), Kind::Double), [2, 3, 4, 6], [2, 5, 4, 6]),
            (conv(|path| Conv::new(path, 2, 3, 3, 1), Kind::Double), [2, 2, 5, 1], [2, 3, 5, 1]),
            (conv(|path| Conv::new(path, 64, 2, 3, 1), Kind::Double), [5, 64, 32, 32], [5, 2, 32, 32]),
            (conv(|path| Conv::new(path, 2, 90, 3, 1), Kind::Double), [3, 2, 33, 31], [3, 90, 33, 31]),
            (conv(|path| Conv::new(path, 3, 5, 1, 1), Kind::Double), [2, 3, 4, 6], [2, 5, 4, 6]),
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
        assert!(!is_product(conv(|path| Conv::new(path, 2, 3, 1, 2), Kind::Float)));
        assert!(!is_product(conv(|path| Conv::new(path, 2, 3, 3, 2), Kind::Float)));
        assert!(!is_product(conv(|path| Conv::new(path, 2, 3, 5, 1), Kind::Float)));
        assert!(!is_product(conv(|path| Conv::halving(path, 2, 3), Kind::Float)));
        assert!(!is_product(conv(|path| Conv::upsampling(path, 2, 3), Kind::Float)));
    }

    /// Where they are what trains; matrix products of libtorch promise it nowhere.
    #[test]
    fn convolutions_give_the_same_bits_whatever_the_number_of_threads() {
        if Kernels::here() == Kernels::Convolutions {
            return;
        }
        tch::manual_seed(8);
        let conv = conv(|path| Conv::new(path, 32, 48, 3, 1), Kind::Float);
        let (x, back) = (uniform([12, 32, 16, 16], Kind::Float), uniform([12, 48, 16, 16], Kind::Float));
        in_any_number_of_threads(|| both(&conv, &x, &back, true).into());
    }

    #[test]
    fn what_comes_out_may_be_changed_in_place() {
        let conv = conv(|path| Conv::new(path, 3, 5, 3, 1), Kind::Double);
        let (x, back) = (uniform([2, 3, 4, 6], Kind::Double), uniform([2, 5, 4, 6], Kind::Double));
        let gradient = |changed: fn(Tensor) -> Tensor| {
            let weight = conv.weight.detach().set_requires_grad(true);
            let y = conv.product(&layout::for_convolutions(&x), &weight).expect("it is one");
            let loss = (changed(y) * &back).sum(Kind::Double);
            Tensor::run_backward(&[&loss], &[&weight], false, false).remove(0)
        };
        assert_eq!(gradient(|mut y| y.relu_()), gradient(|y| y.relu()));
    }

    #[test]
    #[should_panic(expected = "no second derivative")]
    fn second_derivatives_are_refused() {
        let conv = conv(|path| Conv::new(path, 3, 5, 3, 1), Kind::Float);
        let weight = conv.weight.detach().set_requires_grad(true);
        let x = layout::for_convolutions(&uniform([1, 3, 4, 4], Kind::Float));
        let loss = conv.product(&x, &weight).expect("it is one").square().sum(Kind::Float);
        let _ = Tensor::run_backward(&[&loss], &[&weight], true, true);
    }

    #[test]
    #[should_panic(expected = "to have 3 channels")]
    fn what_libtorch_refuses_says_so() {
        let conv = conv(|path| Conv::new(path, 3, 5, 3, 1), Kind::Float);
        let _ = conv.product(&layout::for_convolutions(&uniform([1, 2, 4, 4], Kind::Float)), &conv.weight);
    }
}
