//! Several files and folders that take the place of others together, once all of them are there.

use std::ffi::OsString;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use tempfile::TempDir;

use super::lock::Lock;

/// Begins the name of a folder that is being filled.
const DRAFT: &str = ".switch-";

/// Has `fill` write into a new folder, and then lets each of its entries take the place of the one of that name in `out`,
/// which is made if need be; other entries of `out` stay. A folder takes the place of a folder whole: what lay in it is
/// gone. If `fill` fails, all is as it was. What is left to do then are renamings, one right after the other, which need
/// no room; a process that is killed among them leaves some entries old and some new, until the next one succeeds. Of
/// several processes, one at a time does all this.
///
/// # Errors
/// What `fill` fails with, or a folder that cannot be written.
pub fn switch<T>(out: &Path, fill: impl FnOnce(&Path) -> Result<T>) -> Result<T> {
    let is_new = !out.exists();
    fs::create_dir_all(out).with_context(|| format!("making {}", out.display()))?;
    let switched = switch_in(out, fill);
    if is_new && switched.is_err() {
        // Unless another process has written to it meanwhile.
        let _ = fs::remove_dir(out);
    }
    switched
}

fn switch_in<T>(out: &Path, fill: impl FnOnce(&Path) -> Result<T>) -> Result<T> {
    let lock = Lock::wait(&out.join(".switch.lock"))?;
    remove_drafts(out)?;
    let draft =
        TempDir::with_prefix_in(DRAFT, out).with_context(|| format!("writing to {}", out.display()))?;
    let filled = fill(draft.path())?;
    let mut names: Vec<OsString> = Vec::new();
    for entry in fs::read_dir(draft.path()).with_context(|| format!("listing {}", draft.path().display()))? {
        names.push(entry.context("listing what was written")?.file_name());
    }
    names.sort_unstable();
    lock.ensure_held()?;
    for name in names {
        let to = out.join(&name);
        replace(&draft.path().join(&name), &to, draft.path())
            .with_context(|| format!("writing {}", to.display()))?;
    }
    Ok(filled)
}

/// What killed processes were filling; only who holds the lock does.
fn remove_drafts(out: &Path) -> Result<()> {
    for entry in fs::read_dir(out).into_iter().flatten().flatten() {
        if entry.file_name().as_encoded_bytes().starts_with(DRAFT.as_bytes()) && entry.path().is_dir() {
            let path = entry.path();
            fs::remove_dir_all(&path).with_context(|| format!("removing {}", path.display()))?;
        }
    }
    Ok(())
}

/// Puts `from` in the place of `to`; a folder that stood there lies below `draft` then, which is removed.
fn replace(from: &Path, to: &Path, draft: &Path) -> std::io::Result<()> {
    let stands_there = fs::symlink_metadata(to).is_ok();
    if !stands_there || (from.is_file() && !to.is_dir()) {
        return fs::rename(from, to);
    }
    if exchange(from, to) {
        return Ok(());
    }
    set_aside(from, to, draft)
}

/// As [`replace`], on a file system that exchanges nothing, such as NFS.
fn set_aside(from: &Path, to: &Path, draft: &Path) -> std::io::Result<()> {
    let aside = draft.join(".replaced");
    fs::create_dir_all(&aside)?;
    let old = aside.join(to.file_name().unwrap_or_default());
    fs::rename(to, &old)?;
    fs::rename(from, to).or_else(|error| fs::rename(&old, to).and(Err(error)))
}

#[cfg(target_os = "linux")]
fn exchange(from: &Path, to: &Path) -> bool {
    use rustix::fs::{CWD, RenameFlags, renameat_with};

    renameat_with(CWD, from, CWD, to, RenameFlags::EXCHANGE).is_ok()
}

#[cfg(not(target_os = "linux"))]
fn exchange(_: &Path, _: &Path) -> bool {
    false
}

#[cfg(test)]
mod tests {
    use anyhow::bail;

    use super::*;

    fn write(folder: &Path, name: &str, text: &str) -> Result<()> {
        crate::files::write_whole(&folder.join(name), text.as_bytes())
    }

    /// Names below a folder, with what the files hold.
    fn content(folder: &Path) -> Vec<String> {
        let files = walkdir::WalkDir::new(folder).sort_by_file_name().into_iter().map(Result::unwrap);
        let files = files.filter(|entry| entry.file_type().is_file());
        let name = |path: &Path| path.strip_prefix(folder).unwrap().display().to_string();
        files
            .map(|file| format!("{}={}", name(file.path()), fs::read_to_string(file.path()).unwrap()))
            .collect()
    }

    fn old() -> TempDir {
        let folder = tempfile::tempdir().unwrap();
        for (name, text) in
            [("index", "old"), ("figures/a", "old"), ("figures/stale", "old"), ("own", "mine")]
        {
            write(folder.path(), name, text).unwrap();
        }
        folder
    }

    #[test]
    fn entries_take_their_places_together_and_others_stay() {
        let folder = old();
        let fill = |draft: &Path| {
            assert_eq!(fs::read_to_string(folder.path().join("index")).unwrap(), "old");
            write(draft, "index", "new")?;
            write(draft, "figures/a", "new")?;
            write(draft, "results/b", "new")
        };
        switch(folder.path(), fill).unwrap();
        assert_eq!(content(folder.path()), ["figures/a=new", "index=new", "own=mine", "results/b=new"]);
    }

    #[test]
    fn what_fails_halfway_leaves_all_as_it_was() {
        let folder = old();
        let before = content(folder.path());
        let error = switch(folder.path(), |draft| {
            write(draft, "index", "new")?;
            if draft.exists() {
                bail!("no more room");
            }
            Ok(())
        });
        assert!(error.is_err());
        assert_eq!(content(folder.path()), before);
        // One that was killed while it wrote.
        write(folder.path(), ".switch-killed/index", "half").unwrap();
        switch(folder.path(), |draft| write(draft, "index", "new")).unwrap();
        assert_eq!(content(folder.path()), ["figures/a=old", "figures/stale=old", "index=new", "own=mine"]);
    }

    #[test]
    fn where_nothing_is_exchanged_the_old_folder_is_set_aside() {
        let folder = old();
        let draft = tempfile::tempdir_in(folder.path()).unwrap();
        write(draft.path(), "figures/a", "new").unwrap();
        set_aside(&draft.path().join("figures"), &folder.path().join("figures"), draft.path()).unwrap();
        drop(draft);
        assert_eq!(content(folder.path()), ["figures/a=new", "index=old", "own=mine"]);
    }
}
