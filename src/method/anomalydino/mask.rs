//! Which patches show the object: those that stand out along the first principal component of a picture's own tokens.

use anyhow::Result;
use serde::{Deserialize, Serialize};
use tch::{Kind, Tensor};

/// How a mask is grown before it counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Mask {
    /// All patches count.
    None,
    /// As the published code does: it dilates and closes the column of all patches, so that the mask grows to the left and
    /// right alone, and from the end of a row to the start of the next.
    Published,
    /// Over 3 x 3 neighbours of the grid.
    Grid,
}

/// Above this, along the component, a patch shows the object.
const THRESHOLD: f64 = 10.0;

/// Where the object fills no more of the picture's middle, the component points the other way.
const LEAST: f64 = 0.35;

impl Mask {
    /// 1 for patches that count and 0 for others, `[h, w]`, double precision on the CPU, of one picture's tokens `[h * w, d]`.
    ///
    /// # Errors
    /// What libtorch fails with.
    pub fn kept(self, tokens: &Tensor, [h, w]: [i64; 2]) -> Result<Tensor> {
        if self == Mask::None {
            return Ok(Tensor::ones([h, w], (Kind::Double, tch::Device::Cpu)));
        }
        let component = Vec::<f64>::try_from(first_component(tokens))?;
        let (height, width) = (h as usize, w as usize);
        let (raw, _) = standing_out(&component, [height, width]);
        let grown = match self {
            // A column of one value a row: only the neighbours before and after are there.
            Mask::Published => grow(&raw, [height * width, 1]),
            _ => grow(&raw, [height, width]),
        };
        let values: Vec<f64> = grown.into_iter().map(|kept| f64::from(u8::from(kept))).collect();
        Ok(Tensor::from_slice(&values).view([h, w]))
    }
}

/// Tokens `[m, d]` less their mean along the direction of their largest variance: `[m]`, double precision on the CPU. The
/// direction's largest value is positive.
pub fn first_component(tokens: &Tensor) -> Tensor {
    let wide = tokens.to_device(tch::Device::Cpu).to_kind(Kind::Double);
    let centred = &wide - wide.mean_dim(0, true, None::<Kind>);
    let (_, vectors) = centred.tr().matmul(&centred).linalg_eigh("L");
    let direction = vectors.select(1, -1);
    let largest = direction.abs().argmax(0, false);
    let sign = direction.index_select(0, &largest.view([1])).sign();
    centred.matmul(&(direction * sign))
}

/// Patches above the threshold; below its opposite, and then true beside them, where too few of the middle are above.
pub fn standing_out(component: &[f64], [h, w]: [usize; 2]) -> (Vec<bool>, bool) {
    let above =
        |sign: f64| -> Vec<bool> { component.iter().map(|&value| sign * value > THRESHOLD).collect() };
    let middle = |n: usize| (0.2 * n as f64) as usize..(0.8 * n as f64) as usize;
    let mask = above(1.0);
    let area = middle(h).len() * middle(w).len();
    let count = middle(h).map(|row| middle(w).filter(|column| mask[row * w + column]).count()).sum::<usize>();
    if count as f64 <= LEAST * area as f64 { (above(-1.0), true) } else { (mask, false) }
}

/// Dilated by 3 x 3, then closed by 3 x 3; what lies outside counts for neither.
fn grow(mask: &[bool], shape: [usize; 2]) -> Vec<bool> {
    let dilated = spread(&spread(mask, shape, true), shape, true);
    spread(&dilated, shape, false)
}

/// Each place takes `value` where a neighbour, or itself, has it.
fn spread(mask: &[bool], [h, w]: [usize; 2], value: bool) -> Vec<bool> {
    let near = |at: usize, n: usize| at.saturating_sub(1)..(at + 2).min(n);
    let has = |place: usize| {
        let (row, column) = (place / w, place % w);
        near(row, h).any(|row| near(column, w).any(|column| mask[row * w + column] == value))
    };
    (0..h * w).map(|place| if has(place) { value } else { !value }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_column_grows_along_rows_and_a_grid_all_round() {
        let mut mask = vec![false; 25];
        mask[9] = true;
        // Grown by one, and closed, which leaves a solid piece as it is.
        let along: Vec<usize> = (0..25).filter(|&place| grow(&mask, [25, 1])[place]).collect();
        assert_eq!(along, [8, 9, 10]);
        let round: Vec<usize> = (0..25).filter(|&place| grow(&mask, [5, 5])[place]).collect();
        assert_eq!(round, [3, 4, 8, 9, 13, 14]);
    }

    #[test]
    fn the_component_is_turned_where_the_middle_is_empty() {
        let component = |middle: f64| -> Vec<f64> {
            (0..100)
                .map(|place| {
                    if (2..8).contains(&(place / 10)) && (2..8).contains(&(place % 10)) {
                        middle
                    } else {
                        20.0
                    }
                })
                .collect()
        };
        assert!(!standing_out(&component(11.0), [10, 10]).1);
        let (mask, is_turned) = standing_out(&component(-11.0), [10, 10]);
        assert!(is_turned && mask[55] && !mask[0]);
    }
}
