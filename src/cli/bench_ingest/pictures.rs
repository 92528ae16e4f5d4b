//! The pictures that both loaders read, one format after the other.

use std::ops::Range;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};

use crate::files;

/// Formats that either loader reads, and the endings by which files are taken for them.
const FORMATS: [(&str, &[&str]); 3] = [("DICOM", &["dcm"]), ("PNG", &["png"]), ("JPEG", &["jpg", "jpeg"])];

/// Files that are timed together.
#[derive(Clone)]
pub(super) struct Group {
    pub name: &'static str,
    /// Their places in [`Pictures::paths`].
    pub places: Range<usize>,
    /// Of all the files.
    pub bytes: u64,
}

pub(super) struct Pictures {
    pub paths: Vec<PathBuf>,
    /// One for each format that was found, then one for all of them.
    pub groups: Vec<Group>,
}

impl Pictures {
    /// Takes at most `most` files of each format below `root`, evenly from the sorted list.
    ///
    /// # Errors
    /// If there are none, or `root` cannot be listed.
    pub(super) fn find(root: &Path, most: usize) -> Result<Pictures> {
        let files::Scan { files: all, rejected } = files::scan(root)?;
        if let Some(first) = rejected.first() {
            println!("{} entries passed over, the first: {}: {}", rejected.len(), first.path, first.reason);
        }
        let mut pictures = Pictures { paths: Vec::new(), groups: Vec::new() };
        for (name, endings) in FORMATS {
            let found: Vec<&String> = all.iter().filter(|path| ends_in(path, endings)).collect();
            let count = found.len().min(most);
            let chosen = (0..count).map(|at| root.join(found[at * found.len() / count]));
            pictures.add(name, chosen.collect())?;
        }
        ensure!(
            !pictures.paths.is_empty(),
            "no .dcm, .png, .jpg or .jpeg file below {}; name a folder of pictures with --raw",
            root.display()
        );
        let bytes = pictures.groups.iter().map(|group| group.bytes).sum();
        pictures.groups.push(Group { name: "all", places: 0..pictures.paths.len(), bytes });
        Ok(pictures)
    }

    fn add(&mut self, name: &'static str, paths: Vec<PathBuf>) -> Result<()> {
        if paths.is_empty() {
            return Ok(());
        }
        let mut bytes = 0;
        for path in &paths {
            bytes += path.metadata().with_context(|| format!("reading {}", path.display()))?.len();
        }
        let first = self.paths.len();
        self.paths.extend(paths);
        self.groups.push(Group { name, places: first..self.paths.len(), bytes });
        Ok(())
    }
}

fn ends_in(path: &str, endings: &[&str]) -> bool {
    let ending = path.rsplit_once('.').map(|(_, ending)| ending.to_ascii_lowercase());
    ending.is_some_and(|ending| endings.contains(&ending.as_str()))
}
