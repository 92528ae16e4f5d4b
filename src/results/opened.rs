//! Labels that are opened after the scores: a table of them, and the numbers that they give.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};

use super::{CellResult, Measured, Score, image_level};
use crate::files;
use crate::ids::{ImageId, is_of_permuted_labels};
use crate::manifest::Label;
use crate::metric::{Group, Metric};
use crate::protocol::Protocol;

const COLUMNS: [&str; 3] = ["image_id", "label", "finding"];

/// Labels by picture, and findings where they are told.
#[derive(Debug)]
pub struct Labels(HashMap<ImageId, (Label, Option<String>)>);

impl Labels {
    /// Reads a CSV file with columns `image_id`, `label` (0 normal, 1 anomalous) and, if findings are to be told,
    /// `finding`.
    ///
    /// # Errors
    /// A file that cannot be read, a column that is missing or not known, a label that is none, or a picture that is
    /// there twice.
    pub fn read(path: &Path) -> Result<Labels> {
        Labels::parse(&files::read_text(path)?).with_context(|| format!("in {}", path.display()))
    }

    fn parse(text: &str) -> Result<Labels> {
        let text = text.trim_start_matches('\u{feff}');
        let mut reader = csv::ReaderBuilder::new().trim(csv::Trim::All).from_reader(text.as_bytes());
        let head = reader.headers().context("it is not sound CSV")?.clone();
        let place = |column: &str| head.iter().position(|name| name == column);
        let unknown = head.iter().find(|name| !COLUMNS.contains(name));
        if let Some(unknown) = unknown {
            bail!("column `{unknown}` is not known; rename or remove it (known: {})", COLUMNS.join(", "));
        }
        let [Some(id), Some(label), finding] = COLUMNS.map(place) else {
            bail!(
                "it needs the columns image_id and label; `episodes export RUN --lists DIR` writes ids beside paths"
            );
        };
        let mut labels = HashMap::new();
        for record in reader.records() {
            let record = record.context("it is not sound CSV")?;
            let id = ImageId::new(record[id].to_owned());
            let number: i64 = record[label]
                .parse()
                .with_context(|| format!("the label of {id} is `{}`", &record[label]))?;
            let number = Label::parse(number).with_context(|| format!("of picture {id}"))?;
            let finding =
                finding.map(|column| record[column].to_owned()).filter(|finding| !finding.is_empty());
            ensure!(labels.insert(id.clone(), (number, finding)).is_none(), "picture {id} is there twice");
        }
        ensure!(!labels.is_empty(), "it has no labels below its header");
        Ok(Labels(labels))
    }

    /// How many.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are none, which [`Labels::read`] refuses.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Those of pictures that nobody scored.
    pub fn unused(&self, scored: &BTreeSet<ImageId>) -> usize {
        self.0.keys().filter(|id| !scored.contains(*id)).count()
    }

    /// The label of a picture, if the table has it.
    pub fn of(&self, id: &ImageId) -> Option<Label> {
        self.0.get(id).map(|(label, _)| *label)
    }

    /// A cell with its labels opened and every image-level number computed from its scores, to be written to `folder`.
    /// Labels that were known already must be these, and stay.
    ///
    /// # Errors
    /// Pictures without a label, or with another one than the cell knew.
    pub fn open(&self, result: &CellResult, folder: PathBuf) -> Result<CellResult> {
        let permuted = is_of_permuted_labels(&result.cell.identity.method);
        let (mut missing, mut other) = (Vec::new(), Vec::new());
        let mut scores = Vec::with_capacity(result.scores.len());
        for score in &result.scores {
            let known = score.label != Label::Unopened;
            match self.0.get(&score.image_id) {
                None if !known => missing.push(&score.image_id),
                Some((label, _)) if known && !permuted && *label != score.label => {
                    other.push(&score.image_id);
                }
                Some((label, finding)) if !known => {
                    // The folder of unopened pictures holds both classes, and a finding is of one.
                    let class = if *label == Label::Anomalous { "anomalous" } else { "normal" };
                    let finding = finding.clone().unwrap_or_else(|| format!("{} ({class})", score.finding));
                    scores.push(Score { label: *label, finding, ..score.clone() });
                    continue;
                }
                _ => {}
            }
            scores.push(score.clone());
        }
        for (ids, what) in [(missing, "has no label of"), (other, "has another label than the run knew of")] {
            if let Some(first) = ids.first() {
                bail!(
                    "the table of labels {what} {} of {} pictures, such as {first}",
                    ids.len(),
                    scores.len()
                );
            }
        }
        let opened = CellResult { scores, folder, ..result.clone() };
        Ok(CellResult { metrics: measured(&opened), ..opened })
    }
}

/// The rows of a cell's metrics: what follows from scores anew, what does not as it was.
fn measured(opened: &CellResult) -> Vec<Measured> {
    let mut rows = Vec::new();
    for protocol in Protocol::all() {
        let follows: BTreeMap<Metric, Measured> =
            image_level(opened, protocol).into_iter().map(|row| (row.metric, row)).collect();
        let counts = follows.get(&Metric::RANKED).map(|row| [row.n_normal, row.n_anomalous, row.n_left_out]);
        for stored in opened.metrics.iter().filter(|row| row.protocol == protocol) {
            let row = match (follows.get(&stored.metric), counts) {
                (Some(row), _) => row.clone(),
                (None, Some([n_normal, n_anomalous, n_left_out]))
                    if stored.metric.group() == Group::Preset =>
                {
                    Measured { n_normal, n_anomalous, n_left_out, ..stored.clone() }
                }
                _ => stored.clone(),
            };
            rows.push(Measured { epoch: stored.epoch, ..row });
        }
    }
    rows
}
