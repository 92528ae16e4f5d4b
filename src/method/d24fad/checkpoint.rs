//! Trained students on disk: one safetensors file with the published names, and what they were trained with.

use std::path::Path;

use anyhow::{Context as _, Result, ensure};
use serde::{Deserialize, Serialize};

use super::{Model, Settings};
use crate::method::{Context, Fitted};
use crate::network::{Network, weights};

/// Key of our words in a file's metadata; files of other programs have none. One key, since the format's library
/// writes several in no fixed order.
const KEY: &str = "medfsad";

/// What a student was trained with.
#[derive(Serialize, Deserialize)]
struct Trained {
    settings: Settings,
    /// Identity of the teacher's weights.
    teacher: String,
    shots: usize,
    version: String,
}

/// Writes decoder and weighting of a fitted D2-4FAD.
///
/// # Errors
/// If the file cannot be written.
pub(super) fn save(model: &Model, settings: &Settings, context: &Context, path: &Path) -> Result<()> {
    let network = Network::Resnet(settings.backbone);
    let trained = Trained {
        settings: settings.clone(),
        teacher: context.teachers.of(network).hash(network),
        shots: context.shots,
        version: crate::VERSION.to_owned(),
    };
    let metadata = (KEY.to_owned(), serde_json::to_string(&trained)?);
    weights::save_with(&model.student.store, metadata, path)
}

/// A D2-4FAD that was trained before, by us or by the published code.
///
/// # Errors
/// A file of another backbone, with tensors missing or left over, or of ours and trained with another teacher.
pub fn load(settings: &Settings, context: &Context, path: &Path) -> Result<Box<dyn Fitted>> {
    let network = Network::Resnet(settings.backbone);
    if let Some(text) = weights::metadata(path)?.get(KEY) {
        let trained: Trained = serde_json::from_str(text)
            .with_context(|| format!("{} states what this program does not know", path.display()))?;
        let (then, now) = (trained.settings.backbone, settings.backbone);
        ensure!(
            then == now,
            "{} was trained with {}; give --backbone {}",
            path.display(),
            then.name(),
            then.name()
        );
        let given = context.teachers.of(network).hash(network);
        ensure!(
            trained.teacher == given,
            "{} was trained with another teacher (sha256 {:.12}), --teacher has {:.12}; a student of one teacher says \
             nothing about another's features",
            path.display(),
            trained.teacher,
            given
        );
    }
    let teacher = context.teacher(settings.backbone, settings.input())?;
    let model = Model::new(teacher, settings, context.device);
    weights::load(&model.student.store, path)?;
    Ok(Box::new(model))
}
