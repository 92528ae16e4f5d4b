//! Python environments for benchmarks that run against Python code, one for each list of packages.

use std::fs;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};

use crate::{cache, programs};

/// The Python of an environment that holds the packages of `requirements`, made in the cache if it is not there.
///
/// # Errors
/// If there is no python3 with venv, or its pip cannot get the packages.
pub(crate) fn provide(root: &Path, requirements: &str) -> Result<PathBuf> {
    let list = root.join(requirements);
    let text = fs::read_to_string(&list).with_context(|| format!("cannot read {}", list.display()))?;
    let cache = cache::folder()?;
    let folder = cache.join(name(&text));
    let python = folder.join("bin").join("python");
    let done = folder.join(".complete");
    if done.is_file() && python.exists() {
        return Ok(python);
    }
    let _lock = cache::lock(&cache)?;
    if done.is_file() && python.exists() {
        return Ok(python);
    }
    eprintln!("making a Python environment for {requirements} in {}", folder.display());
    make(&folder, &list).with_context(|| {
        format!(
            "no Python environment; install python3 with venv (Debian, Ubuntu: apt install python3-venv), or \
             name a Python that has the packages of {requirements} with --python"
        )
    })?;
    fs::write(&done, text).with_context(|| format!("cannot write {}", done.display()))?;
    Ok(python)
}

fn make(folder: &Path, list: &Path) -> Result<()> {
    if folder.exists() {
        // One that was cut short.
        fs::remove_dir_all(folder).with_context(|| format!("cannot clear {}", folder.display()))?;
    }
    let python = programs::which("python3").context("no python3 was found")?;
    programs::succeed(Command::new(python).args(["-m", "venv"]).arg(folder))?;
    let pip = folder.join("bin").join("pip");
    ensure!(pip.is_file(), "{} was not made", pip.display());
    let mut install = Command::new(pip);
    install.args(["install", "--quiet", "--no-cache-dir", "--disable-pip-version-check", "--requirement"]);
    programs::succeed(install.arg(list))
}

/// The environment's name: another list, another environment.
fn name(requirements: &str) -> String {
    let mut hasher = DefaultHasher::new();
    requirements.hash(&mut hasher);
    format!("python-{:016x}", hasher.finish())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_list_is_another_environment() {
        assert_eq!(name("numpy==2"), name("numpy==2"));
        assert_ne!(name("numpy==2"), name("numpy==3"));
    }

    #[test]
    fn a_missing_list_is_named() {
        let error = provide(Path::new("/no/such/folder"), "list.txt").unwrap_err();
        assert!(error.to_string().contains("/no/such/folder/list.txt"), "{error}");
    }
}
