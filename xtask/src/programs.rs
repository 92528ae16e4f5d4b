//! Other programs: looking for them, running them, saying what went wrong.

use std::ffi::OsStr;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};

/// Variables that `cargo run` set for us and that would make a cargo below us build things again.
const OURS_ALONE: &[&str] =
    &["CARGO_PKG_", "CARGO_MANIFEST_", "CARGO_BIN_", "CARGO_CRATE_", "CARGO_PRIMARY_"];

/// Variables that choose a libtorch; `.libtorch`, which cargo's configuration names, stands for all of them.
const CHOOSING_LIBTORCH: &[&str] =
    &["LIBTORCH", "LIBTORCH_USE_PYTORCH", "LIBTORCH_INCLUDE", "LIBTORCH_LIB", "LIBTORCH_STATIC"];

/// Where a program of that name is found first, as a shell would.
pub(crate) fn which(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|folder| folder.join(name)).find(|program| is_executable(program))
}

fn is_executable(path: &Path) -> bool {
    path.metadata().is_ok_and(|meta| meta.is_file() && meta.permissions().mode() & 0o111 != 0)
}

/// What a program prints, trimmed; none if it is missing or fails.
pub(crate) fn answer<S: AsRef<OsStr>>(program: &str, args: &[S]) -> Option<String> {
    let output = Command::new(program).args(args).stdin(Stdio::null()).output().ok()?;
    output.status.success().then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

/// Runs a program with our terminal and fails when it fails.
pub(crate) fn succeed(command: &mut Command) -> Result<()> {
    let name = command.get_program().to_string_lossy().into_owned();
    let status = command.status().with_context(|| format!("cannot run {name}"))?;
    ensure!(status.success(), "{name} failed ({status})");
    Ok(())
}

/// The compiler that links the stub and, for libtorch, compiles C++.
pub(crate) fn compiler(variable: &str, names: &[&str]) -> Option<PathBuf> {
    let given = std::env::var(variable).ok().filter(|value| !value.is_empty());
    given.and_then(|name| which(&name)).or_else(|| names.iter().find_map(|name| which(name)))
}

/// A cargo whose environment is the user's own, and whose libtorch is `.libtorch`.
pub(crate) fn cargo() -> Command {
    let program = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(program);
    for (name, _) in std::env::vars_os() {
        let text = name.to_string_lossy();
        let ours = OURS_ALONE.iter().any(|prefix| text.starts_with(prefix));
        if ours || CHOOSING_LIBTORCH.contains(&text.as_ref()) {
            command.env_remove(&name);
        }
    }
    command
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn which_finds_a_shell_and_no_folder() {
        assert!(which("sh").is_some());
        assert_eq!(which("no-program-of-this-name"), None);
        assert!(!is_executable(Path::new("/")));
    }

    #[test]
    fn a_failing_program_has_no_answer() {
        assert_eq!(answer("sh", &["-c", "echo hello"]).as_deref(), Some("hello"));
        assert_eq!(answer("sh", &["-c", "echo hello; exit 3"]), None);
        assert_eq!(answer::<&str>("no-program-of-this-name", &[]), None);
    }

    #[test]
    fn our_cargo_never_sees_another_libtorch() {
        let removed: Vec<_> =
            cargo().get_envs().map(|(name, value)| (name.to_owned(), value.is_none())).collect();
        assert!(removed.iter().all(|(_, is_removed)| *is_removed));
        assert!(removed.iter().any(|(name, _)| name == "CARGO_MANIFEST_DIR"));
    }
}
