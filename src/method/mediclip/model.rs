//! What MediCLIP learns beside CLIP: a layer for each depth of the tower for pictures, and words before each phrase.

use anyhow::{Result, ensure};
use tch::nn::{Path, VarStore};
use tch::{Device, Kind, Tensor};

use crate::method::part::direction::unit;
use crate::network::frozen_clip::FrozenClip;
use crate::network::initial;
use crate::network::precision::Precision;
use crate::network::vit::clip::{ImageTower, Plan, TextTower};
use crate::network::vit::tokenizer::Tokenizer;

/// Stands for a learnt word while a text is read.
const PLACEHOLDER: &str = "X";

/// Blocks, counted from 1, whose tokens are read: at a half, three quarters and the end, which of 24 are 12, 18 and 24.
pub fn layers(depth: usize) -> [usize; 3] {
    [2, 3, 4].map(|quarters| (quarters * depth).div_ceil(4))
}

/// Tokens `[n, 1 + h w, width]` after each of the blocks, without a norm, of prepared pictures.
pub fn tokens(tower: &ImageTower, pictures: &Tensor, layers: &[usize], precision: Precision) -> Vec<Tensor> {
    let read = || {
        let mut tokens = tower.norm_before(&tower.embed(&precision.enter(pictures)));
        let mut read = Vec::with_capacity(layers.len());
        for block in 1..=layers.iter().copied().max().unwrap_or_default() {
            tokens = tower.block(block - 1, &tokens);
            read.extend(layers.contains(&block).then(|| precision.leave(&tokens)));
        }
        read
    };
    tch::no_grad(|| precision.in_tower(read))
}

/// Phrases of normal and of anomalous pictures as the tower for texts reads them, with room for learnt words.
pub struct Phrases {
    /// Of each class, `[phrases, context]`.
    ids: [Tensor; 2],
    /// Their tokens without positions, `[phrases, context, width]`.
    tokens: [Tensor; 2],
}

impl Phrases {
    /// Each phrase after `words` placeholders, before a full stop.
    ///
    /// # Errors
    /// A phrase that is too long.
    pub fn read(
        network: &FrozenClip,
        tokenizer: &Tokenizer,
        phrases: [&[String]; 2],
        words: i64,
    ) -> Result<Phrases> {
        let before = format!("{PLACEHOLDER} ").repeat(words as usize);
        let ids = |phrases: &[String]| {
            let texts: Vec<String> = phrases.iter().map(|phrase| format!("{before}{phrase}.")).collect();
            network.ids(tokenizer, &texts)
        };
        let [normal, anomalous] = phrases;
        Ok(Phrases::new(&network.towers.text, [ids(normal)?, ids(anomalous)?]))
    }

    /// Of rows of ids, which hold placeholders behind the start.
    pub fn new(tower: &TextTower, ids: [Tensor; 2]) -> Phrases {
        let tokens = ids.each_ref().map(|ids| tch::no_grad(|| tower.words(ids)));
        Phrases { ids, tokens }
    }
}

/// All that trains.
pub struct Learnt {
    /// Its variables, as published: `0_adapter.0.weight`, ..., `normal_end`, `abnormal_end`.
    pub store: VarStore,
    /// Weight `[joint, width, 1, 1]` and bias of each layer that is read.
    adapters: Vec<[Tensor; 2]>,
    /// Words before each phrase of a class, `[phrases, words, width]`.
    words: [Tensor; 2],
}

impl Learnt {
    /// Fresh, for `layers` depths and so many `words` before each phrase.
    pub fn new(
        plan: Plan,
        layers: usize,
        phrases: &Phrases,
        words: i64,
        seed: u64,
        device: Device,
    ) -> Learnt {
        let store = VarStore::new(device);
        let root = store.root();
        let adapter = |index: usize| {
            let path: Path = &(&root / format!("{index}_adapter")) / 0;
            [path.zeros("weight", &[plan.joint, plan.image.width, 1, 1]), path.zeros("bias", &[plan.joint])]
        };
        let of_class = |name: &str, ids: &Tensor| root.zeros(name, &[ids.size()[0], words, plan.text.width]);
        let adapters = (0..layers).map(adapter).collect();
        let words = [of_class("normal_end", &phrases.ids[0]), of_class("abnormal_end", &phrases.ids[1])];
        initial::initialise_prompts(&store, seed);
        Learnt { store, adapters, words }
    }

    /// Patches of each depth where texts are too, of length 1: `[n, h w, joint]` from `[n, 1 + h w, width]`.
    pub fn patches(&self, tokens: &[Tensor]) -> Vec<Tensor> {
        let of_depth = |(tokens, [weight, bias]): (&Tensor, &[Tensor; 2])| {
            let patches = tokens.narrow(1, 1, tokens.size()[1] - 1);
            unit(&patches.linear(&weight.flatten(1, -1), Some(bias)), -1)
        };
        tokens.iter().zip(&self.adapters).map(of_depth).collect()
    }

    /// What phrases of each class mean together, of length 1: `[joint, 2]`. As in the published code, tokens see those after
    /// them, the padding among them: it passes the tower no mask.
    pub fn texts(&self, tower: &TextTower, phrases: &Phrases) -> Tensor {
        let of_class = |class: usize| {
            let (tokens, words) = (&phrases.tokens[class], &self.words[class]);
            let (context, n_words) = (tokens.size()[1], words.size()[1]);
            let after = tokens.narrow(1, 1 + n_words, context - 1 - n_words);
            let all = Tensor::cat(&[&tokens.narrow(1, 0, 1), words, &after], 1);
            unit(&tower.embedding_seeing_all(&all, &phrases.ids[class]).mean_dim(0, false, None::<Kind>), -1)
        };
        Tensor::stack(&[of_class(0), of_class(1)], 1)
    }

    /// Chances of normal and anomalous at each pixel, `[n, 2, side, side]`.
    pub fn chances(&self, tokens: &[Tensor], texts: &Tensor, side: i64) -> Tensor {
        let likeness = self.patches(tokens).into_iter().map(|patches| patches.matmul(texts));
        let likeness = Tensor::stack(&likeness.collect::<Vec<_>>(), 0).mean_dim(0, false, None::<Kind>);
        let (n, patches, _) = likeness.size3().expect("[n, h w, 2]");
        let grid = patches.isqrt();
        let grids = likeness.transpose(1, 2).reshape([n, 2, grid, grid]);
        grids.upsample_bilinear2d([side, side], true, None, None).softmax(1, None::<Kind>)
    }
}

/// Refuses as many words as leave no room for a phrase.
///
/// # Errors
/// States the room.
pub fn ensure_room(plan: Plan, words: i64) -> Result<()> {
    let most = plan.context - 16;
    ensure!((1..=most).contains(&words), "mediclip: words must be 1 to {most}");
    Ok(())
}
