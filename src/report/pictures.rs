//! Every test picture of a run with its scores, to be sorted and filtered: a page, and the pictures as files beside it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Result, ensure};
use askama::Template;
use rayon::prelude::*;
use serde::Serialize;

use super::drawing::encode;
use super::gallery::overlay;
use super::summary::Summary;
use super::{provenance, read};
use crate::decode::resize;
use crate::manifest::{Manifest, Row, Split};
use crate::maps::MapStack;
use crate::protocol::{self, Protocol};
use crate::results::StoredCell;
use crate::{files, progress};

/// Side of the pictures on the page.
const SIDE: usize = 128;

/// Name of the page and, without its ending, of the folder beside it.
const PAGE: &str = "pictures.html";

#[derive(Template)]
#[template(path = "pictures.html", config = "src/report/askama.toml")]
struct Page<'a> {
    title: String,
    warning: Option<&'a str>,
    /// JSON in which nothing closes a script.
    data: String,
}

/// What the page's script is given.
#[derive(Serialize)]
struct Data<'a> {
    tasks: Vec<&'a str>,
    methods: Vec<Method<'a>>,
    pictures: Vec<Picture<'a>>,
}

#[derive(Serialize)]
struct Method<'a> {
    name: &'a str,
    control: bool,
    /// By task, of the cell that is shown.
    shots: BTreeMap<&'a str, usize>,
    /// Tasks of which maps lie beside the page.
    maps: Vec<&'a str>,
}

#[derive(Serialize)]
struct Picture<'a> {
    id: &'a str,
    task: &'a str,
    /// 0 normal, 1 anomalous, null where it is not opened.
    label: Option<i64>,
    finding: &'a str,
    /// By method, in the page's order: score and p-value.
    scores: Vec<[Option<f64>; 2]>,
}

/// Writes `pictures.html` and `pictures/` into a run's report, from the curated benchmark that the run is of. Shown are the
/// most shots and the first draw of each method, under the ranked protocol; maps of cells that kept them.
///
/// # Errors
/// A run or a benchmark that cannot be read, or a benchmark that the run is not of.
pub fn write(runs: &[PathBuf], manifest: &Manifest, out: &Path) -> Result<PathBuf> {
    let results = read(runs)?;
    let summary = Summary::new(&results)?;
    let hash = &manifest.header.canonical_hash;
    let own = |cell: &&StoredCell| cell.cell.identity.manifest_hash == *hash;
    ensure!(
        results.iter().all(|cell| own(&cell)),
        "the run is of another benchmark than {} (its hash is {hash})",
        manifest.folder.display()
    );
    let shown = Shown::new(&summary)?;
    let rows: Vec<&Row> = summary.tasks.iter().flat_map(|task| manifest.select(task, Split::Test)).collect();
    let folder = out.join(PAGE.trim_end_matches(".html"));
    let size = results[0].cell.identity.size;
    let bar = progress::bar(rows.len(), "pictures");
    for task in &summary.tasks {
        let store = manifest.task(task)?.store(size)?;
        let of_task: Vec<&Row> = rows.iter().copied().filter(|row| row.task == **task).collect();
        of_task.par_iter().try_for_each(|row| -> Result<()> {
            let pixels = store.pixels(&row.pixel_hash)?.to_rgb();
            let name = format!("{}.png", row.image_id);
            let small = resize::lanczos(&pixels, SIDE, SIDE);
            files::write_unsynced(&folder.join("picture").join(&name), &encode(&small)?)?;
            for (entrant, maps) in shown.maps(task) {
                let Some(shares) = maps.get(row.image_id.as_str()) else { continue };
                let map = encode(&resize::lanczos(&overlay(&pixels, shares)?, SIDE, SIDE))?;
                files::write_unsynced(&folder.join(entrant.to_string()).join(&name), &map)?;
            }
            bar.inc(1);
            Ok(())
        })?;
    }
    bar.finish_and_clear();
    let page = Page {
        title: provenance::title(&results),
        warning: summary.warning.as_deref(),
        data: shown.data(&summary, &rows)?,
    };
    let path = out.join(PAGE);
    files::write_whole(&path, page.render()?.as_bytes())?;
    Ok(path)
}

/// Smoothed maps of a cell, each value between 0 and 1 of all, by picture.
type Maps = BTreeMap<String, Vec<f64>>;

/// Score and p-value, by picture.
type Scores = BTreeMap<String, [Option<f64>; 2]>;

/// The cells that stand for each entrant and task.
#[derive(Default)]
struct Shown {
    scores: BTreeMap<(usize, String), Scores>,
    maps: BTreeMap<(usize, String), Maps>,
}

impl Shown {
    fn new(summary: &Summary) -> Result<Shown> {
        let mut shown = Shown::default();
        for entrant in 0..summary.entrants.len() {
            for task in &summary.tasks {
                let Some(cell) = summary.exemplar(entrant, task) else { continue };
                let scores = cell.scores()?;
                let of = |score: &crate::results::Score| {
                    (score.image_id.to_string(), [score.under(Protocol::RANKED), score.p_value])
                };
                shown.scores.insert((entrant, (*task).to_owned()), scores.iter().map(of).collect());
                if let Some(kept) = cell.maps()? {
                    let maps = kept.last.smoothed(protocol::SIGMA);
                    let ids = scores.iter().map(|score| score.image_id.to_string());
                    shown.maps.insert((entrant, (*task).to_owned()), ids.zip(shares(&maps)).collect());
                }
            }
        }
        Ok(shown)
    }

    fn maps<'a>(&'a self, task: &'a str) -> impl Iterator<Item = (usize, &'a Maps)> {
        self.maps
            .iter()
            .filter(move |((_, of), _)| of == task)
            .map(|((entrant, _), maps)| (entrant + 1, maps))
    }

    fn data<'a>(&self, summary: &Summary, rows: &[&'a Row]) -> Result<String> {
        let method = |(index, entrant): (usize, &super::entrant::Entrant)| Method {
            name: summary.entrants[index].label.as_str(),
            control: entrant.control,
            shots: summary
                .tasks
                .iter()
                .filter_map(|task| Some((*task, summary.exemplar(index, task)?.cell.identity.shots)))
                .collect(),
            maps: self.maps.keys().filter(|(of, _)| *of == index).map(|(_, task)| task.as_str()).collect(),
        };
        let picture = |row: &&'a Row| Picture {
            id: row.image_id.as_str(),
            task: row.task.as_str(),
            label: row.label.number(),
            finding: &row.finding,
            scores: (0..summary.entrants.len()).map(|entrant| self.score(entrant, row)).collect(),
        };
        let data = Data {
            tasks: summary.tasks.clone(),
            methods: summary.entrants.iter().enumerate().map(method).collect(),
            pictures: rows.iter().map(picture).collect(),
        };
        Ok(serde_json::to_string(&data)?.replace('<', "\\u003c"))
    }

    fn score(&self, entrant: usize, row: &Row) -> [Option<f64>; 2] {
        let of_task = self.scores.get(&(entrant, row.task.to_string()));
        of_task.and_then(|scores| scores.get(row.image_id.as_str())).copied().unwrap_or([None, None])
    }
}

/// Each map of a stack, its values between the least and the greatest of all.
fn shares(maps: &MapStack) -> Vec<Vec<f64>> {
    let low = maps.values().iter().copied().fold(f32::INFINITY, f32::min);
    let high = maps.values().iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let width = f64::from(if high > low { high - low } else { 1.0 });
    let of = |index: usize| maps.map(index).iter().map(|value| f64::from(value - low) / width).collect();
    (0..maps.count()).map(of).collect()
}
