//! Pictures to feature vectors of a frozen teacher, for audits.

use anyhow::Result;
use tch::{Device, Kind, Tensor};

use super::calibration::calibration;
use crate::manifest::Manifest;
use crate::network::origin::Origin;
use crate::network::teacher::Teacher;
use crate::network::{Extractor, Sight};
use crate::pixels::Pixels;

/// The teacher for a curated benchmark's pictures; one of random weights is calibrated on train normals.
///
/// # Errors
/// Weights or pixel stores that cannot be read, pictures of a size that the network cannot take.
pub fn teacher(
    manifest: &Manifest,
    backbone: impl Into<Extractor>,
    origin: &Origin,
    device: Device,
) -> Result<Teacher> {
    let (size, sight) = (manifest.smallest_size()?, Sight::of(backbone.into()));
    sight.check_side(size as i64)?;
    let calibration = match origin {
        Origin::File { .. } | Origin::Targets { .. } => None,
        Origin::Random { .. } => calibration(manifest, &manifest.tasks(), size)?,
    };
    Teacher::seeing(sight, origin, calibration.as_ref(), device)
}

/// The mean over positions of the deepest stage, one vector for each picture; all pictures have one shape.
///
/// # Errors
/// If libtorch cannot copy them back.
pub fn vectors(teacher: &Teacher, pictures: &[Pixels]) -> Result<Vec<Vec<f32>>> {
    let Some(first) = pictures.first() else { return Ok(Vec::new()) };
    let shape = [pictures.len() as i64, 3, first.height() as i64, first.width() as i64];
    let planes: Vec<u8> = pictures.iter().flat_map(|picture| picture.to_rgb().to_planes()).collect();
    let features = teacher.features(&Tensor::from_data_size(&planes, &shape, Kind::Uint8));
    let means = features.deep.mean_dim([2i64, 3].as_slice(), false, Kind::Float);
    let length = means.size()[1] as usize;
    let values: Vec<f32> = Vec::try_from(means.flatten(0, -1).to_device(Device::Cpu))?;
    Ok(values.chunks_exact(length).map(<[f32]>::to_vec).collect())
}
