//! Trained students on disk: one safetensors file with the published names, and what they were trained with.

use std::path::Path;

use anyhow::{Context as _, Result, bail, ensure};
use serde::{Deserialize, Serialize};

use super::model::Model;
use super::settings::Settings;
use crate::method::contract::Context;
use crate::network::{Network, weights};

/// Key of our words in a file's metadata; files of other programs have none. One key, since the format's library
/// writes several in no fixed order.
const KEY: &str = "medfsad";

/// Settings of earlier versions that said where features were kept, not what was learnt.
const RETIRED: [&str; 2] = ["feature_memory_gib", "feature_disk_gib"];

/// What a student was trained with.
#[derive(Serialize, Deserialize)]
pub struct Trained {
    settings: Settings,
    /// Identity of the teacher's weights.
    teacher: String,
    /// Side of the pictures in pixels.
    pub size: u16,
    shots: usize,
    version: String,
}

impl Trained {
    /// The settings of training, overridden by those that are `given`.
    ///
    /// # Errors
    /// A setting that would make another network of it.
    pub fn with(&self, given: toml::Table) -> Result<toml::Table> {
        let mut table = toml::Table::try_from(&self.settings)?;
        for (key, value) in given {
            let then = table.insert(key.clone(), value.clone());
            let fixed = ["backbone", "scaling", "weighted", "imagenet"].contains(&key.as_str());
            if let Some(then) = then.filter(|then| fixed && *then != value) {
                bail!("it was trained with {key} = {then}; leave {key} = {value} out");
            }
        }
        Ok(table)
    }
}

/// What a checkpoint was trained with; `None` for a file of another program.
///
/// # Errors
/// A file that cannot be read, or of a version that this program does not know.
pub fn header(path: &Path) -> Result<Option<Trained>> {
    let metadata = weights::metadata(path)?;
    let known = |text| -> serde_json::Result<Trained> {
        let mut trained: serde_json::Value = serde_json::from_str(text)?;
        if let Some(settings) = trained.get_mut("settings").and_then(serde_json::Value::as_object_mut) {
            RETIRED.iter().for_each(|name| drop(settings.remove(*name)));
        }
        serde_json::from_value(trained)
    };
    metadata
        .get(KEY)
        .map(|text| known(text))
        .transpose()
        .with_context(|| format!("{} was written by an incompatible version; retrain", path.display()))
}

/// Writes decoder and weighting of a D2-4FAD that was trained on pictures of side `size`.
///
/// # Errors
/// If the file cannot be written.
pub(super) fn save(
    model: &Model,
    settings: &Settings,
    context: &Context,
    size: u16,
    path: &Path,
) -> Result<()> {
    let network = Network::Backbone(settings.backbone);
    let trained = Trained {
        settings: settings.clone(),
        teacher: context.teachers.of(network)?.hash(network),
        size,
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
pub fn load(settings: &Settings, context: &Context, path: &Path) -> Result<Model> {
    let network = Network::Backbone(settings.backbone);
    if let Some(trained) = header(path)? {
        let given = context.teachers.of(network)?.hash(network);
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
    Ok(model)
}
