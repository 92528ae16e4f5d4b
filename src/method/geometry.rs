//! How pictures come to the size that a network sees: as squares of the pixel store, or as a method's authors make them of
//! whole files.

use std::fmt;
use std::sync::Arc;

use anyhow::{Result, ensure};
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

/// What a picture of a file is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// It is scored.
    Query,
    /// It is learnt from, perhaps in random views, which follow a seed.
    Reference {
        /// The method's seed.
        seed: u64,
    },
}

/// What a method takes beside the square of an RGB picture of its own size.
///
/// An error refuses the picture, and says why.
pub type MakeViews = Arc<dyn Fn(&Pixels, Role) -> Result<Vec<Pixels>> + Send + Sync>;

/// What [`Geometry::Published`] takes in place of squares of the store.
#[derive(Clone)]
pub struct FromFiles {
    /// Side in pixels of the squares that stand for whole pictures; maps are of this size.
    pub side: i64,
    /// How files are stretched to them.
    pub filter: Filter,
    /// What becomes [`Pictures::views`]; nothing where squares are all that is seen.
    pub views: Option<MakeViews>,
    /// The authors' way, for people.
    pub about: String,
}

impl fmt::Debug for FromFiles {
    fn fmt(&self, to: &mut fmt::Formatter) -> fmt::Result {
        let FromFiles { side, filter, views, about } = self;
        write!(to, "{about} (side {side}, {filter:?}, views {})", views.is_some())
    }
}

impl FromFiles {
    /// Files are stretched to squares at once, and that is all.
    pub fn stretched(side: i64, filter: Filter) -> FromFiles {
        let about = format!("stretched to {side} x {side} pixels at once ({})", filter.name());
        FromFiles { side, filter, views: None, about }
    }
}

impl Geometry {
    /// What `published` says, where it is asked for.
    pub fn from_files(self, published: impl FnOnce() -> FromFiles) -> Option<FromFiles> {
        (self == Geometry::Published).then(published)
    }

    /// Refuses files where the method learns from more than `score` gives to it.
    ///
    /// # Errors
    /// Names the method and what to set `instead`.
    pub fn check_learns_from_references(self, does: bool, method: &str, instead: &str) -> Result<()> {
        ensure!(
            self == Geometry::Square || does,
            "{method}: geometry = \"published\" is for `score`, which gives references and nothing else to learn from; set \
             {instead} as well"
        );
        Ok(())
    }
}

/// The views of each of `pictures`.
///
/// # Errors
/// Pictures of the store, which have none.
pub fn views_of(pictures: &Pictures) -> Result<&[Arc<[Pixels]>]> {
    ensure!(
        pictures.views.len() == pictures.len(),
        "geometry = \"published\" takes whole files, and these pictures are squares of a pixel store"
    );
    Ok(&pictures.views)
}
