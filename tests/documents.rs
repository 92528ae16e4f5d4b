//! The documents: what they link to is there, and what they tell a reader to type works.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

use clap::Parser as _;
use medfsad::cli::Cli;

use crate::shared::leave_out;

/// Commands of `cargo xtask` itself.
const OWN: [&str; 4] = ["test", "doctor", "libtorch", "bundle"];

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn text(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn below(folder: &str) -> BTreeSet<PathBuf> {
    let entries = std::fs::read_dir(root().join(folder)).expect("a folder");
    let paths = entries.map(|entry| entry.expect("an entry").path());
    paths.filter(|path| path.extension().is_some_and(|ending| ending == "md")).collect()
}

/// Every document that a reader is sent to.
fn documents() -> Vec<PathBuf> {
    let others =
        ["README.md", "CONTRIBUTING.md", "reports/README.md", "benchmarks/README.md", "manifests/README.md"];
    others.into_iter().map(|path| root().join(path)).chain(below("docs")).collect()
}

/// The lines of the fences of one language.
fn fences(text: &str, language: &str) -> Vec<String> {
    let mut lines = Vec::new();
    let mut inside = false;
    for line in text.lines() {
        match line.trim().strip_prefix("```") {
            Some(opened) if !inside => inside = opened == language,
            Some(_) => inside = false,
            None if inside => lines.push(line.to_owned()),
            None => {}
        }
    }
    lines
}

#[test]
fn the_readme_is_short() {
    let words = text(&root().join("README.md")).split_whitespace().count();
    assert!(words <= 900, "README.md has {words} words; what is more belongs into docs");
}

#[test]
fn the_books_contents_are_its_pages() {
    let contents = text(&root().join("docs/SUMMARY.md"));
    let listed = contents
        .split("](")
        .skip(1)
        .filter_map(|rest| Some(root().join("docs").join(rest.split(')').next()?)));
    let mut listed: BTreeSet<PathBuf> = listed.collect();
    listed.insert(root().join("docs/SUMMARY.md"));
    assert_eq!(listed, below("docs"));
}

#[test]
fn links_between_documents_lead_somewhere() {
    for document in documents() {
        let folder = document.parent().expect("a folder");
        for target in text(&document).split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            let path = target.split('#').next().unwrap_or_default();
            let is_address = target.contains("://") || target.starts_with("mailto:");
            let leads = is_address || path.is_empty() || path.contains(' ') || folder.join(path).exists();
            assert!(leads, "{} links to {target}, which is not there", document.display());
        }
    }
}

#[test]
fn every_command_in_the_documents_is_one() {
    let (mut n, mut wrong) = (0, Vec::new());
    for document in documents() {
        let text = text(&document);
        let fenced = [fences(&text, "sh"), fences(&text, "")].concat().join("\n").replace("\\\n", " ");
        // In running text a command stands between backticks; capitals stand for the reader's own names.
        let inline = text.split('`').skip(1).step_by(2).filter(|quoted| !quoted.contains('\n'));
        let fenced = fenced.lines().flat_map(|line| line.split(" && ")).map(|line| (line, false));
        for (line, is_inline) in fenced.chain(inline.map(|line| (line, true))) {
            let line = line.split(" #").next().unwrap_or_default().trim();
            let words = line.strip_prefix("cargo xtask ").or(line.strip_prefix("./medfsad "));
            let Some(words) = words.and_then(shlex::split).filter(|words| !words.is_empty()) else {
                continue;
            };
            if words.iter().any(|word| word.contains("...")) || OWN.contains(&words[0].as_str()) {
                continue;
            }
            let parsed = Cli::try_parse_from(["medfsad".to_owned()].into_iter().chain(words));
            // Running text names a command without all that it needs.
            let is_named = |error: &clap::Error| {
                use clap::error::ErrorKind::{
                    DisplayHelpOnMissingArgumentOrSubcommand, MissingRequiredArgument, MissingSubcommand,
                };
                let kinds =
                    [DisplayHelpOnMissingArgumentOrSubcommand, MissingRequiredArgument, MissingSubcommand];
                is_inline && kinds.contains(&error.kind())
            };
            if let Some(error) = parsed.err().filter(|error| !is_named(error)) {
                wrong.push(format!("{}: {line}: {error}", document.display()));
            }
            n += 1;
        }
    }
    assert_eq!(wrong, Vec::<String>::new());
    assert!(n >= 60, "{n} commands found");
}

#[cfg(feature = "torch")]
#[test]
fn the_tutorial_does_what_it_says() {
    let home = tempfile::tempdir().expect("a folder");
    let tutorial = text(&root().join("docs/tutorial.md"));
    // No network in a test: a random network stands where the tutorial fetches weights.
    let script = fences(&tutorial, "sh").join("\n").replace("cargo xtask", "medfsad");
    let script = script.lines().map(|line| match line.split(' ').nth(1) {
        Some("bench" | "score") if line.starts_with("medfsad") => {
            format!("{line} --teacher random --size 64")
        }
        _ => line.to_owned(),
    });
    let script: Vec<String> = script.collect();
    let definition = "sed -i 's/sizes = \\[128\\]/sizes = [64, 128]/' manifests/own.toml";
    let script = script.join("\n").replace("medfsad init own", &format!("medfsad init own\n{definition}"));
    std::fs::write(home.path().join("tutorial.sh"), format!("set -eu\n{script}\n")).expect("a script");
    let program = Path::new(env!("CARGO_BIN_EXE_medfsad")).parent().expect("a folder");
    let path = format!("{}:{}", program.display(), std::env::var("PATH").unwrap_or_default());
    let mut command = std::process::Command::new("sh");
    command.arg("tutorial.sh").current_dir(home.path()).env("PATH", path);
    command.env("MEDFSAD_HOME", "").env("MEDFSAD_CACHE", home.path().join("cache"));
    command.env("XDG_CONFIG_HOME", home.path().join("config")).env_remove("MEDFSAD_KEY");
    let output = command.output().expect("a shell");
    let said = crate::program::text(&output);
    assert!(output.status.success(), "{said}");
    assert!(said.contains("Best at 4 shots: ") && said.contains("understood by names alone"), "{said}");
    for file in [
        "reports/own/index.html",
        "reports/own/leaderboard.tex",
        "scores.csv",
        "scores.html",
        "maps/maps.safetensors",
    ] {
        assert!(home.path().join(file).is_file(), "{file} is missing: {said}");
    }
}

/// Where mdBook is installed.
#[test]
fn the_book_builds_and_its_links_hold() {
    let folder = tempfile::tempdir().expect("a folder");
    let book = folder.path().join("book");
    let build = Command::new("mdbook").arg("build").arg(root().join("docs")).arg("-d").arg(&book).output();
    let Ok(build) = build else { return leave_out("mdbook") };
    assert!(build.status.success(), "{}", String::from_utf8_lossy(&build.stderr));
    let contents = text(&root().join("docs/SUMMARY.md"));
    let chapters = contents.split("](").skip(1).filter_map(|rest| rest.split(".md)").next());
    let mut n_pages = 0;
    for chapter in chapters.map(|chapter| format!("{chapter}.html")) {
        let page = text(&book.join(&chapter));
        for link in page.split("href=\"").skip(1).filter_map(|rest| rest.split('"').next()) {
            let (path, place) = link.split_once('#').unwrap_or((link, ""));
            if path.contains("://") {
                continue;
            }
            let path = book.join(if path.is_empty() { &chapter } else { path });
            assert!(path.is_file(), "{chapter} links to {link}, which the book lacks");
            n_pages += usize::from(path.extension().is_some_and(|ending| ending == "html"));
            // Headings link to themselves.
            if !place.is_empty() && !link.starts_with('#') {
                let id = format!("id=\"{place}\"");
                assert!(
                    text(&path).contains(&id),
                    "{chapter} links to {link}, and nothing there has this name"
                );
            }
        }
    }
    assert!(n_pages > 100, "{n_pages} links to other pages only");
}
