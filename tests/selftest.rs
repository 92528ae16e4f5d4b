//! The self-test passes on a CPU, and finds by name what was made wrong on purpose.

use std::process::{Command, Output};

use tempfile::TempDir;

fn selftest(arguments: &[&str]) -> (Output, serde_json::Value) {
    let folder = TempDir::new().expect("a folder");
    let mut command = Command::new(env!("CARGO_BIN_EXE_medfsad"));
    command.current_dir(folder.path()).args(["selftest", "--device", "cpu", "--quick"]).args(arguments);
    let output = command.env("MEDFSAD_CACHE", folder.path().join("cache")).output().expect("the binary runs");
    let record = std::fs::read(folder.path().join("selftest.json")).expect("a record");
    (output, serde_json::from_slice(&record).expect("JSON"))
}

fn failures(record: &serde_json::Value) -> Vec<&str> {
    let checks = record["checks"].as_array().expect("checks").iter();
    checks
        .filter(|check| check["passed"] == false)
        .map(|check| check["what"].as_str().expect("text"))
        .collect()
}

#[test]
fn a_cpu_passes() {
    let (output, record) = selftest(&[]);
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && record["passed"] == true, "{text}");
    assert!(failures(&record).is_empty());
    for part in ["published", "operators", "methods", "twice"] {
        let checks = record["checks"].as_array().expect("checks").iter();
        assert!(checks.filter(|check| check["part"] == part).count() >= 2, "{part}: {text}");
    }
    let works = record["speed"].as_array().expect("timings").iter().map(|timing| &timing["work"]);
    assert!(works.filter(|work| **work == "training step").count() >= 1);
    for entry in medfsad::method::METHODS.iter().filter(|entry| entry.name != "external") {
        assert!(text.contains(&format!("  {}, ", entry.name)), "{} was not tried: {text}", entry.name);
    }
}

#[test]
fn a_changed_weight_is_found() {
    let (output, record) = selftest(&["--part", "published", "--fault", "weight"]);
    assert!(!output.status.success() && record["passed"] == false);
    let failures = failures(&record);
    for what in ["resnet18 decoder's three scales", "resnet18 gradients", "wide_resnet50_2 gradients"] {
        assert!(failures.iter().any(|failure| failure.starts_with(what)), "{what}: {failures:?}");
    }
    // What comes before the student is sound, and so is said to be.
    assert!(!failures.iter().any(|failure| failure.contains("encoder")), "{failures:?}");
    assert!(String::from_utf8_lossy(&output.stderr).contains("this device failed: resnet18 decoder's"));
}

#[test]
fn maps_moved_by_a_pixel_are_found() {
    let (output, record) = selftest(&["--part", "published", "--fault", "shift"]);
    assert!(!output.status.success());
    let failures = failures(&record);
    assert!(
        !failures.is_empty() && failures.iter().all(|failure| failure.contains("raw maps")),
        "{failures:?}"
    );
}
