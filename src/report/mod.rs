//! Tables, figures and one self-contained page, from stored results alone: no model, no libtorch.
//!
//! The same results give the same bytes: nothing here looks at a clock or at an unordered map.

use std::path::{Path, PathBuf};

use anyhow::{Result, ensure};
use askama::Template;

use crate::files;
use crate::results::{StoredCell, read_runs};
use crate::trivia::Stored;
use chart::Figure;
use display_table::DisplayTable;
use exemplar::Exemplars;
use gallery::Gallery;
use html::Page;
use missing::Missing;
use strata::Strata;
use summary::Summary;
use trivia::Telling;

mod adjusted;
/// The page of an audit.
pub mod audit;
mod auroc;
mod averages;
mod chart;
/// BibTeX of what a run stands on.
pub mod cite;
mod colour;
mod compare;
/// Numbers and ranks under the choices of evaluation that papers make.
pub mod curve;
mod display_table;
mod drawing;
mod entrant;
mod exemplar;
/// The page of explanations.
pub mod explanation;
mod forest;
mod gallery;
mod gap;
mod grid;
mod ground;
mod html;
mod joined_tables;
mod latex;
mod leaderboard;
mod loss;
mod measures;
mod missing;
mod pdf;
/// Every test picture, to be sorted and filtered.
pub mod pictures;
mod power;
mod provenance;
mod published;
mod ranking;
mod roc;
mod row;
/// The page of scores.
#[cfg(feature = "torch")]
pub mod scores;
mod screen;
pub mod secondary_capture;
/// Which methods need no more support draws.
pub mod sequential;
mod shared;
mod speed;
mod strata;
mod strata_tables;
/// Numbers of studies of several slices.
pub mod studies;
mod summary;
mod terms;
mod trivia;
mod verdict;

pub use compare::Comparison;
pub use drawing::encode;
pub use gallery::overlay;
pub use screen::{WIDTH, wrapped};

/// The file with what a terminal shows of a report.
pub const SCREEN: &str = "leaderboard.txt";

/// Writes the report of one run into `out` and returns the path of its page.
///
/// # Errors
/// A folder that holds no run, a damaged cell, or an output that cannot be written.
pub fn write(run: &Path, out: &Path) -> Result<PathBuf> {
    write_joined(&[run.to_owned()], out)
}

/// Writes one report over several runs; a cell that lies in more than one counts once. The files of an earlier report stay
/// until all new ones are there; its folders `results` and `figures` are replaced whole, everything else in `out` stays.
///
/// # Errors
/// As [`write()`].
pub fn write_joined(runs: &[PathBuf], out: &Path) -> Result<PathBuf> {
    files::switch(out, |draft| draw(runs, draft))?;
    Ok(out.join("index.html"))
}

/// Draws all of a report into a folder; returns its page.
fn draw(runs: &[PathBuf], out: &Path) -> Result<PathBuf> {
    let results = read(runs)?;
    let summary = Summary::new(&results)?;
    joined_tables::write(&results, &out.join("results"))?;
    let missing = Missing::new(runs, &results)?;
    let looked_at = trivia::read(runs, &results)?;
    let strata = Strata::new(looked_at.as_ref(), &summary)?;
    let sheets = Sheets::new(&summary, &missing, looked_at.as_ref(), &strata)?;
    files::write_whole(&out.join("results/strata.csv"), &strata_tables::csv(&strata, &summary)?)?;
    let markdown = sheets.markdown(&results, &summary);
    files::write_whole(&out.join("leaderboard.md"), markdown.as_bytes())?;
    let screen = screen::text(&summary, &sheets.verdict, &sheets.urgent);
    files::write_whole(&out.join(SCREEN), screen.as_bytes())?;
    files::write_whole(&out.join("leaderboard.csv"), &leaderboard::csv(&summary)?)?;
    let latex = latex::table(&summary);
    files::write_whole(&out.join("leaderboard.tex"), latex.as_bytes())?;
    let galleries = gallery::collect(&summary)?;
    let figures = Figures::draw(&summary, &galleries)?;
    figures.write(&out.join("figures"))?;
    let page = out.join("index.html");
    let html = page_of(&results, &summary, &sheets, &figures, &galleries)?;
    files::write_whole(&page, html.as_bytes())?;
    Ok(page)
}

/// Compares two runs, method by method, or two methods.
///
/// # Errors
/// A folder that holds no run, a method that is not there, or nothing in common.
pub fn compare_runs(first: &Path, second: &Path, methods: [Option<&str>; 2]) -> Result<Comparison> {
    compare::compare(&read(&[first.to_owned()])?, &read(&[second.to_owned()])?, methods)
}

fn read(runs: &[PathBuf]) -> Result<Vec<StoredCell>> {
    let results = read_runs(runs)?;
    let names: Vec<String> = runs.iter().map(|run| run.display().to_string()).collect();
    ensure!(!results.is_empty(), "{} holds no finished cell; let the run go on first", names.join(", "));
    Ok(results)
}

struct Sheets {
    leaderboard: DisplayTable,
    standings: DisplayTable,
    gap: DisplayTable,
    paper: Option<DisplayTable>,
    measures: Vec<DisplayTable>,
    trivia: Option<DisplayTable>,
    adjusted: Option<DisplayTable>,
    failures: Option<DisplayTable>,
    missing: Option<DisplayTable>,
    /// Which method is best, how sure that is, and whether it beats the controls.
    verdict: Vec<String>,
    /// What the numbers of the whole board rest on.
    urgent: Vec<String>,
    /// What else a reader must know before comparing.
    cautions: Vec<String>,
}

impl Sheets {
    fn new(
        summary: &Summary,
        missing: &Missing,
        looked_at: Option<&Stored>,
        strata: &Strata,
    ) -> Result<Sheets> {
        let telling = Telling::new(looked_at, summary);
        let telling = telling.as_ref();
        let shortcuts = telling.and_then(|telling| telling.caution(summary));
        Ok(Sheets {
            leaderboard: leaderboard::table(summary),
            standings: ranking::table(summary)?,
            gap: gap::table(summary),
            paper: gap::paper_sheet(summary),
            measures: measures::sheets(summary)
                .into_iter()
                .chain(strata_tables::sheets(strata, summary))
                .collect(),
            failures: measures::failures(summary),
            trivia: telling.map(|telling| telling.table(summary)),
            adjusted: adjusted::table(looked_at, summary)?,
            missing: missing.table(),
            verdict: verdict::verdict(summary),
            urgent: missing.caution().into_iter().chain(shortcuts).collect(),
            cautions: provenance::cautions(summary),
        })
    }

    fn markdown(&self, results: &[StoredCell], summary: &Summary) -> String {
        let warning = summary.warning.as_deref();
        let mut parts = vec![format!("# {}", display_table::plain(&provenance::title(results)))];
        parts.extend(self.verdict.iter().map(|sentence| display_table::plain(sentence)));
        let cautions = self.urgent.iter().chain(&self.cautions);
        parts.extend(cautions.map(|caution| format!("**{}**", display_table::plain(caution))));
        parts.push(self.leaderboard.markdown(warning));
        parts.push(format!("{}\n{}", self.gap.markdown(warning), gap::WHY));
        parts.push(self.standings.markdown(warning));
        let rest = self.trivia.iter().chain(&self.adjusted).chain(&self.paper).chain(&self.measures);
        let rest = rest.chain(&self.failures).chain(&self.missing);
        parts.extend(rest.map(|table| table.markdown(warning)));
        let facts = provenance::rows(results);
        let facts: Vec<String> =
            facts.iter().map(|(name, value)| format!("- {name}: {}", display_table::plain(value))).collect();
        parts.push(format!("## Where the numbers come from\n\n{}", facts.join("\n")));
        parts.iter().map(|part| part.trim_end().to_owned() + "\n").collect::<Vec<_>>().join("\n")
    }
}

struct Figures {
    means: Option<Figure>,
    scores: Vec<Figure>,
    gap: Vec<Figure>,
    details: Vec<Figure>,
    galleries: Vec<Figure>,
}

impl Figures {
    fn draw(summary: &Summary, galleries: &[(String, Gallery)]) -> Result<Figures> {
        let exemplars = Exemplars::read(summary)?;
        let details = [
            Some(roc::curves(summary, &exemplars)?),
            Some(roc::histograms(summary, &exemplars)?),
            loss::losses(summary, &exemplars)?,
            loss::diagnostics(summary, &exemplars)?,
            loss::signs(summary, &exemplars)?,
            speed::figure(summary)?,
        ];
        let drawn = galleries.iter().map(|(name, gallery)| gallery::figure(summary, name, gallery));
        Ok(Figures {
            means: forest::means(summary)?,
            scores: vec![auroc::by_task(summary)?, auroc::over_shots(summary)?],
            gap: gap::bars(summary)?.into_iter().collect(),
            details: details.into_iter().flatten().collect(),
            galleries: drawn.collect::<Result<_>>()?,
        })
    }

    fn write(&self, folder: &Path) -> Result<()> {
        let rest = [&self.scores, &self.gap, &self.details, &self.galleries].into_iter().flatten();
        for figure in self.means.iter().chain(rest) {
            figure.write(folder)?;
        }
        Ok(())
    }
}

fn page_of(
    results: &[StoredCell],
    summary: &Summary,
    sheets: &Sheets,
    figures: &Figures,
    galleries: &[(String, Gallery)],
) -> Result<String> {
    let galleries = html::shown(galleries, |entrant| summary.entrants[entrant].random)?;
    let page = Page {
        title: &provenance::title(results),
        warning: summary.warning.as_deref(),
        verdict: &sheets.verdict,
        urgent: &sheets.urgent,
        cautions: &sheets.cautions,
        facts: &provenance::rows(results),
        leaderboard: &sheets.leaderboard,
        means: figures.means.as_ref(),
        scores: figures.scores.iter().collect(),
        gap: [Some(&sheets.gap), sheets.paper.as_ref()].into_iter().flatten().collect(),
        gap_figures: figures.gap.iter().collect(),
        standings: &sheets.standings,
        trivia: sheets.trivia.as_ref(),
        adjusted: sheets.adjusted.as_ref(),
        measures: &sheets.measures,
        details: figures.details.iter().collect(),
        methods: html::methods(summary, &galleries),
        galleries,
        failures: sheets.failures.as_ref(),
        missing: sheets.missing.as_ref(),
        why: gap::WHY,
    };
    Ok(page.render()?)
}
