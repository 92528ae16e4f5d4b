//! Vectors that are joined of several grids, of which coarser ones are brought to the first one's size.

use tch::{Kind, Tensor};

use super::grid;

/// All positions of one picture.
pub struct Joined<'a> {
    /// `[m, c]`, as [`grid::joined`] makes them bilinearly and [`grid::positions`] lists them.
    pub vectors: &'a Tensor,
    /// What was joined, each `[1, c_i, h_i, w_i]`.
    pub grids: &'a [Tensor; 3],
}

/// The same from a centre.
pub(super) struct Centred {
    /// Each with its sides, `[h_i * w_i, c_i]`.
    grids: Vec<(Tensor, [i64; 2])>,
}

impl Joined<'_> {
    /// `centre` is `[c]`.
    pub(super) fn centred(&self, centre: &Tensor) -> Centred {
        let mut at = 0;
        let one = |grid: &Tensor| {
            let (c, sides) = (grid.size()[1], [grid.size()[2], grid.size()[3]]);
            at += c;
            (grid::positions(grid) - centre.narrow(0, at - c, c), sides)
        };
        Centred { grids: self.grids.iter().map(one).collect() }
    }
}

impl Centred {
    /// Products of all vectors with `rows` `[n, c]`, added to `start` `[n]`: `[m, n]`. Joining is linear, so products of a
    /// coarse grid are brought to the fine one in the place of its vectors.
    pub(super) fn product(&self, rows: &Tensor, start: &Tensor) -> Tensor {
        let (n, sides) = (rows.size()[0], self.grids[0].1);
        let (mut sum, mut at) = (start.shallow_clone(), 0);
        for (grid, own_sides) in &self.grids {
            let c = grid.size()[1];
            let rows = rows.narrow(1, at, c).tr();
            at += c;
            sum = if *own_sides == sides {
                sum.addmm(grid, &rows)
            } else {
                let [h, w] = *own_sides;
                let product = grid.matmul(&rows).view([1, h, w, n]).permute([0, 3, 1, 2]);
                let product = product.upsample_bilinear2d(sides, false, None, None);
                product.permute([0, 2, 3, 1]).reshape([-1, n]).g_add_(&sum)
            };
        }
        sum
    }

    /// At least the length of any of the vectors: what is brought to another size is never longer than the longest.
    pub(super) fn longest(&self) -> f64 {
        let square = |(grid, _): &(Tensor, [i64; 2])| {
            let squares = grid.to_kind(Kind::Double).square().sum_dim_intlist(-1, false, None::<Kind>);
            squares.max().double_value(&[])
        };
        self.grids.iter().map(square).sum::<f64>().sqrt()
    }
}

#[cfg(test)]
mod tests {
    use tch::Device;

    use super::*;
    use crate::method::part::nearest::{Bank, MAX_BYTES};

    fn uniform(size: &[i64], kind: Kind) -> Tensor {
        Tensor::empty(size, (kind, Device::Cpu)).uniform_(0.0, 1.0)
    }

    fn grids(kind: Kind) -> [Tensor; 3] {
        [[1, 3, 8, 6], [1, 5, 4, 3], [1, 2, 3, 2]].map(|size| uniform(&size, kind))
    }

    fn vectors(grids: &[Tensor; 3]) -> Tensor {
        grid::positions(&grid::joined(&grids.each_ref(), true))
    }

    #[test]
    fn products_of_grids_are_those_of_what_is_joined() {
        tch::manual_seed(1);
        let grids = grids(Kind::Double);
        let [centre, rows, start] = [&[10][..], &[7, 10], &[7]].map(|size| uniform(size, Kind::Double));
        let joined = Joined { vectors: &vectors(&grids), grids: &grids };
        let centred = joined.centred(&centre);
        let expected = (joined.vectors - &centre).matmul(&rows.tr()) + &start;
        let found = centred.product(&rows, &start);
        assert!((&found - &expected).abs().max().double_value(&[]) < 1e-13);
        let lengths = (joined.vectors - &centre).square().sum_dim_intlist(-1, false, None::<Kind>).sqrt();
        assert!(lengths.max().double_value(&[]) <= centred.longest());
    }

    /// Rows of the same picture, of another, and some that differ from another by little more than rounding.
    #[test]
    fn the_nearest_are_those_that_whole_vectors_give() {
        tch::manual_seed(2);
        let (own, other) = (grids(Kind::Float), grids(Kind::Float));
        let (queries, rows) = (vectors(&own), vectors(&other));
        let near = rows.narrow(0, 0, 20) + uniform(&[20, 10], Kind::Float) * 1e-6;
        let bank = Bank::new(Tensor::cat(&[rows, near, queries.narrow(0, 5, 3)], 0));
        let joined = Joined { vectors: &queries, grids: &own };
        for (k, room) in [(1, MAX_BYTES), (4, MAX_BYTES), (3, 1)] {
            let (found, expected) =
                (bank.nearest_joined(&joined, None, k, room), bank.nearest(&queries, k, MAX_BYTES));
            assert_eq!(found.rows, expected.rows, "{k}");
            assert_eq!(found.distances, expected.distances, "{k}");
        }
        let own_distances = bank.nearest_joined(&joined, None, 1, MAX_BYTES).distances;
        assert_eq!(own_distances.narrow(0, 5, 3).max().double_value(&[]), 0.0);
    }
}
