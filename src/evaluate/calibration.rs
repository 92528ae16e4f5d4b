//! Pictures on which a random teacher's batch norms are calibrated.

use anyhow::Result;
use tch::Tensor;

use crate::episode::batch::Pictures;
use crate::ids::TaskName;
use crate::manifest::{Manifest, Split};

/// Train normals per task on which a random teacher's batch norms are calibrated.
const CALIBRATION_PER_TASK: usize = 16;

/// The first few train normals of each of `tasks`; `None` without tasks.
pub(super) fn calibration(manifest: &Manifest, tasks: &[TaskName], size: usize) -> Result<Option<Tensor>> {
    let part = |task: &TaskName| {
        let task = manifest.task(task)?;
        let mut rows = task.of(Split::Train);
        rows.truncate(CALIBRATION_PER_TASK);
        Ok(Pictures::load(&task.store(size)?, &rows)?.pixels)
    };
    let parts: Vec<Tensor> = tasks.iter().map(part).collect::<Result<_>>()?;
    Ok((!parts.is_empty()).then(|| Tensor::cat(&parts, 0)))
}
