//! Data flows one way: a module names only those above it in `lib.rs`, and libtorch has one seam.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

const ROOT_CONSTS: &[&str] = &["VERSION", "CODE_HASH", "GIT_REVISION"];
/// Files of the crate that are no module.
const NO_MODULE: &[&str] = &["lib.rs", "main.rs", "build.rs"];
const TORCH_SEAM: &[&str] =
    &["network/", "method/", "metric_teacher/", "evaluate/", "selftest/", "episode/batch.rs", "cli/harness/"];

/// Every file below `src`, as its path there and its text.
fn sources() -> Vec<(String, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let files = medfsad::files::walk(&root).unwrap().into_iter().filter(|path| path.ends_with(".rs"));
    files.map(|path| (path.clone(), std::fs::read_to_string(root.join(path)).unwrap())).collect()
}

/// Names after `pub mod` in `lib.rs`, from first to last.
fn order(library: &str) -> Vec<&str> {
    library.lines().filter_map(|line| line.strip_prefix("pub mod ")?.strip_suffix(';')).collect()
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

/// The text without lines that are comments.
fn code(text: &str) -> String {
    text.lines().filter(|line| !line.trim_start().starts_with("//")).collect::<Vec<_>>().join("\n")
}

/// What stands after every `prefix` that is not the end of a longer word.
fn after<'a>(code: &'a str, prefix: &'a str) -> impl Iterator<Item = &'a str> {
    code.match_indices(prefix)
        .filter(|(at, _)| !code[..*at].ends_with(is_word))
        .map(|(at, _)| &code[at + prefix.len()..])
}

/// First names of what follows a path: `a::b` gives `a`, `{a::{b, c}, d}` gives `a` and `d`.
fn first_names(rest: &str) -> Vec<String> {
    let name = |text: &str| -> String {
        let word: String = text.trim_start().chars().take_while(|&c| is_word(c)).collect();
        if word.is_empty() { "*".to_owned() } else { word }
    };
    let Some(inside) = rest.strip_prefix('{') else { return vec![name(rest)] };
    let (mut names, mut depth, mut start) = (Vec::new(), 0, 0);
    for (at, c) in inside.char_indices() {
        let is_end = c == '}' && depth == 0;
        if is_end || c == ',' && depth == 0 {
            let item = &inside[start..at];
            if !item.trim().is_empty() {
                names.push(name(item));
            }
            start = at + 1;
        }
        match c {
            '}' if is_end => break,
            '{' => depth += 1,
            '}' => depth -= 1,
            _ => {}
        }
    }
    names
}

/// How many modules deep a file stands: 1 for `maps.rs` and `spec/mod.rs`, 2 for `metric/auroc.rs`.
fn depth(path: &str) -> usize {
    path.trim_end_matches("/mod.rs").split('/').count()
}

/// Names at the crate's root that a file uses, through `crate::` or through enough `super::`.
fn root_names(path: &str, text: &str) -> Vec<String> {
    let code = code(text);
    let climb = "super::".repeat(depth(path));
    let mut rests: Vec<&str> = after(&code, "crate::").collect();
    rests.extend(after(&code, &climb).map(|rest| rest.trim_start_matches("super::")));
    rests.into_iter().flat_map(first_names).collect()
}

/// What a file names and may not name.
fn violations(order: &[&str], path: &str, text: &str) -> Vec<String> {
    let module = path.split('/').next().unwrap_or_default().trim_end_matches(".rs");
    let Some(own) = order.iter().position(|name| *name == module) else {
        return vec![format!("{path} belongs to no module of lib.rs")];
    };
    let allowed =
        |name: &String| order[..=own].contains(&name.as_str()) || ROOT_CONSTS.contains(&name.as_str());
    let names = root_names(path, text).into_iter().filter(|name| !allowed(name));
    names.map(|name| format!("{path} names crate::{name}, which is not above `{module}` in lib.rs")).collect()
}

/// Arrows between the modules of one folder: who names whom, tests left out.
fn arrows(folder: &str, sources: &[(String, String)]) -> BTreeMap<String, BTreeSet<String>> {
    let inside = |path: &str| -> Option<String> {
        let rest = if folder.is_empty() { path } else { path.strip_prefix(folder)?.strip_prefix('/')? };
        let first = rest.split('/').next()?.trim_end_matches(".rs");
        (first != "mod" && !NO_MODULE.contains(&rest)).then(|| first.to_owned())
    };
    let modules: BTreeSet<String> = sources.iter().filter_map(|(path, _)| inside(path)).collect();
    let absolute = format!(
        "crate::{}",
        folder.split('/').filter(|part| !part.is_empty()).map(|part| format!("{part}::")).collect::<String>()
    );
    let mut arrows: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for (path, text) in sources {
        let Some(own) = inside(path) else { continue };
        let text = code(text.split("#[cfg(test)]\nmod tests").next().unwrap_or_default());
        let climb = "super::".repeat(depth(path) - depth(folder) * usize::from(!folder.is_empty()));
        let named = [absolute.as_str(), climb.as_str()]
            .into_iter()
            .flat_map(|prefix| after(&text, prefix).flat_map(first_names).collect::<Vec<_>>());
        let others = named.filter(|name| modules.contains(name) && *name != own);
        arrows.entry(own.clone()).or_default().extend(others);
    }
    arrows
}

/// Modules of which each is reached again from itself.
fn in_circles(arrows: &BTreeMap<String, BTreeSet<String>>) -> Vec<&String> {
    let comes_back = |start: &&String| {
        let (mut seen, mut open) = (BTreeSet::new(), vec![*start]);
        while let Some(next) = open.pop().and_then(|at| arrows.get(at)) {
            open.extend(next.iter().filter(|name| seen.insert(*name)));
        }
        seen.contains(*start)
    };
    arrows.keys().filter(comes_back).collect()
}

fn names_torch(text: &str) -> bool {
    after(&code(text), "tch::").next().is_some() || text.contains("use tch;")
}

#[test]
fn every_module_names_only_those_above_it() {
    let sources = sources();
    let library = &sources.iter().find(|(path, _)| path == "lib.rs").unwrap().1;
    let order = order(library);
    assert_eq!((order.first(), order.last()), (Some(&"pixels"), Some(&"cli")), "{order:?}");
    let modules = sources.iter().filter(|(path, _)| !NO_MODULE.contains(&path.as_str()));
    let wrong: Vec<String> = modules.flat_map(|(path, text)| violations(&order, path, text)).collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn no_folder_holds_a_circle() {
    let sources = sources();
    let mut folders: BTreeSet<&str> = BTreeSet::from([""]);
    for (path, _) in &sources {
        folders.extend(path.match_indices('/').map(|(at, _)| &path[..at]));
    }
    for folder in folders {
        let arrows = arrows(folder, &sources);
        let circle = in_circles(&arrows);
        assert!(circle.is_empty(), "src/{folder}: {circle:?} name each other: {arrows:?}");
    }
}

#[test]
fn every_file_opens_with_a_sentence_about_itself() {
    let silent: Vec<String> =
        sources().into_iter().filter(|(_, text)| !text.starts_with("//! ")).map(|(path, _)| path).collect();
    assert!(silent.is_empty(), "no `//!` line at the head of {silent:?}");
}

#[test]
fn the_glossary_names_what_there_is() {
    let sources = sources();
    let paths = include_str!("../docs/glossary.md").split('`').skip(1).step_by(2);
    let paths = paths.filter(|path| path.contains("::") && path.starts_with(|c: char| c.is_lowercase()));
    let (mut n_paths, mut absent) = (0, Vec::new());
    for path in paths {
        let (module, item) = (path.split("::").next().unwrap(), path.rsplit("::").next().unwrap());
        let is_inside =
            |file: &str| file.starts_with(&format!("{module}/")) || file == format!("{module}.rs");
        let mut inside = sources.iter().filter(|(file, _)| is_inside(file));
        let holds = |text: &str| code(text).split(|c| !is_word(c)).any(|word| word == item);
        n_paths += 1;
        if !inside.any(|(_, text)| holds(text)) {
            absent.push(path);
        }
    }
    assert!(absent.is_empty() && n_paths > 20, "docs/glossary.md names {absent:?}, which are not there");
}

#[test]
fn libtorch_is_named_at_its_seam_alone() {
    let outside = |path: &str| !TORCH_SEAM.iter().any(|seam| path.starts_with(seam));
    let wrong: Vec<String> = sources()
        .into_iter()
        .filter(|(path, text)| outside(path) && names_torch(text))
        .map(|(path, _)| path)
        .collect();
    assert!(wrong.is_empty(), "tch is named in {wrong:?}");
}

#[test]
fn planted_violations_are_caught_and_lawful_uses_are_not() {
    let order = ["files", "spec", "report", "cli"];
    let caught = |path: &str, text: &str| !violations(&order, path, text).is_empty();
    for bad in [
        "use crate::report::Table;",
        "use crate::{files, report::{Table, Row}};",
        "use crate::{\n    files::{read, walk},\n    cli,\n};",
        "fn f() -> crate::cli::Command {}",
        "use crate::*;",
        "use crate::{self as all};",
        "use super::super::report;",
        "pub(in crate::report) fn f() {}",
    ] {
        assert!(caught("spec/quota.rs", bad), "missed: {bad}");
    }
    assert!(caught("spec.rs", "use super::report::Table;"));
    assert!(caught("nowhere.rs", ""));
    for good in [
        "use crate::files;",
        "use crate::{files::{self, read}, spec::Task};",
        "let v = crate::VERSION;",
        "use super::Task;",
        "/// As [`crate::report`] draws it.",
    ] {
        assert!(!caught("spec/quota.rs", good), "wrongly caught: {good}");
    }
    let of = |a: &str, b: &str| {
        let file = |path: &str, text: &str| (format!("spec/{path}"), text.to_owned());
        let files = [file("mod.rs", "mod a; use self::a::X;"), file("a.rs", a), file("b/mod.rs", b)];
        in_circles(&arrows("spec", &files)).len()
    };
    assert_eq!(of("use super::b::Y;", "use super::a::X;"), 2);
    assert_eq!(of("use crate::spec::{b::Y, Z};", "fn f() -> super::a::X {}"), 2);
    assert_eq!(of("use super::b::Y;", "// use super::a::X;\nuse super::super::files;"), 0);
    assert_eq!(of("use super::b::Y;", "#[cfg(test)]\nmod tests { use super::super::a; }"), 0);
    assert!(names_torch("use tch::Tensor;") && !names_torch("let x = patch::new();"));
}
