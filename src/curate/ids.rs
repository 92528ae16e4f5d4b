//! Id lists: a curated selection as text, to be published without a picture and replayed elsewhere.

use std::collections::{BTreeMap, HashMap};
use std::fmt::Write as _;
use std::path::Path;

use anyhow::{Context, Result, ensure};

use super::select::Outcome;
use crate::files;
use crate::manifest::{Header, Manifest, Split};
use crate::pseudonym::Key;
use crate::spec::Spec;

/// First line of every list; the number is raised when its columns change.
const TITLE: &str = "# medfsad id list 2";
/// Of lists that name every file by its path.
const WITH_PATHS: &str = "# medfsad id list 1";
const COLUMNS: &str = "task\tsplit\tframe\tfile_sha256\tpath_hash";
const COLUMNS_WITH_PATHS: &str = "task\tsplit\tframe\tfile_sha256\tpath_hash\tsource_path";

/// Which pictures stand on which side, for every task of a spec.
pub struct IdList {
    tasks: BTreeMap<String, Vec<Listed>>,
    fingerprint: String,
    /// Of the manifest that it was made from, where its hash can be compared with today's.
    canonical_hash: Option<String>,
}

/// A picture of a list.
struct Listed {
    split: Split,
    frame: u32,
    sha256: String,
    /// Keyed hash of the path.
    path_hash: Option<String>,
    /// Path below `--raw`, in lists that have it.
    path: Option<String>,
}

/// A picture that is there.
pub struct Present<'a> {
    /// Path below `--raw`.
    pub path: String,
    /// Index of the frame or slice in its file, from 0.
    pub frame: u32,
    /// Of its file.
    pub sha256: &'a str,
}

/// What a path is called in lists made with `key`.
fn path_hash(key: &Key, path: &str) -> String {
    key.name("path", &[path])
}

/// The text of a curated benchmark's id list. Files are named by SHA-256 and by a hash of their path that is made
/// with `key`, so that no name can be tried out; with `paths` also by their paths, which may name people.
pub fn freeze(manifest: &Manifest, key: &Key, paths: bool) -> String {
    let header = &manifest.header;
    let mut text = format!(
        "{TITLE}\n# spec {} version {}, {} pictures\n# canonical hash {}\n# {}\n",
        header.spec,
        header.spec_version,
        header.n_rows,
        header.canonical_hash,
        if paths { COLUMNS_WITH_PATHS } else { COLUMNS }
    );
    for row in &manifest.rows {
        let (split, frame, sha256) = (row.split.name(), row.frame, &row.file_sha256);
        let hash = path_hash(key, &row.source_path);
        let path = if paths { format!("\t{}", row.source_path) } else { String::new() };
        _ = writeln!(text, "{}\t{split}\t{frame}\t{sha256}\t{hash}{path}", row.task);
    }
    text
}

impl IdList {
    /// Reads a list and checks that it belongs to the tasks of `spec`.
    ///
    /// # Errors
    /// Names the file and line: another format, a row of other columns, a task that the spec lacks, a picture
    /// named twice.
    pub fn read(path: &Path, spec: &Spec) -> Result<IdList> {
        let text = files::read_text(path)?;
        let parse = || parse(&text, spec);
        let tasks = parse().with_context(|| format!("in the id list {}", path.display()))?;
        let stated = text.lines().find_map(|line| line.strip_prefix("# canonical hash "));
        Ok(IdList {
            tasks,
            fingerprint: files::fingerprint(text.as_bytes()),
            canonical_hash: stated.map(str::to_owned),
        })
    }

    /// Over the text; another list is another selection.
    pub fn fingerprint(&self) -> &str {
        &self.fingerprint
    }

    /// A sentence if the manifest that was replayed is not the one that the list was made from.
    pub fn differs_from(&self, header: &Header) -> Option<String> {
        let stated = self.canonical_hash.as_ref().filter(|stated| **stated != header.canonical_hash)?;
        Some(format!(
            "the id list was made from the manifest {stated}, this one is {}: paths, copies of equal bytes, the spec \
             or the decoding differ",
            header.canonical_hash
        ))
    }

    /// What the list says of a task's pictures.
    ///
    /// # Errors
    /// Names listed pictures that are not there, or whose file is another than the list's.
    pub fn outcomes(&self, task: &str, key: &Key, found: &[Present]) -> Result<Vec<Outcome>> {
        let listed = self.tasks.get(task).map_or(&[][..], Vec::as_slice);
        let matched = matched(listed, key, found)?;
        let mut outcomes = vec![Outcome::LeftOut("not drawn: the id list does not name it"); found.len()];
        for (entry, place) in listed.iter().zip(&matched) {
            if let Some(place) = place {
                outcomes[*place] = Outcome::Drawn(entry.split);
            }
        }
        let missing: Vec<String> = listed
            .iter()
            .zip(&matched)
            .filter(|(_, place)| place.is_none())
            .map(|(entry, _)| entry.name())
            .collect();
        ensure!(
            missing.is_empty(),
            "{} of {} pictures of the id list are missing, changed, left out by the spec or cannot be decoded: {}; use the \
             release and the spec that the list was made from",
            missing.len(),
            listed.len(),
            some(&missing)
        );
        Ok(outcomes)
    }
}

impl Listed {
    /// As messages call it.
    fn name(&self) -> String {
        self.path.clone().unwrap_or_else(|| format!("SHA-256 {} frame {}", self.sha256, self.frame))
    }
}

/// The place of each listed picture among those that are there. A list without paths names files by content; of
/// several equal files the one of the same path is taken if the key tells it, else the first that is free.
///
/// # Errors
/// Names files at a listed path that are not the list's.
fn matched(listed: &[Listed], key: &Key, found: &[Present]) -> Result<Vec<Option<usize>>> {
    let by_path: HashMap<(&str, u32), usize> =
        found.iter().enumerate().map(|(place, one)| ((one.path.as_str(), one.frame), place)).collect();
    let at_path = |entry: &Listed| by_path.get(&(entry.path.as_deref()?, entry.frame)).copied();
    let changed: Vec<String> = listed
        .iter()
        .filter(|entry| at_path(entry).is_some_and(|place| found[place].sha256 != entry.sha256))
        .map(Listed::name)
        .collect();
    ensure!(
        changed.is_empty(),
        "{} files are not those of the id list (their SHA-256 differs): {}; use the release that the list was made from",
        changed.len(),
        some(&changed)
    );
    let mut by_content: HashMap<(&str, u32), Vec<usize>> = HashMap::new();
    for (place, one) in found.iter().enumerate() {
        by_content.entry((one.sha256, one.frame)).or_default().push(place);
    }
    let mut is_free = vec![true; found.len()];
    let mut take = |place: Option<usize>| place.inspect(|place| is_free[*place] = false);
    let same_path = |entry: &Listed| {
        let equal = by_content.get(&(entry.sha256.as_str(), entry.frame))?;
        let hash = entry.path_hash.as_deref();
        equal.iter().copied().find(|place| hash == Some(path_hash(key, &found[*place].path).as_str()))
    };
    let mut matched: Vec<Option<usize>> = listed
        .iter()
        .map(|entry| take(if entry.path.is_some() { at_path(entry) } else { same_path(entry) }))
        .collect();
    for (entry, place) in listed.iter().zip(&mut matched).filter(|(entry, _)| entry.path.is_none()) {
        if place.is_none() {
            let equal = by_content.get(&(entry.sha256.as_str(), entry.frame));
            *place = equal.and_then(|equal| equal.iter().copied().find(|place| is_free[*place]));
            place.iter().for_each(|place| is_free[*place] = false);
        }
    }
    Ok(matched)
}

fn some(paths: &[String]) -> String {
    let shown = paths[..paths.len().min(5)].join(", ");
    if paths.len() > 5 { shown + ", ..." } else { shown }
}

fn parse(text: &str, spec: &Spec) -> Result<BTreeMap<String, Vec<Listed>>> {
    let title = text.lines().next().unwrap_or_default();
    ensure!(
        title == TITLE || title == WITH_PATHS,
        "its first line is neither `{TITLE}` nor `{WITH_PATHS}`; write it again with build-dataset --freeze"
    );
    let mut tasks: BTreeMap<String, Vec<Listed>> = BTreeMap::new();
    let mut seen = std::collections::HashSet::new();
    for (number, line) in (1..).zip(text.lines()).filter(|(_, line)| !line.starts_with('#')) {
        let mut read = || -> Result<()> {
            let (task, listed) = parse_line(line, title == WITH_PATHS)?;
            spec.task(task)?;
            let name = listed.path.clone().or_else(|| listed.path_hash.clone());
            ensure!(seen.insert((task, name, listed.frame)), "{} is named twice", listed.name());
            tasks.entry(task.to_owned()).or_default().push(listed);
            Ok(())
        };
        read().with_context(|| format!("line {number}"))?;
    }
    ensure!(!tasks.is_empty(), "it names no picture");
    Ok(tasks)
}

/// A task's name and a picture of it.
fn parse_line(line: &str, is_first_format: bool) -> Result<(&str, Listed)> {
    let columns: Vec<&str> = line.splitn(if is_first_format { 5 } else { 6 }, '\t').collect();
    let (task, split, frame, sha256, path_hash, path) = match (is_first_format, &columns[..]) {
        (true, &[task, split, frame, sha256, path]) => (task, split, frame, sha256, None, Some(path)),
        (false, &[task, split, frame, sha256, hash]) => (task, split, frame, sha256, Some(hash), None),
        (false, &[task, split, frame, sha256, hash, path]) => {
            (task, split, frame, sha256, Some(hash), Some(path))
        }
        _ => anyhow::bail!("{} columns, not those of its title", columns.len()),
    };
    let listed = Listed {
        split: Split::parse(split)?,
        frame: frame.parse().with_context(|| format!("frame `{frame}`"))?,
        sha256: sha256.to_owned(),
        path_hash: path_hash.map(str::to_owned),
        path: path.map(str::to_owned),
    };
    Ok((task, listed))
}
