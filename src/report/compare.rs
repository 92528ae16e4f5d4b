//! One run or method against another: the same pictures, paired tests, and whether something got worse.

use std::collections::BTreeMap;

use anyhow::{Result, bail, ensure};

use super::display_table::{DisplayTable, Entry, Line, UNDEFINED, signed, three_decimals};
use super::ranking::paired;
use super::summary::{Entrant, Row, Summary, difference};
use crate::ids::ImageId;
use crate::manifest::Label;
use crate::metric::delong::Contributions;
use crate::metric::paired::signed_rank;
use crate::protocol::Protocol;
use crate::results::CellResult;

/// What a comparison found.
pub struct Comparison {
    /// The comparison, line by line.
    pub table: DisplayTable,
    /// Lines on which the first is worse than the second beyond the interval.
    pub regressions: usize,
}

/// Compares two entrants of two sets of cells, at every number of shots that both have.
///
/// # Errors
/// If a method is ambiguous or absent, or nothing can be paired.
pub(super) fn compare(
    first: &[CellResult],
    second: &[CellResult],
    methods: [Option<&str>; 2],
) -> Result<Comparison> {
    let (first, second) = (Summary::new(first), Summary::new(second));
    let pairs = match methods {
        [Some(one), Some(other)] => vec![(find(&first, one)?, find(&second, other)?)],
        [Some(one), None] | [None, Some(one)] => vec![(find(&first, one)?, find(&second, one)?)],
        [None, None] => shared(&first, &second),
    };
    ensure!(!pairs.is_empty(), "the two have no method in common; name one of each with --method");
    let mut rows = Vec::new();
    let mut regressions = 0;
    for (one, other) in pairs {
        for &shots in first.shots.iter().filter(|shots| second.shots.contains(shots)) {
            let of = |row: &&Row, entrant: usize| row.entrant == entrant && row.shots == shots;
            let (Some(a), Some(b)) =
                (first.rows.iter().find(|row| of(row, one)), second.rows.iter().find(|row| of(row, other)))
            else {
                continue;
            };
            let pair = [&first.entrants[one], &second.entrants[other]];
            let interval = same_pictures(pair, &first, &second).then(|| difference(a, b)).flatten();
            let is_worse = interval.is_some_and(|(_, high)| high < 0.0);
            regressions += usize::from(is_worse);
            rows.push(line(pair, shots, [a, b], interval, is_worse));
        }
    }
    ensure!(!rows.is_empty(), "the two share no number of shots");
    let head = [
        "first",
        "second",
        "shots",
        "first, mean",
        "second, mean",
        "first less second",
        "p over draws",
        "DeLong p, per cell",
        "verdict",
    ];
    let table = DisplayTable {
        name: "comparison",
        title: "Comparison".to_owned(),
        caption: "Image AUROC under clean. The difference has a 95 % interval over draws, seeds and pictures, resampled \
                  alike for both. p over draws is Wilcoxon's signed-rank test over paired tasks, draws and seeds. \
                  DeLong's test is of single cells on the same pictures: the smallest of their p-values and how many \
                  lie below 0.05. Worse is an interval that lies below zero. Runs on different manifests or tasks are not \
                  comparable: their pictures differ."
            .to_owned(),
        head: head.map(str::to_owned).to_vec(),
        rows,
    };
    Ok(Comparison { table, regressions })
}

/// Whether both were scored on the same tasks of one manifest, so that resampled pictures are the same.
fn same_pictures(pair: [&Entrant; 2], first: &Summary, second: &Summary) -> bool {
    let cells = pair.iter().flat_map(|entrant| &entrant.cells);
    let mut manifests: Vec<&str> = cells.map(|cell| cell.cell.identity.manifest_hash.as_str()).collect();
    manifests.dedup();
    manifests.len() == 1 && first.tasks == second.tasks
}

fn find(summary: &Summary, method: &str) -> Result<usize> {
    let found: Vec<usize> = (0..summary.entrants.len())
        .filter(|&index| summary.entrants[index].label == method || summary.entrants[index].method == method)
        .collect();
    let labels: Vec<&str> = summary.entrants.iter().map(|entrant| entrant.label.as_str()).collect();
    match found[..] {
        [index] => Ok(index),
        [] => bail!("no method `{method}` (known: {})", labels.join(", ")),
        _ => bail!("`{method}` stands for several set-ups; name one of: {}", labels.join(", ")),
    }
}

/// Methods of the same name, other than controls.
fn shared(first: &Summary, second: &Summary) -> Vec<(usize, usize)> {
    let place = |label: &str| second.entrants.iter().position(|other| other.label == label);
    let entrants = first.entrants.iter().enumerate().filter(|(_, entrant)| !entrant.control);
    entrants.filter_map(|(index, entrant)| Some((index, place(&entrant.label)?))).collect()
}

fn line(
    pair: [&Entrant; 2],
    shots: usize,
    rows: [&Row; 2],
    interval: Option<(f64, f64)>,
    is_worse: bool,
) -> Line {
    let means = rows.map(|row| row.ranked().mean.map(|mean| mean.value));
    let less = means[0].zip(means[1]).map(|(first, second)| first - second);
    let detail = interval.map_or(String::new(), |(low, high)| format!("[{low:+.3}, {high:+.3}]"));
    let draws = signed_rank(&paired(pair[0], pair[1], shots)).map(|test| test.p);
    let verdict = match interval {
        Some(_) if is_worse => "worse",
        Some((low, _)) if low > 0.0 => "better",
        Some(_) => "not told apart",
        None => "not comparable",
    };
    Line {
        class: String::new(),
        entries: vec![
            Entry::text(&pair[0].label),
            Entry::text(&pair[1].label),
            Entry::number(shots.to_string()),
            Entry::number(three_decimals(means[0])),
            Entry::number(three_decimals(means[1])),
            Entry::number(signed(less)).detail(detail),
            Entry::number(three_decimals(draws)),
            Entry::number(delong(pair, shots)),
            Entry::text(verdict),
        ],
    }
}

/// The smallest p of DeLong's tests of cells with the same place, and how many are below 0.05.
fn delong(pair: [&Entrant; 2], shots: usize) -> String {
    let of = |cell: &CellResult| {
        let id = &cell.cell.identity;
        (id.task.clone(), id.shots, id.draw, id.seed)
    };
    let others: BTreeMap<_, &CellResult> = pair[1].cells.iter().map(|cell| (of(cell), *cell)).collect();
    let cells = pair[0].cells.iter().filter(|cell| cell.cell.identity.shots == shots);
    let p_values: Vec<f64> =
        cells.filter_map(|cell| Some(contributions(cell, others.get(&of(cell))?)?.p)).collect();
    let least = p_values.iter().copied().fold(f64::INFINITY, f64::min);
    match p_values.len() {
        0 => UNDEFINED.to_owned(),
        n => format!("{least:.3} ({} of {n})", p_values.iter().filter(|p| **p < 0.05).count()),
    }
}

/// DeLong's test on the pictures of two cells; `None` if they are not the same.
fn contributions(first: &CellResult, second: &CellResult) -> Option<crate::metric::delong::Difference> {
    let by_id = |cell: &CellResult| -> BTreeMap<ImageId, (Label, Option<f64>)> {
        cell.scores
            .iter()
            .map(|score| (score.image_id.clone(), (score.label, score.under(Protocol::RANKED))))
            .collect()
    };
    let (first, second) = (by_id(first), by_id(second));
    let same =
        first.len() == second.len() && first.iter().zip(&second).all(|(a, b)| a.0 == b.0 && a.1.0 == b.1.0);
    let of = |scores: &BTreeMap<ImageId, (Label, Option<f64>)>, label: Label| -> Option<Vec<f64>> {
        scores.values().filter(|(own, _)| *own == label).map(|(_, score)| *score).collect()
    };
    let contributions =
        |scores| Contributions::new(&of(scores, Label::Normal)?, &of(scores, Label::Anomalous)?);
    same.then(|| contributions(&first)?.paired(&contributions(&second)?)).flatten()
}
