//! What a run's `plan.json` says, for commands that need no harness.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde_json::Value;

use crate::files;

/// What a run was planned with; its file names paths from the run's folder, or from the cache.
pub(super) struct PlannedRun<'a> {
    /// Null where the run has no plan.
    pub json: Value,
    pub run: &'a Path,
    cache: PathBuf,
}

impl<'a> PlannedRun<'a> {
    /// # Errors
    /// A plan that cannot be read.
    pub(super) fn read(run: &'a Path) -> Result<PlannedRun<'a>> {
        let path = run.join("plan.json");
        let json = match path.exists() {
            true => serde_json::from_str(&files::read_text(&path)?)
                .with_context(|| format!("reading {}", path.display()))?,
            false => Value::Null,
        };
        Ok(PlannedRun { json, run, cache: files::cache_folder()? })
    }

    /// A path that the plan states.
    pub(super) fn path(&self, stated: &str) -> PathBuf {
        files::stated(self.run, &self.cache, Path::new(stated))
    }

    /// The curated benchmark, if it is named and at hand.
    pub(super) fn manifest(&self) -> Option<PathBuf> {
        let named = self.json["manifest"].as_str().map(|path| self.path(path));
        named.filter(|path| path.join("manifest.json").exists())
    }

    /// What the bench runs; null without a plan.
    pub(super) fn definition(&self) -> &Value {
        &self.json["definition"]
    }
}
