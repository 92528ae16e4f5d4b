//! How sure the order is: every row's distance to the best of its shots, ranks over tasks, and declared tests.

use anyhow::Result;

use super::display_table::{DisplayTable, Entry, Line, UNDEFINED, p_value, signed, three_decimals};
use super::leaderboard::group_name;
use super::published;
use super::row::{Row, could_show, difference};
use super::shared::{Shared, paired};
use super::summary::Summary;
use crate::metric::paired::{Standing, holm, least_p, signed_rank, standings};

/// What every other row is tested against, declared here and not chosen by the numbers.
const REFERENCE: &str = published::METHOD;

/// Of significance.
const LEVEL: f64 = 0.05;

/// Standings and tests as a table.
///
/// # Errors
/// Scores that cannot be read.
pub(super) fn table(summary: &Summary) -> Result<DisplayTable> {
    let head = [
        "method",
        "shots",
        "regime",
        "group",
        "mean rank",
        "Borda",
        "less than the best by",
        "could show",
        "p against d24fad",
        "p, Holm",
        "pairs",
    ];
    let rows = summary.shots.iter().map(|&shots| of_shots(summary, shots)).collect::<Result<Vec<_>>>()?;
    Ok(DisplayTable {
        name: "standings",
        title: "How sure is the order?".to_owned(),
        caption: "Within the same number of shots, by image AUROC under clean. Mean rank (1 is best) and Borda \
        points \
                  (others beaten, summed over tasks) are over the tasks on which every row is defined. The \
                  difference \
                  to the best row has a 95 % interval over support draws, seeds and pictures, resampled alike for \
                  both; it decides the rank groups. Could show is the smallest true difference that such an \
                  interval would \
                  tell from zero with a power of 80 %, by simulation from the scores themselves: what is \
                  smaller may be there and \
                  stay unseen. Errors are rescaled to where the lower row would lie, each variance as that of an \
                  AUROC a, \
                  a (1 - a), which next to 1 gives too large a difference. Rows on other draws, seeds or pictures than most are not ranked; their \
                  difference is over the \
                  draws that they share with the best row, whose number it gives. p is Wilcoxon's signed-rank \
                  test, exact and two-sided, of AUROCs paired with those \
                  of d24fad over tasks, draws and seeds, then corrected for all pairs (Holm). Which pairs are \
                  tested is \
                  fixed, whatever the numbers: d24fad against every other row; without d24fad there is no test \
                  here, and \
                  `compare` tests any two. Draws of a task share their test pictures, so p speaks \
                  of support sets and tasks, not of new patients; where pairs are so few that no outcome could \
                  reach 0.05, the table says so."
            .to_owned(),
        head: head.map(str::to_owned).to_vec(),
        rows: rows.into_iter().flatten().collect(),
    })
}

/// A declared test of a row: its p-value, if it is defined, and over how many pairs.
#[derive(Clone, Copy)]
struct Test {
    p: Option<f64>,
    pairs: usize,
    /// After Holm's correction.
    corrected: Option<f64>,
    /// Whether no outcome of so many pairs could reach 0.05, before the correction and after it.
    cannot: [bool; 2],
}

fn of_shots(summary: &Summary, shots: usize) -> Result<Vec<Line>> {
    let rows: Vec<&Row> = summary.rows.iter().filter(|row| row.shots == shots).collect();
    let Some(&best) = rows.first() else { return Ok(Vec::new()) };
    let tasks = |row: &&Row| row.ranked().tasks.iter().map(|task| task.map(|e| e.value)).collect::<Vec<_>>();
    let defined: Vec<&Row> = rows.iter().copied().filter(|row| row.is_ranked()).collect();
    let places = standings(&defined.iter().map(tasks).collect::<Vec<_>>()).unwrap_or_default();
    let tests = tests(summary, &rows, shots);
    let line = |(row, test): (&&Row, Option<Test>)| {
        let place = defined.iter().position(|other| std::ptr::eq(*other, *row));
        line(summary, best, row, place.and_then(|place| places.get(place)), test)
    };
    rows.iter().zip(tests).map(line).collect()
}

/// The reference against every other row that is on its data.
fn tests(summary: &Summary, rows: &[&Row], shots: usize) -> Vec<Option<Test>> {
    let reference_row = rows.iter().find(|row| summary.entrant(row).label == REFERENCE);
    let reference = reference_row.map(|row| summary.entrant(row));
    let test = |row: &&Row| {
        let other = summary.entrant(row);
        let of_same_data = row.ground.has_data_of(&reference_row?.ground);
        let reference = reference.filter(|reference| !std::ptr::eq(*reference, other) && of_same_data)?;
        let differences = paired(reference, other, shots);
        let (p, pairs) = (signed_rank(&differences).map(|test| test.p), differences.len());
        (pairs > 0).then_some(Test { p, pairs, corrected: None, cannot: [least_p(pairs) > LEVEL, false] })
    };
    let mut tests: Vec<Option<Test>> = rows.iter().map(test).collect();
    let known: Vec<(f64, usize)> =
        tests.iter().flatten().filter_map(|test| Some((test.p?, test.pairs))).collect();
    let mut corrected = holm(&known.iter().map(|(p, _)| *p).collect::<Vec<_>>()).into_iter();
    // The smallest of all is multiplied by their number, and none falls below it.
    let least = known.iter().map(|(_, pairs)| least_p(*pairs)).fold(1.0, f64::min);
    for test in tests.iter_mut().flatten().filter(|test| test.p.is_some()) {
        test.corrected = corrected.next();
        test.cannot[1] = known.len() as f64 * least > LEVEL;
    }
    tests
}

fn line(
    summary: &Summary,
    best: &Row,
    row: &Row,
    place: Option<&Standing>,
    test: Option<Test>,
) -> Result<Line> {
    let entrant = summary.entrant(row);
    let two = |value: Option<f64>| value.map_or(UNDEFINED.to_owned(), |value| format!("{value:.2}"));
    let p = |value: fn(&Test) -> Option<f64>, cannot: usize| match test {
        Some(test) if test.cannot[cannot] => format!("{} pairs: cannot reach {LEVEL}", test.pairs),
        test => p_value(test.as_ref().and_then(value)),
    };
    let [less, could_show] = distance(summary, best, row)?;
    Ok(Line {
        class: summary.class(row),
        entries: vec![
            Entry::text(&entrant.label),
            Entry::number(row.shots.to_string()),
            Entry::text(entrant.regime_words()),
            Entry::text(row.group.map_or(UNDEFINED.to_owned(), group_name)),
            Entry::number(two(place.map(|place| place.mean_rank))),
            Entry::number(two(place.map(|place| place.borda))),
            less,
            could_show,
            Entry::number(p(|test| test.p, 0)),
            Entry::number(p(|test| test.corrected, 1)),
            Entry::number(test.map_or(UNDEFINED.to_owned(), |test| test.pairs.to_string())),
        ],
    })
}

/// How far a row is from the best one, and how far it would have to be to show: on the ground of most rows or, off it,
/// over the draws that both have.
fn distance(summary: &Summary, best: &Row, row: &Row) -> Result<[Entry; 2]> {
    let interval = |ends: Option<(f64, f64)>| {
        ends.map_or(String::new(), |(low, high)| format!("[{low:+.3}, {high:+.3}]"))
    };
    if std::ptr::eq(best, row) || !best.is_ranked() || row.ranked().mean.is_none() {
        return Ok([Entry::number(UNDEFINED), Entry::number(UNDEFINED)]);
    }
    if row.is_ranked() {
        let mean = |row: &Row| row.ranked().mean.map(|mean| mean.value);
        let less = mean(best).zip(mean(row)).map(|(best, row)| best - row);
        return Ok([
            Entry::number(signed(less)).detail(interval(difference(best, row))),
            Entry::number(three_decimals(could_show(best, row))),
        ]);
    }
    let shared = Shared::new([summary.entrant(best), summary.entrant(row)], row.shots)?;
    if shared.unjudged.is_some() {
        return Ok([Entry::number(UNDEFINED), Entry::number(UNDEFINED)]);
    }
    let [of_best, own, both] = shared.draws;
    let detail = format!("{}\n{both} of {of_best} and {own} draws", interval(shared.interval));
    Ok([
        Entry::number(signed(shared.less())).detail(detail),
        Entry::number(three_decimals(shared.could_show)),
    ])
}
