//! Vision transformers (Dosovitskiy et al. 2021, arXiv 2010.11929), under the names of the checkpoints that their
//! owners publish.

use anyhow::{Result, bail};
use serde::{Deserialize, Serialize};

use super::Backbone;
use crate::names;

/// One block: attention, then two layers for each token.
pub mod block;
/// CLIP's towers for pictures and texts.
pub mod clip;
/// DINOv2, with and without registers.
pub mod dinov2;
/// Hugging Face's names of the same tensors.
mod hugging_face;
/// Position tables for grids of another size.
pub mod positions;
/// Which tokens make up the features.
pub mod reading;
/// Texts as CLIP reads them.
pub mod tokenizer;

pub use positions::Interpolation;
pub use reading::{Deep, Filter, Groups, Reading, Shallow};

/// A transformer that methods can choose.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Transformer {
    /// DINOv2 ViT-S/14.
    Dinov2Small,
    /// DINOv2 ViT-S/14 with four registers.
    Dinov2SmallRegisters,
    /// DINOv2 ViT-B/14.
    Dinov2Base,
    /// DINOv2 ViT-B/14 with four registers.
    Dinov2BaseRegisters,
    /// DINOv2 ViT-L/14.
    Dinov2Large,
    /// DINOv2 ViT-L/14 with four registers.
    Dinov2LargeRegisters,
    /// DINOv2's form, as small as it can be. Nobody publishes weights of it: it is for tests, and for quick runs on
    /// random weights, which it gets where none are given.
    Dinov2Tiny,
}

/// Sizes of a transformer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Plan {
    /// Values of a token.
    pub width: i64,
    /// Blocks.
    pub depth: usize,
    /// Heads of attention.
    pub heads: i64,
    /// Side of a patch in pixels.
    pub patch: i64,
    /// Patches along a side of the pictures that the position table was learnt on.
    pub table: i64,
    /// Tokens that belong to no patch, beside the class token.
    pub registers: i64,
}

impl Transformer {
    /// Every transformer.
    pub const ALL: [Transformer; 7] = [
        Transformer::Dinov2Small,
        Transformer::Dinov2SmallRegisters,
        Transformer::Dinov2Base,
        Transformer::Dinov2BaseRegisters,
        Transformer::Dinov2Large,
        Transformer::Dinov2LargeRegisters,
        Transformer::Dinov2Tiny,
    ];

    /// By the name that [`Transformer::name`] gives.
    ///
    /// # Errors
    /// Lists the known ones; says of a network with stages that it is no transformer.
    pub fn parse(name: &str) -> Result<Transformer> {
        if Backbone::ALL.into_iter().any(|backbone| backbone.name() == name) {
            let known = Transformer::ALL.map(Transformer::name).join(", ");
            bail!(
                "{name} is no transformer: its features are no tokens of patches, which are needed here; choose one of {known}"
            );
        }
        let found = Transformer::ALL.into_iter().find(|transformer| transformer.name() == name);
        found.ok_or_else(|| names::unknown("transformer", name, Transformer::ALL.map(Transformer::name)))
    }

    /// The name in Facebook's `hubconf.py`; the tiny one is not there.
    pub fn name(self) -> &'static str {
        match self {
            Transformer::Dinov2Small => "dinov2_vits14",
            Transformer::Dinov2SmallRegisters => "dinov2_vits14_reg",
            Transformer::Dinov2Base => "dinov2_vitb14",
            Transformer::Dinov2BaseRegisters => "dinov2_vitb14_reg",
            Transformer::Dinov2Large => "dinov2_vitl14",
            Transformer::Dinov2LargeRegisters => "dinov2_vitl14_reg",
            Transformer::Dinov2Tiny => "dinov2_tiny14",
        }
    }

    /// Its sizes.
    pub fn plan(self) -> Plan {
        let dinov2 = |width: i64, depth: usize, registers: i64| Plan {
            width,
            depth,
            heads: width / 64,
            patch: 14,
            table: 37,
            registers,
        };
        match self {
            Transformer::Dinov2Small => dinov2(384, 12, 0),
            Transformer::Dinov2SmallRegisters => dinov2(384, 12, 4),
            Transformer::Dinov2Base => dinov2(768, 12, 0),
            Transformer::Dinov2BaseRegisters => dinov2(768, 12, 4),
            Transformer::Dinov2Large => dinov2(1024, 24, 0),
            Transformer::Dinov2LargeRegisters => dinov2(1024, 24, 4),
            Transformer::Dinov2Tiny => Plan { heads: 4, table: 5, ..dinov2(64, 3, 0) },
        }
    }
}

impl TryFrom<String> for Transformer {
    type Error = anyhow::Error;

    fn try_from(name: String) -> Result<Transformer> {
        Transformer::parse(&name)
    }
}

impl From<Transformer> for String {
    fn from(transformer: Transformer) -> String {
        transformer.name().to_owned()
    }
}

impl Plan {
    /// How DINOv2's owners fit the position table to other grids.
    pub fn interpolation(&self) -> Interpolation {
        if self.registers > 0 { Interpolation::Antialiased } else { Interpolation::Offset }
    }

    /// Floating-point operations of one picture of `size` x `size` pixels through the first `blocks` blocks: products of
    /// matrices, a multiplication with its addition counting two.
    pub fn operations(&self, size: i64, blocks: usize) -> f64 {
        let patches = ((size / self.patch) as f64).powi(2);
        let (width, tokens) = (self.width as f64, patches + (1 + self.registers) as f64);
        let embedding = 2.0 * patches * width * (3 * self.patch * self.patch) as f64;
        // Queries, keys, values and projection; two layers of four times the width; every token with every other.
        let of_block = tokens * 2.0 * 12.0 * width * width + 4.0 * tokens * tokens * width;
        embedding + blocks as f64 * of_block
    }
}

#[cfg(test)]
mod tests {
    use super::Transformer;

    #[test]
    fn operations_are_those_of_the_literature() {
        let billions = |transformer: Transformer, size: i64| {
            let plan = transformer.plan();
            (plan.operations(size, plan.depth) / 1e8).round() / 10.0
        };
        assert_eq!(billions(Transformer::Dinov2Small, 448), 63.4);
        assert_eq!(billions(Transformer::Dinov2Small, 252), 15.9);
        assert_eq!(billions(Transformer::Dinov2BaseRegisters, 392).round(), 158.0);
    }

    #[test]
    fn names_are_found_again_and_others_answered() {
        for transformer in Transformer::ALL {
            assert_eq!(Transformer::parse(transformer.name()).unwrap(), transformer);
        }
        let error = Transformer::parse("dinov2_vits16").unwrap_err().to_string();
        assert!(error.contains("did you mean `dinov2_vits14`?"), "{error}");
        let error = Transformer::parse("resnet18").unwrap_err().to_string();
        assert!(error.contains("resnet18 is no transformer") && error.contains("dinov2_vitb14"), "{error}");
    }
}
