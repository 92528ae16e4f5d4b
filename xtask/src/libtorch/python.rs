//! The torch that a Python has, asked for without importing it.

use std::path::PathBuf;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail, ensure};

use super::{VERSION, folder};

/// The names under which a Python is looked for, in this order.
pub(super) const PROGRAMS: &[&str] = &["python3", "python"];

const QUESTION: &str = "
import importlib.metadata, importlib.util, os
print(importlib.metadata.version('torch'))
print(os.path.dirname(importlib.util.find_spec('torch').origin))
";

/// The folder of its torch, if that has the right version.
pub(super) fn torch_of(program: &str) -> Result<PathBuf> {
    let mut python = Command::new(program);
    // Elsewhere a folder that happens to be called torch would be taken for the package.
    python.args(["-c", QUESTION]).current_dir("/").stdin(Stdio::null());
    let output = python.output().ok().context("not found")?;
    ensure!(output.status.success(), "has no torch");
    parse(&String::from_utf8_lossy(&output.stdout))
}

fn parse(answer: &str) -> Result<PathBuf> {
    let mut lines = answer.lines();
    let (Some(version), Some(home)) = (lines.next(), lines.next()) else {
        bail!("gave no answer about torch")
    };
    ensure!(folder::plain(version) == VERSION, "has torch {version}, not {VERSION}");
    Ok(PathBuf::from(home))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_right_version_counts() {
        assert_eq!(parse("2.11.0+cu130\n/site/torch\n").unwrap(), PathBuf::from("/site/torch"));
        let error = parse("2.4.1\n/site/torch\n").unwrap_err().to_string();
        assert_eq!(error, "has torch 2.4.1, not 2.11.0");
        assert!(parse("").is_err());
    }

    #[test]
    fn a_missing_python_is_said_to_be_missing() {
        assert_eq!(torch_of("no-python-of-this-name").unwrap_err().to_string(), "not found");
    }
}
