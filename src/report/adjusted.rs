//! What is left of each row's AUROC between pictures that trivia cannot tell apart.

use std::collections::BTreeMap;

use anyhow::Result;

use super::averages::{Drawn, scored};
use super::display_table::{DisplayTable, Entry, Line, UNDEFINED, three_decimals};
use super::row::Row;
use super::summary::Summary;
use crate::ids::ImageId;
use crate::manifest::Label;
use crate::metric::adjusted::{Adjusted, BANDWIDTH, CLIPPED_AT, LEAST_PICTURES, LEAST_SHARE, Pairs};
use crate::metric::auroc_interval;
use crate::protocol::Protocol;
use crate::trivia::Stored;
use crate::trivia::joint;

/// What stands for a number where too few pairs are kept.
const UNDECIDED: &str = "cannot be decided with these pictures";

/// Of one task: each picture's label, and its logit of being anomalous by trivia.
type Propensity = BTreeMap<ImageId, (Label, f64)>;

/// One row for each of the leaderboard's; `None` where the pictures of no task were looked at.
///
/// # Errors
/// Scores that cannot be read.
pub(super) fn table(stored: Option<&Stored>, summary: &Summary) -> Result<Option<DisplayTable>> {
    let Some(stored) = stored else { return Ok(None) };
    let tasks: Vec<Option<Propensity>> = summary.tasks.iter().map(|task| propensity(stored, task)).collect();
    if tasks.iter().all(Option::is_none) {
        return Ok(None);
    }
    let mut shares = vec![None; tasks.len()];
    let mut lines = Vec::new();
    for row in &summary.rows {
        let mut found = Vec::new();
        for (index, propensity) in tasks.iter().enumerate() {
            let of_task = of_task(summary, row, index, propensity.as_ref())?;
            if let Outcome::Found { share, .. } | Outcome::TooFew { share } = of_task {
                shares[index].get_or_insert(share);
            }
            found.push(of_task);
        }
        lines.push(line(summary, row, &found));
    }
    let mut head = ["method", "shots", "regime"].map(str::to_owned).to_vec();
    head.extend(summary.tasks.iter().copied().chain(["mean"]).map(str::to_owned));
    lines.insert(0, shares_line(&shares));
    Ok(Some(DisplayTable {
        name: "adjusted",
        title: "What is left without the shortcuts?".to_owned(),
        caption: caption(),
        head,
        rows: lines,
    }))
}

fn caption() -> String {
    format!(
        "Image AUROC under clean between pictures that trivia cannot tell apart, mean over draws, with the \
        plain AUROC below. \
         Each pair of an anomalous and a normal picture counts by how alike the two are in the logit that \
         a regression on all trivia gives \
         them (the regression of control-joint, fitted on these very pictures; less the logit of the classes' numbers, clipped at \
         {CLIPPED_AT}): Epanechnikov's kernel with a bandwidth of {BANDWIDTH}, \
         times exp(-d/2) \
         of the difference d, so that a score that sees trivia alone comes out at 0.5 and one that does not \
         depend on them, given the label, keeps its value \
         (simulated: metric/adjusted.rs). Pairs kept is their effective share (Kish); below {:.0} %, or of fewer \
        than {LEAST_PICTURES:.0} effective pictures of a class, no number is shown. Rows of \
         controls show how far it succeeds: each should come near 0.5. Only the \
         trivia of the table above are taken out: other shortcuts remain, and where a disease changes \
         brightness, so is part \
         of the disease. Intervals are 95 % over draws (Student's t) and pictures (resampled, patients where \
         known); they take the logits as given. In simulations they are too wide for a score of trivia alone, \
         and a score that sees both trivia and disease comes out up to 0.03 too low with 50 pictures of each \
         class (benchmarks/README.md).",
        100.0 * LEAST_SHARE
    )
}

/// What became of a row on a task.
enum Outcome {
    Found { adjusted: Adjusted, share: f64 },
    TooFew { share: f64 },
    Undefined,
}

fn propensity(stored: &Stored, task: &str) -> Option<Propensity> {
    let rows = stored.of_task(task);
    let logits = joint::propensity(&rows)?;
    let pairs = rows.iter().zip(logits);
    Some(pairs.map(|(row, logit)| (row.image_id.clone(), (row.label, logit))).collect())
}

/// Undefined where a row has no scores, or scores of other pictures or by other labels, as the control with permuted ones.
fn of_task(summary: &Summary, row: &Row, task: usize, propensity: Option<&Propensity>) -> Result<Outcome> {
    let cells = summary.entrant(row).at(row.shots);
    let ran: Vec<_> = cells.into_iter().filter(|cell| cell.cell.error.is_none()).collect();
    let name = summary.tasks[task];
    let (Some(propensity), Some(Drawn { pictures, sample, scores, .. })) =
        (propensity, scored(&ran, name, Protocol::RANKED)?)
    else {
        return Ok(Outcome::Undefined);
    };
    let logit = |(id, label): &(ImageId, Label)| {
        propensity.get(id).filter(|(own, _)| own == label).map(|(_, logit)| *logit)
    };
    let Some(logits) = pictures.iter().map(logit).collect::<Option<Vec<f64>>>() else {
        return Ok(Outcome::Undefined);
    };
    let Some(pairs) = Pairs::new(&sample, &logits) else { return Ok(Outcome::TooFew { share: 0.0 }) };
    let share = pairs.share;
    Ok(match pairs.adjusted(&scores, &format!("adjusted {name}")) {
        Some(adjusted) => Outcome::Found { adjusted, share },
        None if !pairs.decide() => Outcome::TooFew { share },
        None => Outcome::Undefined,
    })
}

fn shares_line(shares: &[Option<f64>]) -> Line {
    let mut entries = vec![Entry::text("pairs kept"), Entry::number(UNDEFINED), Entry::text("")];
    entries.extend(shares.iter().map(|share| {
        Entry::number(share.map_or(UNDEFINED.to_owned(), |share| format!("{:.1} %", 100.0 * share)))
    }));
    entries.push(Entry::number(UNDEFINED));
    Line { class: String::new(), entries }
}

fn line(summary: &Summary, row: &Row, found: &[Outcome]) -> Line {
    let entrant = summary.entrant(row);
    let mut entries = vec![
        Entry::text(&entrant.label).detail(if row.off_ground.is_some() { "not ranked" } else { "" }),
        Entry::number(row.shots.to_string()),
        Entry::text(entrant.regime_words()),
    ];
    let plain = row.ranked().tasks.iter().chain([&row.ranked().mean]);
    let plain: Vec<String> =
        plain.map(|value| format!("plain {}", three_decimals(value.map(|value| value.value)))).collect();
    for (outcome, plain) in found.iter().zip(&plain) {
        entries.push(match outcome {
            Outcome::Found { adjusted, .. } => entry(adjusted.value, adjusted.interval, plain),
            Outcome::TooFew { .. } => Entry::number(UNDECIDED).detail(plain),
            Outcome::Undefined => Entry::number(UNDEFINED).detail(plain),
        });
    }
    let all: Option<Vec<&Adjusted>> = found
        .iter()
        .map(|outcome| match outcome {
            Outcome::Found { adjusted, .. } => Some(adjusted),
            _ => None,
        })
        .collect();
    entries.push(match (all, plain.last()) {
        (Some(all), Some(plain)) if !all.is_empty() => {
            let mean = all.iter().map(|one| one.value).sum::<f64>() / all.len() as f64;
            let known: Option<Vec<(f64, f64, f64)>> =
                all.iter().map(|one| one.interval.map(|(low, high)| (one.value, low, high))).collect();
            entry(mean, known.and_then(|known| auroc_interval::of_mean(&known)), plain)
        }
        _ => Entry::number(UNDEFINED),
    });
    Line { class: summary.class(row), entries }
}

fn entry(value: f64, interval: Option<(f64, f64)>, plain: &str) -> Entry {
    let interval = interval.map_or(String::new(), |(low, high)| format!("[{low:.3}, {high:.3}]\n"));
    Entry::number(three_decimals(Some(value))).detail(format!("{interval}{plain}"))
}
