//! Reports are drawn from a made-up run whose numbers can be checked by hand.

use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use medfsad::files;
use medfsad::manifest::Label;
use medfsad::pixels::Pixels;
use medfsad::random::Stream;
use medfsad::report;
use medfsad::results::gallery::{self, Caption, Case};
use medfsad::results::{Cell, CellResult, Epoch, FORMAT, Identity, Metric, Provenance, Score};

const TASKS: [&str; 5] = ["his", "lag", "aptos", "rsna", "brain_tumor"];
const SHOTS: [usize; 3] = [2, 4, 8];
const METHODS: [(&str, &str, f64); 4] = [
    ("d24fad", "R2", 0.80),
    ("patchcore", "R1", 0.74),
    ("control-random", "R0", 0.50),
    ("control-border", "R1", 0.52),
];
const RANDOM: &str = "random teacher: these numbers test the software, not the published method";

fn identity(method: &str, task: &str, shots: usize, draw: usize) -> Identity {
    let text = str::to_owned;
    Identity {
        method: text(method),
        settings: text("{}"),
        task: text(task),
        shots,
        draw,
        seed: 1,
        size: 128,
        held_out: text("dataset"),
        manifest_hash: text("0011223344556677"),
        episodes_hash: text("8899aabbccddeeff"),
        code_hash: text("c0de"),
        weights_hash: format!("weights of {task}"),
        device_class: text("cpu"),
    }
}

fn provenance(method: &str, regime: &str) -> Provenance {
    let (control, text) = (method.starts_with("control-"), str::to_owned);
    Provenance {
        bench: text("made-up"),
        regime: text(regime),
        spec: text("phantom"),
        spec_version: 1,
        spec_title: text("Phantom benchmark"),
        backbone: if control { String::new() } else { text("resnet18") },
        weights: if control { String::new() } else { text("random teacher, seed 1") },
        random_weights: !control,
        version: text("0.1.0"),
        git_revision: text("unknown"),
        libtorch: text("2.11.0"),
        device: text("a made-up processor"),
        threads: 2,
        precision: text("f32"),
        command: text("medfsad bench --method d24fad,patchcore"),
        started_at: 1_700_000_000,
        fit_seconds: 12.5,
        score_seconds: 1.5,
        peak_memory_bytes: 300 << 20,
    }
}

fn scores(stream: &mut Stream, shift: f64) -> Vec<Score> {
    let score = |index: usize| {
        let label = if index < 40 { Label::Normal } else { Label::Anomalous };
        let clean = stream.normal() + if label == Label::Anomalous { shift } else { 0.0 };
        Score {
            image_id: format!("picture-{index}"),
            label,
            finding: "made up".to_owned(),
            source_path: format!("{index}.png"),
            clean: Some(clean),
            clean_mean: Some(clean / 2.0),
            clean_top1: Some(clean * 0.9),
            published_2d: (index < 80).then_some(clean),
            published: (index < 80).then_some(clean * 1.1),
        }
    };
    (0..85).map(score).collect()
}

fn metric(protocol: &str, metric: &str, value: Option<f64>) -> Metric {
    Metric {
        protocol: protocol.to_owned(),
        metric: metric.to_owned(),
        value,
        low: value.map(|value| value - 0.03),
        high: value.map(|value| value + 0.02),
        n_normal: 40,
        n_anomalous: 45,
        n_left_out: 0,
        epoch: None,
    }
}

/// `clean` is the base plus 0.01 for each shot count's place and 0.02 for the second draw.
fn metrics(base: f64, place: usize, draw: usize, defined: bool) -> Vec<Metric> {
    let clean = base + 0.01 * place as f64 + 0.02 * draw as f64;
    let mut rows = vec![metric("clean", "image-auroc", defined.then_some(clean))];
    rows.push(metric("published-2d", "image-auroc", Some(clean + 0.05)));
    rows.push(metric("published", "image-auroc", Some(clean + 0.11)));
    rows.push(metric("clean-mean", "image-auroc", Some(clean - 0.04)));
    rows.push(metric("clean", "auprc", Some(clean - 0.1)));
    rows.push(metric("clean", "fpr95", (place > 0).then_some(0.4)));
    rows
}

fn epochs(stream: &mut Stream) -> Vec<Epoch> {
    let mut rows = Vec::new();
    for epoch in 1..=20 {
        let decay = (-0.2 * epoch as f64).exp();
        for (quantity, value) in [
            ("loss", 0.3 + decay + 0.02 * stream.normal()),
            ("self-distillation", 0.2 + 0.7 * decay),
            ("teacher-student", 0.1 + 0.3 * decay),
            ("auroc-published", 0.9 - 0.3 * decay),
        ] {
            rows.push(Epoch { epoch, quantity: quantity.to_owned(), value: Some(value) });
        }
    }
    rows
}

fn cases(stream: &mut Stream) -> Vec<Case> {
    let (height, width) = (96, 128);
    let roles = ["clearest", "median", "hardest"];
    let case = |index: usize| {
        let anomalous = index < 3;
        let (row, column) = (20.0 + 50.0 * stream.unit(), 30.0 + 70.0 * stream.unit());
        let nearness = |i: usize| {
            let (dy, dx) = ((i / width) as f64 - row, (i % width) as f64 - column);
            (-(dy * dy + dx * dx) / 300.0).exp()
        };
        let picture = (0..height * width).map(|i| {
            let spot = if anomalous { 90.0 * nearness(i) } else { 0.0 };
            (70.0 + 60.0 * ((i % width) as f64 / 18.0).sin() + spot) as u8
        });
        let mask = (0..height * width).map(|i| if nearness(i) > 0.5 { 255 } else { 0 }).collect();
        let caption = Caption {
            image_id: format!("picture-{index}"),
            label: if anomalous { Label::Anomalous } else { Label::Normal },
            finding: if index == 0 { "<script>alert(1)</script>".to_owned() } else { "none".to_owned() },
            score: 0.5 + 0.1 * index as f64,
            role: roles[index % 3].to_owned(),
        };
        let map = (0..height * width).map(|i| (nearness(i) * if anomalous { 0.9 } else { 0.4 }) as f32);
        Case {
            caption,
            picture: Pixels::new(height, width, 1, picture.collect()).expect("it fits"),
            map: map.collect(),
            mask: anomalous.then(|| Pixels::new(height, width, 1, mask).expect("it fits")),
        }
    };
    (0..6).map(case).collect()
}

fn write_cell(run: &Path, (method, regime, base): (&str, &str, f64), task: &str, shots: usize, draw: usize) {
    let identity = identity(method, task, shots, draw);
    let (id, place) = (identity.id(), SHOTS.iter().position(|&k| k == shots).expect("known"));
    let folder = run.join("cells").join(&id);
    let mut stream = Stream::new(1, &format!("{method} {task} {shots}"), draw as u64);
    let failed = (method, task, shots, draw) == ("patchcore", "lag", 8, 1);
    let trained = method == "d24fad";
    // The paper's own trap: one cell without an AUROC must not become 0.5 or vanish.
    let defined = (method, task, shots) != ("control-random", "rsna", 4);
    let result = CellResult {
        cell: Cell {
            format: FORMAT,
            id,
            identity,
            provenance: provenance(method, regime),
            error: failed.then(|| "the memory bank of `lag` does not fit | 3 GiB".to_owned()),
        },
        scores: scores(&mut stream, 4.0 * (base - 0.5)),
        metrics: metrics(base, place, draw, defined),
        epochs: if trained { epochs(&mut stream) } else { Vec::new() },
        folder: folder.clone(),
    };
    result.write().expect("the cell is written");
    if shots == 8 && draw == 0 && !method.starts_with("control-") {
        gallery::write(&folder.join("gallery.safetensors"), &cases(&mut stream)).expect("gallery");
    }
}

fn run_of(folder: &Path, methods: &[(&str, &str, f64)]) -> PathBuf {
    let run = folder.join("run");
    for method in methods {
        for task in TASKS {
            for shots in SHOTS {
                (0..2).for_each(|draw| write_cell(&run, *method, task, shots, draw));
            }
        }
    }
    run
}

/// One run and its report, `run` and `report` in this folder, drawn once for all tests.
fn reported() -> &'static Path {
    static FOLDER: LazyLock<PathBuf> = LazyLock::new(|| {
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("report");
        if folder.exists() {
            std::fs::remove_dir_all(&folder).expect("an old report is removed");
        }
        let run = run_of(&folder, &METHODS);
        report::write(&run, &folder.join("report")).expect("a report");
        folder
    });
    &FOLDER
}

fn out() -> PathBuf {
    reported().join("report")
}

fn text(path: &Path) -> String {
    files::read_text(path).expect("a text")
}

#[test]
fn a_report_holds_tables_figures_and_a_page() {
    let out = out();
    let expected = ["index.html", "leaderboard.csv", "leaderboard.md"];
    let tables = ["cells.parquet", "epochs.parquet", "metrics.csv", "metrics.parquet", "scores.parquet"];
    let figures = [
        "auroc",
        "diagnostics",
        "gallery-d24fad-his",
        "histograms",
        "loss",
        "protocol-gap",
        "roc",
        "shots",
        "speed",
    ];
    let found = files::walk(&out).expect("a listing");
    let wanted = expected.map(str::to_owned).into_iter();
    let wanted = wanted.chain(tables.map(|name| format!("results/{name}")));
    let wanted =
        wanted.chain(figures.iter().flat_map(|n| ["svg", "png"].map(|end| format!("figures/{n}.{end}"))));
    for file in wanted {
        assert!(found.contains(&file), "{file} is missing");
    }
    let table = medfsad::table::Table::read(&out.join("results/cells.parquet")).expect("a table");
    assert_eq!(table.height(), METHODS.len() * TASKS.len() * SHOTS.len() * 2);
}

#[test]
fn numbers_are_means_over_draws_and_tasks() {
    let out = out();
    let markdown = text(&out.join("leaderboard.md"));
    let line =
        markdown.lines().find(|line| line.starts_with("| A | d24fad random teacher | 2 |")).expect("a row");
    // Draws 0.80 and 0.82, bounds -0.03 and +0.02, so 0.81 [0.78, 0.83] and the lowest draw 0.80.
    assert!(line.contains("| 0.810 [0.780, 0.830] min 0.800 |"), "{line}");
    // Five independent tasks: 0.81 - sqrt(5 * 0.03^2) / 5 = 0.7966, 0.81 + sqrt(5 * 0.02^2) / 5 = 0.8189.
    assert!(line.contains("| R2 | 0.810 [0.797, 0.819] | 0.800 | 0.810 [0.780"), "{line}");
    assert!(line.ends_with("| +0.050 | +0.110 | 14.0 | 300 | 0 | 0 |"), "{line}");
    // 0.52 + 0.02 + 0.01 and 0.50 + 0.02 + 0.01 reach each other: [0.537, 0.559] over [0.517, 0.539].
    for control in ["control-random", "control-border"] {
        assert!(markdown.contains(&format!("| C | {control} control | 8 |")), "{control} in {markdown}");
    }
    let csv = text(&out.join("leaderboard.csv"));
    assert!(csv.contains("2,A,d24fad,R2,false,true,0.810000,0.780000,0.830000,0.800000,"), "{csv}");
}

#[test]
fn undefined_is_shown_and_counted() {
    let out = out();
    let markdown = text(&out.join("leaderboard.md"));
    assert!(markdown.contains("(2 of 120 cells undefined, 1 failed)"), "{markdown}");
    let line =
        markdown.lines().find(|line| line.starts_with("| – | control-random control | 4 |")).expect("a row");
    assert!(
        line.contains("| – | – | 0.520 [0.490, 0.540] min 0.510 |")
            && line.contains("| – | – | 14.0 |")
            && line.ends_with("| 2 | 0 |"),
        "{line}"
    );
}

#[test]
fn failed_cells_are_named_with_their_error() {
    let out = out();
    let (markdown, html) = (text(&out.join("leaderboard.md")), text(&out.join("index.html")));
    assert!(markdown.contains("the memory bank of `lag` does not fit \\| 3 GiB"));
    assert!(html.contains("the memory bank of `lag` does not fit | 3 GiB"));
}

#[test]
fn random_teachers_are_called_so_everywhere() {
    let out = out();
    let html = text(&out.join("index.html"));
    let (tables, figures) =
        (html.matches("<table").count(), html.matches("class=\"scroll drawing\"").count());
    assert!(tables >= 4 && figures >= 7 && html.matches(RANDOM).count() > tables + figures);
    let markdown = text(&out.join("leaderboard.md"));
    assert_eq!(markdown.matches(RANDOM).count(), markdown.matches("\n| --- |").count());
    for file in files::walk(&out.join("figures")).expect("a listing") {
        if file.ends_with(".svg") {
            assert!(
                text(&out.join("figures").join(&file)).contains(RANDOM),
                "{file} hides the random teacher"
            );
        }
    }
}

#[test]
fn trained_runs_carry_no_warning() {
    let folder = tempfile::tempdir().expect("a folder");
    let run = run_of(folder.path(), &METHODS[2..]);
    let page = report::write(&run, &folder.path().join("report")).expect("a report");
    assert!(!text(&page).contains(RANDOM));
}

#[test]
fn the_page_asks_nobody_for_anything() {
    let out = out();
    let html = text(&out.join("index.html"));
    for reference in
        ["src=\"http", "href=\"http", "src=\"//", "href=\"//", "url(", "@import", "<link", "src='"]
    {
        assert!(!html.contains(reference), "the page refers to {reference}");
    }
    let addresses = html.matches("http").count();
    let harmless = html.matches("http://www.w3.org/2000/svg").count() + html.matches("http-equiv").count();
    assert_eq!(addresses, harmless);
}

#[test]
fn foreign_words_are_not_markup() {
    let out = out();
    let html = text(&out.join("index.html"));
    assert!(!html.contains("<script>alert") && html.contains("script&#62;alert(1)"));
    let svg = text(&out.join("figures/gallery-d24fad-his.svg"));
    assert!(!svg.contains("<script>") && svg.contains("&lt;script&gt;alert(1)"));
}

#[test]
fn the_same_results_give_the_same_bytes() {
    let (folder, out) = (tempfile::tempdir().expect("a folder"), out());
    let again = folder.path().join("again");
    report::write(&reported().join("run"), &again).expect("a report");
    for file in files::walk(&out).expect("a listing") {
        let (first, second) = (files::read(&out.join(&file)), files::read(&again.join(&file)));
        assert!(first.expect("a file") == second.expect("a file"), "{file} differs");
    }
}

#[test]
fn joined_runs_count_a_shared_cell_once() {
    let (folder, out) = (tempfile::tempdir().expect("a folder"), out());
    let run = reported().join("run");
    let joined = folder.path().join("joined");
    report::write_joined(&[run.clone(), run], &joined).expect("a report");
    assert_eq!(text(&out.join("leaderboard.md")), text(&joined.join("leaderboard.md")));
}

#[test]
fn an_empty_run_is_refused_with_a_remedy() {
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::create_dir(folder.path().join("cells")).expect("a folder");
    let error = report::write(folder.path(), &folder.path().join("report")).expect_err("nothing to report");
    assert!(format!("{error:#}").contains("holds no finished cell; let the run go on first"));
}
