//! The networks whose features methods can compare, by name: pyramids of stages, and transformers.

use anyhow::Result;
use serde::{Deserialize, Serialize};

use super::Backbone;
use super::vit::Transformer;
use crate::names;

/// A network that gives three scales of features and the deepest ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Extractor {
    /// Each scale has half the side of the one before.
    Pyramid(Backbone),
    /// All scales lie on the grid of patches.
    Transformer(Transformer),
}

impl Extractor {
    /// Every network.
    pub fn all() -> impl Iterator<Item = Extractor> {
        let pyramids = Backbone::ALL.into_iter().map(Extractor::Pyramid);
        pyramids.chain(Transformer::ALL.into_iter().map(Extractor::Transformer))
    }

    /// By the name that [`Extractor::name`] gives.
    ///
    /// # Errors
    /// Lists the known ones.
    pub fn parse(name: &str) -> Result<Extractor> {
        let found = Extractor::all().find(|extractor| extractor.name() == name);
        found.ok_or_else(|| names::unknown("backbone", name, Extractor::all().map(Extractor::name)))
    }

    /// As [`Backbone::name`] and [`Transformer::name`] have it.
    pub fn name(self) -> &'static str {
        match self {
            Extractor::Pyramid(backbone) => backbone.name(),
            Extractor::Transformer(transformer) => transformer.name(),
        }
    }

    /// Channels of the three scales and of the deepest features.
    pub fn channels(self) -> [i64; 4] {
        match self {
            Extractor::Pyramid(backbone) => backbone.channels(),
            Extractor::Transformer(transformer) => [transformer.plan().width; 4],
        }
    }

    /// Pixels along a side that each position of the three scales and of the deepest features stands for.
    pub fn strides(self) -> [i64; 4] {
        match self {
            Extractor::Pyramid(_) => [4, 8, 16, 32],
            Extractor::Transformer(transformer) => [transformer.plan().patch; 4],
        }
    }
}

impl From<Backbone> for Extractor {
    fn from(backbone: Backbone) -> Extractor {
        Extractor::Pyramid(backbone)
    }
}

impl TryFrom<String> for Extractor {
    type Error = anyhow::Error;

    fn try_from(name: String) -> Result<Extractor> {
        Extractor::parse(&name)
    }
}

impl From<Extractor> for String {
    fn from(extractor: Extractor) -> String {
        extractor.name().to_owned()
    }
}
