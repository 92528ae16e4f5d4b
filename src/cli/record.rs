//! How the program was called, for records that are handed on.

use anyhow::{Context, Result};

use crate::files;

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
}
