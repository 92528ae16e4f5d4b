//! One run or method against another: the same pictures, paired tests, and whether something got worse.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Result, bail, ensure};

use super::display_table::{DisplayTable, Entry, Line, UNDEFINED, p_value, signed, three_decimals};
use super::entrant::Entrant;
use super::shared::{Shared, paired};
use super::summary::Summary;
use crate::ids::ImageId;
use crate::manifest::Label;
use crate::metric::delong::{Contributions, Difference};
use crate::metric::paired::{least_p, signed_rank};
use crate::protocol::Protocol;
use crate::results::{Identity, StoredCell};

/// What a comparison found.
pub struct Comparison {
    /// The comparison, line by line.
    pub table: DisplayTable,
    /// Lines on which the first is worse than the second beyond the interval.
    pub regressions: usize,
    /// What could not be compared, and why: a guard must not pass on it.
    pub unjudged: Vec<String>,
}

/// Compares two entrants of two sets of cells, at every number of shots that the second has.
///
/// # Errors
/// If a method is ambiguous or absent, or nothing can be paired.
pub(super) fn compare(
    first: &[StoredCell],
    second: &[StoredCell],
    methods: [Option<&str>; 2],
) -> Result<Comparison> {
    let (first, second) = (Summary::new(first)?, Summary::new(second)?);
    let mut unjudged = Vec::new();
    let pairs = match methods {
        [Some(one), Some(other)] => vec![(find(&first, one)?, find(&second, other)?)],
        [Some(one), None] | [None, Some(one)] => vec![(find(&first, one)?, find(&second, one)?)],
        [None, None] => partners(&first, &second, &mut unjudged),
    };
    ensure!(
        !(pairs.is_empty() && unjudged.is_empty()),
        "the two have no method in common; name one of each with --method"
    );
    let mut rows = Vec::new();
    let mut regressions = 0;
    for (one, other) in pairs {
        let pair = [&first.entrants[one], &second.entrants[other]];
        for shots in shots_of(pair[1]) {
            let shared = Shared::new(pair, shots)?;
            regressions += usize::from(shared.verdict() == "worse");
            let why = shared.unjudged.as_ref();
            unjudged.extend(why.map(|why| format!("{} at {shots} shots: {why}", pair[0].label)));
            rows.push(line(pair, shots, &shared)?);
        }
    }
    Ok(Comparison { table: table(rows), regressions, unjudged })
}

fn table(rows: Vec<Line>) -> DisplayTable {
    let head = [
        "first",
        "second",
        "shots",
        "draws",
        "cells",
        "first, mean",
        "second, mean",
        "first less second",
        "could show",
        "p over draws",
        "DeLong p, per cell",
        "verdict",
    ];
    DisplayTable {
        name: "comparison",
        title: "Comparison".to_owned(),
        caption: "Image AUROC under clean, over the tasks, draws and seeds that both have (draws and cells: those of how \
                  many of the first and of the second), on the same pictures. The difference has a 95 % interval over draws, \
                  seeds and pictures, resampled alike for both; could show is the smallest true \
                  difference that such an interval would tell from zero with a power of 80 %, \
                  errors rescaled as an AUROC's variance a (1 - a) is, which next to 1 gives too large a difference. p over draws is Wilcoxon's signed-rank test over paired \
                  tasks, draws and seeds. DeLong's test is of single cells on the same pictures: the smallest of their \
                  p-values and how many lie below 0.05. Worse is an interval that lies below zero. Methods are paired \
                  by name and settings."
            .to_owned(),
        head: head.map(str::to_owned).to_vec(),
        rows,
    }
}

fn shots_of(entrant: &Entrant) -> BTreeSet<usize> {
    entrant.cells.iter().map(|cell| cell.cell.identity.shots).collect()
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

/// Entrants of the second run, other than controls, each with the one of the first that has its method and settings.
fn partners(first: &Summary, second: &Summary, unjudged: &mut Vec<String>) -> Vec<(usize, usize)> {
    let mut pairs = Vec::new();
    for (other, entrant) in second.entrants.iter().enumerate().filter(|(_, entrant)| !entrant.control) {
        match partner(entrant, first) {
            Ok(one) => pairs.push((one, other)),
            Err(why) => unjudged.push(format!("{}: {why}", entrant.label)),
        }
    }
    pairs.sort_unstable();
    pairs
}

/// Where several have them, weights, then device, then code decide.
fn partner(entrant: &Entrant, among: &Summary) -> Result<usize, String> {
    let own = &entrant.cells[0].cell.identity;
    let of = |index: usize| &among.entrants[index].cells[0].cell.identity;
    let set_up = |id: &Identity| {
        let observed = (id.epoch_by_sources, id.observed_every);
        (id.method.clone(), id.settings.clone(), id.size, id.held_out, observed)
    };
    let mut found: Vec<usize> =
        (0..among.entrants.len()).filter(|&index| set_up(of(index)) == set_up(own)).collect();
    let finer: [fn(&Identity) -> &str; 3] =
        [|id| &id.weights_hash, |id| &id.device_class, |id| &id.code_hash];
    for part in finer {
        if found.len() > 1 && found.iter().any(|&index| part(of(index)) == part(own)) {
            found.retain(|&index| part(of(index)) == part(own));
        }
    }
    match found[..] {
        [one] => Ok(one),
        [] if among.entrants.iter().any(|other| other.method == entrant.method) => {
            Err("the first has it with other settings only; name one of each with --method".to_owned())
        }
        [] => Err("the first lacks it".to_owned()),
        _ => Err("the first has several set-ups of it; name one of each with --method".to_owned()),
    }
}

fn line(pair: [&Entrant; 2], shots: usize, shared: &Shared) -> Result<Line> {
    let [one, other] = shared.means;
    let detail = shared.interval.map_or(String::new(), |(low, high)| format!("[{low:+.3}, {high:+.3}]"));
    let of = |[firsts, seconds, both]: [usize; 3]| Entry::number(format!("{both} of {firsts} and {seconds}"));
    Ok(Line {
        class: String::new(),
        entries: vec![
            Entry::text(&pair[0].label),
            Entry::text(&pair[1].label),
            Entry::number(shots.to_string()),
            of(shared.draws),
            of(shared.counts),
            Entry::number(three_decimals(one)),
            Entry::number(three_decimals(other)),
            Entry::number(signed(shared.less())).detail(detail),
            Entry::number(three_decimals(shared.could_show)),
            Entry::number(over_draws(&paired(pair[0], pair[1], shots))),
            Entry::number(delong(pair, shots)?),
            Entry::text(shared.verdict()),
        ],
    })
}

/// The p-value of Wilcoxon's test, unless there are too few pairs for any.
fn over_draws(differences: &[f64]) -> String {
    match differences.len() {
        n if n > 0 && least_p(n) > 0.05 => format!("{n} pairs: no test can reach 0.05"),
        _ => p_value(signed_rank(differences).map(|test| test.p)),
    }
}

/// The smallest p of DeLong's tests of cells with the same place, and how many are below 0.05.
fn delong(pair: [&Entrant; 2], shots: usize) -> Result<String> {
    let of = |cell: &StoredCell| {
        let id = &cell.cell.identity;
        (id.task.clone(), id.shots, id.draw, id.seed)
    };
    let others: BTreeMap<_, &StoredCell> = pair[1].cells.iter().map(|cell| (of(cell), *cell)).collect();
    let cells = pair[0].cells.iter().filter(|cell| cell.cell.identity.shots == shots);
    let mut p_values: Vec<f64> = Vec::new();
    for cell in cells {
        if let Some(other) = others.get(&of(cell)) {
            p_values.extend(contributions(cell, other)?.map(|test| test.p));
        }
    }
    let least = p_values.iter().copied().fold(f64::INFINITY, f64::min);
    Ok(match p_values.len() {
        0 => UNDEFINED.to_owned(),
        n => format!("{} ({} of {n})", p_value(Some(least)), p_values.iter().filter(|p| **p < 0.05).count()),
    })
}

/// DeLong's test on the pictures of two cells; `None` if they are not the same.
fn contributions(first: &StoredCell, second: &StoredCell) -> Result<Option<Difference>> {
    let by_id = |cell: &StoredCell| -> Result<BTreeMap<ImageId, (Label, Option<f64>)>> {
        let scores = cell.scores()?.into_iter();
        Ok(scores
            .map(|score| {
                let value = score.under(Protocol::RANKED);
                (score.image_id, (score.label, value))
            })
            .collect())
    };
    let (first, second) = (by_id(first)?, by_id(second)?);
    let same =
        first.len() == second.len() && first.iter().zip(&second).all(|(a, b)| a.0 == b.0 && a.1.0 == b.1.0);
    let of = |scores: &BTreeMap<ImageId, (Label, Option<f64>)>, label: Label| -> Option<Vec<f64>> {
        scores.values().filter(|(own, _)| *own == label).map(|(_, score)| *score).collect()
    };
    let contributions =
        |scores| Contributions::new(&of(scores, Label::Normal)?, &of(scores, Label::Anomalous)?);
    Ok(same.then(|| contributions(&first)?.paired(&contributions(&second)?)).flatten())
}
