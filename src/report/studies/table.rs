//! The board as tables.

use std::path::Path;

use anyhow::Result;

use super::against::{Difference, sentences};
use super::basis;
use super::board::Board;
use super::row::{BoardRow, Number, OnTask};
use crate::ids::TaskName;
use crate::report::display_table::{DisplayTable, Entry, Line, UNDEFINED, plain, signed, three_decimals};
use crate::table::{Record, record};

/// All that is said of the board: sentences, tables, what is left out.
pub(super) fn markdown(board: &Board, warning: Option<&str>) -> String {
    let mut parts = vec![format!("# Studies, {} shots", board.shots)];
    parts.push(plain(&format!("Benchmark: {}, manifest {}.", board.benchmark[0], board.benchmark[1])));
    parts.extend(sentences(&board.differences).iter().map(|sentence| plain(sentence)));
    if board.trainings.is_empty() {
        parts.push("No aggregator was trained: `studies RUN --samil` trains SAMIL.".to_owned());
    } else {
        parts.push(
            "SAMIL is trained on labelled studies of other tasks (R3), which the aggregators beside it are not given: a row \
             of SAMIL and one of R0 or R1 do not compete on equal terms. Intervals are not corrected for how many \
             differences there are. At a batch of one study its class weights cancel, as in the published code."
                .to_owned(),
        );
    }
    parts.push(sheet(board, "AUROC", |row| row.auroc, |task| task.auroc).markdown(warning));
    parts.push(
        sheet(board, "average precision", |row| row.precision, |task| task.precision).markdown(warning),
    );
    if !board.differences.is_empty() {
        parts.push(difference_sheet(board).markdown(warning));
    }
    let list = |title: &str, lines: &[String]| {
        let lines: String = lines.iter().map(|line| format!("- {}\n", plain(line))).collect();
        format!("{title}\n\n{lines}")
    };
    parts.push(list("Scores of slices:", &board.scored));
    if !board.trainings.is_empty() {
        parts.push(list("SAMIL, as it was trained:", &board.trainings));
    }
    if !board.left_out.is_empty() {
        parts.push(list("Left out:", &board.left_out));
    }
    parts.iter().map(|part| part.trim_end().to_owned() + "\n").collect::<Vec<_>>().join("\n")
}

fn sheet(
    board: &Board,
    what: &str,
    mean: fn(&BoardRow) -> Option<Number>,
    on_task: fn(&OnTask) -> Number,
) -> DisplayTable {
    let mut head = ["method", "aggregator", "regime"].map(str::to_owned).to_vec();
    head.extend(board.tasks.iter().map(|(name, _)| name.to_string()));
    head.push("mean".to_owned());
    let mut sizes = vec![Entry::text("normal + anomalous studies"), Entry::text(""), Entry::text("")];
    sizes.extend(board.tasks.iter().map(|(_, task)| {
        let [normal, anomalous] = task.counts();
        Entry::number(format!("{normal} + {anomalous}"))
    }));
    sizes.push(Entry::number(UNDEFINED));
    let mut rows = vec![Line { entries: sizes, ..Line::default() }];
    rows.extend(board.rows.iter().map(|row| {
        let mut entries =
            vec![Entry::text(&row.method), Entry::text(board.aggregator(row)), Entry::text(&row.regime)];
        entries.extend(row.tasks.iter().map(|task| entry(task.as_ref().map(on_task))));
        entries.push(entry(mean(row)));
        Line { class: row.class.to_owned(), entries }
    }));
    DisplayTable {
        name: "studies",
        title: format!("Studies: {what}"),
        caption: format!(
            "{what} of studies, mean over support draws, under protocol clean. A study is anomalous if any of its slices is. \
             A study is what the owner calls one, else the volume. Intervals are 95 %, over draws and studies, patients \
             where known{}. top-share is the mean of the highest share of slices; noisy-or and SAMIL with scores take a \
             slice's place among all scored slices of its task, so other studies' scores enter, no label. A number on studies is no number on pictures: \
             rows here never stand beside those of the leaderboard. {UNDEFINED} is undefined.",
            if what == "AUROC" { "" } else { ", by resampling" }
        ),
        head,
        rows,
    }
}

fn entry(number: Option<Number>) -> Entry {
    let detail = number.and_then(|number| number.interval);
    Entry::number(three_decimals(number.map(|number| number.value)))
        .detail(detail.map_or(String::new(), |(low, high)| format!("[{low:.3}, {high:.3}]")))
}

fn difference_sheet(board: &Board) -> DisplayTable {
    let line = |difference: &Difference| {
        let detail = difference.interval;
        let detail = detail.map_or(String::new(), |(low, high)| format!("[{low:+.3}, {high:+.3}]"));
        Line {
            class: String::new(),
            entries: vec![
                Entry::text(&difference.trained),
                Entry::text(&difference.method),
                Entry::text(&difference.aggregator),
                Entry::number(signed(Some(difference.value))).detail(detail),
                Entry::text(difference.reading().to_string()),
            ],
        }
    };
    DisplayTable {
        name: "differences",
        title: "SAMIL against aggregators that are not trained".to_owned(),
        caption: "Mean AUROC of studies of SAMIL less that of the other, over tasks, with its 95 % interval: draws and studies \
                  are resampled alike for both. SAMIL on features alone has one score for all draws."
            .to_owned(),
        head: ["SAMIL on", "scores of", "aggregator", "difference", "SAMIL is"].map(str::to_owned).to_vec(),
        rows: board.differences.iter().map(line).collect(),
    }
}

/// Every row on every task, and its mean, a line each.
///
/// # Errors
/// What the writer of CSV refuses.
pub(super) fn csv(board: &Board) -> Result<Vec<u8>> {
    let mut writer = csv::Writer::from_writer(Vec::new());
    let mut head = vec![
        "method",
        "aggregator",
        "regime",
        "shots",
        "task",
        "n_normal",
        "n_anomalous",
        "draws",
        "auroc",
        "auroc_low",
        "auroc_high",
        "ap",
        "ap_low",
        "ap_high",
        "benchmark",
        "manifest_hash",
    ];
    head.extend(basis::COLUMNS);
    writer.write_record(head)?;
    for row in &board.rows {
        let of_tasks = board.tasks.iter().zip(&row.tasks).map(|((name, task), on)| {
            let draws = on.as_ref().map(|on| on.scores.len());
            (name.as_str(), task.counts().map(Some), draws, on.as_ref().map(|on| (on.auroc, on.precision)))
        });
        let mean = ("mean", [None; 2], Some(row.draws()), row.auroc.zip(row.precision));
        for (name, counts, draws, numbers) in of_tasks.chain([mean]) {
            let count = |count: Option<usize>| count.map_or(String::new(), |count| count.to_string());
            let mut record =
                vec![row.method.clone(), board.aggregator(row), row.regime.clone(), board.shots.to_string()];
            record.extend([name.to_owned(), count(counts[0]), count(counts[1]), count(draws)]);
            let (auroc, precision) = numbers.unzip();
            for number in [auroc, precision] {
                let interval = number.and_then(|number: Number| number.interval).unzip();
                let values = [number.map(|number| number.value), interval.0, interval.1];
                record.extend(values.map(|value| value.map_or(String::new(), |value| value.to_string())));
            }
            record.extend(board.benchmark.iter().cloned());
            record.extend(row.basis.columns());
            writer.write_record(&record)?;
        }
    }
    Ok(writer.into_inner()?)
}

record! {
/// One study under one aggregator.
struct StudyRow {
    /// Whose scores were aggregated, as the leaderboard names it; of SAMIL, what it sees.
    pub method: String,
    /// How slices became a study.
    pub aggregator: String,
    /// What the method and the aggregator were given.
    pub regime: String,
    /// Size of the support set.
    pub shots: usize,
    /// Which of the method's cells of that task, in the order of draws and seeds.
    pub draw: usize,
    /// The task held out.
    pub task: TaskName,
    /// The study or volume, as in the manifest.
    pub study: String,
    /// 1 where any slice is anomalous, else 0.
    pub label: bool,
    /// How many slices it has.
    pub n_slices: u64,
    /// How many of them are anomalous.
    pub n_anomalous_slices: u64,
    /// Higher is more anomalous.
    pub score: f64,
    /// The benchmark, in words.
    pub benchmark: String,
    /// Over its manifest's rows.
    pub manifest_hash: String,
    /// Of the pretrained network; empty where there is none.
    pub weights: String,
    /// Of the method, or of SAMIL's training.
    pub seed: String,
    /// Which tasks train for a target.
    pub held_out: String,
    /// Of a method all settings, of SAMIL those that differ from the defaults; JSON.
    pub settings: String,
    /// Over the source files that can change a score.
    pub code_hash: String,
}
}

/// Writes every study's number under every row.
///
/// # Errors
/// A file that cannot be written.
pub(super) fn write_scores(board: &Board, path: &Path) -> Result<()> {
    let mut rows = Vec::new();
    let [benchmark, manifest_hash] = &board.benchmark;
    for row in &board.rows {
        let [weights, seed, held_out, settings, code_hash] = row.basis.columns();
        for ((name, task), on) in board.tasks.iter().zip(&row.tasks) {
            for (draw, scores) in on.iter().flat_map(|on| on.scores.iter().enumerate()) {
                for ((study, &score), &label) in
                    task.studies.iter().zip(scores).zip(task.sample.is_anomalous())
                {
                    rows.push(StudyRow {
                        method: row.method.clone(),
                        aggregator: board.aggregator(row),
                        regime: row.regime.clone(),
                        shots: board.shots,
                        draw,
                        task: name.clone(),
                        study: study.id.to_owned(),
                        label,
                        n_slices: study.rows.len() as u64,
                        n_anomalous_slices: study.n_anomalous() as u64,
                        score,
                        benchmark: benchmark.clone(),
                        manifest_hash: manifest_hash.clone(),
                        weights: weights.clone(),
                        seed: seed.clone(),
                        held_out: held_out.clone(),
                        settings: settings.clone(),
                        code_hash: code_hash.clone(),
                    });
                }
            }
        }
    }
    StudyRow::write(path, &rows)
}
