//! Arguments and paths that are not UTF-8, which Linux allows: used or refused by name, never a panic.

use std::ffi::{OsStr, OsString};
use std::fs;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::process::Output;

use clap::{CommandFactory, Parser};
use medfsad::cli::Cli;
use tempfile::TempDir;

use crate::folders;
use crate::program::{medfsad, succeeds, text};

fn bytes(bytes: &[u8]) -> OsString {
    OsString::from_vec(bytes.to_vec())
}

fn words(words: &[&str]) -> Vec<OsString> {
    words.iter().map(OsString::from).collect()
}

/// Ended by an error of its own, not by a panic (101) or a signal (none).
fn assert_refused(output: &Output, arguments: &[OsString]) {
    let said = text(output);
    let code = output.status.code();
    assert!(
        matches!(code, Some(1 | 2)) && !said.contains("panic"),
        "{arguments:?} ends with {code:?}: {said}"
    );
    assert!(said.contains("error: "), "{arguments:?} does not say why: {said}");
}

/// Parses `arguments` of every command and of their subcommands, each option that takes a value once.
fn parse_each(command: &clap::Command, path: &[OsString], n_parsed: &mut usize) {
    let mut parse = |more: &[OsString]| {
        let arguments = [path, more, &[bytes(b"--\xff")]].concat();
        let error = Cli::try_parse_from(&arguments).err().map(|error| error.to_string());
        assert!(error.as_ref().is_some_and(|text| text.contains("error: ")), "{arguments:?}: {error:?}");
        *n_parsed += 1;
    };
    parse(&[]);
    parse(&[bytes(b"x\xff")]);
    for option in command.get_arguments().filter(|option| option.get_action().takes_values()) {
        if let Some(name) = option.get_long() {
            parse(&[bytes(&[b"--", name.as_bytes(), b"=x\xff"].concat())]);
        }
    }
    for inner in command.get_subcommands() {
        parse_each(inner, &[path, &[inner.get_name().into()]].concat(), n_parsed);
    }
}

#[test]
fn no_argument_of_any_command_panics() {
    let mut n_parsed = 0;
    parse_each(&Cli::command(), &["medfsad".into()], &mut n_parsed);
    assert!(n_parsed > 50, "{n_parsed}");
    let home = TempDir::new().expect("a folder");
    for arguments in
        [&[bytes(b"x\xff")][..], &["report".into(), bytes(b"x\xff")], &[bytes(b"--x\xff"), "report".into()]]
    {
        assert_refused(&medfsad(home.path(), arguments), arguments);
    }
}

#[test]
fn a_curated_folder_may_have_any_name_and_a_raw_one_is_refused_before_any_work() {
    let home = TempDir::new().expect("a folder");
    let home = home.path();
    folders::raw(home);
    let build = words(&["build-dataset", "--spec", "mine.toml", "--raw", "raw", "--out"]);
    let curated = bytes(b"curated\xff");
    succeeds(home, &[&build[..], std::slice::from_ref(&curated)].concat());
    let export = [&words(&["export", "--format", "csv", "--out", "rows.csv"])[..], &[curated]].concat();
    succeeds(home, &export);
    assert!(home.join("rows.csv").exists());

    let raw = bytes(b"raw\xff");
    fs::rename(home.join("raw"), home.join(&raw)).expect("a folder");
    let renamed = [&words(&["build-dataset", "--spec", "mine.toml", "--raw"])[..], &[raw]].concat();
    let phantom = [&words(&["build-dataset", "--out"])[..], &[bytes(b"new\xff")]].concat();
    for arguments in [renamed, phantom] {
        let output = medfsad(home, &arguments);
        assert_refused(&output, &arguments);
        assert!(text(&output).contains("is not UTF-8"), "{}", text(&output));
    }
    assert!(!home.join("manifests").exists() && !home.join(OsStr::from_bytes(b"new\xff")).exists());
}
