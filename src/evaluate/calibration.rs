//! Pictures on which a random teacher's batch norms are calibrated.

use anyhow::Result;
use tch::Tensor;

use crate::decode::resize::RESIZE_ID;
use crate::episode::batch::Pictures;
use crate::manifest::store::PixelStore;
use crate::manifest::{Manifest, Row, Split};

/// Train normals per task on which a random teacher's batch norms are calibrated.
const CALIBRATION_PER_TASK: usize = 16;

/// The first few train normals of each of `tasks`; `None` without tasks.
pub fn calibration(manifest: &Manifest, tasks: &[String], size: usize) -> Result<Option<Tensor>> {
    let part = |task: &String| {
        let rows: Vec<&Row> = manifest.select(task, Split::Train).take(CALIBRATION_PER_TASK).collect();
        let store = PixelStore::open(&manifest.folder, task, size, RESIZE_ID, &rows)?;
        Ok(Pictures::load(&store, &rows)?.pixels)
    };
    let parts: Vec<Tensor> = tasks.iter().map(part).collect::<Result<_>>()?;
    Ok((!parts.is_empty()).then(|| Tensor::cat(&parts, 0)))
}
