//! Commands as a shell reads them, for records and scripts.

use std::path::Path;

use anyhow::{Context, Result};

use crate::files;

/// A path as one word of a shell.
///
/// # Errors
/// A path that is not UTF-8 or that no shell can be told.
pub(super) fn quoted(path: &Path) -> Result<String> {
    let given = || format!("{} cannot stand in a script; choose another path", path.display());
    let text = path.to_str().with_context(given)?;
    Ok(shlex::try_quote(text).with_context(given)?.into_owned())
}

/// How this program was called, for records that are handed on: of absolute paths only their last names.
///
/// # Errors
/// Arguments that no shell can be told.
pub(super) fn command_line() -> Result<String> {
    let given = std::env::args_os().skip(1).map(|argument| recorded(&argument.to_string_lossy()));
    let arguments: Vec<String> = given.collect();
    let quoted = shlex::try_join(arguments.iter().map(String::as_str)).context("recording the command")?;
    Ok(format!("cargo xtask {quoted}"))
}

fn recorded(argument: &str) -> String {
    match argument.split_once('=') {
        Some((name, value)) if !name.starts_with('/') => format!("{name}={}", files::last_name(value)),
        _ => files::last_name(argument),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_do_not_tell_where_this_machine_keeps_things() {
        for (given, kept) in [
            ("/home/ann lee/x", ".../x"),
            ("resnet18=/home/ann/w.pth", "resnet18=.../w.pth"),
            ("--out=/tmp/o", "--out=.../o"),
            ("reports/x", "reports/x"),
            ("--seed", "--seed"),
        ] {
            assert_eq!(recorded(given), kept);
        }
    }

    #[test]
    fn a_shell_reads_what_was_meant() {
        for path in ["reports/o'b $x", "a b", "plain", "\"`\\"] {
            let quoted = quoted(Path::new(path)).unwrap();
            assert_eq!(shlex::split(&quoted).unwrap(), [path], "{quoted}");
        }
    }
}
