//! How pictures come to the size that a network sees: as squares of the pixel store, or as a method's authors make them of
//! whole files.

use std::sync::Arc;

use anyhow::{Result, bail};
use serde::{Deserialize, Serialize};

use crate::episode::batch::Pictures;
use crate::network::vit::Filter;
use crate::pixels::Pixels;

/// How pictures come to the size that a network sees.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Geometry {
    /// From squares of the pixel store, which all methods of a board share.
    #[default]
    Square,
    /// From whole files, as the authors do. Only `score` has files.
    Published,
}

/// What [`Geometry::Published`] takes in place of squares of the store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FromFiles {
    /// Side in pixels of the squares that stand for whole pictures; maps are of this size.
    pub side: i64,
    /// How files are stretched to them.
    pub filter: Filter,
    /// Whether the method takes pictures of their own size, too ([`Pictures::originals`]).
    pub originals: bool,
    /// The authors' way, for people.
    pub about: String,
}

impl FromFiles {
    /// Files are stretched to squares at once, and that is all.
    pub fn stretched(side: i64, filter: Filter) -> FromFiles {
        let name = filter.name();
        let about = format!("stretched to {side} x {side} pixels at once ({name})");
        FromFiles { side, filter, originals: false, about }
    }
}

impl Geometry {
    /// What `published` says, where it is asked for.
    pub fn from_files(self, published: impl FnOnce() -> FromFiles) -> Option<FromFiles> {
        (self == Geometry::Published).then(published)
    }
}

/// One picture of its own size for each of `pictures`.
///
/// # Errors
/// Pictures of the store, which has squares alone.
pub fn originals(pictures: &Pictures) -> Result<&[Arc<Pixels>]> {
    match pictures.originals.len() == pictures.len() {
        true => Ok(&pictures.originals),
        false => bail!(
            "geometry = \"published\" takes whole files, and these pictures are squares of a pixel store"
        ),
    }
}
