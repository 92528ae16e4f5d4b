//! Tests that had nothing to compare with: each adds a line to a record, which is told when all have run.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

/// Names the record to the tests (`tests/shared.rs`).
const VARIABLE: &str = "MEDFSAD_LEFT_OUT";

/// A file of lines `test TAB what it would have read`.
pub(crate) struct Record(PathBuf);

impl Record {
    /// An empty one in the target folder.
    ///
    /// # Errors
    /// If an older one cannot be removed.
    pub(crate) fn new(root: &Path) -> Result<Record> {
        let path = root.join("target/left-out.tsv");
        if path.exists() {
            std::fs::remove_file(&path).with_context(|| format!("cannot remove {}", path.display()))?;
        }
        Ok(Record(path))
    }

    /// Has `command`'s tests write it.
    pub(crate) fn hand_to(&self, command: &mut Command) {
        command.env(VARIABLE, &self.0);
    }

    /// What to tell at the end; nothing where every test had its data.
    ///
    /// # Errors
    /// If the record is there and cannot be read.
    pub(crate) fn summary(&self) -> Result<String> {
        if !self.0.exists() {
            return Ok(String::new());
        }
        let text = std::fs::read_to_string(&self.0);
        let text = text.with_context(|| format!("cannot read {}", self.0.display()))?;
        Ok(summary(&text))
    }
}

fn summary(record: &str) -> String {
    let mut tests: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for (test, what) in record.lines().filter_map(|line| line.split_once('\t')) {
        let missing = tests.entry(test).or_default();
        if !missing.contains(&what) {
            missing.push(what);
        }
    }
    if tests.is_empty() {
        return String::new();
    }
    let mut text = format!(
        "left out: {} tests, or parts of them, for want of what is not part of the repository: reference data in \
         ../shared, python3, a browser, LaTeX, CLIP's vocabulary, or what the machine does not allow\n",
        tests.len()
    );
    for (test, missing) in tests {
        text += &format!("  {test}: {}\n", missing.join(", "));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::summary;

    #[test]
    fn each_test_is_counted_once_with_all_that_it_lacks() {
        let text = summary("audit::a\traw\nresize::b\tgolden\naudit::a\traw\naudit::a\tformats\n");
        assert!(text.starts_with("left out: 2 tests"), "{text}");
        assert!(text.ends_with("  audit::a: raw, formats\n  resize::b: golden\n"), "{text}");
    }

    #[test]
    fn nothing_is_said_where_nothing_was_left_out() {
        assert_eq!(summary(""), "");
    }
}
