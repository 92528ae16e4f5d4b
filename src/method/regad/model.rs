//! The network of RegAD: three residual stages with a spatial transformer after each, and a Siamese head that only
//! training needs.

use tch::nn::{Path, VarStore};
use tch::{Device, Kind, Tensor};

use crate::method::contract::Context;
use crate::network::encoder::Encoder;
use crate::network::layer::{BatchNorm, Conv, Norm};
use crate::network::spatial_transformer::{SpatialTransformer, inverse, warp};
use crate::network::teacher::Teacher;
use crate::network::{Backbone, Input, Network, Scales, initial};

/// How pictures enter.
pub const INPUT: Input = Input::Unit;

/// All that trains.
pub struct RegadModel {
    /// Variables of the backbone, the transformers and the Siamese head.
    pub store: VarStore,
    architecture: Backbone,
    backbone: Encoder,
    transformers: [SpatialTransformer; 3],
    head: Head,
    device: Device,
}

impl RegadModel {
    /// The teacher's weights, identity transforms and fresh heads, for pictures of `side x side`.
    pub fn new(teacher: &Teacher, backbone: Backbone, side: i64, context: &Context) -> RegadModel {
        let store = VarStore::new(context.device);
        let channels = backbone.channels();
        let transformer = |stage: usize| {
            // Halved by the stem's convolution and pooling and by each later stage, rounded up.
            let grid = side.unsigned_abs().div_ceil(4 << stage) as i64;
            SpatialTransformer::new(&(store.root() / format!("stn{}", stage + 1)), channels[stage], grid)
        };
        let mut model = RegadModel {
            architecture: backbone,
            backbone: Encoder::new(&(store.root() / "backbone"), backbone),
            transformers: [0, 1, 2].map(transformer),
            head: Head::new(&store.root(), channels[2]),
            device: context.device,
            store,
        };
        initial::initialise_plain(&model.store, context.seed);
        teacher.copy_to(&model.store, "backbone");
        model.transformers.iter_mut().for_each(SpatialTransformer::reset);
        model
    }

    /// Each stage's features after its transformer, and its transforms, of pictures of 0 to 255.
    fn stages(&self, pictures: &Tensor, norm: Norm) -> [(Tensor, Tensor); 3] {
        let pictures = INPUT.prepare(Network::Backbone(self.architecture), &pictures.to_device(self.device));
        let stage = |index: usize, x: &Tensor| {
            self.transformers[index].forward(&self.backbone.stage(index, x, norm), norm)
        };
        let first = stage(0, &self.backbone.stem(&pictures, norm));
        let second = stage(1, &first.0);
        let third = stage(2, &second.0);
        [first, second, third]
    }

    /// All stages with every transform so far undone, latest first, so that positions are the picture's again.
    pub fn registered(&self, pictures: &Tensor) -> Scales {
        tch::no_grad(|| {
            let stages = self.stages(pictures, Norm::Stored);
            let undone = stages.each_ref().map(|(_, transforms)| inverse(transforms));
            [0, 1, 2].map(|stage| {
                let features = stages[stage].0.shallow_clone();
                undone[..=stage].iter().rev().fold(features, |features, undo| warp(&features, undo))
            })
        })
    }

    /// Loss of queries `[b, 3, h, w]` against their supports `[b * k, 3, h, w]`, query after query: minus half the
    /// cosine per position between one's prediction and the other's encoding, both ways.
    pub fn loss(&self, queries: &Tensor, supports: &Tensor) -> Tensor {
        let [_, _, (query, _)] = self.stages(queries, Norm::Batch);
        let [_, _, (supports, _)] = self.stages(supports, Norm::Batch);
        let [b, c, h, w] = query.size()[..] else { panic!("features are [b, c, h, w]") };
        let support = supports.view([b, -1, c, h, w]).mean_dim(1, false, None::<Kind>);
        let (query, support) = (self.head.encode(&query), self.head.encode(&support));
        let cosine = |predicted: &Tensor, encoded: &Tensor| {
            let predicted = self.head.predict(predicted);
            Tensor::cosine_similarity(&predicted, &encoded.detach(), 1, 1e-8).mean(None::<Kind>)
        };
        (cosine(&query, &support) + cosine(&support, &query)) * -0.5
    }
}

/// Encoder and predictor of SimSiam, as 1 x 1 convolutions; names are RegAD's.
struct Head {
    encoder: Vec<Layer>,
    predictor: Vec<Layer>,
}

/// The last of its kind has neither norm nor ReLU.
type Layer = (Conv, Option<BatchNorm>);

impl Head {
    fn new(path: &Path, c: i64) -> Head {
        let layers = |path: Path, count: usize| {
            let layer = |index: usize| {
                let conv = Conv::new(&(&path / format!("conv{index}")), c, c, 1, 1);
                (conv, (index < count).then(|| BatchNorm::new(&(&path / format!("bn{index}")), c)))
            };
            (1..=count).map(layer).collect()
        };
        Head { encoder: layers(path / "enc", 3), predictor: layers(path / "pred", 2) }
    }

    fn encode(&self, x: &Tensor) -> Tensor {
        through(&self.encoder, x)
    }

    fn predict(&self, x: &Tensor) -> Tensor {
        through(&self.predictor, x)
    }
}

fn through(layers: &[Layer], x: &Tensor) -> Tensor {
    layers.iter().fold(x.shallow_clone(), |x, (conv, bn)| {
        let x = conv.forward(&x);
        bn.as_ref().map_or_else(|| x.shallow_clone(), |bn| bn.forward(&x, Norm::Batch).relu())
    })
}
