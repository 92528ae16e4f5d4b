//! Where a bundle goes: what may be replaced there, and how it appears whole or not at all.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};

use crate::{cache, programs};

/// The file that makes a folder a bundle: a line about it for people, then a line for each file in it.
pub(super) const MARKER: &str = ".medfsad-bundle";

/// A folder, or a tar file of one.
#[derive(Debug)]
pub(super) struct Place {
    path: PathBuf,
    is_tar: bool,
}

/// A folder beside the place, in which a bundle is made.
#[derive(Debug)]
pub(super) struct Draft {
    folder: PathBuf,
    /// The bundle's own folder, with the name that it will have.
    pub bundle: PathBuf,
}

impl Place {
    /// Looks at what is there without changing anything.
    ///
    /// # Errors
    /// If something is there that is no earlier bundle, or if results lie in that.
    pub(super) fn find(out: &Path) -> Result<Place> {
        // Behind a link to a folder, so that the link stays.
        let path = fs::canonicalize(out).or_else(|_| std::path::absolute(out));
        let path = path.with_context(|| format!("cannot resolve {}", out.display()))?;
        let named = path.file_name().and(path.parent()).is_some();
        ensure!(named, "{} has no name of its own; name a folder with --out", out.display());
        let place = Place { is_tar: path.extension().is_some_and(|end| end == "tar"), path };
        place.ensure_replaceable()?;
        Ok(place)
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Bytes of what is there.
    pub(super) fn size(&self) -> u64 {
        if self.is_tar {
            self.path.metadata().map_or(0, |meta| meta.len())
        } else {
            cache::size_of(&self.path)
        }
    }

    fn ensure_replaceable(&self) -> Result<()> {
        let shown = self.path.display();
        let Ok(meta) = self.path.symlink_metadata() else { return Ok(()) };
        if meta.is_dir() && !self.is_tar {
            return ensure_only_a_bundle(&self.path);
        }
        let is_ours = meta.is_file() && self.is_tar && holds_a_bundle(&self.path);
        ensure!(is_ours, "{shown} is there and no earlier bundle; move it away, or name another --out");
        Ok(())
    }

    /// A new draft; those of runs that were killed go.
    pub(super) fn draft(&self) -> Result<Draft> {
        let name = self.path.file_name().unwrap_or_default().to_string_lossy();
        let parent = self.path.parent().unwrap_or(&self.path);
        clear_drafts(parent, &format!("{name}.draft-"));
        let folder = parent.join(format!("{name}.draft-{}", std::process::id()));
        let own = if self.is_tar { self.path.file_stem() } else { self.path.file_name() };
        let bundle = folder.join("new").join(own.unwrap_or_default());
        fs::create_dir_all(&bundle)
            .with_context(|| format!("cannot create {}; name another --out", bundle.display()))?;
        Ok(Draft { folder, bundle })
    }

    /// Puts a finished draft where it belongs, in place of an earlier bundle.
    pub(super) fn take(&self, draft: &Draft) -> Result<()> {
        // The build took its time, and somebody may have worked there.
        self.ensure_replaceable()?;
        let (made, old) = (draft.made(self.is_tar)?, draft.folder.join("old"));
        let rename = |from: &Path, to: &Path| {
            let reason = || format!("cannot rename {} to {}", from.display(), to.display());
            fs::rename(from, to).with_context(reason)
        };
        if self.path.exists() {
            rename(&self.path, &old)?;
        }
        rename(&made, &self.path).inspect_err(|_| drop(rename(&old, &self.path)))
    }
}

impl Draft {
    /// What is put in place: the folder, or a tar file made of it now.
    fn made(&self, is_tar: bool) -> Result<PathBuf> {
        if !is_tar {
            return Ok(self.bundle.clone());
        }
        let file = self.folder.join("tar");
        let mut tar = Command::new("tar");
        tar.arg("-C").arg(self.folder.join("new")).arg("-cf").arg(&file).arg("--");
        tar.arg(self.bundle.file_name().unwrap_or_default());
        programs::succeed(&mut tar)
            .context("no tar file was made; install tar, or name a folder with --out")?;
        Ok(file)
    }

    /// Writes the file that makes it a bundle; nothing may be added afterwards.
    pub(super) fn mark(&self, about: &str) -> Result<()> {
        let marker = self.bundle.join(MARKER);
        let mut files = files_below(&self.bundle);
        files.insert(MARKER.into());
        let lines: Vec<String> = [about.to_owned()].into_iter().chain(files).collect();
        fs::write(&marker, lines.join("\n") + "\n")
            .with_context(|| format!("cannot write {}", marker.display()))
    }
}

impl Drop for Draft {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.folder);
    }
}

/// Fails unless a folder is empty or holds an earlier bundle and nothing else.
fn ensure_only_a_bundle(folder: &Path) -> Result<()> {
    let found = files_below(folder);
    if found.is_empty() {
        return Ok(());
    }
    let shown = folder.display();
    let marker = fs::read_to_string(folder.join(MARKER)).ok();
    let marker = marker.with_context(|| {
        format!("{shown} is not empty and no earlier bundle (no {MARKER}); empty it, or name another --out")
    })?;
    let own: BTreeSet<&str> = marker.lines().skip(1).collect();
    if let Some(other) = found.iter().find(|file| !own.contains(file.as_str())) {
        let count = found.iter().filter(|file| !own.contains(file.as_str())).count();
        anyhow::bail!(
            "{shown} is an earlier bundle to which files were added since ({count}, such as {other}); \
             move them away, or name another --out"
        );
    }
    Ok(())
}

/// Whether a tar file has a bundle in it.
fn holds_a_bundle(file: &Path) -> bool {
    let names = programs::answer("tar", &["-tf".as_ref(), file.as_os_str()]);
    let is_marker = |name: &str| name.split_once('/').is_some_and(|(_, rest)| rest == MARKER);
    names.is_some_and(|names| names.lines().any(is_marker))
}

/// What killed runs left; a draft whose process lives is another run's.
fn clear_drafts(parent: &Path, prefix: &str) {
    for entry in fs::read_dir(parent).into_iter().flatten().flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        let process = name.strip_prefix(prefix).and_then(|rest| rest.parse::<u32>().ok());
        if process.is_some_and(|id| !Path::new("/proc").join(id.to_string()).exists()) {
            let _ = fs::remove_dir_all(entry.path());
        }
    }
}

/// Paths below a folder, of everything in it that is no folder.
pub(super) fn files_below(folder: &Path) -> BTreeSet<String> {
    fn collect(folder: &Path, before: &str, files: &mut BTreeSet<String>) {
        for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
            let path = format!("{before}{}", entry.file_name().to_string_lossy());
            match entry.file_type() {
                Ok(kind) if kind.is_dir() => collect(&entry.path(), &format!("{path}/"), files),
                _ => drop(files.insert(path)),
            }
        }
    }
    let mut files = BTreeSet::new();
    collect(folder, "", &mut files);
    files
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bundle::tests::scratch;

    /// Makes a bundle of one file there.
    fn make(out: &Path, content: &str) -> Result<()> {
        let place = Place::find(out)?;
        let draft = place.draft()?;
        fs::write(draft.bundle.join(content), content).unwrap();
        draft.mark("a test")?;
        place.take(&draft)
    }

    fn names(folder: &Path) -> Vec<String> {
        files_below(folder).into_iter().collect()
    }

    #[test]
    fn a_bundle_appears_whole_and_replaces_an_earlier_one() {
        let scratch = scratch("replaced");
        for out in [scratch.join("below/a bundle"), scratch.join("empty")] {
            fs::create_dir_all(scratch.join("empty")).unwrap();
            make(&out, "one").unwrap();
            assert_eq!(names(&out), [MARKER, "one"]);
            make(&out, "two").unwrap();
            assert_eq!(names(&out), [MARKER, "two"], "the earlier one is gone");
            let beside = fs::read_dir(out.parent().unwrap()).unwrap();
            assert!(beside.flatten().all(|entry| !entry.file_name().to_string_lossy().contains("draft")));
        }
        fs::remove_dir_all(scratch).unwrap();
    }

    #[test]
    fn what_is_no_bundle_is_refused_and_stays() {
        let scratch = scratch("foreign");
        fs::create_dir_all(scratch.join("folder.tar")).unwrap();
        for file in ["notes", "notes.tar"] {
            fs::write(scratch.join(file), "mine").unwrap();
        }
        for out in
            [scratch.clone(), scratch.join("notes"), scratch.join("notes.tar"), scratch.join("folder.tar")]
        {
            let error = Place::find(&out).unwrap_err().to_string();
            assert!(error.contains(&out.display().to_string()) && error.contains("--out"), "{error}");
        }
        let mut tar = Command::new("tar");
        tar.arg("-C").arg(&scratch).arg("-cf").arg(scratch.join("notes.tar")).arg("./notes");
        programs::succeed(&mut tar).unwrap();
        assert!(make(&scratch.join("notes.tar"), "one").is_err(), "a tar file of something else");
        assert_eq!(names(&scratch), ["notes", "notes.tar"]);
        fs::remove_dir_all(scratch).unwrap();
    }

    #[test]
    fn results_in_an_earlier_bundle_are_never_lost() {
        let scratch = scratch("results");
        let out = scratch.join("bundle");
        make(&out, "one").unwrap();
        let place = Place::find(&out).unwrap();
        let draft = place.draft().unwrap();
        fs::create_dir_all(out.join("reports/quick")).unwrap();
        fs::write(out.join("reports/quick/index.html"), "").unwrap();
        for refused in [place.take(&draft), make(&out, "two")] {
            let error = refused.unwrap_err().to_string();
            assert!(error.contains("(1, such as ") && error.contains("reports/quick/index.html"), "{error}");
        }
        assert_eq!(names(&out), [MARKER, "one", "reports/quick/index.html"]);
        drop(draft);
        fs::remove_dir_all(scratch).unwrap();
    }

    #[test]
    fn a_name_that_ends_in_tar_gives_a_tar_file_with_one_folder() {
        let scratch = scratch("tarred");
        let out = scratch.join("my bundle.tar");
        make(&out, "one").unwrap();
        make(&out, "two").unwrap();
        assert_eq!(names(&scratch), ["my bundle.tar"]);
        let place = Place::find(&out).unwrap();
        assert_eq!(place.size(), out.metadata().unwrap().len());
        programs::succeed(Command::new("tar").arg("-C").arg(&scratch).arg("-xf").arg(&out)).unwrap();
        assert_eq!(names(&scratch.join("my bundle")), [MARKER, "two"]);
        fs::remove_dir_all(scratch).unwrap();
    }

    #[test]
    fn drafts_of_killed_runs_go_and_those_of_others_stay() {
        let scratch = scratch("drafts");
        let mut killed = Command::new("true").spawn().unwrap();
        killed.wait().unwrap();
        let left = |id: u32| scratch.join(format!("bundle.draft-{id}"));
        for folder in [left(killed.id()), left(1), scratch.join("bundle.draft-mine")] {
            fs::create_dir_all(folder).unwrap();
        }
        make(&scratch.join("bundle"), "one").unwrap();
        assert!(!left(killed.id()).exists());
        assert!(left(1).exists() && scratch.join("bundle.draft-mine").exists());
        fs::remove_dir_all(scratch).unwrap();
    }

    #[test]
    fn a_failed_run_leaves_no_draft_and_the_root_is_no_place() {
        let scratch = scratch("failed");
        drop(Place::find(&scratch.join("bundle")).unwrap().draft().unwrap());
        assert_eq!(fs::read_dir(&scratch).unwrap().count(), 0);
        for out in ["/", "/no/such/folder/.."] {
            assert!(
                Place::find(Path::new(out)).unwrap_err().to_string().contains("no name of its own"),
                "{out}"
            );
        }
        fs::remove_dir_all(scratch).unwrap();
    }
}
