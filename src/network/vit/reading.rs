//! Which tokens of a transformer make up the features that methods read.

use rayon::prelude::*;
use tch::{Device, Kind, Tensor};

use super::dinov2::Dinov2;
use super::{Interpolation, Transformer};
use crate::decode::resize::{bicubic, bilinear};
use crate::network::Features;
use crate::pixels::Pixels;

/// How a method reads a transformer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reading {
    /// What stands for the deepest features.
    pub deep: Deep,
    /// How the position table meets the grid.
    pub interpolation: Interpolation,
    /// Pictures are brought to squares of this side first, in pixels, as Pillow does; `None` leaves them as they are.
    pub side: Option<i64>,
    /// How they are brought there.
    pub filter: Filter,
    /// Pixels that are then cut off at each edge.
    pub margin: i64,
    /// What stands for the three scales.
    pub scales: Shallow,
}

/// What stands for a transformer's three scales, [`Features::scales`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shallow {
    /// Patches after quarters of the blocks.
    Quarters,
    /// The first is what comes before the patches in [`Features::deep`], class token and registers, `[n, c, 1 + registers, 1]`;
    /// the others are empty.
    Prefix,
    /// All are empty, so that nothing is spent on keeping them.
    Empty,
}

/// Pillow's filters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Filter {
    /// Cubic of slope -0.5.
    Bicubic,
    /// Triangle.
    Bilinear,
}

impl Filter {
    /// In words.
    pub fn name(self) -> &'static str {
        match self {
            Filter::Bicubic => "bicubic",
            Filter::Bilinear => "bilinear",
        }
    }

    /// A picture of another size.
    ///
    /// # Panics
    /// If `height` or `width` is 0.
    pub fn resize(self, picture: &Pixels, height: usize, width: usize) -> Pixels {
        match self {
            Filter::Bicubic => bicubic(picture, height, width),
            Filter::Bilinear => bilinear(picture, height, width),
        }
    }
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
    /// The tokens after one block, counted from 1, after the final norm.
    Normed(usize),
    /// Two means of the tokens after blocks, without the final norm, joined along channels.
    Groups(Groups),
    /// The tokens after each of four blocks, counted from 1, after the final norm, joined along channels.
    Four([usize; 4]),
}

/// Blocks in two groups of equal size.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Groups {
    /// The first block, counted from 1.
    pub first: usize,
    /// From one block to the next; the second group follows the first.
    pub step: usize,
    /// Blocks of a group.
    pub each: usize,
}

impl Groups {
    /// The last block, counted from 1.
    pub fn last(self) -> usize {
        self.first + self.step * (2 * self.each - 1)
    }

    /// The group of a block, 0 or 1; `None` if it is in neither.
    fn of(self, block: usize) -> Option<usize> {
        let place = block.checked_sub(self.first)?;
        (place % self.step == 0 && block <= self.last()).then(|| place / self.step / self.each)
    }
}

impl Reading {
    /// As the network's owner has it: the last block, pictures as they are.
    pub fn of(transformer: Transformer) -> Reading {
        let interpolation = transformer.plan().interpolation();
        Reading {
            deep: Deep::Last,
            interpolation,
            side: None,
            filter: Filter::Bicubic,
            margin: 0,
            scales: Shallow::Quarters,
        }
    }

    /// Pictures `[n, 3, h, w]` of 0 to 255 at the side that is asked for.
    pub fn resized(&self, pictures: &Tensor) -> Tensor {
        let squares = match self.side {
            Some(side) if pictures.size()[2..] != [side, side] => squares(pictures, side, self.filter),
            _ => pictures.shallow_clone(),
        };
        let inside = |dimension: i64| squares.size()[dimension as usize] - 2 * self.margin;
        squares.narrow(2, self.margin, inside(2)).narrow(3, self.margin, inside(3))
    }

    /// Features of prepared pictures `[n, 3, 14 h, 14 w]`, on the grid of patches. Quarters are the tokens after a quarter,
    /// a half and three quarters of the blocks (rounded up), after the final norm, as `get_intermediate_layers` gives them.
    pub fn features(&self, network: &Dinov2, pictures: &Tensor) -> Features {
        let plan = network.plan();
        let grid = [pictures.size()[2] / plan.patch, pictures.size()[3] / plan.patch];
        let has_quarters = self.scales == Shallow::Quarters;
        let quarters = if has_quarters { quarters(plan.depth).to_vec() } else { Vec::new() };
        let of_deep = match self.deep {
            Deep::Last => plan.depth,
            Deep::Mean { last, .. } => last,
            Deep::Normed(block) => block,
            Deep::Groups(groups) => groups.last(),
            Deep::Four(blocks) => blocks.into_iter().fold(0, usize::max),
        };
        let end = quarters.iter().copied().fold(of_deep, usize::max);
        let mut tokens = network.embed(pictures, self.interpolation);
        let (mut scales, mut deep) = (Vec::with_capacity(3), Collected::new(self.deep));
        for done in 1..=end {
            tokens = network.block(done - 1, &tokens);
            let grids = quarters.iter().filter(|&&quarter| quarter == done);
            scales.extend(grids.map(|_| network.grid(&network.norm(&tokens), grid)));
            deep.take_in(network, &tokens, done);
        }
        let parts = deep.parts();
        let deep = joined(parts.iter().map(|part| network.grid(part, grid)).collect());
        if self.scales == Shallow::Prefix {
            scales.push(joined(parts.iter().map(|part| network.prefix(part)).collect()));
        }
        while scales.len() < 3 {
            scales.push(deep.narrow(1, 0, 0));
        }
        Features { scales: scales.try_into().expect("three parts"), deep }
    }
}

/// Along channels.
fn joined(parts: Vec<Tensor>) -> Tensor {
    match <[Tensor; 1]>::try_from(parts) {
        Ok([one]) => one,
        Err(parts) => Tensor::cat(&parts, 1),
    }
}

/// Tokens of the blocks that the deepest features are made of.
struct Collected {
    deep: Deep,
    /// One sum, that of each group, or each of four blocks, with the number of blocks in it.
    sums: [Option<(Tensor, usize)>; 4],
}

impl Collected {
    fn new(deep: Deep) -> Collected {
        Collected { deep, sums: [const { None }; 4] }
    }

    /// Tokens after block `done`, counted from 1.
    fn take_in(&mut self, network: &Dinov2, tokens: &Tensor, done: usize) {
        if let Deep::Four(blocks) = self.deep {
            // A shallow network may have fewer than four.
            for place in (0..4).filter(|&place| blocks[place] == done) {
                self.sums[place] = Some((network.norm(tokens), 1));
            }
            return;
        }
        let (place, tokens) = match self.deep {
            Deep::Last if done == network.plan().depth => (0, network.norm(tokens)),
            Deep::Normed(block) if done == block => (0, network.norm(tokens)),
            Deep::Mean { first, last } if (first..=last).contains(&done) => (0, tokens.shallow_clone()),
            Deep::Groups(groups) => match groups.of(done) {
                Some(group) => (group, tokens.shallow_clone()),
                None => return,
            },
            _ => return,
        };
        let sum = self.sums[place].take();
        self.sums[place] = Some(sum.map_or((tokens.shallow_clone(), 1), |(sum, n)| (sum + tokens, n + 1)));
    }

    /// The means.
    fn parts(self) -> Vec<Tensor> {
        let mean = |(sum, n): (Tensor, usize)| if n == 1 { sum } else { sum / n as f64 };
        let parts: Vec<Tensor> = self.sums.into_iter().flatten().map(mean).collect();
        debug_assert!(!matches!(self.deep, Deep::Four(_)) || parts.len() == 4, "a block that is not there");
        parts
    }
}

/// Pictures `[n, 3, h, w]` of 0 to 255 as squares of that side, in bytes, resized as Pillow does.
pub fn squares(pictures: &Tensor, side: i64, filter: Filter) -> Tensor {
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
        filter.resize(&picture, to, to).to_planes()
    };
    let resized: Vec<u8> = planes.par_chunks_exact(3 * h * w).flat_map_iter(resize).collect();
    Tensor::from_data_size(&resized, &[n, 3, side, side], Kind::Uint8)
}

/// Blocks after which a quarter, a half and three quarters are done.
fn quarters(depth: usize) -> [usize; 3] {
    [1, 2, 3].map(|quarter| (quarter * depth).div_ceil(4))
}

#[cfg(test)]
mod tests {
    use super::{Groups, quarters};

    #[test]
    fn groups_follow_one_another() {
        let groups = |first: usize, step: usize, each: usize| {
            let groups = Groups { first, step, each };
            let of = |group: usize| -> Vec<usize> {
                (1..=24).filter(|&block| groups.of(block) == Some(group)).collect()
            };
            [of(0), of(1)]
        };
        let base: [Vec<usize>; 2] = [vec![3, 4, 5, 6], vec![7, 8, 9, 10]];
        assert_eq!(groups(3, 1, 4), base);
        let large: [Vec<usize>; 2] = [vec![5, 7, 9, 11], vec![13, 15, 17, 19]];
        assert_eq!(groups(5, 2, 4), large);
    }

    #[test]
    fn quarters_are_rounded_up() {
        assert_eq!(quarters(12), [3, 6, 9]);
        assert_eq!(quarters(24), [6, 12, 18]);
        assert_eq!(quarters(3), [1, 2, 3]);
    }
}
