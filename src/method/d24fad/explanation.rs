//! Why a map of D2-4FAD is as it is: the supports' weights, the scales' shares, the nearest region of a support.

use anyhow::{Result, ensure};
use tch::{Kind, Tensor};

use super::model::{Adapted, Model};
use crate::episode::batch::Pictures;
use crate::maps::MapStack;
use crate::method::part::grid;
use crate::network::{Features, Scales};

/// A model with its supports, that explains itself.
pub struct Explainer<'a> {
    adapted: Adapted<'a>,
    /// The teacher's features of the supports, `[k, c, h, w]` per scale.
    references: Scales,
}

/// What made one query's map.
pub struct Explanation {
    /// How much each support counts, per scale, shallow to deep; each sums to 1.
    pub weights: [Vec<f32>; 3],
    /// The map, before smoothing.
    pub map: MapStack,
    /// What each scale adds to it.
    pub scales: [MapStack; 3],
}

/// A square region of a support, in pixels.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Region {
    /// Index of the support.
    pub support: usize,
    /// Top row of the region.
    pub row: usize,
    /// Left column of the region.
    pub column: usize,
    /// Side of the region.
    pub side: usize,
    /// Likeness of the teacher's features there to those of the query's place, at most 1.
    pub cosine: f64,
}

impl Model {
    /// # Errors
    /// If there is no support.
    pub fn explainer(&self, supports: &Pictures) -> Result<Explainer<'_>> {
        ensure!(!supports.is_empty(), "d24fad needs at least one support");
        let Features { scales, deep } = self.teacher.features(&supports.pixels);
        Ok(Explainer { adapted: self.adapted_from(&deep), references: scales })
    }

    /// The same teacher with a student that has learnt nothing. Maps that do not change with it say nothing about
    /// what was learnt (Adebayo et al., Sanity Checks for Saliency Maps, NeurIPS 2018).
    pub fn with_untrained_student(self, seed: u64) -> Model {
        self.student.initialise(seed);
        self
    }
}

impl Explainer<'_> {
    /// Explains each of `queries`.
    ///
    /// # Errors
    /// What libtorch fails with.
    pub fn explain(&self, queries: &Pictures) -> Result<Vec<Explanation>> {
        let model = self.adapted.model;
        let seen = model.seen(&queries.pixels);
        let side = queries.size();
        let parts = model.student.dissect(&seen.teacher, &seen.student, &self.adapted.supports, side);
        let mut scales = parts.own;
        for (scale, residual) in scales.iter_mut().zip(parts.residual.into_iter().flatten()) {
            *scale = &*scale + residual;
        }
        let map = grid::to_maps(&(&scales[0] + &scales[1] + &scales[2]))?;
        let scales = [grid::to_maps(&scales[0])?, grid::to_maps(&scales[1])?, grid::to_maps(&scales[2])?];
        let weights: Vec<Vec<Vec<f32>>> = parts
            .weights
            .iter()
            .map(|weights| Ok(Vec::try_from(weights.to_device(tch::Device::Cpu).contiguous())?))
            .collect::<Result<_>>()?;
        let one = |query: usize| Explanation {
            weights: [0, 1, 2].map(|scale| weights[scale][query].clone()),
            map: map.at(&[query]),
            scales: scales.each_ref().map(|scale| scale.at(&[query])),
        };
        Ok((0..queries.len()).map(one).collect())
    }

    /// For each query, the region of a support that is most like the query at a place (row, column), by the cosine of
    /// the teacher's features at one scale.
    ///
    /// # Errors
    /// What libtorch fails with.
    pub fn nearest(&self, queries: &Pictures, places: &[(usize, usize, usize)]) -> Result<Vec<Region>> {
        let model = self.adapted.model;
        let features = model.teacher.features(&queries.pixels).scales;
        let size = queries.size() as usize;
        let one = |(query, &(row, column, scale)): (usize, &(usize, usize, usize))| -> Result<Region> {
            let references = &self.references[scale];
            let (_, _, height, width) = references.size4()?;
            let side = size / height as usize;
            // Maps are upsampled with aligned corners.
            let cell = |pixel: usize| (pixel as f64 * (height - 1) as f64 / (size - 1) as f64).round() as i64;
            let at = features[scale].get(query as i64).narrow(1, cell(row), 1).narrow(2, cell(column), 1);
            let cosines: Tensor = Tensor::cosine_similarity(&at.unsqueeze(0), references, 1, 1e-8);
            let cosines = cosines.flatten(0, -1);
            let best = cosines.argmax(None::<i64>, false).int64_value(&[]);
            let place = best % (height * width);
            Ok(Region {
                support: (best / (height * width)) as usize,
                row: (place / width) as usize * side,
                column: (place % width) as usize * side,
                side,
                cosine: cosines.get(best).to_kind(Kind::Double).double_value(&[]),
            })
        };
        places.iter().enumerate().map(one).collect()
    }
}
