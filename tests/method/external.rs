//! Somebody's program as a method: what it is given, what it may answer, and what is said when it is wrong.

use std::path::PathBuf;

use medfsad::ids::TaskName;
use medfsad::method::batches::predict;
use medfsad::method::{Context, Prediction, find};
use tempfile::TempDir;

use super::{context, fit, pictures, task};

/// Writes a Python program and gives the settings to run it, with more settings appended.
fn settings(folder: &TempDir, body: &str, more: &str) -> toml::Table {
    let path: PathBuf = folder.path().join("program.py");
    let head = "import csv, json, sys, pathlib, struct\nfolder = pathlib.Path(sys.argv[1])\n\
                def rows(name):\n    return list(csv.DictReader(open(folder / name, newline='')))\n\
                def answer(scores):\n    with open(folder / 'scores.csv', 'w') as file:\n        \
                file.write('picture_id,score\\n' + ''.join(f'{k},{v}\\n' for k, v in scores))\n";
    std::fs::write(&path, format!("{head}{body}")).expect("a program");
    toml::from_str(&format!("command = ['python3', '{}']\n{more}", path.display())).expect("TOML")
}

fn run(folder: &TempDir, body: &str, more: &str) -> Result<Prediction, String> {
    let built =
        (find("external:mine").expect("known").build)(settings(folder, body, more)).expect("settings");
    let tasks = [task("first"), task("second")];
    let context = Context { task: TaskName::new("target"), ..context(folder, 2) };
    let fitted =
        built.method.fit(&tasks, &context, &mut medfsad::method::Unobserved).expect("a fitted method");
    let detector = fitted.adapt(&pictures("support", 2)).expect("a detector");
    predict(&*fitted, &*detector, &pictures("query", 5)).map_err(|error| format!("{error:#}"))
}

#[test]
fn the_worked_example_scores_by_mean_colour() {
    let folder = TempDir::new().expect("a folder");
    let fitted = fit("external", &folder);
    let detector = fitted.adapt(&pictures("support", 2)).expect("a detector");
    let queries = pictures("query", 6);
    let Prediction::Scores(scores) = predict(&*fitted, &*detector, &queries).expect("scores") else {
        panic!("no maps")
    };
    let means = |set: &medfsad::episode::batch::Pictures| -> Vec<Vec<f64>> {
        let means = set.pixels.to_kind(tch::Kind::Double).mean_dim(&[2i64, 3][..], false, None::<tch::Kind>);
        Vec::try_from(means).expect("two dimensions")
    };
    let supports = means(&pictures("support", 2));
    for (score, colour) in scores.iter().zip(means(&queries)) {
        let centre = |channel: usize| (supports[0][channel] + supports[1][channel]) / 2.0;
        let distance = (0..3).map(|c| (colour[c] - centre(c)).powi(2)).sum::<f64>().sqrt();
        assert!((score - distance).abs() < 1e-9, "{score} is not {distance}");
    }
}

/// The settings as resolved, which are part of every cell's identity.
fn resolved(table: &toml::Table) -> String {
    (find("external:mine").expect("known").build)(table.clone()).expect("settings").settings
}

#[test]
fn a_module_that_the_program_imports_is_part_of_what_it_is() {
    let folder = TempDir::new().expect("a folder");
    let write = |name: &str, text: &str| {
        let path = folder.path().join(name);
        std::fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
        std::fs::write(path, text).expect("a file");
    };
    write("parts/model.py", "SCALE = 1\n");
    let table = settings(&folder, "answer([(row['picture_id'], 1) for row in rows('queries.csv')])", "");
    let first = resolved(&table);
    assert!(first.contains("parts/model.py") && first.contains("program.py"), "{first}");
    assert!(!first.contains(&format!("{}/parts", folder.path().display())), "{first}");
    write("notes.txt", "not imported");
    write("__pycache__/model.py", "compiled");
    assert_eq!(resolved(&table), first);
    write("parts/model.py", "SCALE = 2\n");
    assert_ne!(resolved(&table), first, "a changed module is the same method");

    // A declared list is all that counts then, but for the program itself.
    write("weights/a.bin", "1");
    let depends = format!("depends = ['{}']", folder.path().join("weights").display());
    let table = settings(&folder, "", &depends);
    let declared = resolved(&table);
    assert!(declared.contains("weights/a.bin") && !declared.contains("parts/model.py"), "{declared}");
    write("parts/model.py", "SCALE = 3\n");
    assert_eq!(resolved(&table), declared);
    write("weights/a.bin", "2");
    assert_ne!(resolved(&table), declared);
    // Two files of one name are two.
    write("more/weights/a.bin", "first");
    let both = ["weights", "more/weights"].map(|part| format!("'{}'", folder.path().join(part).display()));
    let table = settings(&folder, "", &format!("depends = [{}]", both.join(", ")));
    let first = resolved(&table);
    write("more/weights/a.bin", "second");
    assert_ne!(resolved(&table), first);
    let table = settings(&folder, "", "depends = ['nowhere']");
    let error = (find("external:mine").expect("known").build)(table).err().expect("a missing file");
    assert!(format!("{error:#}").contains("depends names nowhere"), "{error:#}");
}

#[test]
fn a_program_that_changes_while_the_bench_runs_is_refused() {
    let folder = TempDir::new().expect("a folder");
    let table = settings(&folder, "answer([(row['picture_id'], 1) for row in rows('queries.csv')])", "");
    let built = (find("external:mine").expect("known").build)(table).expect("settings");
    let fitted = built
        .method
        .fit(&[], &context(&folder, 2), &mut medfsad::method::Unobserved)
        .expect("a fitted method");
    let detector = fitted.adapt(&pictures("support", 2)).expect("a detector");
    assert!(predict(&*fitted, &*detector, &pictures("query", 3)).is_ok());
    std::fs::write(folder.path().join("helper.py"), "new").expect("a file");
    let error =
        predict(&*fitted, &*detector, &pictures("query", 3)).err().expect("a changed program").to_string();
    assert!(error.contains("helper.py changed while the bench ran"), "{error}");
}

#[test]
fn a_program_is_given_what_its_regime_says_and_no_label_or_order() {
    let folder = TempDir::new().expect("a folder");
    let body = "e = json.load(open(folder / 'episode.json'))\n\
                assert e['protocol'] == 1 and e['task'] == 'target' and e['shots'] == 2 and e['size'] == 32, e\n\
                assert pathlib.Path(e['state']).is_dir()\n\
                assert len(rows('supports.csv')) == 2 and len(rows('queries.csv')) == 5\n\
                ids = [row['picture_id'] for row in rows('queries.csv')]\n\
                assert ids == sorted(ids), ids\n\
                train = rows('train.csv') if (folder / 'train.csv').exists() else []\n\
                assert len(train) == WANTED, len(train)\n\
                assert all(pathlib.Path(row['path']).stat().st_size == 13 + 3 * 32 * 32 for row in train)\n\
                answer((i, 1.0) for i in ids)";
    let given = |wanted: &str, more: &str| run(&folder, &body.replace("WANTED", wanted), more);
    // The harness hands over no tasks under R1; here both are handed over to see what passes through.
    assert!(matches!(given("16", "sees = 'other-normals'"), Ok(Prediction::Scores(s)) if s == [1.0; 5]));
    let sees = |more: &str| {
        (find("external").expect("known").build)(settings(&folder, "", more)).expect("settings").regime.name()
    };
    assert_eq!(
        [sees(""), sees("sees = 'other-normals'"), sees("sees = 'target-normals'")],
        ["R1", "R2", "R5"]
    );
}

#[test]
fn maps_are_taken_by_picture() {
    let folder = TempDir::new().expect("a folder");
    let body = "ids = [row['picture_id'] for row in rows('queries.csv')]\n\
                answer((i, n) for n, i in enumerate(ids))\n\
                size = 4 * 32 * 32\n\
                head = {i: {'dtype': 'F32', 'shape': [32, 32], 'data_offsets': [n * size, (n + 1) * size]} for n, i in enumerate(ids)}\n\
                text = json.dumps(head).encode()\n\
                body = b''.join(struct.pack('<f', n) * 1024 for n, _ in enumerate(ids))\n\
                (folder / 'maps.safetensors').write_bytes(struct.pack('<Q', len(text)) + text + body)";
    let Ok(Prediction::Both(maps, scores)) = run(&folder, body, "") else { panic!("no maps") };
    for (index, score) in scores.iter().enumerate() {
        assert!(maps.map(index).iter().all(|value| f64::from(*value) == *score));
    }
    let mut sorted = scores.clone();
    sorted.sort_by(f64::total_cmp);
    assert_eq!(sorted, [0.0, 1.0, 2.0, 3.0, 4.0]);
    let small =
        body.replace("[32, 32]", "[32, 16]").replace("4 * 32 * 32", "4 * 32 * 16").replace("1024", "512");
    let error = run(&folder, &small, "").err().expect("an error");
    assert!(error.contains("[32, 16]") && error.contains("[32, 32]"), "{error}");
}

#[test]
fn a_program_that_goes_wrong_is_named_with_its_reason() {
    let folder = TempDir::new().expect("a folder");
    let fails = |body: &str, more: &str, words: &[&str]| {
        let error = run(&folder, body, more).err().expect("an error");
        for word in words {
            assert!(error.contains(word), "`{error}` does not say `{word}`");
        }
    };
    fails("sys.exit('no licence')", "", &["program.py", "no licence"]);
    fails("pass", "", &["no scores.csv"]);
    fails("answer([('abc', 1)])", "", &["line 2", "abc", "no query"]);
    fails("answer([(rows('queries.csv')[0]['picture_id'], 'nan')])", "", &["nan", "finite"]);
    fails("answer([(rows('queries.csv')[0]['picture_id'], 1)])", "", &["1 of 5", "missing"]);
    fails("answer([(rows('queries.csv')[0]['picture_id'], 1)] * 2)", "", &["twice"]);
    fails("(folder / 'scores.csv').write_text('a,b\\n1,2\\n')", "", &["picture_id"]);
    fails("import time; time.sleep(60)", "timeout_s = 1", &["over 1 s", "timeout_s"]);
    let missing = toml::from_str("command = ['no-such-program']").expect("TOML");
    let built = (find("external").expect("known").build)(missing).expect("settings");
    let fitted = built
        .method
        .fit(&[], &context(&folder, 2), &mut medfsad::method::Unobserved)
        .expect("a fitted method");
    let detector = fitted.adapt(&pictures("support", 2)).expect("a detector");
    let error =
        format!("{:#}", predict(&*fitted, &*detector, &pictures("query", 1)).err().expect("an error"));
    assert!(error.contains("no-such-program") && error.contains("installed"), "{error}");
    let error = (find("external").expect("known").build)(toml::Table::new()).err().expect("an error");
    assert!(error.to_string().contains("command"));
}

#[test]
fn a_changed_program_is_another_cell() {
    let folder = TempDir::new().expect("a folder");
    let resolved = |body: &str| {
        (find("external").expect("known").build)(settings(&folder, body, "")).expect("settings").settings
    };
    assert_eq!(resolved("a = 1"), resolved("a = 1"));
    assert_ne!(resolved("a = 1"), resolved("a = 2"));
}

#[test]
fn the_settings_that_can_be_given_are_those_that_there_are() {
    let folder = TempDir::new().expect("a folder");
    let known: std::collections::BTreeMap<String, serde_json::Value> =
        serde_json::from_str(&resolved(&settings(&folder, "", ""))).expect("an object");
    let mut known: Vec<&str> = known.keys().map(String::as_str).filter(|key| *key != "files").collect();
    let mut given = medfsad::method::external::KEYS;
    known.sort_unstable();
    given.sort_unstable();
    assert_eq!(known, given);
}
