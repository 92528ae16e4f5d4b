//! Vectors that are joined of several grids, of which coarser ones are brought to the first one's size.

use tch::{Kind, Tensor};

use super::grid;

/// All positions of pictures.
pub struct Joined {
    vectors: Tensor,
    pictures: i64,
    /// None, where all have one size, as a transformer's stages have.
    grids: Vec<Tensor>,
}

/// Grids of pictures from a centre.
pub(super) struct Centred {
    /// Each with its sides, `[pictures * h_i * w_i, c_i]`, picture after picture.
    grids: Vec<(Tensor, [i64; 2])>,
}

impl Joined {
    /// Of at least one grid, each `[b, c_i, h_i, w_i]`, none finer than the first.
    pub fn new(grids: Vec<Tensor>) -> Joined {
        let vectors = grid::joined_positions(&grids);
        let sides = |grid: &Tensor| grid.size().split_off(2);
        let are_coarser = grids.iter().any(|grid| sides(grid) != sides(&grids[0]));
        Joined { vectors, pictures: grids[0].size()[0], grids: if are_coarser { grids } else { Vec::new() } }
    }

    /// `[b * h * w, sum of c_i]`, as [`grid::joined`] makes them bilinearly and [`grid::positions`] lists them.
    pub fn vectors(&self) -> &Tensor {
        &self.vectors
    }

    /// What was joined; none, where products of whole vectors take as little work.
    pub fn grids(&self) -> &[Tensor] {
        &self.grids
    }

    /// Number of pictures.
    pub fn pictures(&self) -> i64 {
        self.pictures
    }

    /// Positions of each picture.
    pub fn positions(&self) -> i64 {
        self.vectors.size()[0] / self.pictures.max(1)
    }

    /// `count` of the pictures, from `start`.
    pub fn narrow(&self, start: i64, count: i64) -> Joined {
        let each = self.positions();
        Joined {
            vectors: self.vectors.narrow(0, start * each, count * each),
            pictures: count,
            grids: self.grids.iter().map(|grid| grid.narrow(0, start, count)).collect(),
        }
    }

    /// All pictures of `parts`, of which there is at least one.
    pub fn cat(parts: &[Joined]) -> Joined {
        let cat = |tensors: Vec<&Tensor>| Tensor::cat(&tensors, 0);
        let grid = |index: usize| cat(parts.iter().map(|part| &part.grids[index]).collect());
        Joined {
            vectors: cat(parts.iter().map(|part| &part.vectors).collect()),
            pictures: parts.iter().map(Joined::pictures).sum(),
            grids: (0..parts[0].grids.len()).map(grid).collect(),
        }
    }
}

impl Centred {
    /// Of `grids`, which together have as many channels as `centre`, `[c]`.
    pub(super) fn new(grids: &[Tensor], centre: &Tensor) -> Centred {
        let mut at = 0;
        let one = |grid: &Tensor| {
            let (c, sides) = (grid.size()[1], [grid.size()[2], grid.size()[3]]);
            at += c;
            (grid::positions(grid) - centre.narrow(0, at - c, c), sides)
        };
        Centred { grids: grids.iter().map(one).collect() }
    }

    /// All numbers times `factor`.
    pub(super) fn times(mut self, factor: f64) -> Centred {
        for (grid, _) in &mut self.grids {
            let _ = grid.g_mul_scalar_(factor);
        }
        self
    }

    /// Numbers in all grids.
    pub(super) fn numel(&self) -> usize {
        self.grids.iter().map(|(grid, _)| grid.numel()).sum()
    }

    /// Positions of a picture.
    pub(super) fn positions(&self) -> i64 {
        self.grids[0].1.iter().product()
    }

    /// Products of all vectors with `count` of the vectors of `rows`, from `start`, added to `sum` `[count]`: `[m, count]`.
    /// Joining is linear, so products of coarse grids are brought to the fine ones in the place of their vectors.
    pub(super) fn product(&self, rows: &Centred, (start, count): (i64, i64), sum: &Tensor) -> Tensor {
        let (sides, row_sides, of_rows) = (self.grids[0].1, rows.grids[0].1, rows.positions());
        // Whole pictures.
        let first = start / of_rows;
        let pictures = (start + count + of_rows - 1) / of_rows - first;
        let pairs = self.grids.iter().zip(&rows.grids);
        pairs.fold(sum.shallow_clone(), |sum, ((grid, own_sides), (rows, their_sides))| {
            if (own_sides, their_sides) == (&sides, &row_sides) {
                return sum.addmm(grid, &rows.narrow(0, start, count).tr());
            }
            let each = their_sides.iter().product::<i64>();
            let rows = rows.narrow(0, first * each, pictures * each).tr();
            let product = grid.matmul(&rows).view([-1, pictures, their_sides[0], their_sides[1]]);
            let product = product.upsample_bilinear2d(row_sides, false, None, None);
            let product = product.view([-1, pictures * of_rows]).narrow(1, start - first * of_rows, count);
            let [h, w] = *own_sides;
            let product = product.reshape([-1, h, w, count]).permute([0, 3, 1, 2]);
            let product = product.upsample_bilinear2d(sides, false, None, None);
            product.permute([0, 2, 3, 1]).reshape([-1, count]).g_add_(&sum)
        })
    }

    /// At least the length that each grid gives each of the vectors, `[m]`, double precision: what is brought to another size
    /// is never longer than the longest of what lies around.
    pub(super) fn lengths(&self) -> impl Iterator<Item = Tensor> {
        let sides = self.grids[0].1;
        self.grids.iter().map(move |(grid, own_sides)| {
            let lengths = grid.norm_scalaropt_dim(2, [-1i64].as_slice(), false).to_kind(Kind::Double);
            if *own_sides == sides {
                return lengths;
            }
            let [h, w] = *own_sides;
            let around = lengths.view([-1, 1, h, w]).max_pool2d([3, 3], [1, 1], [1, 1], [1, 1], false);
            around.upsample_nearest2d(sides, None, None).flatten(0, -1)
        })
    }

    /// Channels of each grid.
    pub(super) fn channels(&self) -> impl Iterator<Item = i64> {
        self.grids.iter().map(|(grid, _)| grid.size()[1])
    }
}

#[cfg(test)]
mod tests {
    use tch::Device;

    use super::*;
    use crate::method::part::nearest::Bank;
    use crate::method::part::search_cost::MAX_BYTES;

    fn uniform(size: &[i64], kind: Kind) -> Tensor {
        Tensor::empty(size, (kind, Device::Cpu)).uniform_(0.0, 1.0)
    }

    fn pictures(count: i64, kind: Kind) -> Joined {
        Joined::new(
            [[3, 8, 6], [5, 4, 3], [2, 3, 2]].map(|[c, h, w]| uniform(&[count, c, h, w], kind)).into(),
        )
    }

    #[test]
    fn positions_are_those_of_what_is_joined() {
        tch::manual_seed(3);
        let grids = [[3, 8, 6], [5, 4, 3], [2, 3, 2]].map(|[c, h, w]| uniform(&[4, c, h, w], Kind::Float));
        for grids in [grids.each_ref().map(crate::network::layout::for_convolutions), grids] {
            let expected = grid::positions(&grid::joined(&grids.each_ref(), true));
            let joined = Joined::new(grids.into());
            assert_eq!(joined.vectors(), &expected);
            assert_eq!((joined.pictures(), joined.positions(), joined.grids().len()), (4, 48, 3));
        }
        let alike = Joined::new([2, 3].map(|c| uniform(&[2, c, 4, 4], Kind::Float)).into());
        assert!(alike.grids().is_empty());
    }

    #[test]
    fn products_of_grids_are_those_of_what_is_joined() {
        tch::manual_seed(1);
        let (queries, rows) = (pictures(2, Kind::Double), pictures(3, Kind::Double));
        let (centre, start) = (uniform(&[10], Kind::Double), uniform(&[144], Kind::Double));
        let own = Centred::new(queries.grids(), &centre);
        let bank = Centred::new(rows.grids(), &centre).times(-2.0);
        let expected = (queries.vectors() - &centre).matmul(&(rows.vectors() - &centre).tr()) * -2.0 + &start;
        // Whole pictures, parts of one, and of two.
        for (first, count) in [(48, 96), (50, 20), (30, 40), (0, 144)] {
            let found = own.product(&bank, (first, count), &start.narrow(0, first, count));
            let apart = (found - expected.narrow(1, first, count)).abs().max().double_value(&[]);
            assert!(apart < 1e-13, "{first}, {count}: {apart}");
        }
        let lengths = (queries.vectors() - &centre).square().sum_dim_intlist(-1, false, None::<Kind>).sqrt();
        let squares = own.lengths().map(|lengths| lengths.square()).reduce(|sum, next| sum + next);
        let said = squares.unwrap().sqrt() * (1.0 + 1e-12);
        assert!(bool::try_from(lengths.le_tensor(&said).all()).unwrap());
    }

    /// Pictures of the bank, others, and some that differ from one of the bank by little more than rounding.
    #[test]
    fn the_nearest_are_those_that_whole_vectors_give() {
        tch::manual_seed(2);
        let bank = pictures(3, Kind::Float);
        let near = bank.narrow(1, 1);
        let near = near.grids().iter().map(|grid| grid + uniform(&grid.size(), Kind::Float) * 1e-6);
        let near = Joined::new(near.collect());
        let queries = Joined::cat(&[bank.narrow(2, 1), pictures(1, Kind::Float), near]);
        let whole = Bank::new(bank.vectors().shallow_clone());
        let joined = Bank::of_pictures(bank.vectors().shallow_clone(), bank.grids());
        for (k, room) in [(1, MAX_BYTES), (4, MAX_BYTES), (3, 1 << 18), (3, 1)] {
            let (found, expected) =
                (joined.nearest_joined(&queries, k, room), whole.nearest(queries.vectors(), k, MAX_BYTES));
            assert_eq!(found.rows, expected.rows, "{k}, {room}");
            assert_eq!(found.distances, expected.distances, "{k}, {room}");
        }
        let own = joined.nearest_joined(&queries, 1, MAX_BYTES).distances.narrow(0, 0, 48);
        assert_eq!(own.max().double_value(&[]), 0.0);
    }
}
