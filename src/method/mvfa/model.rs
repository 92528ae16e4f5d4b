//! What MVFA learns beside CLIP's tower for pictures: pairs of adapters, one for pixels and one for whole pictures. What lies
//! in the middle of an adapter is compared with texts and with normals; what comes out goes back into the tower.

use tch::nn::{Path, VarStore};
use tch::{Device, Tensor};

use crate::network::initial;
use crate::network::precision::Precision;
use crate::network::vit::clip::{ImageTower, Plan};

/// What goes on through the tower: so much of the tokens, and so much of what each of the two adapters makes of them.
const SHARES: [f64; 2] = [0.8, 0.1];

/// Blocks, counted from 1, that adapters follow: at the quarters, which of 24 are 6, 12, 18 and 24.
pub fn layers(depth: usize) -> Vec<usize> {
    let mut layers: Vec<usize> = (1..=4).map(|quarter| (quarter * depth).div_ceil(4)).collect();
    layers.dedup();
    layers
}

/// Tokens `[n, 1 + h w, width]` of pictures `[n, 3, side, side]` of 0 to 1 after the first `blocks` blocks, before which
/// there is no adapter.
pub fn stem(tower: &ImageTower, pictures: &Tensor, blocks: usize, precision: Precision) -> Tensor {
    let tokens = || {
        let tokens = tower.norm_before(&tower.embed(&precision.enter(pictures)));
        (0..blocks).fold(tokens, |tokens, block| tower.block(block, &tokens))
    };
    tch::no_grad(|| precision.in_tower(tokens))
}

/// Two layers without bias, each before a leaky rectifier.
struct Adapter {
    /// `[joint, width]`.
    first: Tensor,
    /// `[width, joint]`.
    second: Tensor,
}

impl Adapter {
    fn new(path: &Path, plan: Plan) -> Adapter {
        let (width, joint) = (plan.image.width, plan.joint);
        let layer = |name: &str, from: i64, to: i64| (&(path / name) / 0).zeros("weight", &[to, from]);
        Adapter { first: layer("fc1", width, joint), second: layer("fc2", joint, width) }
    }

    fn middle(&self, tokens: &Tensor) -> Tensor {
        tokens.linear(&self.first.to_kind(tokens.kind()), None::<&Tensor>).leaky_relu()
    }

    fn end(&self, middle: &Tensor) -> Tensor {
        middle.linear(&self.second.to_kind(middle.kind()), None::<&Tensor>).leaky_relu()
    }
}

/// All that trains, under the published names.
pub struct Adapters {
    /// `seg_adapters.0.fc1.0.weight` and so on: those that learn from labels of pixels.
    pub seg: VarStore,
    /// `det_adapters.0.fc1.0.weight` and so on: those that learn from labels of pictures.
    pub det: VarStore,
    layers: Vec<usize>,
    pairs: Vec<[Adapter; 2]>,
}

impl Adapters {
    /// Fresh, each pair after the block of that number, counted from 1.
    pub fn new(plan: Plan, layers: &[usize], seed: u64, device: Device) -> Adapters {
        let (seg, det) = (VarStore::new(device), VarStore::new(device));
        let adapter = |store: &VarStore, name: &str, index: usize| {
            Adapter::new(&(&(store.root() / name) / index), plan)
        };
        let pairs = (0..layers.len())
            .map(|index| [adapter(&seg, "seg_adapters", index), adapter(&det, "det_adapters", index)]);
        let pairs = pairs.collect();
        initial::initialise_plain(&seg, seed);
        initial::initialise_plain(&det, seed);
        Adapters { seg, det, layers: layers.to_vec(), pairs }
    }

    /// What a pair makes of tokens after its block: the middles, for pixels and for pictures, and what goes on.
    pub fn pass(&self, index: usize, tokens: &Tensor) -> ([Tensor; 2], Tensor) {
        let pair = &self.pairs[index];
        let middles = pair.each_ref().map(|adapter| adapter.middle(tokens));
        let [kept, added] = SHARES;
        let ends = pair[0].end(&middles[0]) + pair[1].end(&middles[1]);
        (middles, tokens * kept + ends * added)
    }

    /// The middles of those that learn from labels of pictures, where texts are too, of tokens that [`stem`] gave up to the first
    /// adapters: one `[n, 1 + h w, joint]` for each layer, the class token's row first.
    pub fn middles(&self, tower: &ImageTower, stem: &Tensor, precision: Precision) -> Vec<Tensor> {
        let (mut middles, mut tokens, mut block) = (Vec::new(), stem.shallow_clone(), self.layers[0]);
        for (index, &layer) in self.layers.iter().enumerate() {
            while block < layer {
                tokens = precision.in_tower(|| tower.block(block, &tokens));
                block += 1;
            }
            let ([_, of_pictures], onward) = self.pass(index, &tokens);
            middles.push(precision.leave(&of_pictures));
            tokens = onward;
        }
        middles
    }
}

#[cfg(test)]
mod tests {
    use super::layers;

    #[test]
    fn adapters_follow_the_quarters() {
        assert_eq!(layers(24), [6, 12, 18, 24]);
        assert_eq!(layers(12), [3, 6, 9, 12]);
        assert_eq!(layers(2), [1, 2]);
    }
}
