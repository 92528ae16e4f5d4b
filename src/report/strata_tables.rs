//! Strata as tables: one for each thing that pictures are parted by, and all of it as CSV.

use anyhow::Result;
use strum::VariantArray;

use super::display_table::{DisplayTable, Entry, Line, UNDEFINED, three_decimals};
use super::row::Row;
use super::strata::{By, LEAST_PICTURES, OnStratum, Outcome, Strata, Stratum};
use super::summary::Summary;

/// What is written where a stratum gives no number for its size.
const TOO_SMALL: &str = "too small";

/// One table for findings, views, devices and sites each; those with nothing to part are left out.
pub(super) fn sheets(strata: &Strata, summary: &Summary) -> Vec<DisplayTable> {
    By::VARIANTS.iter().filter_map(|by| sheet(*by, strata, summary)).collect()
}

fn sheet(by: By, strata: &Strata, summary: &Summary) -> Option<DisplayTable> {
    let places: Vec<usize> =
        (0..strata.strata.len()).filter(|&place| strata.strata[place].by == by).collect();
    if places.is_empty() {
        return None;
    }
    let of = |row: usize| places.iter().map(move |&place| strata.rows[row][place]);
    let sizes: Vec<Option<[usize; 2]>> =
        places.iter().map(|&place| strata.rows.iter().find_map(|row| size(row[place]))).collect();
    let mut head = ["method", "shots", "regime"].map(str::to_owned).to_vec();
    head.extend(places.iter().map(|&place| name(summary, &strata.strata[place])));
    let mut rows = vec![sizes_line(&sizes)];
    rows.extend(summary.rows.iter().enumerate().map(|(index, row)| line(summary, row, of(index), &sizes)));
    let (name, title, about) = words(by);
    Some(DisplayTable {
        name,
        title: title.to_owned(),
        caption: format!(
            "Image AUROC under clean, mean over draws, {about}. Intervals are 95 % score intervals over draws and \
             pictures, patients where known, as on the leaderboard; they are not corrected for how many strata \
             there are, and no difference between two of them is tested. Fewer than {LEAST_PICTURES} pictures of a \
             class are said to be {TOO_SMALL} and give no number."
        ),
        head,
        rows,
    })
}

fn words(by: By) -> (&'static str, &'static str, &'static str) {
    match by {
        By::Finding => (
            "by-finding",
            "By finding",
            "of the anomalous pictures of one finding against all normal ones of the task, or of the normal \
             pictures of one finding against all anomalous ones; classes of a single finding are left out",
        ),
        By::View => ("by-view", "By view", "of the pictures of one view against each other"),
        By::Scanner => ("by-scanner", "By scanner", "of the pictures of one device against each other"),
        By::Site => (
            "by-site",
            "By site",
            "of the pictures of one site against each other; sites are numbered as they come, their pseudonyms stand \
             in trivia.parquet",
        ),
    }
}

fn name(summary: &Summary, stratum: &Stratum) -> String {
    format!("{}: {}", summary.tasks[stratum.task], stratum.name)
}

fn size(on: OnStratum) -> Option<[usize; 2]> {
    (on.outcome != Outcome::Undefined).then_some(on.pictures)
}

fn sizes_line(sizes: &[Option<[usize; 2]>]) -> Line {
    let mut entries = vec![Entry::text("normal + anomalous"), Entry::number(UNDEFINED), Entry::text("")];
    let count = |[normal, anomalous]: [usize; 2]| format!("{normal} + {anomalous}");
    entries.extend(sizes.iter().map(|size| Entry::number(size.map_or(UNDEFINED.to_owned(), count))));
    Line { class: String::new(), entries }
}

fn line(
    summary: &Summary,
    row: &Row,
    found: impl Iterator<Item = OnStratum>,
    sizes: &[Option<[usize; 2]>],
) -> Line {
    let entrant = summary.entrant(row);
    let mut entries = vec![
        Entry::text(&entrant.label).detail(if row.off_ground.is_some() { "not ranked" } else { "" }),
        Entry::number(row.shots.to_string()),
        Entry::text(entrant.regime_words()),
    ];
    entries.extend(found.zip(sizes).map(|(on, most)| entry(on, *most)));
    Line { class: summary.class(row), entries }
}

fn entry(on: OnStratum, most: Option<[usize; 2]>) -> Entry {
    let [normal, anomalous] = on.pictures;
    let other_size = (size(on).is_some() && size(on) != most).then(|| format!("of {normal} + {anomalous}"));
    match on.outcome {
        Outcome::Measured { value, interval, .. } => {
            let interval = interval.map(|(low, high)| format!("[{low:.3}, {high:.3}]"));
            let details: Vec<String> = interval.into_iter().chain(other_size).collect();
            Entry::number(three_decimals(Some(value))).detail(details.join("\n"))
        }
        Outcome::TooSmall => Entry::number(TOO_SMALL).detail(other_size.unwrap_or_default()),
        Outcome::Undefined => Entry::number(UNDEFINED),
    }
}

/// Every row on every stratum, a line each.
///
/// # Errors
/// What the writer of CSV refuses.
pub(super) fn csv(strata: &Strata, summary: &Summary) -> Result<Vec<u8>> {
    let mut writer = csv::Writer::from_writer(Vec::new());
    writer.write_record([
        "method",
        "shots",
        "regime",
        "task",
        "by",
        "stratum",
        "n_normal",
        "n_anomalous",
        "draws",
        "auroc",
        "low",
        "high",
        "note",
    ])?;
    for (row, found) in summary.rows.iter().zip(&strata.rows) {
        let entrant = summary.entrant(row);
        for (stratum, on) in strata.strata.iter().zip(found) {
            let number = |value: Option<f64>| value.map_or(String::new(), |value| value.to_string());
            let (value, interval, draws, note) = match on.outcome {
                Outcome::Measured { value, interval, draws } => {
                    (Some(value), interval, draws.to_string(), "")
                }
                Outcome::TooSmall => (None, None, String::new(), TOO_SMALL),
                Outcome::Undefined => (None, None, String::new(), "undefined"),
            };
            let (low, high) = interval.unzip();
            writer.write_record([
                entrant.label.clone(),
                row.shots.to_string(),
                entrant.regime_words(),
                summary.tasks[stratum.task].to_owned(),
                stratum.by.to_string(),
                stratum.name.clone(),
                on.pictures[0].to_string(),
                on.pictures[1].to_string(),
                draws,
                number(value),
                number(low),
                number(high),
                note.to_owned(),
            ])?;
        }
    }
    Ok(writer.into_inner()?)
}
