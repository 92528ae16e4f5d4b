//! Each row's AUROC on parts of a test set: by finding, and by how pictures were taken.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::Result;
use strum::{Display, VariantArray};

use super::averages::{Drawn, scored};
use super::row::Row;
use super::summary::Summary;
use crate::ids::ImageId;
use crate::manifest::Label;
use crate::metric::auroc::auroc;
use crate::metric::auroc_interval;
use crate::metric::two_level::Sample;
use crate::protocol::Protocol;
use crate::trivia::{Stored, Trivia};

/// Fewer pictures of a class give no number: with 10 and 10 the 95 % interval of an AUROC of 0.8 is 0.4 wide already
/// (Hanley and McNeil's standard error, 0.10).
pub(super) const LEAST_PICTURES: usize = 10;

/// What pictures are parted by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Display, VariantArray)]
#[strum(serialize_all = "kebab-case")]
pub(super) enum By {
    /// One anomalous finding against all normal pictures, or one normal finding against all anomalous ones.
    Finding,
    /// Pictures of one view.
    View,
    /// Pictures of one device.
    Scanner,
    /// Pictures of one site.
    Site,
}

/// A part of a task's test set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Stratum {
    /// Index into the summary's tasks.
    pub task: usize,
    pub by: By,
    /// As people read it: sites have numbers.
    pub name: String,
    part: Part,
}

/// What a stratum keeps.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    /// Pictures of a class with a finding, and all of the other class.
    Finding(Label, String),
    /// These.
    Pictures(BTreeSet<ImageId>),
}

impl Part {
    fn keeps(&self, id: &ImageId, label: Label, finding: &str) -> bool {
        match self {
            Part::Finding(class, own) => label != *class || finding == own,
            Part::Pictures(ids) => ids.contains(id),
        }
    }
}

/// What a row says of a stratum.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Outcome {
    /// The mean over draws, with its 95 % interval over draws and pictures.
    Measured { value: f64, interval: Option<(f64, f64)>, draws: usize },
    /// Fewer than [`LEAST_PICTURES`] of a class.
    TooSmall,
    /// The row has no scores there, or by other labels than the findings'.
    Undefined,
}

/// A row's outcome on a stratum, and how many normal and anomalous pictures it had there.
#[derive(Clone, Copy, Debug)]
pub(super) struct OnStratum {
    pub outcome: Outcome,
    pub pictures: [usize; 2],
}

/// Every row of the leaderboard on every stratum.
pub(super) struct Strata {
    pub strata: Vec<Stratum>,
    /// In the order of the summary's rows; each in the order of `strata`.
    pub rows: Vec<Vec<OnStratum>>,
}

impl Strata {
    /// Of a report's tasks. How pictures were taken is known where they were looked at.
    ///
    /// # Errors
    /// Scores that cannot be read.
    pub(super) fn new(looked_at: Option<&Stored>, summary: &Summary) -> Result<Strata> {
        let mut strata = Vec::new();
        let mut rows: Vec<Vec<OnStratum>> = vec![Vec::new(); summary.rows.len()];
        for (task, name) in summary.tasks.iter().enumerate() {
            let drawn: Vec<Option<Drawn>> =
                summary.rows.iter().map(|row| of_row(summary, row, name)).collect::<Result<_>>()?;
            let taken = looked_at.map(|stored| stored.of_task(name)).unwrap_or_default();
            let of_task: Vec<Stratum> =
                by_finding(task, &drawn).into_iter().chain(by_taking(task, &taken)).collect();
            for (row, drawn) in rows.iter_mut().zip(&drawn) {
                row.extend(of_task.iter().map(|stratum| measured(&stratum.part, drawn.as_ref())));
            }
            strata.extend(of_task);
        }
        Ok(Strata { strata, rows })
    }
}

fn of_row(summary: &Summary, row: &Row, task: &str) -> Result<Option<Drawn>> {
    let cells = summary.entrant(row).at(row.shots);
    let ran: Vec<_> = cells.into_iter().filter(|cell| cell.cell.error.is_none()).collect();
    scored(&ran, task, Protocol::RANKED)
}

/// The class of each finding; `None` where pictures of one finding have both labels, as under permuted ones.
fn classes(drawn: &Drawn) -> Option<BTreeMap<&str, Label>> {
    let mut classes = BTreeMap::new();
    for ((_, label), finding) in drawn.pictures.iter().zip(&drawn.findings) {
        if *classes.entry(finding.as_str()).or_insert(*label) != *label {
            return None;
        }
    }
    Some(classes)
}

/// One for each finding of a class that has several.
fn by_finding(task: usize, drawn: &[Option<Drawn>]) -> Vec<Stratum> {
    let all: BTreeSet<(Label, &str)> = drawn
        .iter()
        .flatten()
        .filter_map(classes)
        .flatten()
        .map(|(finding, label)| (label, finding))
        .collect();
    let of_class = |class: Label| all.iter().filter(move |(label, _)| *label == class);
    let strata = [Label::Anomalous, Label::Normal].into_iter().flat_map(|class| {
        let several = of_class(class).count() > 1;
        of_class(class).filter(move |_| several).map(move |(_, finding)| Stratum {
            task,
            by: By::Finding,
            name: match class {
                Label::Normal => format!("normal {finding}"),
                Label::Anomalous | Label::Unopened => (*finding).to_owned(),
            },
            part: Part::Finding(class, (*finding).to_owned()),
        })
    });
    strata.collect()
}

/// One for each view, device and site of a task that has several, or of some pictures only.
fn by_taking(task: usize, rows: &[&Trivia]) -> Vec<Stratum> {
    type Of = fn(&Trivia) -> Option<&String>;
    let kinds: [(By, Of); 3] = [
        (By::View, |row| row.view.as_ref()),
        (By::Scanner, |row| row.scanner.as_ref()),
        (By::Site, |row| row.site.as_ref()),
    ];
    let mut strata = Vec::new();
    for (by, of) in kinds {
        // In order of first appearance: sites are pseudonyms, and no key may move a table.
        let mut parts: Vec<(Option<&String>, BTreeSet<ImageId>)> = Vec::new();
        for row in rows {
            let value = of(row);
            let place = parts.iter().position(|(other, _)| *other == value).unwrap_or(parts.len());
            if place == parts.len() {
                parts.push((value, BTreeSet::new()));
            }
            parts[place].1.insert(row.image_id.clone());
        }
        if parts.len() < 2 {
            continue;
        }
        let mut number = 0;
        let mut of_kind: Vec<(bool, String, BTreeSet<ImageId>)> = Vec::new();
        for (value, ids) in parts {
            number += usize::from(value.is_some());
            let name = match (by, value) {
                (_, None) => "not stated".to_owned(),
                (By::Site, Some(_)) => format!("site {number}"),
                (_, Some(value)) => value.clone(),
            };
            of_kind.push((value.is_none(), name, ids));
        }
        if by != By::Site {
            of_kind.sort_by(|a, b| (a.0, &a.1).cmp(&(b.0, &b.1)));
        }
        of_kind.sort_by_key(|(is_unknown, ..)| *is_unknown);
        let stratum = |(_, name, ids)| Stratum { task, by, name, part: Part::Pictures(ids) };
        strata.extend(of_kind.into_iter().map(stratum));
    }
    strata
}

fn measured(part: &Part, drawn: Option<&Drawn>) -> OnStratum {
    let undefined = OnStratum { outcome: Outcome::Undefined, pictures: [0, 0] };
    let Some(drawn) = drawn.filter(|drawn| classes(drawn).is_some()) else { return undefined };
    let kept: Vec<usize> = (0..drawn.pictures.len())
        .filter(|&index| {
            let (id, label) = &drawn.pictures[index];
            part.keeps(id, *label, &drawn.findings[index])
        })
        .collect();
    let is_anomalous: Vec<bool> =
        kept.iter().map(|&index| drawn.pictures[index].1 == Label::Anomalous).collect();
    let n_anomalous = is_anomalous.iter().filter(|is| **is).count();
    let pictures = [kept.len() - n_anomalous, n_anomalous];
    if pictures.iter().any(|n| *n < LEAST_PICTURES) {
        return OnStratum { outcome: Outcome::TooSmall, pictures };
    }
    let groups: Vec<Option<String>> = kept.iter().map(|&index| drawn.groups[index].clone()).collect();
    let scores: Vec<Vec<f64>> =
        drawn.scores.iter().map(|draw| kept.iter().map(|&index| draw[index]).collect()).collect();
    let of_draw = |draw: &Vec<f64>| {
        let class = |wanted: bool| -> Vec<f64> {
            let pairs = draw.iter().zip(&is_anomalous);
            pairs.filter(|(_, is)| **is == wanted).map(|(score, _)| *score).collect()
        };
        auroc(&class(false), &class(true))
    };
    let Some(values) = scores.iter().map(of_draw).collect::<Option<Vec<f64>>>() else {
        return OnStratum { pictures, ..undefined };
    };
    let value = values.iter().sum::<f64>() / values.len() as f64;
    let interval = auroc_interval::interval(&Sample::new(is_anomalous, &groups), &scores);
    OnStratum { outcome: Outcome::Measured { value, interval, draws: values.len() }, pictures }
}
