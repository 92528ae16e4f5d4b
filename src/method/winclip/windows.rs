//! Windows of neighbouring patches, and how what is said of windows becomes a value for each patch.

use tch::{Kind, Tensor};

/// All windows of `size` x `size` patches on a square grid, one patch apart, row by row.
pub struct Windows {
    side: i64,
    size: i64,
    /// Numbers of the patches inside, row by row: `[windows, size^2]`.
    places: Tensor,
}

impl Windows {
    /// On a grid of `side` x `side` patches, which is no smaller than a window.
    pub fn new(side: i64, size: i64) -> Windows {
        let steps = side - size + 1;
        let inside = |corner: i64| {
            (0..size * size).map(move |at| corner + (at / size) * side + at % size).collect::<Vec<i64>>()
        };
        let corners = (0..steps * steps).map(|window| (window / steps) * side + window % steps);
        let places: Vec<i64> = corners.flat_map(inside).collect();
        Windows { side, size, places: Tensor::from_slice(&places).view([-1, size * size]) }
    }

    /// Numbers of the patches inside of each, row by row: `[windows, size^2]`.
    pub fn places(&self) -> &Tensor {
        &self.places
    }

    /// How many there are.
    pub fn count(&self) -> i64 {
        self.places.size()[0]
    }

    /// Patches inside of each.
    pub fn patches(&self) -> i64 {
        self.size * self.size
    }

    /// 1 where a window holds a patch and 0 elsewhere, `[windows, side^2]`, in the kind of `like` and beside it.
    fn cover(&self, like: &Tensor) -> Tensor {
        let cover = Tensor::zeros([self.count(), self.side * self.side], (Kind::Float, tch::Device::Cpu));
        let ones = self.places.ones_like().to_kind(Kind::Float);
        cover.scatter(1, &self.places, &ones).to_kind(like.kind()).to_device(like.device())
    }

    /// For each patch the mean of `values` `[n, windows]` over the windows that hold it, `[n, side, side]`.
    pub fn mean(&self, values: &Tensor) -> Tensor {
        let cover = self.cover(values);
        let n_holding = cover.sum_dim_intlist(0, false, None::<Kind>);
        (values.matmul(&cover) / n_holding).view([-1, self.side, self.side])
    }

    /// The harmonic mean likewise, of values of at least 0; it is 0 where one of them is.
    pub fn harmonic_mean(&self, values: &Tensor) -> Tensor {
        let cover = self.cover(values);
        let is_zero = values.le(0.0);
        let reciprocals = values.reciprocal().masked_fill(&is_zero, 0.0);
        let n_holding = cover.sum_dim_intlist(0, false, None::<Kind>);
        let means = n_holding / reciprocals.matmul(&cover);
        let has_zero = is_zero.to_kind(values.kind()).matmul(&cover).gt(0.0);
        means.masked_fill(&has_zero, 0.0).view([-1, self.side, self.side])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn values(tensor: &Tensor) -> Vec<f64> {
        Vec::try_from(tensor.to_kind(Kind::Double).flatten(0, -1)).unwrap()
    }

    #[test]
    fn alike_windows_give_their_value_to_every_patch() {
        let windows = Windows::new(4, 3);
        let alike = Tensor::full([2, 4], 0.25, (Kind::Double, tch::Device::Cpu));
        for means in [windows.mean(&alike), windows.harmonic_mean(&alike)] {
            assert_eq!(means.size(), [2, 4, 4]);
            assert!(values(&means).iter().all(|value| (value - 0.25).abs() < 1e-15));
        }
    }

    #[test]
    fn a_patch_hears_of_the_windows_that_hold_it_alone() {
        // Windows 0 to 3 of 2 x 2 patches on 3 x 3: the corner is in one, the middle in all.
        let scores = Tensor::from_slice(&[0.5f64, 1.0, 0.25, 0.5]).view([1, 4]);
        let windows = Windows::new(3, 2);
        let (means, harmonic) = (values(&windows.mean(&scores)), values(&windows.harmonic_mean(&scores)));
        assert_eq!((means[0], means[4], means[2]), (0.5, 0.5625, 1.0));
        assert_eq!((harmonic[0], harmonic[4], harmonic[2]), (0.5, 4.0 / 9.0, 1.0));
        let with_zero = Tensor::from_slice(&[0.0f64, 1.0, 0.25, 0.5]).view([1, 4]);
        let harmonic = values(&windows.harmonic_mean(&with_zero));
        assert_eq!((harmonic[0], harmonic[4], harmonic[2], harmonic[6]), (0.0, 0.0, 1.0, 0.25));
    }
}
