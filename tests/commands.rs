//! Small commands: what they print is what other programs read.

use medfsad::method::METHODS;
use serde_json::Value;

use crate::program::{fails, succeeds};

fn json(arguments: &[&str]) -> Value {
    let home = tempfile::tempdir().expect("a folder");
    serde_json::from_str(&succeeds(home.path(), arguments)).expect("JSON and nothing else")
}

#[test]
fn lists_can_be_read_by_programs() {
    let methods = json(&["methods", "--json"]);
    let names: Vec<&str> =
        methods.as_array().expect("a list").iter().map(|m| m["name"].as_str().expect("a name")).collect();
    assert_eq!(names, METHODS.iter().map(|entry| entry.name).collect::<Vec<_>>());
    let dn2 = &json(&["methods", "dn2", "--json"])[0];
    assert_eq!(dn2["settings"]["backbone"], "wide_resnet50_2");
    let meaning = dn2["meanings"]["neighbours"].as_str().expect("a meaning");
    assert!(meaning.starts_with("Neighbours that are averaged"), "{meaning}");
    assert!(json(&["sources", "--json"])["sources"].as_array().is_some_and(|all| !all.is_empty()));
    let weights = json(&["weights", "list", "--json"]);
    assert!(weights.as_array().expect("a list").iter().any(|w| w["network"] == "efficientnet_lite0"));
}

#[test]
fn one_method_is_shown_with_its_settings() {
    let home = tempfile::tempdir().expect("a folder");
    let shown = succeeds(home.path(), &["methods", "dn2"]);
    assert!(shown.contains("2002.10445") && shown.contains("backbone"), "{shown}");
    let line = shown.lines().find(|line| line.starts_with("  neighbours ")).expect("a setting");
    assert!(line.contains(" 2 ") && line.contains("Neighbours that are averaged"), "{line}");
    fails(home.path(), &["methods", "dn3"], &["did you mean `dn2`?"]);
}

#[test]
fn shells_are_told_of_every_command() {
    let home = tempfile::tempdir().expect("a folder");
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let script = succeeds(home.path(), &["completions", shell]);
        for command in ["init", "build-dataset", "bench", "curve", "seal"] {
            assert!(script.contains(command), "{shell} lacks {command}");
        }
    }
}
