//! Where the lesion is.

use anyhow::Result;

use crate::phantom::canvas::{centre, reach};
use crate::phantom::shape::Shape;
use crate::pixels::Pixels;

/// A region in pixels of the picture, upper left corner first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Region {
    pub x: usize,
    pub y: usize,
    pub width: usize,
    pub height: usize,
}

/// `height x width` marks, and a region for each lesion.
pub(super) struct Mask {
    height: usize,
    width: usize,
    marks: Vec<bool>,
    regions: Vec<Region>,
}

impl Mask {
    /// Nothing marked yet.
    pub(super) fn new(height: usize, width: usize) -> Mask {
        Mask { height, width, marks: vec![false; height * width], regions: Vec::new() }
    }

    /// Marks what the shape covers more than half, as one lesion.
    pub(super) fn mark(&mut self, shape: &impl Shape) {
        let (rows, columns) = reach(shape, self.height, self.width);
        let mut seen: Option<[usize; 4]> = None;
        for row in rows {
            for column in columns.clone() {
                if shape.cover(centre(self.height, row, column)) > 0.5 {
                    self.marks[row * self.width + column] = true;
                    let [left, top, right, bottom] = seen.unwrap_or([column, row, column, row]);
                    seen = Some([left.min(column), top.min(row), right.max(column), bottom.max(row)]);
                }
            }
        }
        self.regions.extend(seen.map(|[left, top, right, bottom]| Region {
            x: left,
            y: top,
            width: right - left + 1,
            height: bottom - top + 1,
        }));
    }

    /// The box round every lesion, in the order they were marked.
    pub(super) fn regions(&self) -> &[Region] {
        &self.regions
    }

    /// 255 where a lesion is, else 0.
    pub(super) fn to_pixels(&self) -> Result<Pixels> {
        let samples = self.marks.iter().map(|&marked| if marked { 255 } else { 0 }).collect();
        Pixels::new(self.height, self.width, 1, samples)
    }
}
