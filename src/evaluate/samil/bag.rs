//! A study as SAMIL sees it.

use tch::{Device, Kind, Tensor};

use crate::random::Stream;

/// One study of `n` slices.
pub struct Bag {
    /// Whether any of its slices is; of a study that is scored, false, and looked at by nobody.
    pub is_anomalous: bool,
    /// Relevance of each slice before it is sharpened, `[n]`.
    pub relevance: Tensor,
    /// Frozen features `[versions + 1, n, d]`, the first of slices as they are.
    features: Tensor,
    /// Scores by draw, `[draws, n, 1]`; `None` where features alone enter.
    scores: Option<Tensor>,
}

/// What a bag is made of, slice by slice.
pub struct Parts<'a> {
    /// Whether any slice is anomalous.
    pub is_anomalous: bool,
    /// Of each slice.
    pub relevance: &'a [f32],
    /// By version, then slice, then value.
    pub features: &'a [f32],
    /// Versions of each slice, itself among them.
    pub n_versions: usize,
    /// By draw, then slice; places between 0 and 1. Empty where features alone enter.
    pub places: &'a [Vec<f64>],
}

impl Bag {
    /// Puts its tensors on a device.
    pub fn new(parts: &Parts, device: Device) -> Bag {
        let n = parts.relevance.len() as i64;
        let features = Tensor::from_slice(parts.features).view([parts.n_versions as i64, n, -1]);
        // A place is uniform: brought to mean 0 and deviation 1, as features are.
        let uniform = |place: &f64| ((place - 0.5) * 12f64.sqrt()) as f32;
        let places: Vec<f32> = parts.places.iter().flatten().map(uniform).collect();
        let scores = (!places.is_empty())
            .then(|| Tensor::from_slice(&places).view([parts.places.len() as i64, n, 1]).to_device(device));
        Bag {
            is_anomalous: parts.is_anomalous,
            relevance: Tensor::from_slice(parts.relevance).to_device(device),
            features: features.to_device(device),
            scores,
        }
    }

    /// Slices as they are, with the scores of a draw: `[n, inputs]`.
    pub fn plain(&self, draw: usize) -> Tensor {
        self.with_scores(&self.features.get(0), draw)
    }

    /// Each slice in a version drawn at random, with the scores of a draw drawn at random: `[n, inputs]`.
    pub fn drawn(&self, versions: usize, stream: &mut Stream) -> Tensor {
        let chosen = |stream: &mut Stream| if versions == 0 { 0 } else { 1 + stream.below(versions) };
        let chosen: Vec<usize> = (0..self.len()).map(|_| chosen(stream)).collect();
        let draw = self.draw(stream);
        self.with_scores(&self.versions(&chosen), draw)
    }

    /// Two versions of each slice, which differ in every slice.
    pub fn two_views(&self, versions: usize, stream: &mut Stream) -> [Tensor; 2] {
        let first: Vec<usize> = (0..self.len()).map(|_| stream.below(versions)).collect();
        let second: Vec<usize> = first.iter().map(|&one| stream.other_than(one, versions)).collect();
        [first, second].map(|chosen| {
            let chosen: Vec<usize> = chosen.into_iter().map(|version| version + 1).collect();
            let draw = self.draw(stream);
            self.with_scores(&self.versions(&chosen), draw)
        })
    }

    /// Slices.
    pub fn len(&self) -> usize {
        self.features.size()[1] as usize
    }

    /// Never: a study has at least one slice.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// How many draws' scores it has; 1 where features alone enter.
    pub fn n_draws(&self) -> usize {
        self.scores.as_ref().map_or(1, |scores| scores.size()[0] as usize)
    }

    /// Values of a slice that enter.
    pub fn n_inputs(&self) -> i64 {
        self.features.size()[2] + i64::from(self.scores.is_some())
    }

    /// Brings features to mean 0 and deviation 1 as `mean` and `deviation` `[d]` say.
    pub fn scale(&mut self, mean: &Tensor, deviation: &Tensor) {
        self.features = (&self.features - mean) / deviation;
    }

    /// Sums of features and of their squares over slices as they are, `[2, d]`, in double precision.
    pub fn sums(&self) -> Tensor {
        let plain = self.features.get(0).to_kind(Kind::Double);
        let sum = |values: &Tensor| values.sum_dim_intlist(0, false, None::<Kind>);
        Tensor::stack(&[sum(&plain), sum(&plain.square())], 0)
    }

    /// Everything that a training looks at, as bytes.
    pub fn bytes(&self) -> Vec<u8> {
        let values = |tensor: &Tensor| -> Vec<f32> {
            let flat = tensor.to_device(Device::Cpu).contiguous().flatten(0, -1);
            Vec::try_from(flat).expect("a bag holds single-precision numbers")
        };
        let mut all = values(&self.features);
        all.extend(values(&self.relevance));
        all.extend(self.scores.iter().flat_map(values));
        let mut bytes: Vec<u8> = all.into_iter().flat_map(f32::to_le_bytes).collect();
        bytes.push(u8::from(self.is_anomalous));
        bytes
    }

    fn draw(&self, stream: &mut Stream) -> usize {
        if self.scores.is_some() { stream.below(self.n_draws()) } else { 0 }
    }

    /// One version of each slice, `[n, d]`.
    fn versions(&self, chosen: &[usize]) -> Tensor {
        let n = self.len();
        let places: Vec<i64> =
            chosen.iter().enumerate().map(|(slice, version)| (version * n + slice) as i64).collect();
        let places = Tensor::from_slice(&places).to_device(self.features.device());
        self.features.flatten(0, 1).index_select(0, &places)
    }

    fn with_scores(&self, features: &Tensor, draw: usize) -> Tensor {
        match &self.scores {
            Some(scores) => Tensor::cat(&[features, &scores.get(draw as i64)], 1),
            None => features.shallow_clone(),
        }
    }
}
