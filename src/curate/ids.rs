//! Id lists: a curated selection as text, to be published without a picture and replayed elsewhere.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt::Write as _;
use std::path::Path;

use anyhow::{Context, Result, ensure};

use super::select::Outcome;
use crate::files;
use crate::manifest::{Manifest, Split};
use crate::spec::Spec;

/// First line of every list; the number is raised when its columns change.
const TITLE: &str = "# medfsad id list 1";
const COLUMNS: &str = "task\tsplit\tframe\tfile_sha256\tsource_path";

/// Of one task, by source path below `--raw` and frame.
type Pictures = HashMap<(String, u32), Listed>;

/// Which pictures stand on which side, for every task of a spec.
pub struct IdList {
    tasks: BTreeMap<String, Pictures>,
    fingerprint: String,
}

struct Listed {
    split: Split,
    sha256: String,
}

/// The text of a curated benchmark's id list, the same on every machine.
pub fn freeze(manifest: &Manifest) -> String {
    let header = &manifest.header;
    let mut text = format!(
        "{TITLE}\n# spec {} version {}, {} pictures, canonical hash {}\n# {COLUMNS}\n",
        header.spec, header.spec_version, header.n_rows, header.canonical_hash
    );
    for row in &manifest.rows {
        let (split, frame, sha256) = (row.split.name(), row.frame, &row.file_sha256);
        _ = writeln!(text, "{}\t{split}\t{frame}\t{sha256}\t{}", row.task, row.source_path);
    }
    text
}

impl IdList {
    /// Reads a list and checks that it belongs to the tasks of `spec`.
    ///
    /// # Errors
    /// Names the file and line: another format, a row without five columns, a task that the spec lacks, a
    /// picture named twice.
    pub fn read(path: &Path, spec: &Spec) -> Result<IdList> {
        let text = files::read_text(path)?;
        let parse = || parse(&text, spec);
        let tasks = parse().with_context(|| format!("in the id list {}", path.display()))?;
        Ok(IdList { tasks, fingerprint: files::fingerprint(text.as_bytes()) })
    }

    /// Over the text; another list is another selection.
    pub fn fingerprint(&self) -> &str {
        &self.fingerprint
    }

    /// What the list says of a task's pictures, given by source path, frame and SHA-256.
    ///
    /// # Errors
    /// Names listed pictures that are not there, or whose file is another than the list's.
    pub fn outcomes<'a>(
        &self,
        task: &str,
        found: impl Iterator<Item = (String, u32, &'a str)>,
    ) -> Result<Vec<Outcome>> {
        let empty = HashMap::new();
        let listed = self.tasks.get(task).unwrap_or(&empty);
        let mut missing: BTreeSet<&(String, u32)> = listed.keys().collect();
        let (mut outcomes, mut changed) = (Vec::new(), Vec::new());
        for (path, frame, sha256) in found {
            let key = (path, frame);
            missing.remove(&key);
            outcomes.push(match listed.get(&key) {
                None => Outcome::LeftOut("not drawn: the id list does not name it"),
                Some(entry) => {
                    if entry.sha256 != sha256 {
                        changed.push(key.0);
                    }
                    Outcome::Drawn(entry.split)
                }
            });
        }
        ensure!(
            changed.is_empty(),
            "{} files are not those of the id list (their SHA-256 differs): {}; use the release that the list was made from",
            changed.len(),
            some(&changed)
        );
        let missing: Vec<String> = missing.into_iter().map(|(path, _)| path.clone()).collect();
        ensure!(
            missing.is_empty(),
            "{} of {} pictures of the id list are missing or cannot be decoded: {}; use the release that the list was made from",
            missing.len(),
            listed.len(),
            some(&missing)
        );
        Ok(outcomes)
    }
}

fn some(paths: &[String]) -> String {
    let shown = paths[..paths.len().min(5)].join(", ");
    if paths.len() > 5 { shown + ", ..." } else { shown }
}

fn parse(text: &str, spec: &Spec) -> Result<BTreeMap<String, Pictures>> {
    ensure!(text.lines().next() == Some(TITLE), "its first line is not `{TITLE}`");
    let mut tasks: BTreeMap<String, Pictures> = BTreeMap::new();
    for (number, line) in (1..).zip(text.lines()).filter(|(_, line)| !line.starts_with('#')) {
        let mut read = || -> Result<()> {
            let columns: Vec<&str> = line.splitn(5, '\t').collect();
            let &[task, split, frame, sha256, path] = columns.as_slice() else {
                anyhow::bail!("{} columns, not the five of: {COLUMNS}", columns.len());
            };
            spec.task(task)?;
            let key = (path.to_owned(), frame.parse().with_context(|| format!("frame `{frame}`"))?);
            let entry = Listed { split: Split::parse(split)?, sha256: sha256.to_owned() };
            let before = tasks.entry(task.to_owned()).or_default().insert(key, entry);
            ensure!(before.is_none(), "{path} is named twice");
            Ok(())
        };
        read().with_context(|| format!("line {number}"))?;
    }
    ensure!(!tasks.is_empty(), "it names no picture");
    Ok(tasks)
}
