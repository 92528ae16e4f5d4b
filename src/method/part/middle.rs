//! What a transformer sees of pictures that are stretched to a square of which a margin is cut off.

use anyhow::{Result, ensure};

use crate::method::geometry::FromFiles;
use crate::network::vit::{Deep, Filter, Reading, Shallow, Transformer};

/// The middle of a stretched square, and who sees it.
#[derive(Clone, Copy, Debug)]
pub struct Middle {
    /// Sees it.
    pub backbone: Transformer,
    /// Side in pixels of what is seen.
    pub side: i64,
    /// Pixels cut off at each edge.
    pub margin: i64,
}

impl Middle {
    /// # Errors
    /// Sides that the transformer cannot see, for that method.
    pub fn check(&self, method: &str) -> Result<()> {
        let (name, patch) = (self.backbone.name(), self.backbone.plan().patch);
        ensure!(
            self.side > 0 && self.side % patch == 0,
            "{method}: side must be a multiple of {patch}, the patch of {name}"
        );
        ensure!(self.margin >= 0, "{method}: margin must not be negative");
        Ok(())
    }

    /// The side that is resized to.
    fn stretched(&self) -> i64 {
        self.side + 2 * self.margin
    }

    /// What files become.
    pub fn published(&self) -> FromFiles {
        let stretched = FromFiles::stretched(self.stretched(), Filter::Bilinear);
        let about = format!("{}, of which the middle {} x {} is seen", stretched.about, self.side, self.side);
        FromFiles { about, ..stretched }
    }

    /// How it is read. What comes before the patches is read for all, so that methods share what a teacher says.
    pub fn reading(&self, deep: Deep) -> Reading {
        Reading {
            deep,
            side: Some(self.stretched()),
            filter: Filter::Bilinear,
            margin: self.margin,
            scales: Shallow::Prefix,
            ..Reading::of(self.backbone)
        }
    }
}
