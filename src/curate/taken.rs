//! How pictures were taken: what a spec's table says, and where it is silent, what their files say.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use anyhow::{Context, Result, bail, ensure};

use crate::decode::Taken;
use crate::source::Candidate;
use crate::{files, names};

const PATH: &str = "path";
const COLUMNS: [&str; 3] = ["view", "scanner", "site"];

/// What a spec's table says, by the file's path below the task's folder; empty without a table.
#[derive(Debug, Default)]
pub(super) struct Table(BTreeMap<String, Taken>);

impl Table {
    /// Reads a CSV file with a column `path` and any of `view`, `scanner` and `site`.
    ///
    /// # Errors
    /// A file that cannot be read, a column that is missing, not known or there twice, or a file that is named twice.
    pub(super) fn read(path: &Path) -> Result<Table> {
        Table::parse(&files::read_text(path)?).with_context(|| format!("in {}", path.display()))
    }

    fn parse(text: &str) -> Result<Table> {
        let text = text.trim_start_matches('\u{feff}');
        let mut reader = csv::ReaderBuilder::new().trim(csv::Trim::All).from_reader(text.as_bytes());
        let head = reader.headers().context("it is not sound CSV")?.clone();
        let known = || [PATH].into_iter().chain(COLUMNS);
        let mut heads = BTreeSet::new();
        for name in &head {
            ensure!(heads.insert(name), "column `{name}` is there twice");
            if !known().any(|column| column == name) {
                let meant = names::did_you_mean(name, known());
                bail!("column `{name}` is not known{meant}; rename or remove it");
            }
        }
        let place = |column: &str| head.iter().position(|name| name == column);
        let of_path = place(PATH).context("it has no column `path`, the file below the task's folder")?;
        ensure!(
            heads.len() > 1,
            "it says nothing beside `path`; add any of the columns {}",
            COLUMNS.join(", ")
        );
        let mut table = BTreeMap::new();
        for record in reader.records() {
            let record = record.context("it is not sound CSV")?;
            let [view, scanner, site] = COLUMNS.map(|column| {
                let text = names::composed(record.get(place(column)?)?);
                (!text.is_empty()).then_some(text)
            });
            let path = names::composed(&record[of_path]);
            let twice = table.insert(path.clone(), Taken { view, scanner, site }).is_some();
            ensure!(!twice, "`{path}` is there twice; keep one of its lines");
        }
        Ok(Table(table))
    }

    /// How a picture was taken; each word of the table goes before the file's own.
    pub(super) fn of(&self, path: &str, by_file: &Taken) -> Taken {
        let Taken { view, scanner, site } = self.0.get(path).cloned().unwrap_or_default();
        Taken {
            view: view.or_else(|| by_file.view.clone()),
            scanner: scanner.or_else(|| by_file.scanner.clone()),
            site: site.or_else(|| by_file.site.clone()),
        }
    }

    /// A sentence on lines whose file is none of the candidates'.
    pub(super) fn unknown(&self, candidates: &[Candidate], name: &str) -> Option<String> {
        let paths: BTreeSet<&str> = candidates.iter().map(|candidate| candidate.path.as_str()).collect();
        let unknown: Vec<&String> = self.0.keys().filter(|path| !paths.contains(path.as_str())).collect();
        let first = unknown.first()?;
        Some(format!("{name} tells of {} files that are no pictures here, such as {first}", unknown.len()))
    }

    /// Of all that it says.
    pub(super) fn fingerprint(&self) -> String {
        format!("{:?}", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn taken(view: &str, scanner: Option<&str>, site: Option<&str>) -> Taken {
        let text = |text: &str| (!text.is_empty()).then(|| text.to_owned());
        Taken { view: text(view), scanner: scanner.and_then(text), site: site.and_then(text) }
    }

    #[test]
    fn a_table_goes_before_the_file_word_by_word() {
        let table =
            Table::parse("\u{feff}site,path,view\nNorth, good/a.png ,AP\n,good/b.png,\n").expect("a table");
        let by_file = taken("PA", Some("Made Up 1"), Some("South"));
        assert_eq!(table.of("good/a.png", &by_file), taken("AP", Some("Made Up 1"), Some("North")));
        assert_eq!(table.of("good/b.png", &by_file), by_file);
        assert_eq!(table.of("good/c.png", &Taken::default()), Taken::default());
    }

    #[test]
    fn a_table_that_cannot_be_right_is_refused() {
        for (text, reason) in [
            ("view\nAP\n", "no column `path`"),
            ("path\na.png\n", "says nothing beside `path`"),
            ("path,veiw\na.png,AP\n", "column `veiw` is not known; did you mean `view`?"),
            ("path,view\na.png,AP\na.png,PA\n", "`a.png` is there twice"),
            ("path,view,view\na.png,AP,AP\n", "column `view` is there twice"),
            ("path,view\na.png\n", "not sound CSV"),
        ] {
            let error = format!("{:#}", Table::parse(text).expect_err(text));
            assert!(error.contains(reason), "{error}");
        }
    }
}
