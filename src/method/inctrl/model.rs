//! What InCTRL sees of pictures, and the heads that make a score of how a query differs from its prompts.

use tch::nn::{Path, VarStore};
use tch::{Device, Kind, Reduction, Tensor};

use crate::method::part::direction::unit;
use crate::network::initial;
use crate::network::layer::{BatchNorm, Norm};
use crate::network::precision::Precision;
use crate::network::vit::clip::{ImageTower, Plan};

/// Blocks, counted from 1, whose tokens are compared: of 12, 7, 9 and 11.
pub fn layers(depth: usize) -> Vec<usize> {
    let mut layers: Vec<usize> = [7, 9, 11].into_iter().map(|layer| (layer * depth).div_ceil(12)).collect();
    layers.dedup();
    layers
}

/// Factor of cosines with texts.
const TEXT_FACTOR: f64 = 100.0;

/// Pictures as the tower sees them.
pub struct Seen {
    /// Where texts are too, `[n, joint]`.
    pub whole: Tensor,
    /// Patches after each of the blocks, without a norm, `[n, patches, width]`.
    pub patches: Vec<Tensor>,
}

impl Seen {
    /// Of prepared pictures, after the blocks of those numbers.
    pub fn new(
        tower: &ImageTower,
        pictures: &Tensor,
        layers: &[usize],
        depth: usize,
        precision: Precision,
    ) -> Seen {
        let see = || {
            let mut tokens = tower.norm_before(&tower.embed(&precision.enter(pictures)));
            let mut patches = Vec::with_capacity(layers.len());
            for block in 1..=depth {
                tokens = tower.block(block - 1, &tokens);
                if layers.contains(&block) {
                    patches.push(precision.leave(&tokens.narrow(1, 1, tokens.size()[1] - 1)));
                }
            }
            Seen { whole: precision.leave(&tower.embedding(&tower.norm_after(&tokens))), patches }
        };
        tch::no_grad(|| precision.in_tower(see))
    }
}

/// Normals that queries are compared with.
pub struct Prompts {
    /// `[m, shots, joint]`; `m` is the number of queries, or 1 for all of them.
    whole: Tensor,
    /// Of each block, `[m, shots patches, width]`.
    patches: Vec<Tensor>,
}

impl Prompts {
    /// The same for all queries.
    pub fn shared(seen: &Seen) -> Prompts {
        let patches = seen.patches.iter().map(|patches| patches.flatten(0, 1).unsqueeze(0)).collect();
        Prompts { whole: seen.whole.unsqueeze(0), patches }
    }

    /// For `queries`, each with its own: the first of every query, then the second of every one.
    pub fn of_each(seen: &Seen, queries: i64) -> Prompts {
        let turned = |all: &Tensor| {
            let mut shape = all.size();
            shape[0] = queries;
            shape.insert(0, -1);
            all.view(&*shape).transpose(0, 1)
        };
        let patches = seen.patches.iter().map(|patches| turned(patches).flatten(1, 2)).collect();
        Prompts { whole: turned(&seen.whole).contiguous(), patches }
    }

    /// As [`Prompts::of_each`], mixed up as in the published code, which takes shots for queries and blocks for both.
    pub fn mixed(seen: &Seen, queries: i64) -> Prompts {
        let joint = seen.whole.size()[1];
        Prompts { whole: seen.whole.reshape([queries, -1, joint]), patches: mixed(&seen.patches, queries) }
    }
}

/// Patches of `n` pictures from `[block, picture]` read as `[picture, block]`.
fn mixed(patches: &[Tensor], n: i64) -> Vec<Tensor> {
    let stacked = Tensor::stack(patches, 0);
    let (blocks, width) = (patches.len() as i64, stacked.size()[3]);
    let mixed = stacked.reshape([n, blocks, -1, width]);
    (0..blocks).map(|block| mixed.select(1, block)).collect()
}

impl Seen {
    /// The same, its patches mixed up among pictures and blocks as in the published code.
    #[must_use]
    pub fn mixed(&self) -> Seen {
        let n = self.whole.size()[0];
        Seen { whole: self.whole.shallow_clone(), patches: mixed(&self.patches, n) }
    }
}

/// What the parts of the score are, `[n]` each but the map.
pub struct Parts {
    /// How far each patch is from the nearest of the prompts', `[n, patches]`.
    pub map: Tensor,
    /// The chance of an anomaly by the text.
    pub text: Tensor,
    /// By the whole picture's difference.
    pub image: Tensor,
    /// By all of these.
    pub whole: Tensor,
    /// The score.
    pub score: Tensor,
}

/// Three layers to one chance, with batch norms behind the first two.
struct Head {
    projections: [[Tensor; 2]; 3],
    norms: [BatchNorm; 2],
}

impl Head {
    fn new(path: &Path, from: i64) -> Head {
        let projection = |index: usize, from: i64, to: i64| {
            let path = path / format!("projection{index}");
            [path.zeros("weight", &[to, from]), path.zeros("bias", &[to])]
        };
        Head {
            projections: [projection(1, from, 128), projection(2, 128, 64), projection(3, 64, 1)],
            norms: [BatchNorm::new(&(path / "bn2"), 128), BatchNorm::new(&(path / "bn3"), 64)],
        }
    }

    /// `[n]` of `[n, from]`.
    fn forward(&self, x: &Tensor, norm: Norm) -> Tensor {
        let linear = |x: &Tensor, index: usize| {
            let [weight, bias] = &self.projections[index];
            x.linear(weight, Some(bias))
        };
        let first = self.norms[0].forward(&linear(x, 0).relu(), norm);
        let second = self.norms[1].forward(&linear(&first, 1).relu(), norm);
        linear(&second, 2).sigmoid().squeeze_dim(1)
    }
}

/// All that trains.
pub struct Heads {
    /// Its variables under the published names; the published code also has a norm before each head that it never uses.
    pub store: VarStore,
    adapter: [Tensor; 2],
    image: Head,
    whole: Head,
}

impl Heads {
    /// Fresh, for the sizes of a network.
    pub fn new(plan: Plan, seed: u64, device: Device) -> Heads {
        let store = VarStore::new(device);
        let root = store.root();
        let adapter = &root / "adapter" / "fc";
        let (joint, inside) = (plan.joint, plan.joint / 4);
        let adapter = [
            (&adapter / 0).zeros("weight", &[inside, joint]),
            (&adapter / 2).zeros("weight", &[joint, inside]),
        ];
        let image = Head::new(&(&root / "diff_head_ref"), joint);
        let whole = Head::new(&(&root / "diff_head"), plan.table * plan.table);
        initial::initialise_plain(&store, seed);
        Heads { store, adapter, image, whole }
    }

    /// Pictures `[..., joint]` as they are compared.
    pub fn adapted(&self, whole: &Tensor) -> Tensor {
        let [first, second] = &self.adapter;
        whole.linear(first, None::<&Tensor>).relu().linear(second, None::<&Tensor>).relu()
    }

    /// Scores of queries; `texts` are a normal and an anomalous one of length 1, `[m, 2, joint]`.
    pub fn parts(&self, seen: &Seen, prompts: &Prompts, texts: &Tensor, norm: Norm) -> Parts {
        let map = residuals(&seen.patches, &prompts.patches);
        let likeness = unit(&seen.whole, -1).unsqueeze(1).matmul(&texts.transpose(1, 2)) * TEXT_FACTOR;
        let text = likeness.softmax(-1, None::<Kind>).select(2, 1).squeeze_dim(1);
        let normal = self.adapted(&prompts.whole).mean_dim(1, false, None::<Kind>);
        let image = self.image_score(&(normal - self.adapted(&seen.whole)), norm);
        let (whole, score) = self.score(&(map.shallow_clone() + text.unsqueeze(1)), &image, &map, norm);
        Parts { map, text, image, whole, score }
    }

    /// The chance of an anomaly by differences `[n, joint]`.
    pub fn image_score(&self, differences: &Tensor, norm: Norm) -> Tensor {
        self.image.forward(differences, norm)
    }

    /// The chance by a map `[n, patches]` to which `image` is added, and its mean with the highest value of `map`.
    pub fn score(&self, base: &Tensor, image: &Tensor, map: &Tensor, norm: Norm) -> (Tensor, Tensor) {
        let whole = self.whole.forward(&(base + image.unsqueeze(1)), norm);
        let score = (&whole + map.amax([1i64].as_slice(), false)) / 2.0;
        (whole, score)
    }
}

/// Half of one less the cosine to the nearest of the prompts' patches, mean over blocks, `[n, patches]`.
pub fn residuals(patches: &[Tensor], prompts: &[Tensor]) -> Tensor {
    let of_block = |(patches, prompts): (&Tensor, &Tensor)| {
        let cosines = unit(patches, -1).matmul(&unit(prompts, -1).transpose(1, 2));
        ((cosines.amax([2i64].as_slice(), false) * -1.0 + 1.0) / 2.0).clamp_min(0.0)
    };
    let blocks: Vec<Tensor> = patches.iter().zip(prompts).map(of_block).collect();
    Tensor::stack(&blocks, 0).mean_dim(0, false, None::<Kind>)
}

/// Focal loss of exponent 2 as published: scores of 0 to 1 are taken for logits, so that it never comes near 0.
pub fn focal(scores: &Tensor, labels: &Tensor) -> Tensor {
    let entropy =
        scores.binary_cross_entropy_with_logits(labels, None::<&Tensor>, None::<&Tensor>, Reduction::None);
    let missing: Tensor = 1.0 - (-&entropy).exp();
    (missing.square() * entropy).mean(None::<Kind>)
}
