//! Arguments that several commands share behave the same in each, and are checked before any work begins.

use std::path::Path;

use tempfile::TempDir;

use crate::program::medfsad;

fn refused(home: &Path, arguments: &[&str]) -> String {
    let output = medfsad(home, arguments);
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!output.status.success() && !text.contains("panicked"), "{arguments:?}: {text}");
    text
}

/// A folder of two pictures.
fn pictures(home: &Path, name: &str) {
    std::fs::create_dir(home.join(name)).expect("a folder");
    for (file, level) in [("a.png", 40), ("b.png", 90)] {
        let picture = image::GrayImage::from_fn(32, 32, |x, y| image::Luma([level + (x * y % 7) as u8]));
        picture.save(home.join(name).join(file)).expect("a picture");
    }
}

/// Every command that runs networks, with what else it cannot do without.
const COMMANDS: [&[&str]; 7] = [
    &["bench", "--method", "patchcore"],
    &["plan", "--method", "patchcore"],
    &["bench", "submit", "--method", "patchcore", "--engine", "local"],
    &["train", "--normal", "refs", "--out", "model.safetensors"],
    &["score", "--method", "patchcore", "--support", "refs", "--query", "refs", "--out", "s.csv"],
    &["explain", "--support", "refs", "--query", "refs", "--out", "why", "--checkpoint", "absent"],
    &["audit", "curated"],
];

#[test]
fn files_prepared_as_published_are_for_commands_that_have_files() {
    let home = TempDir::new().expect("a folder");
    pictures(home.path(), "refs");
    let wide = image::GrayImage::from_fn(50, 30, |x, y| image::Luma([90 + (x * y % 7) as u8]));
    wide.save(home.path().join("refs/c.png")).expect("a picture");
    std::fs::create_dir(home.path().join("queries")).expect("a folder");
    std::fs::copy(home.path().join("refs/c.png"), home.path().join("queries/a.png")).expect("a copy");
    std::fs::write(home.path().join("queries/b.png"), "no picture").expect("a file");
    let strip = image::GrayImage::from_fn(300, 10, |x, _| image::Luma([(x % 90) as u8]));
    strip.save(home.path().join("queries/c.png")).expect("a picture");
    std::fs::copy(home.path().join("refs/a.png"), home.path().join("queries/d.png")).expect("a copy");
    let set = ["--set", "geometry=published", "--set", "backbone=dinov2_tiny14", "--set", "side=28"];
    let score =
        ["score", "--method", "anomalydino", "--support", "refs", "--query", "queries", "--out", "s.csv"];
    let said = refused(home.path(), &[&score[..], &["--teacher", "random", "--size", "64"], &set].concat());
    assert!(said.contains("--size") && said.contains("28") && said.contains("leave --size out"), "{said}");
    let done = medfsad(home.path(), &[&score[..], &["--teacher", "random"], &set].concat());
    let said = String::from_utf8_lossy(&done.stdout);
    assert!(
        done.status.success()
            && said.contains("files prepared after the method's authors: references turned"),
        "{said}"
    );
    // Known pictures are at no distance, whatever could not be read between them; each reference is scored by the others.
    let table = std::fs::read_to_string(home.path().join("s.csv")).expect("a table");
    let rows: Vec<Vec<&str>> = table.lines().skip(1).map(|line| line.split(',').collect()).collect();
    assert_eq!(rows.iter().map(|row| row[0]).collect::<Vec<_>>(), ["a.png", "d.png"]);
    let number = |text: &str| text.parse::<f64>().expect("a number");
    assert!(
        table
            .starts_with("file,score,p_value,rank,threshold,flagged,peak_row,peak_column,nearest_reference,")
    );
    for row in &rows {
        // The references have patches in common.
        assert_eq!((row.len(), number(row[11])), (12, 1.0), "{table}");
        assert!(home.path().join("refs").join(row[8]).is_file(), "{table}");
        assert!([6, 7, 9, 10].iter().all(|&at| (0.0..=1.0).contains(&number(row[at]))), "{table}");
    }
    let page = std::fs::read_to_string(home.path().join("s.html")).expect("a page");
    assert!(page.contains("most like that is"), "the page does not say what is nearest");
    assert!(rows.iter().all(|row| number(row[1]).abs() < 1e-6 && number(row[4]) > 1e-4), "{table}");
    let rejected = std::fs::read_to_string(home.path().join("s.rejected.csv")).expect("a table");
    assert!(rejected.contains("b.png") && rejected.contains("300 x 10 pixels are a strip"), "{rejected}");
    let bench = ["bench", "--method", "anomalydino", "--bench", "quick", "--teacher", "random"];
    let said = refused(home.path(), &[&bench[..], &set].concat());
    assert!(said.contains("geometry") && said.contains("`score`"), "{said}");
    let page = std::fs::read_to_string(home.path().join("s.html")).expect("a page");
    assert!(page.contains("the shorter edge 28 pixels (bicubic)"), "the page does not say it");
}

#[test]
fn a_wrong_value_is_refused_alike_in_every_command_before_any_work() {
    let home = TempDir::new().expect("a folder");
    pictures(home.path(), "refs");
    for command in COMMANDS {
        for (argument, value, answer) in [
            ("--teacher", "restnet18=random", "did you mean `resnet18`?"),
            ("--backbone", "restnet18", "did you mean `resnet18`?"),
            ("--device", "gpu", "cuda:N"),
            ("--precision", "f16", "bf16"),
        ] {
            let said = refused(home.path(), &[command, &[argument, value][..]].concat());
            assert!(
                said.contains(argument) && said.contains(answer),
                "{command:?} {argument} {value}: {said}"
            );
        }
    }
    for command in &COMMANDS[..6] {
        for (argument, value, answer) in [("--size", "100", "multiple of 32"), ("--set", "x", "lambda=0.1")] {
            let said = refused(home.path(), &[command, &[argument, value][..]].concat());
            assert!(
                said.contains(argument) && said.contains(answer),
                "{command:?} {argument} {value}: {said}"
            );
        }
    }
    assert!(!home.path().join("manifests").exists(), "a phantom was drawn");
    assert!(!home.path().join("s.csv").exists());
}

#[test]
fn weights_that_are_not_there_are_refused_alike_and_by_name() {
    let home = TempDir::new().expect("a folder");
    pictures(home.path(), "refs");
    for command in &COMMANDS[..5] {
        let said = refused(home.path(), &[command, &["--teacher", "resnet18-v2"][..]].concat());
        assert!(
            said.contains("--teacher") && said.contains("did you mean `resnet18-v1`?"),
            "{command:?}: {said}"
        );
        let said =
            refused(home.path(), &[command, &["--teacher", "random", "--teacher", "random"][..]].concat());
        assert!(said.contains("twice"), "{command:?}: {said}");
    }
    assert!(!home.path().join("manifests").exists(), "a phantom was drawn");
}

#[test]
fn a_bench_checks_its_arguments_before_it_draws_the_phantom() {
    let home = TempDir::new().expect("a folder");
    for (arguments, words) in [
        (&["--method", "patchcorr"][..], "did you mean `patchcore`?"),
        (&["--task", "aptoss"], "did you mean `aptos`?"),
        (&["--bench", "quik"], "did you mean `quick`?"),
        (&["--method", "patchcore", "--set", "bakbone=resnet18"], "did you mean `backbone`?"),
        (&["--method", "patchcore", "--set", "backbone=7"], "settings of patchcore"),
        (&["--size", "96"], "[64"),
        (&["--device", "cpu", "--precision", "tf32"], "tf32"),
        (&["--dry-run", "--speed", "absent.json"], "absent.json"),
    ] {
        let said = refused(home.path(), &[&["bench"][..], arguments].concat());
        assert!(said.contains(words), "{arguments:?} does not say `{words}`: {said}");
    }
    assert!(!home.path().join("manifests").exists(), "a phantom was drawn");
}

#[test]
fn a_score_checks_its_arguments_before_it_reads_pictures() {
    let home = TempDir::new().expect("a folder");
    std::fs::create_dir(home.path().join("refs")).expect("a folder");
    std::fs::write(home.path().join("refs/a.png"), "no picture").expect("a file");
    let base = ["score", "--support", "refs", "--out", "s.csv", "--teacher", "random"];
    for (arguments, words) in [
        (&["--method", "patchcorr", "--query", "refs"][..], "did you mean `patchcore`?"),
        (&["--method", "patchcore", "--query", "nowhere"], "nowhere"),
        (
            &["--method", "patchcore", "--query", "refs", "--set", "bakbone=resnet18"],
            "did you mean `backbone`?",
        ),
        (&["--method", "regad", "--query", "refs"], "bench"),
        (&["--query", "refs"], "--checkpoint"),
        (&["--method", "dn2", "--query", "refs", "--maps", "maps"], "dn2 makes no maps"),
        (
            &["--method", "spade", "--query", "refs", "--protocol", "clean-mean"],
            "spade computes image scores itself",
        ),
    ] {
        let said = refused(home.path(), &[&base[..], arguments].concat());
        assert!(said.contains(words) && !said.contains("a.png"), "{arguments:?}: {said}");
    }
}

#[test]
fn a_program_without_maps_is_refused_with_its_first_answer() {
    let home = TempDir::new().expect("a folder");
    pictures(home.path(), "refs");
    let program =
        "cd \"$1\" && { echo picture_id,score; tail -n +2 queries.csv | sed 's/,.*/,1/'; } >scores.csv";
    std::fs::write(home.path().join("program.sh"), program).expect("a program");
    let command = "command=['sh', 'program.sh']";
    let mut arguments =
        vec!["score", "--method", "external", "--set", command, "--size", "32", "--device", "cpu"];
    arguments.extend(["--support", "refs", "--query", "refs", "--out", "s.csv"]);
    let said = refused(home.path(), &[&arguments[..], &["--maps", "maps"]].concat());
    assert!(said.contains("external makes no maps") && said.contains("leave --maps out"), "{said}");
    assert!(!home.path().join("s.csv").exists() && !home.path().join("maps").exists());
    assert!(medfsad(home.path(), &arguments).status.success());
}

#[test]
fn a_single_picture_is_scored_as_it_is_in_its_folder() {
    let home = TempDir::new().expect("a folder");
    pictures(home.path(), "refs");
    std::fs::create_dir(home.path().join("query")).expect("a folder");
    for (file, step) in [("a.png", 3), ("b.png", 5)] {
        let picture =
            image::GrayImage::from_fn(32, 32, |x, y| image::Luma([((x + step * y) * 5 % 256) as u8]));
        picture.save(home.path().join("query").join(file)).expect("a picture");
    }
    let scored = |query: &str, out: &str| -> Vec<(String, f64)> {
        let mut arguments = vec!["score", "--method", "patchcore", "--set", "backbone=resnet18"];
        arguments.extend(["--teacher", "random", "--size", "32", "--device", "cpu"]);
        arguments.extend(["--support", "refs", "--query", query, "--out", out]);
        let output = medfsad(home.path(), &arguments);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let mut reader = csv::Reader::from_path(home.path().join(out)).expect("scores");
        reader.deserialize().map(|row| row.expect("a row")).collect()
    };
    let (alone, both) = (scored("query/b.png", "alone.csv"), scored("query", "both.csv"));
    let ([(name, score)], [_, (other, among)]) = (&alone[..], &both[..]) else {
        panic!("{alone:?} {both:?}");
    };
    assert_eq!((name.as_str(), other.as_str()), ("b.png", "b.png"));
    assert!((score - among).abs() <= 1e-4 * among && *score > 0.0, "{score} alone, {among} in its folder");
}

#[test]
fn settings_of_a_bench_reach_the_methods_that_have_them_and_the_record_can_be_run_again() {
    let home = TempDir::new().expect("a folder");
    let out = "reports/o'b $x";
    let mut arguments =
        vec!["plan", "--method", "patchcore,ae", "--set", "backbone=resnet18", "--task", "lag"];
    arguments.extend(["--draws", "1", "--teacher", "resnet18=random", "--device", "cpu", "--out", out]);
    let output = medfsad(home.path(), &arguments);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let plan = std::fs::read(home.path().join(out).join("plan.json")).expect("a plan");
    let plan: serde_json::Value = serde_json::from_slice(&plan).expect("JSON");
    let settings = &plan["definition"]["settings"];
    assert_eq!(settings["patchcore"]["backbone"], "resnet18");
    assert!(settings["ae"]["backbone"].is_null(), "{settings}");
    let command = shlex::split(plan["command"].as_str().expect("a command")).expect("a shell reads it");
    assert_eq!(command[..2], ["cargo", "xtask"]);
    assert_eq!(command[2..], arguments);
}
