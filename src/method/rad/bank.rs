//! Normals' tokens at their places, and the nearest of them around a place.

use tch::{Kind, Tensor};

use crate::method::part::direction::unit;

/// What lies outside a grid: below any cosine.
const OUTSIDE: f64 = -2.0;
/// Places whose normals are compared at once.
const AT_ONCE: i64 = 128;

/// Where a query's patch looks for its like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reach {
    /// Within so many patches of its own place, along rows and columns.
    Radius(i64),
    /// At every place.
    Everywhere,
}

/// Tokens of normals in several layers, each of length 1.
pub struct Banks {
    /// `[n, width]`: class tokens of the last layer.
    class: Tensor,
    /// Of each layer, `[h w, n, width]`.
    patches: Vec<Tensor>,
}

impl Banks {
    /// Room for `n` normals of which these are the first: class tokens `[k, width]` and, for each layer, patches as grids
    /// `[k, width, h, w]`.
    pub fn with_room(n: i64, class: &Tensor, grids: &[Tensor]) -> Banks {
        let room = |shape: &[i64]| Tensor::empty(shape, (class.kind(), class.device()));
        let of_layer = |grid: &Tensor| {
            let (_, width, h, w) = grid.size4().expect("grids are [k, width, h, w]");
            room(&[h * w, n, width])
        };
        let mut banks =
            Banks { class: room(&[n, class.size()[1]]), patches: grids.iter().map(of_layer).collect() };
        banks.put(0, class, grids);
        banks
    }

    /// Normals from number `start` on, as in [`Banks::with_room`].
    pub fn put(&mut self, start: i64, class: &Tensor, grids: &[Tensor]) {
        let k = class.size()[0];
        self.class.narrow(0, start, k).copy_(&unit(class, -1));
        for (bank, grid) in self.patches.iter().zip(grids) {
            bank.narrow(1, start, k).copy_(&unit(&rows(grid), -1).transpose(0, 1));
        }
    }

    /// Number of normals.
    pub fn len(&self) -> usize {
        self.class.size()[0] as usize
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Bytes that it takes.
    pub fn bytes(&self) -> usize {
        self.patches.iter().chain([&self.class]).map(|part| part.numel() * size_of::<f32>()).sum()
    }

    /// One less the cosine to the nearest patch in reach, the mean over layers: `[h, w]` of one query, by its class token
    /// `[1, width]` and its patches `[1, width, h, w]` in each layer. Only the normals whose class tokens are nearest count, so
    /// many as `neighbours`.
    pub fn distances(&self, class: &Tensor, grids: &[Tensor], neighbours: usize, reach: Reach) -> Tensor {
        let chosen = self.chosen(class, neighbours);
        let of_layer = |(bank, grid): (&Tensor, &Tensor)| {
            let pieces = pieces(bank, chosen.as_ref());
            let (h, w) = (grid.size()[2], grid.size()[3]);
            let query = unit(&rows(grid).squeeze_dim(0), -1);
            let nearest = match reach {
                Reach::Radius(radius) => around(&query.view([h, w, -1]), pieces, radius),
                Reach::Everywhere => anywhere(&query, pieces).view([h, w]),
            };
            1.0 - nearest
        };
        let layers: Vec<Tensor> = self.patches.iter().zip(grids).map(of_layer).collect();
        Tensor::stack(&layers, 0).mean_dim(0, false, None::<Kind>)
    }

    /// The normals that are nearest as whole pictures; `None` if all are.
    fn chosen(&self, class: &Tensor, neighbours: usize) -> Option<Tensor> {
        let is_choice = neighbours < self.len();
        is_choice
            .then(|| self.class.mv(&unit(class, -1).squeeze_dim(0)).topk(neighbours as i64, 0, true, true).1)
    }
}

/// Some places of a bank `[h w, n, width]` after others, of the `chosen` normals alone if there is a choice, so that not all of
/// them are copied at once.
fn pieces<'a>(bank: &'a Tensor, chosen: Option<&'a Tensor>) -> impl Iterator<Item = Tensor> + use<'a> {
    bank.split(AT_ONCE, 0).into_iter().map(move |piece| match chosen {
        Some(chosen) => piece.index_select(1, chosen),
        None => piece,
    })
}

/// Cosines to the nearest within `radius` of each place, `[h, w]`, of a query `[h, w, width]`. A place of the bank meets all of the
/// query's patches that have it in reach, so that the bank is read once: at offset (down, right) the bank's place (y, x) meets
/// the query's (y + radius - down, x + radius - right).
fn around(query: &Tensor, pieces: impl Iterator<Item = Tensor>, radius: i64) -> Tensor {
    let (h, w, width) = query.size3().expect("queries are [h, w, width]");
    let side = 2 * radius + 1;
    let padded = query.constant_pad_nd([0, 0, radius, radius, radius, radius]);
    let offsets: Vec<(i64, i64)> =
        (0..side).flat_map(|down| (0..side).map(move |right| (down, right))).collect();
    let met = offsets.iter().map(|&(down, right)| {
        padded.narrow(0, 2 * radius - down, h).narrow(1, 2 * radius - right, w).reshape([h * w, width])
    });
    let met = Tensor::stack(&met.collect::<Vec<_>>(), 1);
    let nearest = |(met, bank): (Tensor, Tensor)| met.bmm(&bank.transpose(1, 2)).amax([-1], false);
    let cosines: Vec<Tensor> = met.split(AT_ONCE, 0).into_iter().zip(pieces).map(nearest).collect();
    let cosines = Tensor::cat(&cosines, 0).view([h, w, -1]);
    let outside = [0, 0, radius, radius, radius, radius];
    let padded = cosines.pad(outside, "constant", OUTSIDE);
    let seen = offsets.iter().enumerate().map(|(offset, &(down, right))| {
        padded.select(2, offset as i64).narrow(0, down, h).narrow(1, right, w)
    });
    Tensor::stack(&seen.collect::<Vec<_>>(), 0).amax([0], false)
}

/// Cosines to the nearest of all, `[t]`, of a query `[t, width]`.
fn anywhere(query: &Tensor, pieces: impl Iterator<Item = Tensor>) -> Tensor {
    let nearest = |bank: Tensor| query.matmul(&bank.flatten(0, 1).tr()).amax([-1], false);
    Tensor::stack(&pieces.map(nearest).collect::<Vec<_>>(), 0).amax([0], false)
}

/// Grids `[n, width, h, w]` row by row, `[n, h w, width]`.
fn rows(grids: &Tensor) -> Tensor {
    grids.flatten(2, 3).transpose(1, 2).contiguous()
}

#[cfg(test)]
mod tests {
    use tch::Device;

    use super::*;

    #[test]
    fn a_patch_is_found_in_its_reach_alone() {
        // One normal of 4 x 4 patches, each a direction of its own.
        let grid = Tensor::eye(16, (Kind::Float, Device::Cpu)).view([1, 16, 4, 4]);
        let class = Tensor::ones([1, 16], (Kind::Float, Device::Cpu));
        let banks = Banks::with_room(1, &class, &[grid.copy()]);
        let distance = |reach: Reach| {
            // The query's upper left patch is the normal's at row 1, column 1; all others are like nothing.
            let query = Tensor::zeros([1, 16, 4, 4], (Kind::Float, Device::Cpu));
            query.select(2, 0).select(2, 0).copy_(&grid.select(2, 1).select(2, 1));
            banks.distances(&class, &[query], 1, reach).double_value(&[0, 0])
        };
        assert_eq!(distance(Reach::Radius(0)), 1.0);
        assert_eq!(distance(Reach::Radius(1)), 0.0);
        assert_eq!(distance(Reach::Everywhere), 0.0);
    }
}
