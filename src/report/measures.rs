//! Every other measured number, and the cells that failed.

use super::averages::means;
use super::display_table::{DisplayTable, Entry, Line, three_decimals};
use super::row::Row;
use super::summary::Summary;
use crate::metric::pimo::COARSE;
use crate::metric::{Group, Metric};
use crate::protocol::{Protocol, Role};
use crate::results::StoredCell;

/// Every measure but the one that ranks: of pictures, at a threshold that the supports set, and of pixels. Those
/// without any are left out.
pub(super) fn sheets(summary: &Summary) -> Vec<DisplayTable> {
    let kinds: [(&str, &str, &str, Group); 3] = [
        (
            "measures",
            "Other measures",
            "AP is average precision, whose chance level is the share of anomalous pictures; F1-max and its like choose \
             their threshold with the labels, so they are upper bounds; FPR95 is the false positive rate at which 95 % \
             are found (lower is better); sensitivity is given at 90 and 95 % specificity; pauroc-10 is the area up to \
             a false positive rate of 0.1, over 0.1. clean-mean and clean-top1 reduce the same maps by their mean and \
             by the mean of their highest 1 %.",
            Group::Image,
        ),
        (
            "preset",
            "At a threshold set by the supports alone",
            "Each support is scored by the others; the highest of these scores is the threshold, set before any test \
             picture is seen. The promised false positive rate is one in as many as there are supports and one more. \
             Undefined for methods that would have to train again for each support, that learn from all train normals, \
             and for a single support.",
            Group::Preset,
        ),
        (
            "pixels",
            "Where in the picture",
            "Smoothed maps against lesion masks, over all pixels of a test set, on every distinct threshold: AUROC, \
             average precision, AUPRO (regions with 8 neighbours, up to false positive rates of 0.3 and 0.05), AUPIMO \
             (rates of 1e-5 to 1e-4; undefined where normal pictures have too few pixels, and marked where it rests on fewer \
             than 300 rates; docs/pixel-metrics.md has both definitions), the best Dice, which \
             chooses its threshold with the masks, and Dice at the threshold that the supports set. Pointing is the \
             share of pictures whose highest value lies in the mask or at most 15 pixels from it, energy the share of \
             the map inside the mask. Pictures without a mask are left out.",
            Group::Pixel,
        ),
    ];
    kinds
        .into_iter()
        .filter_map(|(name, title, about, group)| {
            let columns = columns(summary, group);
            let mut head = ["method", "shots", "regime"].map(str::to_owned).to_vec();
            head.extend(columns.iter().map(|(protocol, metric)| {
                let metric = metric.short_name();
                if *protocol == Protocol::RANKED { metric.to_owned() } else { format!("{metric} ({protocol})") }
            }));
            let table = DisplayTable {
                name,
                title: title.to_owned(),
                caption: format!(
                    "Mean over tasks and draws under protocol clean. {about} A measure that is not defined on all \
                     tasks is shown as – with the number of tasks on which it is."
                ),
                head,
                rows: summary.rows.iter().map(|row| line(summary, row, &columns)).collect(),
            };
            (!columns.is_empty()).then_some(table)
        })
        .collect()
}

fn columns(summary: &Summary, group: Group) -> Vec<(Protocol, Metric)> {
    let cells = summary.entrants.iter().flat_map(|entrant| entrant.cells.iter().copied());
    let metrics = cells.flat_map(|r| &r.metrics).map(|m| (m.protocol, m.metric));
    let mut columns: Vec<_> = metrics
        .filter(|(protocol, metric)| {
            protocol.rule().role != Role::Gap
                && (*protocol, *metric) != (Protocol::RANKED, Metric::RANKED)
                && metric.group() == group
                && !metric.is_detail()
        })
        .collect();
    columns.sort_unstable();
    columns.dedup();
    columns
}

fn line(summary: &Summary, row: &Row, columns: &[(Protocol, Metric)]) -> Line {
    let entrant = summary.entrant(row);
    let mut entries = vec![
        Entry::text(&entrant.label).detail(if row.off_ground.is_some() { "not ranked" } else { "" }),
        Entry::number(row.shots.to_string()),
        Entry::text(entrant.regime_words()),
    ];
    let cells = entrant.at(row.shots);
    for &(protocol, metric) in columns {
        let average = means(&cells, &summary.tasks, protocol, metric);
        let defined = average.tasks.iter().flatten().count();
        let entry = Entry::number(three_decimals(average.mean.map(|mean| mean.value)));
        let some =
            (defined < summary.tasks.len()).then(|| format!("{defined} of {} tasks", summary.tasks.len()));
        let coarse = (metric == Metric::PixelAupimo).then(|| few_points(&cells)).flatten();
        let notes: Vec<String> = some.into_iter().chain(coarse).collect();
        entries.push(entry.detail(notes.join("\n")));
    }
    Line { class: summary.class(row), entries }
}

/// Says so where AUPIMO rests on so few rates that one normal pixel more moves it.
fn few_points(cells: &[&StoredCell]) -> Option<String> {
    let points =
        cells.iter().filter_map(|cell| cell.metric(Protocol::RANKED, Metric::PixelAupimoPoints)?.value);
    let fewest = points.fold(f64::INFINITY, f64::min);
    (fewest < COARSE as f64).then(|| format!("few points: {fewest}"))
}

/// The cells without scores and why; `None` if there are none.
pub(super) fn failures(summary: &Summary) -> Option<DisplayTable> {
    let mut rows = Vec::new();
    for entrant in &summary.entrants {
        for result in &entrant.cells {
            let Some(error) = &result.cell.error else { continue };
            let id = &result.cell.identity;
            let numbers = [id.shots.to_string(), id.draw.to_string(), id.seed.to_string()];
            let mut entries = vec![Entry::text(&entrant.label), Entry::text(id.task.as_str())];
            entries.extend(numbers.map(Entry::number));
            entries.extend([Entry::text(result.cell.id.as_str()), Entry::text(error)]);
            rows.push(Line { class: String::new(), entries });
        }
    }
    let head = ["method", "task", "shots", "draw", "seed", "cell", "error"];
    let table = DisplayTable {
        name: "failures",
        title: "Failed cells".to_owned(),
        caption: format!(
            "{} cells have no scores. Their values are missing above, not counted as zero.",
            rows.len()
        ),
        head: head.map(str::to_owned).to_vec(),
        rows,
    };
    (!table.rows.is_empty()).then_some(table)
}
