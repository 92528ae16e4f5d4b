//! The board as a terminal shows it: the verdict, one table of at most 100 columns, and each reason of failure once.

use std::collections::BTreeMap;

use super::display_table::{signed, three_decimals};
use super::leaderboard::group_name;
use super::row::Row;
use super::summary::Summary;
use super::verdict::{Headline, counted, headline};
use crate::protocol::Protocol;

/// Columns of the widest terminal that everybody has.
pub const WIDTH: usize = 100;
/// Letters of a method's name.
const NAME: usize = 29;
/// Letters of one reason of failure; the report has all of it.
const REASON: usize = 400;

/// The board of the most shots, with the verdict above it and what failed below; ends with a line feed.
pub(super) fn text(summary: &Summary, verdict: &[String], cautions: &[String]) -> String {
    let said = summary.warning.iter().chain(verdict).chain(cautions);
    let mut parts: Vec<String> = said.map(|sentence| wrapped(sentence, WIDTH)).collect();
    if let Some(headline) = headline(summary) {
        parts.push(table(summary, &headline));
    }
    parts.extend(failures(summary));
    parts.join("\n\n") + "\n"
}

fn table(summary: &Summary, headline: &Headline) -> String {
    let mut lines = vec![head()];
    lines.extend(headline.methods.iter().map(|row| line(summary, row)));
    if let Some(strongest) = headline.controls.first() {
        lines.push("-".repeat(lines[0].chars().count()));
        lines.push(line(summary, strongest));
    }
    let more = summary.shots.iter().filter(|&&shots| shots != headline.shots).map(usize::to_string);
    let more: Vec<String> = more.collect();
    let (shots, tasks) = (counted(headline.shots, "shot"), counted(summary.tasks.len(), "task"));
    let mut note = format!("{shots}; mean image AUROC over {tasks}");
    if headline.controls.len() > 1 {
        note += &format!("; the best of {} trivial controls below the line", headline.controls.len());
    }
    if !more.is_empty() {
        note += &format!("; {} shots are in the report", more.join(", "));
    }
    let is_off = |row: &&Row| row.shots == headline.shots && row.off_ground.is_some();
    let off: Vec<String> = summary
        .rows
        .iter()
        .filter(is_off)
        .map(|row| {
            format!("{} ({})", summary.entrant(row).label, row.off_ground.as_deref().unwrap_or_default())
        })
        .collect();
    if !off.is_empty() {
        note += &format!("; not ranked: {}", off.join(", "));
    }
    lines.push(wrapped(&note, WIDTH));
    lines.join("\n")
}

fn head() -> String {
    row_of(["group", "method", "regime"], ["mean", "low", "high", "worst draw", "published-2d gap"])
}

fn line(summary: &Summary, row: &Row) -> String {
    let entrant = summary.entrant(row);
    let mean = row.ranked().mean;
    let numbers = [
        three_decimals(mean.map(|mean| mean.value)),
        three_decimals(mean.and_then(|mean| mean.low)),
        three_decimals(mean.and_then(|mean| mean.high)),
        three_decimals(mean.map(|mean| mean.worst)),
        signed(row.gap(Protocol::Published2d)),
    ];
    let group = row.group.map_or(String::new(), group_name);
    row_of([&group, &entrant.label, &entrant.regime_words()], numbers.each_ref().map(String::as_str))
}

fn row_of([group, method, regime]: [&str; 3], [mean, low, high, worst, gap]: [&str; 5]) -> String {
    let method = super::chart::shortened(method, NAME);
    format!("{group:<5} {method:<NAME$} {regime:<11} {mean:>6} {low:>6} {high:>6} {worst:>10} {gap:>16}")
}

/// Each reason once, with the methods and the number of cells that it took.
fn failures(summary: &Summary) -> Option<String> {
    let mut by_reason: BTreeMap<&str, (usize, Vec<&str>)> = BTreeMap::new();
    for entrant in &summary.entrants {
        for error in entrant.cells.iter().filter_map(|result| result.cell.error.as_deref()) {
            let (n, methods) = by_reason.entry(error).or_default();
            *n += 1;
            if !methods.contains(&entrant.label.as_str()) {
                methods.push(&entrant.label);
            }
        }
    }
    let reason = |(error, (n, methods)): (&&str, &(usize, Vec<&str>))| {
        let cells = if *n == 1 { "1 cell".to_owned() } else { format!("{n} cells") };
        let mut short: String = error.chars().take(REASON).collect();
        if short.len() < error.len() {
            short += " ... (the report has all of it)";
        }
        wrapped(&format!("failed: {cells} of {}: {short}", methods.join(", ")), WIDTH)
    };
    let reasons: Vec<String> = by_reason.iter().map(reason).collect();
    (!reasons.is_empty()).then(|| reasons.join("\n"))
}

/// Text in lines of at most `width` letters, line feeds kept; a longer word stands alone.
pub fn wrapped(text: &str, width: usize) -> String {
    let mut lines = Vec::new();
    for paragraph in text.lines() {
        let mut line = String::new();
        for word in paragraph.split_whitespace() {
            if !line.is_empty() && line.chars().count() + 1 + word.chars().count() > width {
                lines.push(std::mem::take(&mut line));
            }
            if !line.is_empty() {
                line.push(' ');
            }
            line += word;
        }
        lines.push(line);
    }
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_keep_to_the_width() {
        let text = wrapped(&"word ".repeat(50), WIDTH);
        assert!(text.lines().all(|line| line.len() <= WIDTH && !line.ends_with(' ')), "{text}");
        assert_eq!(wrapped("one\ntwo three", 5), "one\ntwo\nthree");
    }

    #[test]
    fn the_table_keeps_to_the_width() {
        let line =
            row_of(["AA", &"m".repeat(80), "R1 (stated)"], ["0.500", "0.400", "0.600", "0.450", "+0.100"]);
        assert!(line.chars().count() <= WIDTH && head().chars().count() <= WIDTH, "{line}");
    }
}
