//! Every test picture of a run with its scores, to be sorted and filtered: a page, and the pictures as files beside it.

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};

use anyhow::{Result, ensure};
use askama::Template;
use rayon::prelude::*;
use serde_json::json;

use super::drawing::encode;
use super::entrant::{Entrant, entrants, warning};
use super::gallery::overlay;
use super::summary::tasks;
use super::{provenance, read};
use crate::decode::resize;
use crate::ids::is_of_permuted_labels;
use crate::manifest::{Manifest, Row, Split};
use crate::pixels::Pixels;
use crate::protocol::{self, Protocol};
use crate::results::{MAPS, Score};
use crate::{files, progress};

/// Side of the pictures on the page.
const SIDE: usize = 128;

/// Name of the page and, without its ending, of the folder beside it.
const PAGE: &str = "pictures.html";

#[derive(Template)]
#[template(path = "pictures.html", config = "src/report/askama.toml")]
struct Page {
    title: String,
    warning: Option<String>,
    /// JSON in which nothing closes a script.
    data: String,
}

/// Writes `pictures.html` and `pictures/` into a run's report, from the curated benchmark that the run is of. Shown are the
/// most shots and the first draw of each method, under the ranked protocol; maps of cells that kept them.
///
/// # Errors
/// A run or a benchmark that cannot be read, or a benchmark that the run is not of.
pub fn write(runs: &[PathBuf], manifest: &Manifest, out: &Path) -> Result<PathBuf> {
    let results = read(runs)?;
    let hash = &manifest.header.canonical_hash;
    ensure!(
        results.iter().all(|cell| cell.cell.identity.manifest_hash == *hash),
        "the run is of another benchmark than {} (its hash is {hash})",
        manifest.folder.display()
    );
    let board = Board { tasks: tasks(&results), entrants: entrants(&results) };
    let rows: Vec<&Row> = board.tasks.iter().flat_map(|task| manifest.select(task, Split::Test)).collect();
    let folder = out.join(PAGE.trim_end_matches(".html"));
    let size = results[0].cell.identity.size;
    let bar = progress::bar(rows.len(), "pictures");
    for task in &board.tasks {
        let store = manifest.task(task)?.store(size)?;
        let of_task: Vec<&Row> = rows.iter().copied().filter(|row| row.task == **task).collect();
        of_task.par_iter().try_for_each(|row| -> Result<()> {
            let pixels = store.pixels(&row.pixel_hash)?.to_rgb();
            bar.inc(1);
            draw(&folder.join("picture"), row.image_id.as_str(), &pixels)
        })?;
        for (index, entrant) in board.entrants.iter().enumerate() {
            let pixels: HashMap<&str, &str> =
                of_task.iter().map(|row| (row.image_id.as_str(), row.pixel_hash.as_str())).collect();
            let pixels = |id: &str| pixels.get(id).map(|hash| store.pixels(hash)).transpose();
            overlays(entrant, task, &pixels, &folder.join((index + 1).to_string()))?;
        }
    }
    bar.finish_and_clear();
    let page = Page {
        title: provenance::title(&results),
        warning: warning(&board.entrants),
        data: board.data(&rows)?,
    };
    let path = out.join(PAGE);
    files::write_whole(&path, page.render()?.as_bytes())?;
    Ok(path)
}

/// Writes a picture as the page shows it.
fn draw(folder: &Path, id: &str, pixels: &Pixels) -> Result<()> {
    let small = resize::lanczos(pixels, SIDE, SIDE);
    files::write_unsynced(&folder.join(format!("{id}.png")), &encode(&small)?)
}

/// Writes the maps of an entrant's cell over its pictures, where it kept them; one cell's maps are held at once.
fn overlays(
    entrant: &Entrant,
    task: &str,
    pixels: &(dyn Fn(&str) -> Result<Option<Pixels>> + Sync),
    folder: &Path,
) -> Result<()> {
    let Some(cell) = entrant.exemplar(task) else { return Ok(()) };
    let Some(kept) = cell.maps()? else { return Ok(()) };
    let maps = kept.last.smoothed(protocol::SIGMA);
    let low = maps.values().iter().copied().fold(f32::INFINITY, f32::min);
    let high = maps.values().iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let width = f64::from(if high > low { high - low } else { 1.0 });
    cell.scores()?.par_iter().enumerate().try_for_each(|(place, score)| {
        let Some(pixels) = pixels(score.image_id.as_str())? else { return Ok(()) };
        let shares: Vec<f64> = maps.map(place).iter().map(|value| f64::from(value - low) / width).collect();
        draw(folder, score.image_id.as_str(), &overlay(&pixels.to_rgb(), &shares)?)
    })
}

/// What the page shows.
struct Board<'a> {
    tasks: Vec<&'a str>,
    entrants: Vec<Entrant<'a>>,
}

/// By entrant and task, and in these by picture.
struct Scores(BTreeMap<(usize, String), BTreeMap<String, Score>>);

impl Scores {
    fn of(&self, entrant: usize, row: &Row) -> Option<&Score> {
        self.0.get(&(entrant, row.task.to_string()))?.get(row.image_id.as_str())
    }
}

impl Board<'_> {
    /// Of the cell that stands for each entrant and task.
    fn scores(&self) -> Result<Scores> {
        let mut all = BTreeMap::new();
        for (index, entrant) in self.entrants.iter().enumerate() {
            for task in &self.tasks {
                let Some(cell) = entrant.exemplar(task) else { continue };
                let of = |score: Score| (score.image_id.to_string(), score);
                all.insert((index, (*task).to_owned()), cell.scores()?.into_iter().map(of).collect());
            }
        }
        Ok(Scores(all))
    }

    /// JSON for the page's script, in which nothing closes a script.
    fn data(&self, rows: &[&Row]) -> Result<String> {
        let scores = self.scores()?;
        let score = |entrant: usize, row: &Row| -> [Option<f64>; 2] {
            scores
                .of(entrant, row)
                .map_or([None, None], |score| [score.under(Protocol::RANKED), score.p_value])
        };
        // Labels may have been opened after the benchmark was curated.
        let is_of_labels = |entrant: &usize| !is_of_permuted_labels(self.entrants[*entrant].method);
        let method = |entrant: &Entrant| {
            let shown = || self.tasks.iter().filter_map(|task| Some((*task, entrant.exemplar(task)?)));
            let shots: BTreeMap<&str, usize> =
                shown().map(|(task, cell)| (task, cell.cell.identity.shots)).collect();
            let maps: Vec<&str> =
                shown().filter(|(_, cell)| cell.folder.join(MAPS).exists()).map(|(task, _)| task).collect();
            json!({ "name": entrant.label, "control": entrant.control, "shots": shots, "maps": maps })
        };
        let picture = |row: &&Row| {
            let told =
                (0..self.entrants.len()).filter(is_of_labels).find_map(|entrant| scores.of(entrant, row));
            let (label, finding) =
                told.map_or((row.label, &row.finding), |score| (score.label, &score.finding));
            json!({
                "id": row.image_id.as_str(),
                "task": row.task.as_str(),
                // 0 normal, 1 anomalous, null where it is not opened.
                "label": label.number(),
                "finding": finding,
                // By method, in the page's order: score and p-value.
                "scores": (0..self.entrants.len()).map(|entrant| score(entrant, row)).collect::<Vec<_>>(),
            })
        };
        let data = json!({
            "tasks": self.tasks,
            "methods": self.entrants.iter().map(method).collect::<Vec<_>>(),
            "pictures": rows.iter().map(picture).collect::<Vec<_>>(),
        });
        Ok(data.to_string().replace('<', "\\u003c"))
    }
}
