//! The walk through a folder that a user names: every file once, whatever links, pipes and odd names lie in it.

use std::fs::FileType;
use std::path::Path;

use anyhow::{Context, Result, bail};
use walkdir::{DirEntry, WalkDir};

/// Files and folders that file managers leave behind, in small letters.
const LITTER: [&str; 7] = [
    "thumbs.db",
    "ehthumbs.db",
    "desktop.ini",
    "__macosx",
    "@eadir",
    "$recycle.bin",
    "system volume information",
];

/// What lies below a folder. Paths are relative to it, with `/` between folders, sorted by bytes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Scan {
    /// Regular files, and links to such.
    pub files: Vec<String>,
    /// Entries that cannot be read as files.
    pub rejected: Vec<Rejected>,
}

/// An entry that is there and cannot be read as a file.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Rejected {
    /// Relative to the folder. Bytes that are no UTF-8 are replaced by U+FFFD.
    pub path: String,
    /// Why, and where it helps what to do.
    pub reason: String,
}

/// Looks at everything below `root`. Links are followed; a link to a folder in which it lies is a loop and is
/// rejected. Hidden entries (a leading dot) and what file managers leave behind (`Thumbs.db`, `desktop.ini`,
/// `__MACOSX` and the like) are passed over.
///
/// # Errors
/// If `root` itself cannot be listed.
pub fn scan(root: &Path) -> Result<Scan> {
    std::fs::read_dir(root).with_context(|| format!("listing {}", root.display()))?;
    let mut scanned = Scan::default();
    let mut entries = WalkDir::new(root).min_depth(1).follow_links(true).into_iter();
    while let Some(entry) = entries.next() {
        match entry {
            Ok(entry) if is_passed_over(&entry) => skip(&mut entries, &entry),
            Ok(entry) => match judge(&entry) {
                Ok(()) if entry.file_type().is_dir() => {}
                Ok(()) => scanned.files.push(relative(entry.path(), root)),
                Err(reason) => {
                    scanned.rejected.push(Rejected { path: relative(entry.path(), root), reason });
                    skip(&mut entries, &entry);
                }
            },
            Err(error) => scanned.rejected.extend(rejected(&error, root)),
        }
    }
    scanned.files.sort_unstable();
    scanned.rejected.sort_unstable();
    Ok(scanned)
}

/// Every file below `root`, for folders in which each entry counts: as [`scan`], but nothing may be rejected.
///
/// # Errors
/// If `root` cannot be listed, and for the first entry that [`scan`] rejects.
pub fn walk(root: &Path) -> Result<Vec<String>> {
    let Scan { files, rejected } = scan(root)?;
    if let Some(Rejected { path, reason }) = rejected.first() {
        bail!("{}: {reason}", root.join(path).display());
    }
    Ok(files)
}

fn is_passed_over(entry: &DirEntry) -> bool {
    is_litter(&entry.file_name().to_string_lossy())
}

fn is_litter(name: &str) -> bool {
    name.starts_with('.') || LITTER.contains(&name.to_ascii_lowercase().as_str())
}

/// What an entry is rejected for.
fn judge(entry: &DirEntry) -> Result<(), String> {
    match entry.file_name().to_str() {
        None => return Err("its name is not UTF-8; rename it".to_owned()),
        Some(name) if name.contains(char::is_control) => {
            return Err("its name holds a line break or another control character; rename it".to_owned());
        }
        Some(_) => {}
    }
    match entry.file_type() {
        kind if kind.is_dir() && leads_up(entry) => Err(LOOP.to_owned()),
        kind if kind.is_file() || kind.is_dir() => Ok(()),
        kind => Err(format!("{}, not a file", special(kind))),
    }
}

const LOOP: &str = "a link to a folder in which it lies; its files are read once";

/// Whether it is a link to a folder above its own, which may lie above the root, where [`WalkDir`] does not look.
fn leads_up(entry: &DirEntry) -> bool {
    if !entry.path_is_symlink() {
        return false;
    }
    let own = entry.path().parent().and_then(|parent| parent.canonicalize().ok());
    let target = entry.path().canonicalize().ok();
    own.zip(target).is_some_and(|(own, target)| own.starts_with(target))
}

#[cfg(unix)]
fn special(kind: FileType) -> &'static str {
    use std::os::unix::fs::FileTypeExt;
    match kind {
        _ if kind.is_fifo() => "a named pipe",
        _ if kind.is_socket() => "a socket",
        _ => "a device",
    }
}

#[cfg(not(unix))]
fn special(_: FileType) -> &'static str {
    "a special entry"
}

/// A link that leads back or to nothing, or a folder that may not be listed; `None` for an entry that is passed over.
fn rejected(error: &walkdir::Error, root: &Path) -> Option<Rejected> {
    let path = error.path().unwrap_or(root);
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let reason = match (error.loop_ancestor(), error.io_error()) {
        (Some(_), _) => LOOP.to_owned(),
        (None, Some(error)) if path.is_symlink() => format!("a link that leads nowhere ({error})"),
        (None, Some(error)) => format!("cannot be listed: {error}"),
        (None, None) => error.to_string(),
    };
    (!is_litter(&name)).then(|| Rejected { path: relative(path, root), reason })
}

fn skip(entries: &mut walkdir::IntoIter, entry: &DirEntry) {
    if entry.file_type().is_dir() {
        entries.skip_current_dir();
    }
}

fn relative(path: &Path, root: &Path) -> String {
    let below = path.strip_prefix(root).unwrap_or(path);
    let names: Vec<_> = below.iter().map(|name| name.to_string_lossy()).collect();
    names.join("/")
}

#[cfg(all(test, unix))]
mod tests {
    use std::ffi::OsStr;
    use std::fs;
    use std::os::unix::ffi::OsStrExt;
    use std::os::unix::fs::symlink;
    use std::os::unix::net::UnixListener;

    use super::*;

    fn reasons(scanned: &Scan) -> Vec<(&str, &str)> {
        scanned.rejected.iter().map(|one| (one.path.as_str(), one.reason.as_str())).collect()
    }

    #[test]
    fn loops_are_one_rejected_entry_each_and_other_links_are_followed() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().join("root");
        fs::create_dir_all(root.join("a/b")).unwrap();
        fs::create_dir(folder.path().join("elsewhere")).unwrap();
        for file in ["root/a/x", "root/a/b/y", "elsewhere/z"] {
            fs::write(folder.path().join(file), "").unwrap();
        }
        symlink(".", root.join("one")).unwrap();
        symlink(".", root.join("two")).unwrap();
        symlink("../..", root.join("a/b/up")).unwrap();
        symlink("../elsewhere", root.join("c")).unwrap();
        symlink("gone", root.join("d")).unwrap();
        symlink("a/x", root.join("e")).unwrap();
        let scanned = scan(&root).unwrap();
        assert_eq!(scanned.files, ["a/b/y", "a/x", "c/z", "e"]);
        let reasons = reasons(&scanned);
        assert_eq!(reasons.iter().filter(|(_, reason)| *reason == LOOP).count(), 3, "{reasons:?}");
        assert!(reasons.iter().any(|(path, reason)| *path == "d" && reason.contains("leads nowhere")));
        assert_eq!(reasons.len(), 4);
        let error = walk(&root).unwrap_err().to_string();
        assert!(error.contains("root/a/b/up") && error.contains(LOOP), "{error}");
    }

    #[test]
    fn a_link_to_the_parent_of_the_root_does_not_multiply_files() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().join("root");
        fs::create_dir(&root).unwrap();
        fs::write(root.join("x"), "").unwrap();
        symlink("..", root.join("up")).unwrap();
        let scanned = scan(&root).unwrap();
        assert_eq!((scanned.files, scanned.rejected.len()), (vec!["x".to_owned()], 1));
    }

    #[test]
    fn pipes_sockets_devices_and_unreadable_names_are_rejected() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path();
        let made = std::process::Command::new("mkfifo").arg(root.join("a.png")).status().unwrap();
        assert!(made.success());
        let _socket = UnixListener::bind(root.join("b.png")).unwrap();
        symlink("/dev/zero", root.join("c.png")).unwrap();
        fs::write(root.join("d\n.png"), "").unwrap();
        fs::write(root.join(OsStr::from_bytes(b"e\xff.png")), "").unwrap();
        fs::create_dir(root.join(OsStr::from_bytes(b"f\xff"))).unwrap();
        fs::write(root.join(OsStr::from_bytes(b"f\xff/g.png")), "").unwrap();
        fs::write(root.join("h.png"), "").unwrap();
        let scanned = scan(root).unwrap();
        assert_eq!(scanned.files, ["h.png"]);
        let not_utf8 = "its name is not UTF-8; rename it";
        assert_eq!(
            reasons(&scanned),
            [
                ("a.png", "a named pipe, not a file"),
                ("b.png", "a socket, not a file"),
                ("c.png", "a device, not a file"),
                ("d\n.png", "its name holds a line break or another control character; rename it"),
                ("e\u{fffd}.png", not_utf8),
                ("f\u{fffd}", not_utf8),
            ]
        );
    }

    #[test]
    fn what_file_managers_leave_behind_is_passed_over() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path();
        fs::create_dir_all(root.join("__MACOSX/a")).unwrap();
        for name in ["Thumbs.db", "desktop.ini", ".DS_Store", "._x.png", "__MACOSX/a/x.png", "x.png"] {
            fs::write(root.join(name), "").unwrap();
        }
        let scanned = scan(root).unwrap();
        assert_eq!((scanned.files, scanned.rejected), (vec!["x.png".to_owned()], Vec::new()));
    }
}
