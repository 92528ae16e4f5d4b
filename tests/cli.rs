//! The binary as a user meets it.

use std::path::Path;

use tempfile::TempDir;

use crate::program::{medfsad, text};

fn assert_fails_with(home: &Path, arguments: &[&str], words: &[&str]) {
    let output = medfsad(home, arguments);
    let text = text(&output);
    assert!(!output.status.success(), "{arguments:?} should fail: {text}");
    assert!(!text.contains("panicked"), "{arguments:?}: {text}");
    for word in words {
        assert!(text.contains(word), "{arguments:?} does not say `{word}`: {text}");
    }
}

#[test]
fn every_command_explains_itself() {
    let home = TempDir::new().expect("a folder");
    let all = text(&medfsad(home.path(), &["--help"]));
    // `  name  what it does`; what follows on a line of its own is indented further.
    let name = |line: &str| -> Option<String> {
        let named = line.strip_prefix("  ").filter(|line| line.starts_with(char::is_alphabetic))?;
        Some(named.split_whitespace().next()?.to_owned())
    };
    let commands: Vec<String> =
        all.split("Options:").next().expect("a list").lines().filter_map(name).collect();
    for command in ["build-dataset", "report", "verify", "episodes", "export", "audit", "sources", "doctor"] {
        assert!(commands.iter().any(|known| known == command), "{all}");
    }
    for command in commands.iter().filter(|command| *command != "help") {
        let output = medfsad(home.path(), &[command, "--help"]);
        assert!(output.status.success() && text(&output).contains("Usage"), "{command}");
        let known = include_str!("../xtask/src/forward.rs");
        let is_known = known.contains(&format!("name: \"{command}\"")) || command == "doctor";
        assert!(is_known, "`cargo xtask {command}` is unknown");
    }
    assert!(text(&medfsad(home.path(), &["sources"])).contains("camelyon16"));
    assert!(text(&medfsad(home.path(), &["doctor"])).contains("libtorch"));
}

/// What `doctor` says with a variable set, and three workers.
#[cfg(feature = "torch")]
fn doctor_with(variable: &str, setting: &str) -> String {
    let home = TempDir::new().expect("a folder");
    let mut doctor = crate::program::command(home.path(), &["doctor"]);
    doctor.env(variable, setting).env("RAYON_NUM_THREADS", "3");
    text(&doctor.output().expect("the binary runs"))
}

#[test]
#[cfg(feature = "torch")]
fn every_worker_flushes_subnormal_numbers_unless_told_to_keep_them() {
    let doctor = |setting| doctor_with("MEDFSAD_SUBNORMALS", setting);
    let flushed = doctor("");
    assert!(flushed.contains("subnormals flushed to zero, in 3 of 3 workers flushed"), "{flushed}");
    let kept = doctor("keep");
    assert!(kept.contains("subnormals kept, in 0 of 3 workers flushed"), "{kept}");
    let odd = doctor("no");
    assert!(odd.contains("MEDFSAD_SUBNORMALS is no; set it to keep, or not at all"), "{odd}");
}

#[test]
#[cfg(feature = "torch")]
fn kernels_are_taken_as_set_and_wrong_ones_refused() {
    let doctor = |setting| doctor_with("MEDFSAD_KERNELS", setting);
    for kernels in ["convolutions", "products"] {
        let said = doctor(kernels);
        assert!(said.contains(&format!("kernels    {kernels} for the decoders")), "{said}");
    }
    let odd = doctor("fast");
    assert!(
        odd.contains("MEDFSAD_KERNELS is fast; set it to convolutions or products, or not at all"),
        "{odd}"
    );
}

#[test]
fn wrong_names_are_answered_with_the_right_ones() {
    let home = TempDir::new().expect("a folder");
    assert_fails_with(home.path(), &["build-dataset", "--spec", "minni"], &["minni", "mini", "medfsad"]);
    assert_fails_with(home.path(), &["build-dataset", "--spec", "mini"], &["--raw"]);
    assert_fails_with(home.path(), &["build-dataset", "--raw", "nowhere"], &["nowhere", "not a folder"]);
    let empty = home.path().join("empty");
    std::fs::create_dir(&empty).expect("a folder");
    let raw = empty.to_str().expect("UTF-8");
    assert_fails_with(home.path(), &["build-dataset", "--raw", raw], &["LAG", "how to get it", "--partial"]);
    assert_fails_with(home.path(), &["report", "nowhere"], &["nowhere", "bench"]);
    assert!(!home.path().join("nowhere").exists());
}

#[test]
fn the_phantom_never_clears_a_folder_that_is_not_its_own() {
    let home = TempDir::new().expect("a folder");
    let own = home.path().join("mine/raw/scan.png");
    std::fs::create_dir_all(own.parent().expect("a parent")).expect("a folder");
    std::fs::write(&own, "precious").expect("a file");
    assert_fails_with(home.path(), &["build-dataset", "--out", "mine"], &["mine/raw", "--out"]);
    assert_eq!(std::fs::read_to_string(&own).expect("still there"), "precious");
}

#[test]
fn the_phantom_is_drawn_once_and_curated_alike_with_any_number_of_threads() {
    let home = TempDir::new().expect("a folder");
    let build = |out: &str, threads: &str| {
        let output = medfsad(home.path(), &["build-dataset", "--out", out, "--threads", threads]);
        assert!(output.status.success(), "{}", text(&output));
        let hash = text(&output).lines().find(|line| line.starts_with("canonical hash")).map(str::to_owned);
        (hash.expect("a hash"), text(&output).contains("drew"))
    };
    let (one, drawn) = build("one", "1");
    assert!(drawn);
    assert_eq!(build("two", "2"), (one.clone(), true));
    assert_eq!(build("one", "2"), (one, false));
}

#[cfg(feature = "torch")]
#[test]
fn bench_names_what_it_does_not_know() {
    let home = TempDir::new().expect("a folder");
    assert_fails_with(home.path(), &["bench", "--bench", "quik"], &["quick", "mini"]);
    assert_fails_with(home.path(), &["bench", "--method", "patchcorr"], &["patchcorr", "d24fad"]);
    assert_fails_with(home.path(), &["bench", "--task", "liver"], &["liver", "aptos", "brain_tumor"]);
    assert_fails_with(home.path(), &["bench", "--device", "gpu"], &["gpu", "cuda:N"]);
    assert_fails_with(home.path(), &["bench", "--held-out", "patient"], &["patient", "organ"]);
    assert_fails_with(home.path(), &["bench", "--bench", "mini"], &["build-dataset"]);
    assert_fails_with(home.path(), &["bench", "--teacher", "absent.safetensors"], &["absent.safetensors"]);
    let many = ["bench", "--shots", "99", "--teacher", "random"];
    assert_fails_with(home.path(), &many, &["99 shots", "train normals"]);
}

#[cfg(feature = "torch")]
#[test]
fn the_help_of_a_command_says_what_it_does_in_full() {
    let home = TempDir::new().expect("a folder");
    for (command, words) in [
        (&["audit"][..], "Writes audit.json and audit.html"),
        (&["bench"], "run the command again to resume"),
        (&["bench", "submit"], "Finished jobs are not submitted again"),
        (&["build-dataset"], "Every file ends up in the manifest"),
        (&["score"], "Each picture is scored on its own"),
        (&["train"], "none of them of the kind that will be scored"),
    ] {
        let help = text(&medfsad(home.path(), &[command, &["--help"]].concat()));
        let help = help.split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(help.contains(words), "{command:?}: {help}");
    }
}

/// A short bench on the phantom: one task, two epochs.
#[cfg(feature = "torch")]
fn short_bench(home: &Path, out: &str, threads: &str) -> String {
    let definition = home.join("short.toml");
    let content = "name = 'short'\nspec = 'phantom'\nsize = 64\nmethods = ['d24fad']\ntasks = ['rsna']\n\
                   shots = [2]\ndraws = 2\nseeds = [1]\nepisode_seed = 1\nteacher_seed = 1\n\
                   [settings.d24fad]\nbackbone = 'resnet18'\nepochs = 2\nbatch = 16\nlearning_rate = 1e-3\n";
    std::fs::write(&definition, content).expect("a definition");
    let arguments = ["bench", "--bench", "short.toml", "--out", out, "--device", "cpu", "--threads", threads];
    let output = medfsad(home, &[&arguments[..], &["--teacher", "random"]].concat());
    let text = text(&output);
    assert!(output.status.success(), "{text}");
    text
}

#[cfg(feature = "torch")]
#[test]
fn bench_resumes_repeats_itself_and_proves_its_episodes() {
    use medfsad::manifest::Label;

    let home = TempDir::new().expect("a folder");
    let first = short_bench(home.path(), "first", "2");
    assert!(first.contains("20 cells, 0 already done") && first.contains("index.html"), "{first}");
    let run = home.path().join("first");
    let cells = crate::program::cells(&run);
    assert_eq!(cells.len(), 20);
    assert!(cells.iter().all(|cell| cell.cell.error.is_none()));

    // The same scores against permuted labels, as many of each.
    let of = |method: &str| {
        let cell = cells.iter().find(|cell| cell.cell.identity.method == method).expect("a control's cell");
        let mut scores: Vec<_> = cell
            .scores
            .iter()
            .map(|s| (s.image_id.clone(), s.under(medfsad::protocol::Protocol::Clean), s.label))
            .collect();
        scores.sort_by(|a, b| a.0.cmp(&b.0));
        scores
    };
    let (named, shuffled) = (of("control-pixel-mean"), of("control-label-shuffle"));
    assert!(named.iter().zip(&shuffled).all(|(a, b)| a.0 == b.0 && a.1 == b.1));
    let n_anomalous = |scores: &[(medfsad::ids::ImageId, Option<f64>, Label)]| {
        scores.iter().filter(|score| score.2 == Label::Anomalous).count()
    };
    assert_eq!(n_anomalous(&named), n_anomalous(&shuffled));
    let moved = named.iter().zip(&shuffled).filter(|(a, b)| a.2 != b.2).count();
    assert!(4 * moved > named.len(), "only {moved} of {} labels moved", named.len());

    // Nothing is run twice, and the report is drawn anew.
    std::fs::remove_file(run.join("index.html")).expect("a report");
    let before: Vec<u64> = cells.iter().map(|cell| cell.cell.provenance.started_at).collect();
    assert!(short_bench(home.path(), "first", "2").contains("20 cells, 20 already done"));
    let after = crate::program::cells(&run);
    assert_eq!(before, after.iter().map(|cell| cell.cell.provenance.started_at).collect::<Vec<_>>());
    assert!(run.join("index.html").exists());

    // A cell that was cut off before its last file is run again, and scores come out the same.
    let lost = cells.iter().find(|cell| cell.cell.identity.method == "d24fad").expect("a d24fad cell");
    std::fs::remove_file(lost.folder.join("cell.json")).expect("a cell");
    assert!(short_bench(home.path(), "first", "2").contains("20 cells, 19 already done"));
    let again = crate::program::cells(&run);
    for (old, new) in cells.iter().zip(&again) {
        assert_eq!(old.cell.id, new.cell.id);
        assert_eq!(old.scores, new.scores, "{}", old.cell.identity.method);
        assert_eq!(old.epochs, new.epochs);
    }

    // The number of threads moves nothing.
    short_bench(home.path(), "single", "1");
    for (two, one) in cells.iter().zip(crate::program::cells(&home.path().join("single"))) {
        assert_eq!(two.scores, one.scores, "{}", one.cell.identity.method);
        assert_eq!(two.epochs, one.epochs);
    }

    let verified = medfsad(home.path(), &["episodes", "verify", "first", "--manifest", "manifests/phantom"]);
    assert!(text(&verified).contains("20 cells used them"), "{}", text(&verified));
    let exported = medfsad(home.path(), &["episodes", "export", "first", "--out", "episodes.json"]);
    assert!(exported.status.success() && home.path().join("episodes.json").exists());
}

#[cfg(feature = "torch")]
#[test]
fn a_failing_method_is_a_row_with_its_error() {
    let home = TempDir::new().expect("a folder");
    let definition = home.path().join("wide.toml");
    // More training pictures in a batch than there are: training refuses, controls still run.
    let content = "name = 'wide'\nspec = 'phantom'\nsize = 64\nmethods = ['d24fad']\ntasks = ['lag']\n\
                   shots = [2]\ndraws = 1\nseeds = [1]\nepisode_seed = 1\nteacher_seed = 1\n\
                   [settings.d24fad]\nbackbone = 'resnet18'\nbatch = 4000\n";
    std::fs::write(&definition, content).expect("a definition");
    let arguments = ["bench", "--bench", "wide.toml", "--device", "cpu", "--teacher", "random"];
    let output = medfsad(home.path(), &arguments);
    let text = text(&output);
    assert!(!output.status.success(), "a failed cell must show in the exit code: {text}");
    assert!(text.contains("1 of 10 cells failed") && text.contains("index.html"), "{text}");
    let board = std::fs::read_to_string(home.path().join("reports/wide/leaderboard.md")).expect("a board");
    assert!(board.contains("do not fill one batch of 4000"), "{board}");
    assert!(board.contains("control-random"));
}

/// A loader that answers as the Python one does, and whose pictures are all black.
const BLACK: &str = r#"#!/bin/sh
while [ $# -gt 1 ]; do [ "$1" = --dump ] && dump=$2; [ "$1" = --size ] && size=$2; shift; done
echo '{"python": "0", "pillow": "0", "pydicom": "0", "numpy": "0"}'
while read -r word _; do
    if [ "$word" = run ]; then echo '{"seconds": 1.0}'; else
        head -c $((2 * size * size * 3)) /dev/zero >"$dump"
        echo "{\"dumped\": $((2 * size * size * 3))}"
    fi
done
"#;

#[cfg(unix)]
#[test]
fn ingest_is_not_timed_against_a_loader_that_is_missing_or_gives_other_pictures() {
    use std::os::unix::fs::PermissionsExt;

    let home = TempDir::new().expect("a folder");
    let raw = home.path().join("raw");
    std::fs::create_dir(&raw).expect("a folder");
    let folder = raw.to_str().expect("UTF-8");
    let bench = |python: &str, words: &[&str]| {
        let arguments = ["bench-ingest", "--raw", folder, "--size", "8", "--python", python];
        assert_fails_with(home.path(), &arguments, words);
    };
    bench("python3", &["no .dcm, .png, .jpg", "--raw"]);
    for (name, level) in [("a.png", 0), ("b.png", 200)] {
        image::GrayImage::from_pixel(16, 16, image::Luma([level])).save(raw.join(name)).expect("a picture");
    }
    bench("no-such-python", &["no-such-python", "--python"]);
    bench("false", &["cargo xtask bench-ingest"]);
    let black = home.path().join("black");
    std::fs::write(&black, BLACK).expect("a script");
    std::fs::set_permissions(&black, std::fs::Permissions::from_mode(0o755)).expect("it may run");
    bench(black.to_str().expect("UTF-8"), &["other pictures", "b.png"]);
}
