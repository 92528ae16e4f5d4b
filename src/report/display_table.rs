//! A table that can be shown as Markdown and as HTML.

use super::terms;

/// What stands for an undefined number.
pub(super) const UNDEFINED: &str = "–";

/// One table.
pub struct DisplayTable {
    pub name: &'static str,
    pub title: String,
    pub caption: String,
    pub head: Vec<String>,
    pub rows: Vec<Line>,
}

/// One row of a [`DisplayTable`].
#[derive(Default)]
pub struct Line {
    /// `control`, `random`, `first` (of a block): how the page sets it off.
    pub class: String,
    pub entries: Vec<Entry>,
}

/// One entry of a [`Line`].
#[derive(Default)]
pub struct Entry {
    pub text: String,
    /// Smaller print below it, such as the interval; may be empty.
    pub detail: String,
    /// Numbers are set right.
    pub number: bool,
    /// Where the page leads from here, such as `#method-1`; empty for nowhere.
    pub link: String,
}

impl Entry {
    pub fn text(text: impl Into<String>) -> Entry {
        Entry { text: text.into(), ..Entry::default() }
    }

    /// A number that is already text.
    pub fn number(text: impl Into<String>) -> Entry {
        Entry { text: text.into(), number: true, ..Entry::default() }
    }

    pub fn detail(self, detail: impl Into<String>) -> Entry {
        Entry { detail: detail.into(), ..self }
    }

    pub fn link(self, link: impl Into<String>) -> Entry {
        Entry { link: link.into(), ..self }
    }

    /// What the text means, where it is a word that needs explaining.
    pub fn meaning(&self) -> Option<&'static str> {
        terms::meaning(&self.text)
    }
}

impl DisplayTable {
    /// The names of the columns, each with its meaning where it needs one.
    pub fn explained_head(&self) -> impl Iterator<Item = (&str, Option<&'static str>)> {
        self.head.iter().map(|name| (name.as_str(), terms::meaning(name)))
    }

    /// The table as Markdown with its title and caption.
    pub fn markdown(&self, warning: Option<&str>) -> String {
        let mut text = format!("## {}\n\n", self.title);
        if let Some(warning) = warning {
            text += &format!("**{}**\n\n", plain(warning));
        }
        text += &format!("{}\n\n", plain(&self.caption));
        let head: Vec<String> = self.head.iter().map(|name| plain(name)).collect();
        text += &format!("| {} |\n", head.join(" | "));
        let numeric = |column: usize| self.rows.first().is_some_and(|row| row.entries[column].number);
        let rules: Vec<&str> = (0..head.len()).map(|c| if numeric(c) { "--:" } else { "---" }).collect();
        text += &format!("| {} |\n", rules.join(" | "));
        for row in &self.rows {
            let entries: Vec<String> = row.entries.iter().map(markdown).collect();
            text += &format!("| {} |\n", entries.join(" | "));
        }
        text
    }
}

fn markdown(entry: &Entry) -> String {
    let separator = if entry.detail.is_empty() { "" } else { " " };
    plain(&format!("{}{separator}{}", entry.text, entry.detail))
}

/// Text with everything that Markdown or HTML would read as markup made harmless.
pub(super) fn plain(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('|', "\\|")
        .replace(['\n', '\r'], " ")
}

/// Three decimals, or the sign for undefined.
pub(super) fn three_decimals(value: Option<f64>) -> String {
    value.map_or(UNDEFINED.to_owned(), |value| format!("{value:.3}"))
}

/// A p-value; one that three decimals would show as nothing is said to be smaller than they can show.
pub(super) fn p_value(value: Option<f64>) -> String {
    match value {
        Some(value) if value < 0.001 => "< 0.001".to_owned(),
        value => three_decimals(value),
    }
}

/// Three decimals with a sign.
pub(super) fn signed(value: Option<f64>) -> String {
    value.map_or(UNDEFINED.to_owned(), |value| format!("{value:+.3}"))
}

/// Three significant digits' worth of seconds.
pub(super) fn seconds(value: Option<f64>) -> String {
    match value {
        None => UNDEFINED.to_owned(),
        Some(value) if value < 10.0 => format!("{value:.2}"),
        Some(value) if value < 100.0 => format!("{value:.1}"),
        Some(value) => format!("{value:.0}"),
    }
}

/// Bytes in MiB.
pub(super) fn mebibytes(value: Option<u64>) -> String {
    value.map_or(UNDEFINED.to_owned(), |bytes| format!("{:.0}", bytes as f64 / f64::from(1 << 20)))
}
