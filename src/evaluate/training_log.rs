//! What a training said of its epochs, kept with its state and written as a table.

use std::path::Path;

use anyhow::{Context as _, Result};

use crate::files;
use crate::method::{EpochFigures, Fitted, Observer};
use crate::results::Epoch;

/// Figures of every epoch, by name.
#[derive(Default)]
pub(crate) struct TrainingLog(Vec<(u64, Vec<(String, f64)>)>);

impl Observer for TrainingLog {
    fn after_epoch(&mut self, epoch: u64, figures: &EpochFigures, _: &dyn Fitted) -> Result<()> {
        let owned = figures.iter().map(|(name, value)| ((*name).to_owned(), *value));
        self.0.push((epoch, owned.collect()));
        Ok(())
    }

    fn state(&self) -> Result<String> {
        Ok(serde_json::to_string(&self.0)?)
    }

    fn restore(&mut self, state: &str) -> Result<()> {
        self.0 = serde_json::from_str(state)?;
        Ok(())
    }
}

impl TrainingLog {
    /// Number of epochs.
    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    /// The figures of all epochs, as results have them.
    pub(crate) fn epochs(&self) -> Vec<Epoch> {
        let rows = |(epoch, figures): &(u64, Vec<(String, f64)>)| {
            let (epoch, figures) = (*epoch, figures.clone());
            figures.into_iter().map(move |(quantity, value)| Epoch { epoch, quantity, value: Some(value) })
        };
        self.0.iter().flat_map(rows).collect()
    }

    /// The values of one figure, of those epochs that have it.
    pub(crate) fn values<'a>(&'a self, name: &'a str) -> impl Iterator<Item = f64> + 'a {
        self.0
            .iter()
            .flat_map(|(_, figures)| figures)
            .filter(move |(other, _)| other == name)
            .map(|(_, value)| *value)
    }

    /// Writes a row for each epoch and a column for each figure, empty where an epoch has none.
    ///
    /// # Errors
    /// A file that cannot be written.
    pub(crate) fn write(&self, path: &Path) -> Result<()> {
        let mut names: Vec<&str> = Vec::new();
        for (name, _) in self.0.iter().flat_map(|(_, figures)| figures) {
            if !names.contains(&name.as_str()) {
                names.push(name);
            }
        }
        let mut writer = csv::Writer::from_writer(Vec::new());
        writer.write_record(std::iter::once("epoch").chain(names.iter().copied()))?;
        for (epoch, figures) in &self.0 {
            let value = |name: &&str| {
                let found = figures.iter().find(|(other, _)| other == name);
                found.map_or(String::new(), |(_, value)| value.to_string())
            };
            writer.write_record(std::iter::once(epoch.to_string()).chain(names.iter().map(value)))?;
        }
        files::write_whole(path, &writer.into_inner().context("finishing the table")?)
    }
}
