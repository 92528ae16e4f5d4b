//! A test whose labels are not on the machine that scores: sealed, opened, measured.

use std::collections::BTreeMap;
use std::path::Path;

use medfsad::manifest::{Label, Manifest, Split};
use medfsad::metric::Metric;
use medfsad::protocol::Protocol;
use medfsad::random::Stream;
use tempfile::TempDir;

use crate::program::{self, command, succeeds, text};

const METHODS: [&str; 3] = ["control-mean-intensity", "control-pixel-mean", "control-file-size"];

/// 12 pictures to train on, and 40 for testing, of which 18 are brighter by a little and anomalous.
fn pictures(home: &Path) {
    let mut stream = Stream::new(3, "sealed", 0);
    for index in 0..52 {
        let is_anomalous = index >= 12 && index * 7 % 20 < 9;
        let level = 60.0 + 20.0 * stream.unit() + if is_anomalous { 12.0 } else { 0.0 };
        let picture =
            image::GrayImage::from_fn(40, 32, |_, _| image::Luma([(level + 9.0 * stream.unit()) as u8]));
        let save = |raw: &str, class: &str| {
            let folder = home.join(raw).join("wrist").join(class);
            std::fs::create_dir_all(&folder).expect("a folder");
            picture.save(folder.join(format!("{index:02}.png"))).expect("a picture");
        };
        match (index, is_anomalous) {
            (..12, _) => ["closed", "open"].into_iter().for_each(|raw| save(raw, "train/good")),
            (_, true) => {
                save("closed", "test/unopened");
                save("open", "test/fracture");
            }
            (_, false) => {
                save("closed", "test/unopened");
                save("open", "test/good");
            }
        }
    }
}

fn prepare(home: &Path) {
    pictures(home);
    let spec = |name: &str, findings: &str| {
        format!(
            "name = '{name}'\nversion = 1\ntitle = '{name}'\nseed = 1\nsizes = [32]\n[[task]]\nname = 'wrist'\n\
             organ = 'wrist'\nmodality = 'X-ray'\nanomaly = 'fracture'\nsource = 'folders'\nfolder = 'wrist'\n\
             normal = ['good']\nowner_split = 'exact'\n[[task.anomalous]]\n{findings}\n"
        )
    };
    let bench = |name: &str| {
        format!(
            "name = '{name}'\nspec = '{name}'\nsize = 32\nmethods = {METHODS:?}\ntasks = ['wrist']\nshots = [4]\n\
             draws = 2\nseeds = [1]\nepisode_seed = 1\nteacher_seed = 1\n"
        )
    };
    for (name, findings) in
        [("closed", "findings = ['unopened']\nunopened = true"), ("open", "findings = ['fracture']")]
    {
        std::fs::write(home.join(format!("{name}.toml")), spec(name, findings)).expect("a spec");
        std::fs::write(home.join(format!("bench-{name}.toml")), bench(name)).expect("a definition");
        succeeds(home, &["build-dataset", "--spec", &format!("{name}.toml"), "--raw", name]);
        let definition = format!("bench-{name}.toml");
        succeeds(
            home,
            &["bench", "--bench", &definition, "--device", "cpu", "--out", &format!("run-{name}")],
        );
    }
}

/// What the owner of the labels writes: by the paths of the pictures, which tell him.
fn labels(home: &Path) -> String {
    let manifest = Manifest::read(&home.join("manifests/closed")).expect("a manifest");
    let mut text = "image_id,label,finding\n".to_owned();
    for row in manifest.rows.iter().filter(|row| row.split == Split::Test) {
        assert_eq!((row.label, row.finding.as_str()), (Label::Unopened, "unopened"));
        let name = row.source_path.rsplit('/').next().expect("a name");
        let (label, finding) = match home.join("open/wrist/test/fracture").join(name).exists() {
            true => (1, "fracture"),
            false => (0, "good"),
        };
        text += &format!("{},{label},{finding}\n", row.image_id);
    }
    text
}

/// AUROC of every cell under every protocol that it has.
fn aurocs(run: &Path) -> BTreeMap<(String, usize, Protocol), Option<f64>> {
    let mut found = BTreeMap::new();
    for cell in program::cells(run) {
        for row in cell.metrics.iter().filter(|row| row.metric == Metric::ImageAuroc) {
            found.insert(
                (cell.cell.identity.method.clone(), cell.cell.identity.draw, row.protocol),
                row.value,
            );
        }
    }
    found
}

#[test]
fn scores_are_sealed_before_their_labels_are_opened_and_measured_afterwards() {
    let home = TempDir::new().expect("a folder");
    let home = home.path();
    prepare(home);
    let closed = aurocs(&home.join("run-closed"));
    // Neither an order of classes nor an epoch that is best can be had, and no number is.
    assert!(closed.keys().all(|(.., protocol)| protocol.is_of_one_picture()), "{closed:?}");
    assert!(closed.len() >= 16 && closed.values().all(Option::is_none), "{closed:?}");
    assert!(
        closed.keys().all(|(method, ..)| method != "control-label-shuffle"),
        "there are no labels to permute"
    );
    let said = succeeds(home, &["seal", "run-closed"]);
    assert!(said.contains("sealed 16 cells, 0 of them failed, with the scores of 640 pictures"), "{said}");
    let root = said.lines().find_map(|line| line.strip_prefix("root: ")).expect("a root").to_owned();
    assert_eq!(root.len(), 64);
    let verify = |more: &[&str]| {
        command(home, &[&["verify", "run-closed", "--seal", "run-closed/scores.seal.json"], more].concat())
            .output()
            .expect("the binary runs")
    };
    let output = verify(&[]);
    assert!(output.status.success(), "{}", text(&output));
    assert!(text(&output).contains(&format!(
        "16 of 16 sealed cells have the scores and settings that were sealed (root {root})"
    )));

    std::fs::write(home.join("labels.csv"), labels(home)).expect("labels");
    let opened = verify(&["--labels", "labels.csv", "--board", "board"]);
    assert!(opened.status.success(), "{}", text(&opened));
    assert!(
        text(&opened).contains("16 sealed cells are measured by the labels of 40 pictures"),
        "{}",
        text(&opened)
    );
    // Another program's run on the same pictures, whose labels it knew, has the same numbers.
    let open = aurocs(&home.join("run-open"));
    let board = aurocs(&home.join("board"));
    for (key, value) in &board {
        assert!(value.is_some() && open[key] == *value, "{key:?}: {value:?} and {:?}", open[key]);
    }
    assert_eq!(board.len(), closed.len());
    assert!(board.values().flatten().any(|auroc| *auroc > 0.6), "{board:?}");
    let page = std::fs::read_to_string(home.join("board/leaderboard.md")).expect("a leaderboard");
    assert!(page.contains("control-mean-intensity"), "{page}");
    succeeds(home, &["verify", "board", "--seal", "run-closed/scores.seal.json"]);

    // A score that was changed after sealing, however well it was written, is not on the board.
    let mut changed = program::cells(&home.join("run-closed")).remove(0);
    changed.scores[0].scores.insert(Protocol::Clean, 1e6);
    changed.write().expect("a cell");
    let output = verify(&["--labels", "labels.csv", "--board", "second"]);
    assert!(!output.status.success(), "{}", text(&output));
    assert!(text(&output).contains("has other scores than were sealed"), "{}", text(&output));
    assert_eq!(program::cells(&home.join("second")).len(), 15);

    for (labels, reason) in [
        (labels(home).lines().take(20).collect::<Vec<_>>().join("\n"), "has no label of 21 of 40 pictures"),
        (labels(home).replace(",1,", ",2,"), "label 2 is neither 0 (normal) nor 1 (anomalous)"),
        (labels(home).replace("image_id,", "picture,"), "column `picture` is not known"),
    ] {
        std::fs::write(home.join("wrong.csv"), labels).expect("labels");
        let output = verify(&["--labels", "wrong.csv", "--board", "third"]);
        assert!(!output.status.success() && text(&output).contains(reason), "{}", text(&output));
        assert!(!home.join("third").exists());
    }
}
