//! What a method asks of a frozen teacher.

use anyhow::{Result, ensure};

use super::vit::{Reading, Transformer};
use super::{Backbone, Extractor, Input, Network};

/// A network, how pictures enter it and which of its features are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sight {
    /// Stages 1 to 4.
    Pyramid(Backbone, Input),
    /// Tokens of a transformer, which pictures enter as it was trained.
    Tokens(Transformer, Reading),
}

impl Sight {
    /// Pictures enter as the network was trained; of a transformer, features as its owner has them.
    pub fn of(extractor: Extractor) -> Sight {
        match extractor {
            Extractor::Pyramid(backbone) => Sight::Pyramid(backbone, Input::ImageNet),
            Extractor::Transformer(transformer) => Sight::Tokens(transformer, Reading::of(transformer)),
        }
    }

    /// The network.
    pub fn network(self) -> Network {
        match self {
            Sight::Pyramid(backbone, _) => Network::Backbone(backbone),
            Sight::Tokens(transformer, _) => Network::Transformer(transformer),
        }
    }

    /// How pictures enter it.
    pub(super) fn input(self) -> Input {
        match self {
            Sight::Pyramid(_, input) => input,
            Sight::Tokens(..) => Input::ImageNet,
        }
    }

    /// Refuses pictures that are no whole number of patches.
    ///
    /// # Errors
    /// Names the network and sides that fit it.
    pub fn check_side(self, side: i64) -> Result<()> {
        let Sight::Tokens(transformer, Reading { side: None, .. }) = self else { return Ok(()) };
        let patch = transformer.plan().patch;
        ensure!(
            side % patch == 0,
            "{} cuts pictures into patches of {patch} x {patch} pixels, which {side} is no multiple of: curate and run with \
             a size that is, such as 224 or 448",
            transformer.name()
        );
        Ok(())
    }
}
