//! `cargo xtask`: provisions libtorch, builds medfsad and calls it.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result, bail};

/// mdBook, with which the book is built.
mod book;

/// A folder that runs on another machine.
mod bundle;

/// The user's cache folder: where it is, its lock, the space left.
mod cache;

/// What is found, what is missing, how to get it.
mod doctor;

/// Python environments for benchmarks.
mod environment;

/// Building medfsad and handing over to it.
mod forward;

/// Tests that had nothing to compare with.
mod left_out;

/// Finding, fetching and linking libtorch.
mod libtorch;

/// Other programs: looking for them, running them, saying what went wrong.
mod programs;

/// Every check there is, cheapest first.
mod suite;

#[cfg(not(unix))]
compile_error!("xtask runs on Linux and macOS; on Windows please use WSL");

fn main() -> ExitCode {
    let args: Vec<OsString> = std::env::args_os().skip(1).collect();
    match run(&args) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(args: &[OsString]) -> Result<ExitCode> {
    let root = workspace_root()?;
    let Some((command, rest)) = args.split_first() else {
        print!("{}", usage());
        return Ok(ExitCode::from(2));
    };
    let name = command.to_string_lossy();
    if let Some(command) = forward::COMMANDS.iter().find(|command| command.name == name) {
        return forward::run(&root, command, rest);
    }
    let asks_for_help = rest.iter().any(|arg| arg == "--help" || arg == "-h");
    match name.as_ref() {
        "help" | "--help" | "-h" => print!("{}", usage()),
        "bundle" if asks_for_help => print!("{}", bundle::HELP),
        "libtorch" if asks_for_help => print!("{}", libtorch::HELP),
        "test" | "doctor" if asks_for_help => print!("{}", usage()),
        "bundle" => bundle::run(&root, &bundle::Order::parse(rest)?)?,
        "libtorch" => libtorch::provide_anew(&root, &libtorch::Options::parse(rest)?)?,
        "test" => return take_none(rest).and_then(|()| suite::run(&root)),
        "doctor" => return take_json(rest).and_then(|as_json| doctor::run(&root, as_json)),
        _ => bail!("unknown command `{name}`; `cargo xtask --help` lists them"),
    }
    Ok(ExitCode::SUCCESS)
}

fn take_none(rest: &[OsString]) -> Result<()> {
    match rest.first() {
        Some(arg) => bail!("unexpected argument `{}`: this command takes none", arg.to_string_lossy()),
        None => Ok(()),
    }
}

/// Whether `--json`, the one argument there is, was given.
fn take_json(rest: &[OsString]) -> Result<bool> {
    match rest.iter().find(|arg| *arg != "--json") {
        Some(arg) => {
            bail!("unexpected argument `{}`: this command takes --json alone", arg.to_string_lossy())
        }
        None => Ok(!rest.is_empty()),
    }
}

/// The folder of the workspace, from wherever in it the command was called.
fn workspace_root() -> Result<PathBuf> {
    let own = std::env::var_os("CARGO_MANIFEST_DIR").map(PathBuf::from);
    let own = own.unwrap_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")));
    let root = own.parent().filter(|folder| folder.join("xtask").is_dir()).map(Path::to_path_buf);
    root.with_context(|| {
        format!("no workspace above {}; call `cargo xtask` inside the repository", own.display())
    })
}

fn usage() -> String {
    let mut text = String::from("Usage: cargo xtask COMMAND [ARGS]\n\n");
    for command in forward::COMMANDS {
        text += &format!("  {:<15}{}\n", command.name, command.about);
    }
    text += "
  test           the whole test suite: format, lints, tests
  doctor         what is found, what is missing, how to get it; --json for programs
  libtorch       provision libtorch now, or choose another one
  bundle         a folder that runs on another Linux machine whose Python has torch 2.11.0

The first group goes to the medfsad program as it stands: `cargo xtask bench --help` shows its options.
";
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_usage_has_a_line_for_every_command() {
        let text = usage();
        for command in forward::COMMANDS {
            assert!(text.contains(&format!("\n  {} ", command.name)), "{} is not listed", command.name);
        }
        for name in ["test", "doctor", "libtorch", "bundle"] {
            assert!(text.contains(&format!("\n  {name} ")), "{name} is not listed");
        }
    }

    #[test]
    fn an_unknown_command_is_refused() {
        let error = run(&["no-such-thing".into()]).unwrap_err();
        assert!(error.to_string().contains("cargo xtask --help"), "{error}");
    }

    #[test]
    fn an_argument_that_is_not_utf8_is_refused() {
        use std::os::unix::ffi::OsStringExt;

        let odd = |text: &[u8]| OsString::from_vec(text.to_vec());
        for command in ["bundle", "libtorch", "test", "doctor"] {
            for arg in [odd(b"x\xff"), odd(b"--out=x\xff"), odd(b"--from=x\xff")] {
                let error = run(&[command.into(), arg]).unwrap_err().to_string();
                assert!(error.contains("x\u{fffd}"), "{command}: {error}");
            }
        }
        let error = run(&[odd(b"x\xff")]).unwrap_err().to_string();
        assert!(error.contains("unknown command"), "{error}");
    }

    #[test]
    fn a_bundle_without_a_place_is_refused() {
        let error = run(&["bundle".into()]).unwrap_err();
        assert!(error.to_string().contains("--out"), "{error}");
        assert!(run(&["bundle".into(), "--help".into()]).is_ok());
    }

    #[test]
    fn doctor_takes_json_alone() {
        assert!(run(&["doctor".into(), "now".into()]).is_err());
        assert!(run(&["doctor".into(), "--json".into(), "now".into()]).is_err());
        assert!(!take_json(&[]).unwrap() && take_json(&["--json".into()]).unwrap());
    }
}
