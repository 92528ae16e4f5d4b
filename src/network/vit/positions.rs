//! Position tables for grids of another size than they were learnt on.
//!
//! Three rules are in use, and a method's numbers depend on which one its authors ran: on a table of noise they differ by
//! 30 to 80 % of its deviation at 16 x 16 positions, on a smooth one by 5 %.

use tch::Tensor;

/// How a table is brought to another grid. The rows of tokens that belong to no patch stay as they are, and so does a
/// table that has the grid already.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Interpolation {
    /// Cubic of slope -0.75 without a filter, at a scale of `(n + 0.1) / table`: DINOv2 without registers, as its owners
    /// run it.
    Offset,
    /// Cubic of slope -0.5 that averages where it shrinks: DINOv2 with registers, and timm's and open_clip's tables.
    Antialiased,
    /// Cubic of slope -0.75 without a filter, at the scale of the sizes: Hugging Face's DINOv2 without registers.
    Exact,
}

/// What the owners add to a side before they divide it by the table's.
const OFFSET: f64 = 0.1;

impl Interpolation {
    /// A table `[1, extra + side^2, d]` as `[1, extra + h w, d]`, in its own kind.
    pub fn apply(self, table: &Tensor, extra: i64, [h, w]: [i64; 2]) -> Tensor {
        let (_, rows, d) = table.size3().expect("a table is [1, rows, d]");
        let side = (rows - extra).isqrt();
        if [h, w] == [side, side] {
            return table.shallow_clone();
        }
        let grid = table.narrow(1, extra, rows - extra).view([1, side, side, d]).permute([0, 3, 1, 2]);
        let scale = |n: i64| Some((n as f64 + OFFSET) / side as f64);
        let resized = match self {
            Interpolation::Offset => grid.upsample_bicubic2d([h, w], false, scale(h), scale(w)),
            Interpolation::Antialiased => grid.internal_upsample_bicubic2d_aa([h, w], false, None, None),
            Interpolation::Exact => grid.upsample_bicubic2d([h, w], false, None, None),
        };
        let positions = resized.permute([0, 2, 3, 1]).reshape([1, h * w, d]);
        Tensor::cat(&[table.narrow(1, 0, extra), positions], 1)
    }
}
