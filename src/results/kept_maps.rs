//! Raw anomaly maps of a cell, kept only where that was asked for: what choices of evaluation are tried on afterwards.

use std::path::Path;

use anyhow::{Context, Result, ensure};
use safetensors::{Dtype, SafeTensors, tensor::TensorView};

use crate::files;
use crate::maps::MapStack;

/// Beside `cell.json`; a cell may lack it.
pub const MAPS: &str = "maps.safetensors";

const LAST: &str = "last";
const BEST: &str = "best";

/// Maps before smoothing, one for each row of the cell's scores and in their order.
#[derive(Clone, Debug, PartialEq)]
pub struct KeptMaps {
    /// Of the last epoch, or of a method without epochs.
    pub last: MapStack,
    /// Of the epoch that protocol `published` chooses; `None` without epochs, and where a training that was resumed had
    /// passed it before.
    pub best: Option<MapStack>,
}

impl KeptMaps {
    /// Bytes of one stack of maps in a file.
    pub fn bytes(pictures: usize, side: usize) -> u64 {
        (pictures * side * side * size_of::<f32>()) as u64
    }

    /// Writes `last` and `best` as tensors `[pictures, height, width]` of f32.
    ///
    /// # Errors
    /// A file that cannot be written.
    pub fn write(&self, path: &Path) -> Result<()> {
        let bytes = |maps: &MapStack| -> Vec<u8> {
            maps.values().iter().flat_map(|value| value.to_le_bytes()).collect()
        };
        let shape = |maps: &MapStack| vec![maps.count(), maps.height(), maps.width()];
        let stacks: Vec<(&str, Vec<usize>, Vec<u8>)> = [(LAST, Some(&self.last)), (BEST, self.best.as_ref())]
            .into_iter()
            .filter_map(|(name, maps)| maps.map(|maps| (name, shape(maps), bytes(maps))))
            .collect();
        let mut views = Vec::with_capacity(stacks.len());
        for (name, shape, bytes) in &stacks {
            views.push((*name, TensorView::new(Dtype::F32, shape.clone(), bytes)?));
        }
        files::write_whole(path, &safetensors::serialize(views, None)?)
    }

    /// Reads what [`KeptMaps::write`] wrote.
    ///
    /// # Errors
    /// A file that cannot be read or holds something else.
    pub fn read(path: &Path) -> Result<KeptMaps> {
        let bytes = files::read(path)?;
        let what = || format!("{} holds no maps; run the cell again with --keep-maps", path.display());
        let tensors = SafeTensors::deserialize(&bytes).with_context(what)?;
        let stack = |name: &str| -> Result<MapStack> {
            let tensor = tensors.tensor(name).with_context(what)?;
            let [count, height, width] = *tensor.shape() else {
                anyhow::bail!("{}: tensor `{name}` has another shape than maps", path.display());
            };
            ensure!(tensor.dtype() == Dtype::F32, "{}: tensor `{name}` is not of f32", path.display());
            let values = tensor.data().chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]]));
            MapStack::new(count, height, width, values.collect())
        };
        let best = tensors.names().into_iter().any(|name| name == BEST).then(|| stack(BEST)).transpose()?;
        let last = stack(LAST)?;
        if let Some(best) = &best {
            let shape = |maps: &MapStack| (maps.count(), maps.height(), maps.width());
            ensure!(shape(best) == shape(&last), "{}: the two stacks are not of one shape", path.display());
        }
        Ok(KeptMaps { last, best })
    }
}
