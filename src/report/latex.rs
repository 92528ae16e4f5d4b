//! A table for a paper: LaTeX with booktabs, no wider than the column it stands in.

use super::display_table::UNDEFINED;
use super::leaderboard::group_name;
use super::row::Row;
use super::summary::Summary;
use super::verdict::counted;

/// Methods down, tasks across, a block for each number of shots; the best of each column in bold, and the best trivial
/// control below each block. The warning stands inside the caption so that it cannot be cut off by chance.
pub(super) fn table(summary: &Summary) -> String {
    let tasks = summary.tasks.len();
    let head: Vec<String> = ["", "method", "reg."]
        .into_iter()
        .chain(summary.tasks.iter().copied())
        .chain(["mean"])
        .map(escaped)
        .chain(["95\\,\\%".to_owned()])
        .collect();
    let mut text = format!(
        "% Needs \\usepackage{{booktabs,adjustbox}}.\n\\begin{{table}}[t]\n\\centering\n\\caption{{{}}}\n\\label{{tab:medfsad}}\n\
         \\footnotesize\n\\setlength{{\\tabcolsep}}{{3pt}}\n\\begin{{adjustbox}}{{max width=\\linewidth}}\n\
         \\begin{{tabular}}{{@{{}}lll{}rr@{{}}}}\n\\toprule\n{} \\\\\n",
        caption(summary),
        "r".repeat(tasks),
        head.join(" & "),
    );
    for &shots in &summary.shots {
        text += &block(summary, shots);
    }
    text + "\\bottomrule\n\\end{tabular}\n\\end{adjustbox}\n\\end{table}\n"
}

fn caption(summary: &Summary) -> String {
    let warning = match &summary.warning {
        Some(warning) => format!("\\textbf{{{}}} ", escaped(warning)),
        None => String::new(),
    };
    let draws = summary.rows.iter().map(|row| row.ground.draws()).max().unwrap_or(0);
    let draws = format!("{}{}", if draws == 1 { "" } else { "up to " }, counted(draws, "support draw"));
    format!(
        "{warning}Image AUROC in~\\% under protocol clean, mean over {draws}; 95\\,\\% interval of the mean over draws \
         and pictures. Best of a column in bold; methods with one letter are not told apart. Controls see no disease. \
         reg.: what a method was given (R0 nothing, R1 supports, R2 also other tasks' \
         normals, R3 also their anomalies, R4 anomalies of the target, R5 all normals of the target, R6 these and unlabelled \
         pictures of it, R6T its test pictures without labels).{}",
        if summary.rows.iter().any(|row| row.off_ground.is_some()) {
            " * not ranked: given anomalies or unlabelled pictures of the target, or on other draws, seeds or pictures than \
             most rows."
        } else {
            ""
        }
    )
}

/// The rows of a number of shots.
fn block(summary: &Summary, shots: usize) -> String {
    let rows = summary.rows.iter().filter(|row| row.shots == shots);
    let (controls, methods): (Vec<&Row>, Vec<&Row>) = rows.partition(|row| summary.entrant(row).control);
    let columns = summary.tasks.len() + 5;
    let mut text =
        format!("\\midrule\n\\multicolumn{{{columns}}}{{@{{}}l}}{{{}}} \\\\\n", counted(shots, "shot"));
    let best: Vec<Option<f64>> = (0..=summary.tasks.len())
        .map(|column| {
            let ranked = methods.iter().filter(|row| row.off_ground.is_none());
            ranked.filter_map(|row| value(row, column)).map(shown).reduce(f64::max)
        })
        .collect();
    for row in &methods {
        text += &line(summary, row, &best);
    }
    if let Some(control) = controls.first() {
        text += &line(summary, control, &[]);
    }
    text
}

/// Of a task or, behind the last one, the mean over all.
fn value(row: &Row, column: usize) -> Option<f64> {
    let average = row.ranked();
    if column < average.tasks.len() { average.tasks[column] } else { average.mean }
        .map(|estimate| estimate.value)
}

/// In percent as the table shows it, so that equal figures are equally bold.
fn shown(value: f64) -> f64 {
    (1000.0 * value).round()
}

fn line(summary: &Summary, row: &Row, best: &[Option<f64>]) -> String {
    let entrant = summary.entrant(row);
    let mut entries = vec![
        row.group.map_or(String::new(), group_name),
        escaped(&summary.marked(row.entrant)),
        escaped(&entrant.regime_words()),
    ];
    for column in 0..=summary.tasks.len() {
        let value = value(row, column);
        let text = value.map_or(escaped(UNDEFINED), |value| format!("{:.1}", 100.0 * value));
        let is_best = value.is_some()
            && row.off_ground.is_none()
            && best.get(column).is_some_and(|best| *best == value.map(shown));
        entries.push(if is_best { format!("\\textbf{{{text}}}") } else { text });
    }
    let mean = row.ranked().mean;
    entries.push(match mean.and_then(|mean| mean.low.zip(mean.high)) {
        Some((low, high)) => format!("{:.1}--{:.1}", 100.0 * low, 100.0 * high),
        None => escaped(UNDEFINED),
    });
    format!("{} \\\\\n", entries.join(" & "))
}

/// Text with everything that LaTeX would read as its own made harmless.
fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' | '%' | '$' | '#' | '_' | '{' | '}' => {
                escaped.push('\\');
                escaped.push(c);
            }
            '\\' => escaped += "\\textbackslash{}",
            '~' => escaped += "\\textasciitilde{}",
            '^' => escaped += "\\textasciicircum{}",
            '<' => escaped += "$<$",
            '>' => escaped += "$>$",
            '–' => escaped += "--",
            '…' => escaped += "\\ldots{}",
            '\n' => escaped.push(' '),
            other => escaped.push(other),
        }
    }
    escaped
}
