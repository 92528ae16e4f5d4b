//! Every other measured number, and the cells that failed.

use super::board::board;
use super::sheet::{Entry, Line, Sheet, three};
use super::summary::{AUROC, RANKED, Row, Summary};

/// All metrics of the maps that clean ranks, mean over tasks and draws; `None` without any.
pub fn sheet(summary: &Summary) -> Option<Sheet> {
    let columns = columns(summary);
    let mut head = ["method", "shots", "regime"].map(str::to_owned).to_vec();
    head.extend(columns.iter().map(|(protocol, metric)| match *protocol {
        RANKED => (*metric).to_owned(),
        other => format!("{metric} ({other})"),
    }));
    let sheet = Sheet {
        name: "measures",
        title: "Other measures".to_owned(),
        caption: "Mean over tasks and draws under protocol clean; clean-mean and clean-top1 reduce the same maps \
                  by their mean and by the mean of their highest 1 %. A measure that is not defined on all tasks \
                  is shown as – with the number of tasks on which it is."
            .to_owned(),
        head,
        rows: summary.rows.iter().map(|row| line(summary, row, &columns)).collect(),
    };
    (!columns.is_empty()).then_some(sheet)
}

fn columns<'a>(summary: &Summary<'a>) -> Vec<(&'a str, &'a str)> {
    let cells = summary.entrants.iter().flat_map(|entrant| entrant.cells.iter().copied());
    let metrics = cells.flat_map(|r| &r.metrics).map(|m| (m.protocol.as_str(), m.metric.as_str()));
    let mut columns: Vec<_> = metrics
        .filter(|(protocol, metric)| protocol.starts_with(RANKED) && (*protocol, *metric) != (RANKED, AUROC))
        .collect();
    columns.sort_unstable();
    columns.dedup();
    columns
}

fn line(summary: &Summary, row: &Row, columns: &[(&str, &str)]) -> Line {
    let entrant = summary.entrant(row);
    let mut entries =
        vec![Entry::text(&entrant.label), Entry::number(row.shots.to_string()), Entry::text(entrant.regime)];
    for (protocol, metric) in columns {
        let board = board(&entrant.cells, &summary.tasks, row.shots, protocol, metric);
        let defined = board.tasks.iter().flatten().count();
        let entry = Entry::number(three(board.mean.map(|mean| mean.value)));
        let all = defined == summary.tasks.len();
        entries.push(if all {
            entry
        } else {
            entry.detail(format!("{defined} of {} tasks", summary.tasks.len()))
        });
    }
    Line { class: summary.class(row), entries }
}

/// The cells without scores and why; `None` if there are none.
pub fn failures(summary: &Summary) -> Option<Sheet> {
    let mut rows = Vec::new();
    for entrant in &summary.entrants {
        for result in &entrant.cells {
            let Some(error) = &result.cell.error else { continue };
            let id = &result.cell.identity;
            let numbers = [id.shots.to_string(), id.draw.to_string(), id.seed.to_string()];
            let mut entries = vec![Entry::text(&entrant.label), Entry::text(&id.task)];
            entries.extend(numbers.map(Entry::number));
            entries.extend([Entry::text(&result.cell.id), Entry::text(error)]);
            rows.push(Line { class: String::new(), entries });
        }
    }
    let head = ["method", "task", "shots", "draw", "seed", "cell", "error"];
    let sheet = Sheet {
        name: "failures",
        title: "Failed cells".to_owned(),
        caption: format!(
            "{} cells have no scores. Their values are missing above, not counted as zero.",
            rows.len()
        ),
        head: head.map(str::to_owned).to_vec(),
        rows,
    };
    (!sheet.rows.is_empty()).then_some(sheet)
}
