//! Trained students on disk: one safetensors file with the published names, and what they were trained with.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context as _, Result, ensure};

use super::{Model, Settings};
use crate::method::{Context, Fitted};
use crate::network::{Input, Network, weights};

/// Key of the settings in a file's metadata; files of other programs have none.
const SETTINGS: &str = "medfsad.settings";
const TEACHER: &str = "medfsad.teacher";
const SHOTS: &str = "medfsad.shots";
const CODE: &str = "medfsad.version";

/// Writes decoder and weighting of a fitted D2-4FAD.
///
/// # Errors
/// If the file cannot be written.
pub(super) fn save(model: &Model, settings: &Settings, context: &Context, path: &Path) -> Result<()> {
    let metadata = BTreeMap::from([
        (SETTINGS.to_owned(), serde_json::to_string(settings)?),
        (
            TEACHER.to_owned(),
            context.teachers.of(Network::Resnet(settings.backbone)).hash(Network::Resnet(settings.backbone)),
        ),
        (SHOTS.to_owned(), context.shots.to_string()),
        (CODE.to_owned(), crate::VERSION.to_owned()),
    ]);
    weights::save_with(&model.student.store, metadata, path)
}

/// A D2-4FAD that was trained before, by us or by the published code.
///
/// # Errors
/// A file of another backbone, with tensors missing or left over, or of ours and trained with another teacher.
pub fn load(settings: &Settings, context: &Context, path: &Path) -> Result<Box<dyn Fitted>> {
    let network = Network::Resnet(settings.backbone);
    let metadata = weights::metadata(path)?;
    if let Some(text) = metadata.get(SETTINGS) {
        let trained: Settings = serde_json::from_str(text)
            .with_context(|| format!("{} states settings that this program does not know", path.display()))?;
        ensure!(
            trained.backbone == settings.backbone,
            "{} was trained with {}; give --backbone {}",
            path.display(),
            trained.backbone.name(),
            trained.backbone.name()
        );
    }
    if let Some(hash) = metadata.get(TEACHER) {
        let given = context.teachers.of(network).hash(network);
        ensure!(
            *hash == given,
            "{} was trained with another teacher (sha256 {}), --teacher has {}; a student of one teacher says \
             nothing about another's features",
            path.display(),
            &hash[..hash.len().min(12)],
            &given[..given.len().min(12)]
        );
    }
    let teacher = context.teacher(settings.backbone, Input::Unit)?;
    let model = Model::new(teacher, settings.backbone, context.device);
    weights::load(&model.student.store, path)?;
    Ok(Box::new(model))
}
