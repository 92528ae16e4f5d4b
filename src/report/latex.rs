//! A table for a paper: LaTeX with booktabs.

use super::display_table::DisplayTable;

/// The table, with title and caption, and the warning inside the caption so that it cannot be cut off by chance.
pub(super) fn table(table: &DisplayTable, warning: Option<&str>) -> String {
    let numeric = |column: usize| table.rows.first().is_some_and(|row| row.entries[column].number);
    let columns: String = (0..table.head.len()).map(|c| if numeric(c) { 'r' } else { 'l' }).collect();
    let head: Vec<String> = table.head.iter().map(|name| escaped(name)).collect();
    let warning = warning.map(|warning| format!("\\textbf{{{}}} ", escaped(warning))).unwrap_or_default();
    let mut text = format!(
        "% Needs \\usepackage{{booktabs}}.\n\\begin{{table}}\n\\caption{{{}. {warning}{}}}\n\\begin{{tabular}}{{{columns}}}\n\\toprule\n{} \\\\\n",
        escaped(&table.title),
        escaped(&table.caption),
        head.join(" & "),
    );
    for (index, row) in table.rows.iter().enumerate() {
        let is_first = row.class.split(' ').any(|class| class == "first");
        text += if index == 0 || is_first { "\\midrule\n" } else { "" };
        let entries = row.entries.iter().map(|entry| {
            let detail = match entry.detail.lines().next() {
                Some(detail) => format!(" {{\\scriptsize {}}}", escaped(detail)),
                None => String::new(),
            };
            escaped(&entry.text) + &detail
        });
        text += &format!("{} \\\\\n", entries.collect::<Vec<_>>().join(" & "));
    }
    text + "\\bottomrule\n\\end{tabular}\n\\end{table}\n"
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
