//! Reports are drawn from a made-up run whose numbers can be checked by hand.

use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use medfsad::files;
use medfsad::report;
use medfsad::results::{Cell, CellResult, FORMAT};
use medfsad::table::Table;

mod altered;
mod browser;
mod cite;
mod compare;
mod curve;
mod ground;
mod latex;
pub mod made_up;
mod pdf;
mod sealed;
mod sequential;
mod strata;
mod trivia;
use made_up::{METHODS, SHOTS, TASKS, identity, provenance, run_of};

const RANDOM: &str = "random teacher: these numbers test the software, not the published method";

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
    let expected = ["index.html", "leaderboard.csv", "leaderboard.md", "leaderboard.tex", "leaderboard.txt"];
    let tables = ["cells.parquet", "epochs.parquet", "metrics.csv", "metrics.parquet", "scores.parquet"];
    let figures = [
        "auroc",
        "diagnostics",
        "gallery-d24fad-his",
        "histograms",
        "loss",
        "means",
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
    let table = Table::read(&out.join("results/cells.parquet")).expect("a table");
    assert_eq!(table.height(), METHODS.len() * TASKS.len() * SHOTS.len() * 2);
}

/// Names of a table's columns.
fn columns(path: &Path) -> Vec<String> {
    let columns = Table::read(path).expect("a table").columns().expect("texts and numbers");
    columns.into_iter().map(|(name, _)| name).collect()
}

#[test]
fn every_column_of_a_cells_files_is_in_the_joined_files() {
    let cells = std::fs::read_dir(reported().join("run/cells")).expect("a listing");
    let folders = cells.map(|entry| entry.expect("an entry").path());
    let folder = folders.into_iter().find(|folder| folder.join("scores.parquet").exists()).expect("a cell");
    let results = out().join("results");
    for table in ["scores.parquet", "metrics.parquet", "epochs.parquet"] {
        let joined = columns(&results.join(table));
        let missing: Vec<String> =
            columns(&folder.join(table)).into_iter().filter(|name| !joined.contains(name)).collect();
        assert_eq!(missing, Vec::<String>::new(), "{table} lacks columns");
    }
    let json: serde_json::Value = serde_json::from_str(&text(&folder.join("cell.json"))).expect("a cell");
    let parts = ["identity", "provenance"].map(|part| json[part].as_object().expect("an object"));
    let keys = parts.into_iter().flat_map(|part| part.keys().cloned()).chain(["error".to_owned()]);
    let joined = columns(&results.join("cells.parquet"));
    let missing: Vec<String> = keys.filter(|key| !joined.contains(key)).collect();
    assert_eq!(missing, Vec::<String>::new(), "cells.parquet lacks columns");
    let csv = text(&results.join("metrics.csv"));
    assert_eq!(csv.lines().next().expect("a head"), columns(&results.join("metrics.parquet")).join(","));
}

#[test]
fn every_joined_column_is_described() {
    let results = out().join("results");
    let described = text(&results.join("columns.md"));
    let tables = described.split("## ").skip(1);
    for table in tables {
        let (file, lines) = table.split_once('\n').expect("a name");
        let names: Vec<&str> =
            lines.lines().filter_map(|line| line.strip_prefix("| `")?.split('`').next()).collect();
        assert_eq!(names, columns(&results.join(file)), "{file}");
        assert!(!lines.contains("|  |"), "a column of {file} is not described: {lines}");
    }
    assert_eq!(described.matches("## ").count(), 4);
}

#[test]
fn failed_cells_took_nothing_that_is_known() {
    let table = Table::read(&out().join("results/cells.parquet")).expect("a table");
    let errors = table.text("error").expect("a column");
    for name in ["fit_seconds", "score_seconds"] {
        let seconds = table.real(name).expect("a column");
        assert!(errors.iter().zip(&seconds).all(|(error, seconds)| error.is_none() == seconds.is_some()));
    }
}

#[test]
fn numbers_are_means_over_draws_and_tasks() {
    let out = out();
    let markdown = text(&out.join("leaderboard.md"));
    let line =
        markdown.lines().find(|line| line.starts_with("| A | d24fad random teacher | 2 |")).expect("a row");
    // Draws 0.80 and 0.82, so 0.81 and the lowest draw 0.80; intervals come from the pictures' scores.
    assert_eq!(line.matches("| 0.810 [").count(), 6, "{line}");
    assert_eq!(line.matches("] min 0.800 |").count(), 5, "{line}");
    assert!(line.ends_with("| +0.050 | +0.110 | 14.0 | 2.50 | 12.0 | 300 | 0 | 0 |"), "{line}");
    // Their scores tell nothing of the label, whatever their stored numbers.
    for control in ["control-random", "control-border"] {
        assert!(markdown.contains(&format!("| B | {control} control | 8 |")), "{control} in {markdown}");
    }
    let csv = text(&out.join("leaderboard.csv"));
    assert!(csv.contains("2,A,d24fad,2,1,,R2,false,true,not seen,0.810000,"), "{csv}");
    assert!(csv.contains(",control-random,2,1,,R0,true,false,,"), "{csv}");
}

#[test]
fn undefined_is_shown_and_counted() {
    let out = out();
    let markdown = text(&out.join("leaderboard.md"));
    assert!(markdown.contains("(2 of 120 cells undefined, 1 failed)"), "{markdown}");
    let line =
        markdown.lines().find(|line| line.starts_with("| – | control-random control | 4 |")).expect("a row");
    assert!(
        line.contains("| – | – | 0.520 [")
            && line.contains("] min 0.510 |")
            && line.contains("| – | – | 14.0 | 2.50 | 12.0 |")
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
    // A strip that stays in sight says so once for all tables; every figure says it itself, as figures travel alone.
    assert!(tables >= 4 && figures >= 8 && html.matches("class=\"strip alarm\"").count() == 1);
    assert!(html.matches(RANDOM).count() > figures);
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

#[test]
fn a_run_of_failures_is_still_a_report() {
    let folder = tempfile::tempdir().expect("a folder");
    let identity = identity("d24fad", "his", 2, 0);
    let (id, error) = (identity.id(), Some("no weights & no luck".to_owned()));
    let cell = Cell {
        format: FORMAT,
        id: id.clone(),
        identity,
        provenance: provenance("d24fad", "R2"),
        error,
        lacked: None,
    };
    let result = CellResult {
        cell,
        scores: Vec::new(),
        metrics: Vec::new(),
        epochs: Vec::new(),
        folder: folder.path().join("cells").join(id),
    };
    result.write().expect("the cell is written");
    let page = report::write(folder.path(), &folder.path().join("report")).expect("a report");
    assert!(text(&page).contains("no weights &#38; no luck"));
}

#[test]
fn other_settings_make_another_entrant() {
    let folder = tempfile::tempdir().expect("a folder");
    let run = run_of(folder.path(), &METHODS[2..3]);
    for cell in crate::program::cells(&run) {
        let mut other = cell.clone();
        other.cell.identity.settings = "{\"lambda\":0.5}".to_owned();
        other.cell.id = other.cell.identity.id();
        other.folder = run.join("cells").join(&other.cell.id);
        other.write().expect("the cell is written");
    }
    report::write(&run, &folder.path().join("report")).expect("a report");
    let markdown = text(&folder.path().join("report/leaderboard.md"));
    assert!(markdown.contains("| control-random #2 control | 2 |"), "{markdown}");
    assert!(markdown.contains("**control-random #1: settings {\"lambda\":0.5};"), "{markdown}");
}

#[test]
fn extensions_of_published_methods_are_named() {
    let folder = tempfile::tempdir().expect("a folder");
    let run = run_of(folder.path(), &METHODS[..2]);
    let markdown = || {
        report::write(&run, &folder.path().join("report")).expect("a report");
        text(&folder.path().join("report/leaderboard.md"))
    };
    let word = "An extension of ours";
    assert!(!markdown().contains(word));
    for (network, where_to) in [("efficientnet_lite0", " on efficientnet_lite0"), ("", "")] {
        for mut cell in crate::program::cells(&run) {
            let is_extension = cell.cell.identity.method == "d24fad";
            cell.cell.provenance.backbone = network.to_owned();
            cell.cell.provenance.extension = is_extension.then(|| "with other blocks".to_owned());
            cell.write().expect("the cell is written");
        }
        let markdown = markdown();
        let caution = format!("{word}, not the published method: d24fad{where_to}, with other blocks.");
        assert!(markdown.contains(&caution), "{markdown}");
    }
}

#[test]
fn the_papers_values_stand_beside_ours() {
    let out = out();
    let markdown = text(&out.join("leaderboard.md"));
    // RSNA at 4 shots: the paper's 97.9, ours 0.82 + 0.11, not measured, + 0.05 and + 0.
    assert!(
        markdown.contains("| rsna | 4 | d24fad | R2 | 0.979 | 0.930 | – | 0.870 | 0.820 |"),
        "{markdown}"
    );
    assert!(markdown.contains("| rsna | 4 | InCTRL | R3 | 0.814 | – | – | – | – |"), "{markdown}");
    assert!(markdown.contains("not the same data or weights"));
}

#[test]
fn the_order_is_tested_and_the_table_goes_into_papers() {
    let out = out();
    let markdown = text(&out.join("leaderboard.md"));
    assert!(markdown.contains("## How sure is the order?"), "{markdown}");
    // The best of its shots has nothing to be compared with; over five tasks it is first, and beats three others.
    assert!(markdown.contains("| d24fad | 2 | R2 | A | 1.00 | 15.00 | – | – | – | – |"), "{markdown}");
    let line =
        markdown.lines().find(|line| line.starts_with("| control-border | 2 | R1 | B |")).expect("a row");
    // Ten pairs of one sign: p is 2 / 2^10, and three times that after the correction.
    assert!(line.contains("| +0.280 [+") && line.ends_with("| 0.002 | 0.006 | 10 |"), "{line}");
    let latex = text(&out.join("leaderboard.tex"));
    assert!(latex.contains("\\toprule") && latex.contains("random teacher"), "{latex}");
    assert!(!latex.contains(" & brain_tumor") && latex.contains("brain\\_tumor"), "{latex}");
    // Of each number of shots every method, the best of each column in bold, and one control.
    assert_eq!(latex.matches("\nA & d24fad & R2 & \\textbf{8").count(), 3, "{latex}");
    assert_eq!(latex.matches("& control-").count(), 3, "{latex}");
}

#[test]
fn the_verdict_comes_first_and_fits_a_terminal() {
    let out = out();
    let screen = text(&out.join("leaderboard.txt"));
    let first = "Best at 8 shots: d24fad (R2) with a mean image AUROC of 0.830 [";
    assert!(screen.replace('\n', " ").contains(first), "{screen}");
    assert!(screen.lines().all(|line| line.chars().count() <= 100), "{screen}");
    assert_eq!(screen.matches("does not fit").count(), 1, "each reason once: {screen}");
    assert!(screen.contains("failed: 1 cell of"), "{screen}");
    for file in ["leaderboard.md", "index.html"] {
        let text = text(&out.join(file));
        let (verdict, board) = (text.find(first), text.find("Leaderboard<").or(text.find("## Leaderboard")));
        assert!(verdict.is_some() && verdict < board, "{file}");
    }
}

#[test]
fn a_comparison_says_which_is_worse() {
    let run = reported().join("run");
    let compare = |methods| report::compare_runs(&run, &run, methods);
    let same = compare([None, None]).expect("a comparison");
    assert_eq!(same.regressions, 0);
    assert!(same.table.markdown(None).contains(
        "| d24fad | d24fad | 2 | 2 of 2 and 2 | 10 of 10 and 10 | 0.810 | 0.810 | +0.000 [+0.000, +0.000] |"
    ));
    let worse = compare([Some("control-border"), Some("d24fad")]).expect("a comparison");
    assert_eq!(worse.regressions, 3, "at every number of shots");
    let better = compare([Some("d24fad"), Some("control-border")]).expect("a comparison");
    assert!(better.regressions == 0 && better.table.markdown(None).contains("| better |"));
    let error = compare([Some("d24"), None]).err().expect("no such method");
    assert!(format!("{error:#}").contains("known: d24fad"), "{error:#}");
}
