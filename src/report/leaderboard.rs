//! The leaderboard: every method at every number of shots, ranked by image AUROC under clean.

use anyhow::Result;

use super::averages::Estimate;
use super::display_table::{
    DisplayTable, Entry, Line, UNDEFINED, mebibytes, seconds, signed, three_decimals,
};
use super::entrant::Entrant;
use super::power;
use super::row::Row;
use super::summary::Summary;
use crate::protocol::Protocol;

/// Protocols whose gap stands on the leaderboard: with the leak along the stack and without it.
const GAPS: [Protocol; 2] = [Protocol::Published2d, Protocol::Published];

/// The leaderboard as a table.
pub(super) fn table(summary: &Summary) -> DisplayTable {
    let mut head =
        ["group", "method", "shots", "draws", "seeds", "regime", "seen before", "mean", "worst draw"]
            .map(str::to_owned)
            .to_vec();
    head.extend(summary.tasks.iter().map(|task| (*task).to_owned()));
    head.extend(GAPS.map(|protocol| format!("{protocol} gap")));
    let rest = ["seconds", "observing", "ms a picture", "peak MiB", "undefined", "failed"];
    head.extend(rest.map(str::to_owned));
    let rows = summary.rows.iter().map(|row| line(summary, row)).collect();
    DisplayTable {
        name: "leaderboard",
        title: "Leaderboard".to_owned(),
        caption: caption(summary),
        head,
        rows,
    }
}

fn caption(summary: &Summary) -> String {
    let count = |pick: fn(&Row) -> usize| summary.rows.iter().map(pick).sum::<usize>();
    let text = format!(
        "Image AUROC under protocol clean, mean over draws, with a 95 % score interval over support draws, seeds \
         and pictures together (patients where they are known), which holds near 1 and with few draws \
         (benchmarks/README.md), and the lowest draw. With one draw it is over pictures alone and says nothing of other \
         support sets; it is missing where all pictures of a class are one patient's. The mean over tasks is given \
         only where all {} tasks are defined. \
         Rank groups are formed within the same number of shots: the best row not yet grouped opens a group, and \
         every row joins it down to the first whose difference to it has an interval above zero; rows of one group are not \
         told apart. A row whose mean rests on other draws, seeds or pictures than that of most rows of its shots, or that was given anomalies or \
         unlabelled pictures of the target (R4, R6, R6T), says so, \
         stands below them and has no group. Regimes R0 to R6T say what a method was allowed to see; rows of different regimes do not \
         compete on equal terms. Seen before says whether pictures of the tasks may be among those that the pretrained network \
         was trained on. Rows named control-… are trivial controls that a useful method must beat. Rows named imported:… hold scores of another \
         program: they were not run here, and what the method was given is what its author states. Gaps \
         are the mean under that protocol less the mean under clean. Seconds are fit and score per cell; observing is scoring the test set after epochs of the training, which only protocols that choose an epoch need; ms a picture is the median time for one picture once the supports are \
         taken in, with whatever cells ran beside; \
         peak MiB is the most that the whole process had held by then, cells beside it included. \
         Undefined values are shown as – ({} of {} cells undefined, {} failed). {}",
        summary.tasks.len(),
        count(|row| row.undefined),
        count(|row| row.cells),
        count(|row| row.failed),
        power::sentence(summary),
    );
    text.trim_end().to_owned()
}

fn line(summary: &Summary, row: &Row) -> Line {
    let entrant = summary.entrant(row);
    let group = row.group.map_or("–".to_owned(), group_name);
    let kind = match (entrant.control, entrant.random) {
        (true, _) => Some("control"),
        (_, true) => Some("random teacher"),
        _ => None,
    };
    let unlike = row.off_ground.as_ref().map(|how| format!("not ranked: {how}"));
    let notes: Vec<String> = kind.map(str::to_owned).into_iter().chain(unlike).collect();
    let mut entries = vec![
        Entry::text(group),
        Entry::text(&entrant.label).detail(notes.join("\n")).link(format!("#method-{}", row.entrant + 1)),
        Entry::number(row.shots.to_string()),
        Entry::number(row.ground.draws().to_string()),
        Entry::number(row.ground.seeds().to_string()),
        Entry::text(entrant.regime_words()),
        Entry::text(seen_before(entrant).unwrap_or(UNDEFINED.to_owned())),
    ];
    let mean = row.ranked().mean;
    entries.push(Entry::number(three_decimals(mean.map(|mean| mean.value))).detail(interval(mean)));
    entries.push(Entry::number(three_decimals(mean.map(|mean| mean.worst))));
    let draws = row.ranked().tasks.iter().flatten().map(|task| task.draws).max().unwrap_or(0);
    entries.extend(row.ranked().tasks.iter().map(|task| score(*task, draws)));
    entries.extend(GAPS.map(|protocol| Entry::number(signed(row.gap(protocol)))));
    entries.push(Entry::number(seconds(row.seconds)));
    entries.push(Entry::number(seconds(row.observe_seconds)));
    entries.push(Entry::number(seconds(row.latency_seconds.map(|seconds| 1000.0 * seconds))));
    entries.push(Entry::number(mebibytes(row.peak_memory_bytes)));
    entries.extend([row.undefined, row.failed].map(|n| Entry::number(n.to_string())));
    Line { class: summary.class(row), entries }
}

/// What is known of every task: `not seen` of some and `unknown` of others is `unknown`. `None` without a network.
fn seen_before(entrant: &Entrant) -> Option<String> {
    let answers = entrant.cells.iter().filter_map(|result| result.cell.provenance.seen_before);
    answers.max().map(|seen| seen.to_string())
}

/// A, B ... Z, then AA and on.
pub(super) fn group_name(group: usize) -> String {
    let letter = char::from(b'A' + (group % 26) as u8);
    if group < 26 { letter.to_string() } else { format!("{}{letter}", group_name(group / 26 - 1)) }
}

/// An estimate with its interval and, over several draws, the lowest; it says so if it rests on
/// fewer than `draws`.
pub(super) fn score(estimate: Option<Estimate>, draws: usize) -> Entry {
    let Some(known) = estimate else { return Entry::number(three_decimals(None)) };
    let mut details = vec![interval(estimate)];
    if known.draws > 1 {
        details.push(format!("min {:.3}", known.worst));
    }
    if known.draws < draws {
        details.push(format!("{} of {draws} draws", known.draws));
    }
    details.retain(|detail| !detail.is_empty());
    Entry::number(three_decimals(Some(known.value))).detail(details.join("\n"))
}

fn interval(estimate: Option<Estimate>) -> String {
    match estimate {
        Some(Estimate { low: Some(low), high: Some(high), .. }) => format!("[{low:.3}, {high:.3}]"),
        _ => String::new(),
    }
}

/// The leaderboard as CSV: one row per method and shots, empty where undefined.
pub(super) fn csv(summary: &Summary) -> Result<Vec<u8>> {
    let mut writer = csv::Writer::from_writer(Vec::new());
    let mut head: Vec<String> = [
        "shots",
        "group",
        "method",
        "draws",
        "seeds",
        "not_ranked",
        "regime",
        "control",
        "random_teacher",
        "seen_before",
    ]
    .map(str::to_owned)
    .to_vec();
    for column in summary.tasks.iter().copied().chain(["mean"]) {
        head.extend(["", "_low", "_high", "_worst_draw"].map(|end| format!("{column}{end}")));
    }
    head.extend(GAPS.map(|protocol| format!("gap_{}", protocol.column())));
    let rest = [
        "seconds",
        "observe_seconds",
        "latency_seconds",
        "peak_memory_bytes",
        "cells",
        "undefined",
        "failed",
        "imported",
    ];
    head.extend(rest.map(str::to_owned));
    writer.write_record(&head)?;
    for row in &summary.rows {
        writer.write_record(record(summary, row))?;
    }
    Ok(writer.into_inner()?)
}

fn record(summary: &Summary, row: &Row) -> Vec<String> {
    let number = |value: Option<f64>| value.map_or(String::new(), |value| format!("{value:.6}"));
    let entrant = summary.entrant(row);
    let mut record = vec![
        row.shots.to_string(),
        row.group.map_or(String::new(), group_name),
        entrant.label.clone(),
        row.ground.draws().to_string(),
        row.ground.seeds().to_string(),
        row.off_ground.clone().unwrap_or_default(),
        entrant.regime.to_string(),
        entrant.control.to_string(),
        entrant.random.to_string(),
        seen_before(entrant).unwrap_or_default(),
    ];
    for estimate in row.ranked().tasks.iter().chain([&row.ranked().mean]) {
        let e = *estimate;
        record.extend(
            [e.map(|e| e.value), e.and_then(|e| e.low), e.and_then(|e| e.high), e.map(|e| e.worst)]
                .map(number),
        );
    }
    record.extend(GAPS.map(|protocol| number(row.gap(protocol))));
    record.extend([row.seconds, row.observe_seconds, row.latency_seconds].map(number));
    record.push(row.peak_memory_bytes.map_or(String::new(), |bytes| bytes.to_string()));
    record.extend([row.cells, row.undefined, row.failed].map(|n| n.to_string()));
    record.push(entrant.imported.to_string());
    record
}
