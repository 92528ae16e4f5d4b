//! Which tokens of a transformer make up the features that methods read.

use rayon::prelude::*;
use tch::{Device, Kind, Tensor};

use super::dinov2::Dinov2;
use super::{Interpolation, Transformer};
use crate::decode::resize::bicubic;
use crate::network::Features;
use crate::pixels::Pixels;

/// How a method reads a transformer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reading {
    /// What stands for the deepest features.
    pub deep: Deep,
    /// How the position table meets the grid.
    pub interpolation: Interpolation,
    /// Pictures are brought to squares of this side first, in pixels, as Pillow's bicubic filter does; `None` leaves
    /// them as they are.
    pub side: Option<i64>,
}

/// What stands for the deepest features, [`Features::deep`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Deep {
    /// The last block's tokens after the final norm.
    Last,
    /// The mean of the tokens after each of the blocks `first` to `last`, counted from 1, without the final norm.
    Mean {
        /// The first block of them.
        first: usize,
        /// The last block of them.
        last: usize,
    },
}

impl Reading {
    /// As the network's owner has it: the last block, pictures as they are.
    pub fn of(transformer: Transformer) -> Reading {
        Reading { deep: Deep::Last, interpolation: transformer.plan().interpolation(), side: None }
    }

    /// Pictures `[n, 3, h, w]` of 0 to 255 at the side that is asked for.
    pub fn resized(&self, pictures: &Tensor) -> Tensor {
        match self.side {
            Some(side) if pictures.size()[2..] != [side, side] => squares(pictures, side),
            _ => pictures.shallow_clone(),
        }
    }

    /// Features of prepared pictures `[n, 3, 14 h, 14 w]`, all on the grid of patches. The three scales are the tokens
    /// after a quarter, a half and three quarters of the blocks (rounded up), after the final norm, as
    /// `get_intermediate_layers` gives them.
    pub fn features(&self, network: &Dinov2, pictures: &Tensor) -> Features {
        let plan = network.plan();
        let grid = [pictures.size()[2] / plan.patch, pictures.size()[3] / plan.patch];
        let quarters = quarters(plan.depth);
        let end = match self.deep {
            Deep::Last => plan.depth,
            Deep::Mean { last, .. } => last.max(quarters[2]),
        };
        let mut tokens = network.embed(pictures, self.interpolation);
        let mut scales = Vec::with_capacity(3);
        let mut sum: Option<Tensor> = None;
        for done in 1..=end {
            tokens = network.block(done - 1, &tokens);
            let grids = quarters.iter().filter(|&&quarter| quarter == done);
            scales.extend(grids.map(|_| network.grid(&network.norm(&tokens), grid)));
            if let Deep::Mean { first, last } = self.deep
                && (first..=last).contains(&done)
            {
                sum = Some(sum.map_or_else(|| tokens.shallow_clone(), |sum| sum + &tokens));
            }
        }
        let deep = match (self.deep, sum) {
            (Deep::Mean { first, last }, Some(sum)) => network.grid(&(sum / (last + 1 - first) as f64), grid),
            _ => network.grid(&network.norm(&tokens), grid),
        };
        Features { scales: scales.try_into().expect("three quarters"), deep }
    }
}

/// Pictures `[n, 3, h, w]` of 0 to 255 as squares of that side, in bytes, resized as Pillow's bicubic filter does.
pub fn squares(pictures: &Tensor, side: i64) -> Tensor {
    squares_by(bicubic, pictures, side)
}

/// As [`squares`], by another of Pillow's filters.
pub fn squares_by(filter: Filter, pictures: &Tensor, side: i64) -> Tensor {
    let bytes = match pictures.kind() {
        Kind::Uint8 => pictures.shallow_clone(),
        _ => pictures.round().clamp(0.0, 255.0).to_kind(Kind::Uint8),
    };
    let (n, _, h, w) = bytes.size4().expect("pictures are [n, 3, h, w]");
    let planes =
        Vec::<u8>::try_from(bytes.to_device(Device::Cpu).contiguous().flatten(0, -1)).expect("bytes");
    let (h, w, to) = (h as usize, w as usize, side as usize);
    let resize = |planes: &[u8]| {
        let picture = Pixels::from_planes(h, w, 3, planes).expect("whole pictures");
        filter(&picture, to, to).to_planes()
    };
    let resized: Vec<u8> = planes.par_chunks_exact(3 * h * w).flat_map_iter(resize).collect();
    Tensor::from_data_size(&resized, &[n, 3, side, side], Kind::Uint8)
}

/// Brings a picture to a height and width.
type Filter = fn(&Pixels, usize, usize) -> Pixels;

/// Blocks after which a quarter, a half and three quarters are done.
fn quarters(depth: usize) -> [usize; 3] {
    [1, 2, 3].map(|quarter| (quarter * depth).div_ceil(4))
}

#[cfg(test)]
mod tests {
    use super::quarters;

    #[test]
    fn quarters_are_rounded_up() {
        assert_eq!(quarters(12), [3, 6, 9]);
        assert_eq!(quarters(24), [6, 12, 18]);
        assert_eq!(quarters(3), [1, 2, 3]);
    }
}
