//! CLIP's towers that never train: loaded weights, or seeded random ones.

use anyhow::Result;
use tch::nn::VarStore;
use tch::{Device, Tensor};

use super::initial;
use super::origin::Origin;
use super::vit::clip::{self, Plan, Towers};
use super::vit::tokenizer::Tokenizer;

/// Texts that enter the tower at once.
const CHUNK: usize = 32;

/// Both towers, without gradients of their own.
pub struct FrozenClip {
    /// For pictures and for texts.
    pub towers: Towers,
    plan: Plan,
    store: VarStore,
}

impl FrozenClip {
    /// The towers on `device`, of the sizes that `plan` states.
    ///
    /// # Errors
    /// Weights that cannot be read or do not fit.
    pub fn new(plan: Plan, origin: &Origin, device: Device) -> Result<FrozenClip> {
        // Random weights are drawn on the CPU, whatever the device, so that they are the same everywhere.
        let mut store = VarStore::new(Device::Cpu);
        let towers = Towers::new(&store.root(), plan);
        match origin {
            Origin::File { path, sha256 } => clip::load(&store, Origin::unchanged(path, sha256)?)?,
            Origin::Targets { folder, .. } => return Err(Origin::several(folder)),
            Origin::Random { seed, .. } => initial::initialise_clip(&store, *seed),
        }
        if device != Device::Cpu {
            store.set_device(device);
        }
        store.freeze();
        Ok(FrozenClip { towers, plan, store })
    }

    /// Its sizes.
    pub fn plan(&self) -> Plan {
        self.plan
    }

    /// Where it computes.
    pub fn device(&self) -> Device {
        self.store.device()
    }

    /// Texts as rows of ids, `[n, context]`.
    ///
    /// # Errors
    /// A text that is too long.
    pub fn ids(&self, tokenizer: &Tokenizer, texts: &[String]) -> Result<Tensor> {
        let context = self.plan.context as usize;
        let rows = texts.iter().map(|text| tokenizer.row(text, context)).collect::<Result<Vec<_>>>()?;
        Ok(Tensor::from_slice(&rows.concat()).view([-1, self.plan.context]).to_device(self.device()))
    }

    /// Texts where both towers meet, not normalised, `[n, joint]`.
    ///
    /// # Errors
    /// A text that is too long.
    pub fn texts(&self, tokenizer: &Tokenizer, texts: &[String]) -> Result<Tensor> {
        let part = |texts: &[String]| -> Result<Tensor> {
            let ids = self.ids(tokenizer, texts)?;
            Ok(tch::no_grad(|| self.towers.text.embedding(&ids)))
        };
        Ok(Tensor::cat(&texts.chunks(CHUNK).map(part).collect::<Result<Vec<_>>>()?, 0))
    }
}
