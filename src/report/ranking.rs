//! How sure the order is: every row's distance to the best of its shots, ranks over tasks, and declared tests.

use super::display_table::{DisplayTable, Entry, Line, UNDEFINED, signed, three_decimals};
use super::entrant::Entrant;
use super::leaderboard::group_name;
use super::published;
use super::row::{Row, difference};
use super::summary::Summary;
use crate::metric::Metric;
use crate::metric::paired::{Standing, holm, signed_rank, standings};
use crate::protocol::Protocol;
use crate::results::Seed;

/// What every other row is tested against, declared here and not chosen by the numbers.
const REFERENCE: &str = published::METHOD;

/// Standings and tests as a table.
pub(super) fn table(summary: &Summary) -> DisplayTable {
    let head = [
        "method",
        "shots",
        "regime",
        "group",
        "mean rank",
        "Borda",
        "less than the best by",
        "p against d24fad",
        "p, Holm",
        "pairs",
    ];
    let rows = summary.shots.iter().flat_map(|&shots| of_shots(summary, shots)).collect();
    DisplayTable {
        name: "standings",
        title: "How sure is the order?".to_owned(),
        caption: "Within the same number of shots, by image AUROC under clean. Mean rank (1 is best) and Borda points \
                  (others beaten, summed over tasks) are over the tasks on which every row is defined. Rows on other draws, seeds or pictures than most are \
                  not compared, but for p, which pairs what both have, on one data set. The difference \
                  to the best row has a 95 % interval over support draws, seeds and pictures, resampled alike for \
                  both; it decides the rank groups. p is Wilcoxon's signed-rank test, exact and two-sided, of AUROCs paired with those \
                  of d24fad over tasks, draws and seeds, then corrected for all pairs (Holm). Which pairs are tested is \
                  fixed, whatever the numbers: d24fad against every other row; without d24fad there is no test here, and \
                  `compare` tests any two. Draws of a task share their test pictures, so p speaks \
                  of support sets and tasks, not of new patients; fewer than 6 pairs cannot reach 0.05."
            .to_owned(),
        head: head.map(str::to_owned).to_vec(),
        rows,
    }
}

fn of_shots(summary: &Summary, shots: usize) -> Vec<Line> {
    let rows: Vec<&Row> = summary.rows.iter().filter(|row| row.shots == shots).collect();
    let Some(&best) = rows.first() else { return Vec::new() };
    let tasks = |row: &&Row| row.ranked().tasks.iter().map(|task| task.map(|e| e.value)).collect::<Vec<_>>();
    let defined: Vec<&Row> = rows.iter().copied().filter(|row| row.is_ranked()).collect();
    let places = standings(&defined.iter().map(tasks).collect::<Vec<_>>()).unwrap_or_default();
    let reference_row = rows.iter().find(|row| summary.entrant(row).label == REFERENCE);
    let reference = reference_row.map(|row| summary.entrant(row));
    let reference_row = reference_row.map(|row| &row.ground);
    let tests: Vec<Option<(f64, usize)>> = rows
        .iter()
        .map(|row| {
            let other = summary.entrant(row);
            let of_same_data = row.ground.has_data_of(reference_row?);
            let reference = reference.filter(|reference| !std::ptr::eq(*reference, other) && of_same_data)?;
            let differences = paired(reference, other, shots);
            signed_rank(&differences).map(|test| (test.p, differences.len()))
        })
        .collect();
    let known: Vec<f64> = tests.iter().flatten().map(|(p, _)| *p).collect();
    let mut corrected = holm(&known).into_iter();
    let mut lines = Vec::new();
    for (index, row) in rows.iter().enumerate() {
        let test = tests[index];
        let corrected = test.and_then(|_| corrected.next());
        let place = defined.iter().position(|other| std::ptr::eq(*other, *row));
        lines.push(line(summary, best, row, place.and_then(|place| places.get(place)), test, corrected));
    }
    lines
}

fn line(
    summary: &Summary,
    best: &Row,
    row: &Row,
    place: Option<&Standing>,
    test: Option<(f64, usize)>,
    corrected: Option<f64>,
) -> Line {
    let entrant = summary.entrant(row);
    let mean = |row: &Row| row.ranked().mean.map(|mean| mean.value);
    let comparable = best.is_ranked() && row.is_ranked();
    let less = mean(best).zip(mean(row)).filter(|_| comparable).map(|(best, row)| best - row);
    let is_best = std::ptr::eq(best, row);
    let interval = difference(best, row).filter(|_| !is_best);
    let detail = interval.map_or(String::new(), |(low, high)| format!("[{low:+.3}, {high:+.3}]"));
    let less = if is_best { Entry::number(UNDEFINED) } else { Entry::number(signed(less)).detail(detail) };
    let two = |value: Option<f64>| value.map_or(UNDEFINED.to_owned(), |value| format!("{value:.2}"));
    let p = |value: Option<f64>| match value {
        Some(value) if value < 0.001 => "< 0.001".to_owned(),
        value => three_decimals(value),
    };
    Line {
        class: summary.class(row),
        entries: vec![
            Entry::text(&entrant.label),
            Entry::number(row.shots.to_string()),
            Entry::text(entrant.regime_words()),
            Entry::text(row.group.map_or(UNDEFINED.to_owned(), group_name)),
            Entry::number(two(place.map(|place| place.mean_rank))),
            Entry::number(two(place.map(|place| place.borda))),
            less,
            Entry::number(p(test.map(|(p, _)| p))),
            Entry::number(p(corrected)),
            Entry::number(test.map_or(UNDEFINED.to_owned(), |(_, pairs)| pairs.to_string())),
        ],
    }
}

/// Differences of AUROC under clean over the tasks, draws and seeds that both have.
pub(super) fn paired(first: &Entrant, second: &Entrant, shots: usize) -> Vec<f64> {
    let value = |entrant: &Entrant, task: &str, draw: usize, seed: Seed| {
        let cell = entrant.cells.iter().find(|cell| {
            let id = &cell.cell.identity;
            (id.task.as_str(), id.shots, id.draw, id.seed) == (task, shots, draw, seed)
        })?;
        cell.metric(Protocol::RANKED, Metric::RANKED)?.value
    };
    let places = first.cells.iter().map(|cell| &cell.cell.identity).filter(|id| id.shots == shots);
    let pairs = places.filter_map(|id| {
        let of = |entrant: &Entrant| value(entrant, &id.task, id.draw, id.seed);
        Some(of(first)? - of(second)?)
    });
    pairs.collect()
}
