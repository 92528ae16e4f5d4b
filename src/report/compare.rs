//! One run or method against another: the same pictures, paired tests, and whether something got worse.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Result, bail, ensure};

use super::averages::{Averages, with_intervals};
use super::display_table::{DisplayTable, Entry, Line, UNDEFINED, signed, three_decimals};
use super::entrant::Entrant;
use super::ranking::paired;
use super::row::paired_interval;
use super::summary::Summary;
use crate::ids::ImageId;
use crate::manifest::Label;
use crate::metric::delong::{Contributions, Difference};
use crate::metric::paired::signed_rank;
use crate::protocol::Protocol;
use crate::results::{Identity, Seed, StoredCell};

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
        "cells",
        "first, mean",
        "second, mean",
        "first less second",
        "p over draws",
        "DeLong p, per cell",
        "verdict",
    ];
    DisplayTable {
        name: "comparison",
        title: "Comparison".to_owned(),
        caption: "Image AUROC under clean, over the tasks, draws and seeds that both have (cells: those of how many of \
                  the first and of the second), on the same pictures. The difference has a 95 % interval over draws, \
                  seeds and pictures, resampled alike for both. p over draws is Wilcoxon's signed-rank test over paired \
                  tasks, draws and seeds. DeLong's test is of single cells on the same pictures: the smallest of their \
                  p-values and how many lie below 0.05. Worse is an interval that lies below zero. Methods are paired \
                  by name and settings."
            .to_owned(),
        head: head.map(str::to_owned).to_vec(),
        rows,
    }
}

/// Task, draw and seed: what two cells of different methods must share to be paired.
type Place<'a> = (&'a str, usize, Seed);

fn place(cell: &StoredCell) -> Place<'_> {
    let id = &cell.cell.identity;
    (id.task.as_str(), id.draw, id.seed)
}

/// The cells of an entrant, by place.
fn by_place<'a>(entrant: &Entrant<'a>, shots: usize) -> BTreeMap<Place<'a>, &'a StoredCell> {
    let cells = entrant.cells.iter().copied().filter(|cell| cell.cell.identity.shots == shots);
    cells.map(|cell| (place(cell), cell)).collect()
}

fn shots_of(entrant: &Entrant) -> BTreeSet<usize> {
    entrant.cells.iter().map(|cell| cell.cell.identity.shots).collect()
}

/// What two entrants share at a number of shots.
struct Shared {
    /// Cells of the first, of the second, and those that both have.
    counts: [usize; 3],
    means: [Option<f64>; 2],
    interval: Option<(f64, f64)>,
    /// Why there is no interval.
    unjudged: Option<String>,
}

impl Shared {
    fn new(pair: [&Entrant; 2], shots: usize) -> Result<Shared> {
        let all = pair.map(|entrant| by_place(entrant, shots));
        let ran = |cells: &BTreeMap<_, &StoredCell>, place: &Place| {
            cells.get(place).is_some_and(|cell| cell.cell.error.is_none())
        };
        let places: Vec<Place> =
            all[0].keys().copied().filter(|place| all.iter().all(|cells| ran(cells, place))).collect();
        let shared = [0, 1].map(|side| places.iter().map(|place| all[side][place]).collect::<Vec<_>>());
        let tasks: BTreeSet<&str> = all.iter().flat_map(BTreeMap::keys).map(|place| place.0).collect();
        let tasks: Vec<&str> = tasks.into_iter().collect();
        let averages = |side: usize| -> Result<Averages> {
            let mut averages = with_intervals(&shared[side], &tasks, &[Protocol::RANKED])?;
            Ok(averages.remove(0).1)
        };
        let averages = [averages(0)?, averages(1)?];
        let failed =
            all[0].iter().filter(|(place, cell)| cell.cell.error.is_some() && ran(&all[1], place)).count();
        let obstacle = obstacle(&all, &shared, &tasks, failed)?;
        let interval = match obstacle {
            Some(_) => None,
            None => paired_interval(&averages[0].replicates, &averages[1].replicates),
        };
        let no_interval =
            "there is no interval: a task has too few pictures, or those of a class are one patient's";
        Ok(Shared {
            counts: [all[0].len(), all[1].len(), places.len()],
            means: [0, 1].map(|side| averages[side].mean.map(|mean| mean.value)),
            unjudged: obstacle.or_else(|| interval.is_none().then(|| no_interval.to_owned())),
            interval,
        })
    }

    fn verdict(&self) -> &'static str {
        match self.interval {
            Some((_, high)) if high < 0.0 => "worse",
            Some((low, _)) if low > 0.0 => "better",
            Some(_) => "not told apart",
            None => "not comparable",
        }
    }
}

/// What keeps two sets of cells from being compared.
fn obstacle(
    all: &[BTreeMap<Place, &StoredCell>; 2],
    shared: &[Vec<&StoredCell>; 2],
    tasks: &[&str],
    failed: usize,
) -> Result<Option<String>> {
    if all[0].is_empty() {
        return Ok(Some("the first has no such cell".to_owned()));
    }
    if failed > 0 {
        return Ok(Some(format!("{failed} cells failed in the first that did not in the second")));
    }
    let lacking: Vec<&str> = tasks
        .iter()
        .copied()
        .filter(|task| shared[0].iter().all(|cell| cell.cell.identity.task != *task))
        .collect();
    if !lacking.is_empty() {
        return Ok(Some(format!("no draw of {} ran in both", lacking.join(", "))));
    }
    let differ = |of: fn(&Identity) -> String| {
        let pairs = shared[0].iter().zip(&shared[1]);
        pairs.clone().any(|(a, b)| of(&a.cell.identity) != of(&b.cell.identity))
    };
    if differ(|id| id.manifest_hash.clone()) {
        return Ok(Some("they were made on different manifests".to_owned()));
    }
    if differ(|id| id.episode_seed.to_string()) {
        return Ok(Some("their supports were drawn by different seeds".to_owned()));
    }
    let pictures = |cell: &StoredCell| -> Result<BTreeMap<ImageId, Label>> {
        Ok(cell.scores()?.into_iter().map(|score| (score.image_id, score.label)).collect())
    };
    for (a, b) in shared[0].iter().zip(&shared[1]) {
        if pictures(a)? != pictures(b)? {
            return Ok(Some("they scored different pictures, or by other labels".to_owned()));
        }
    }
    Ok(None)
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
    let less = one.zip(other).map(|(one, other)| one - other);
    let detail = shared.interval.map_or(String::new(), |(low, high)| format!("[{low:+.3}, {high:+.3}]"));
    let draws = signed_rank(&paired(pair[0], pair[1], shots)).map(|test| test.p);
    let [firsts, seconds, both] = shared.counts;
    Ok(Line {
        class: String::new(),
        entries: vec![
            Entry::text(&pair[0].label),
            Entry::text(&pair[1].label),
            Entry::number(shots.to_string()),
            Entry::number(format!("{both} of {firsts} and {seconds}")),
            Entry::number(three_decimals(one)),
            Entry::number(three_decimals(other)),
            Entry::number(signed(less)).detail(detail),
            Entry::number(three_decimals(draws)),
            Entry::number(delong(pair, shots)?),
            Entry::text(shared.verdict()),
        ],
    })
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
        n => format!("{least:.3} ({} of {n})", p_values.iter().filter(|p| **p < 0.05).count()),
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
