//! `.libtorch`: the folder that cargo links against. It holds links to the headers and to the CPU half only, so
//! that one and the same program is built whether or not the libtorch behind it has a CUDA half.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result};

use super::{Found, folder};
use crate::programs;

/// Where `.cargo/config.toml` makes the build look.
pub(super) fn folder(root: &Path) -> PathBuf {
    root.join(".libtorch")
}

/// Whether the build would find a libtorch of the right version.
pub(crate) fn is_linked(root: &Path) -> bool {
    let view = folder(root);
    let is_ours = view.symlink_metadata().is_ok_and(|meta| meta.is_dir());
    is_ours
        && folder::library(&view, "torch").exists()
        && linked_home(root).is_some_and(|home| folder::check(&home).is_ok())
}

/// The libtorch behind the view.
pub(crate) fn linked_home(root: &Path) -> Option<PathBuf> {
    fs::read_link(folder(root).join("home")).ok()
}

/// How that libtorch was found.
pub(crate) fn linked_route(root: &Path) -> Option<String> {
    fs::read_to_string(folder(root).join("route")).ok()
}

/// Makes the view unless it shows this libtorch already; then nothing changes, and cargo builds nothing anew.
pub(super) fn link(root: &Path, found: &Found) -> Result<()> {
    let home =
        fs::canonicalize(&found.home).with_context(|| format!("cannot resolve {}", found.home.display()))?;
    if is_linked(root) && linked_home(root).as_deref() == Some(&home) {
        return Ok(());
    }
    let place = folder(root);
    let draft = root.join(format!(".libtorch.draft-{}", std::process::id()));
    let made = fill(&draft, &home, &found.route).and_then(|()| {
        remove(&place)?;
        fs::rename(&draft, &place).with_context(|| format!("cannot rename {}", draft.display()))
    });
    made.inspect_err(|_| drop(fs::remove_dir_all(&draft)))
}

fn fill(view: &Path, home: &Path, route: &str) -> Result<()> {
    let library = |name| folder::library(view, name);
    fs::create_dir_all(view.join("lib")).with_context(|| format!("cannot create {}", view.display()))?;
    for (target, link) in [
        (home.to_path_buf(), view.join("home")),
        (home.join("include"), view.join("include")),
        (folder::library(home, "torch_cpu"), library("torch_cpu")),
        (folder::library(home, "c10"), library("c10")),
    ] {
        symlink(&target, &link).with_context(|| format!("cannot link {}", link.display()))?;
    }
    fs::write(view.join("route"), route).with_context(|| format!("cannot write in {}", view.display()))?;
    write_stub(&library("torch"))
}

fn remove(place: &Path) -> Result<()> {
    let removed = match place.symlink_metadata() {
        Ok(meta) if meta.is_dir() => fs::remove_dir_all(place),
        Ok(_) => fs::remove_file(place),
        Err(_) => return Ok(()),
    };
    removed.with_context(|| format!("cannot remove {}", place.display()))
}

/// An empty library for the linker, which is told to link `torch`: the real one drags the CUDA half in.
pub(super) fn write_stub(path: &Path) -> Result<()> {
    let compiler = programs::compiler("CC", &["cc", "gcc", "clang"]).context(
        "no C compiler was found: install gcc and g++ (Debian, Ubuntu: apt install build-essential)",
    )?;
    let mut command = Command::new(compiler);
    command.args(["-shared", "-x", "c", "/dev/null", "-o"]).arg(path).stdin(Stdio::null());
    programs::succeed(&mut command).with_context(|| format!("cannot make {}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::libtorch::folder::tests::pretend;

    fn found(home: &Path) -> Found {
        Found { route: "a test".into(), home: home.to_path_buf() }
    }

    #[test]
    fn a_view_shows_the_cpu_half_and_hides_the_cuda_half() {
        let (home, root) = (pretend("cuda", "2.11.0+cu130"), pretend("root", ""));
        fs::write(folder::library(&home, "torch_cuda"), "").unwrap();
        link(&root, &found(&home)).unwrap();
        assert!(is_linked(&root));
        assert_eq!(fs::read(folder::library(&folder(&root), "torch_cpu")).unwrap(), b"2.11.0+cu130");
        assert!(!folder::has_cuda(&folder(&root)));
        assert!(folder::has_cuda(&linked_home(&root).unwrap()));
        fs::remove_dir_all(&home).unwrap();
        assert!(!is_linked(&root), "a view of nothing is not linked");
        fs::remove_dir_all(root).unwrap();
    }

    #[test]
    fn linking_again_changes_nothing_and_another_home_replaces_the_view() {
        let (one, two, root) = (pretend("one", "2.11.0"), pretend("two", "2.11.0"), pretend("twice", ""));
        symlink(&two, folder(&root)).unwrap();
        link(&root, &found(&one)).unwrap();
        let stub = folder::library(&folder(&root), "torch");
        let made = stub.metadata().unwrap().modified().unwrap();
        link(&root, &found(&one)).unwrap();
        assert_eq!(stub.metadata().unwrap().modified().unwrap(), made);
        link(&root, &found(&two)).unwrap();
        assert_ne!(stub.metadata().unwrap().modified().unwrap(), made);
        assert_eq!(linked_home(&root), fs::canonicalize(&two).ok());
        for path in [one, two, root] {
            fs::remove_dir_all(path).unwrap();
        }
    }
}
