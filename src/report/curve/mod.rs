//! The specification curve: how a run's numbers and ranks move with the choices of evaluation that papers make.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use anyhow::{Result, bail, ensure};
use rayon::prelude::*;
use strum::VariantArray;

use super::entrant::{Entrant, entrants, warning};
use super::ground::{Ground, common};
use crate::ids::TaskName;
use crate::metric::rank::ranks;
use crate::protocol::PUBLISHED_BATCH;
use crate::results::{Seed, StoredCell};
use crate::{files, progress};
use cell::OneCell;
use choices::{Epoch, Had, LastBatch, OfCell, Seeds, Variant, crossed};

mod cell;
mod choices;
mod figure;
mod table;

/// One method over all variants.
struct Method {
    pub label: String,
    /// What it was given; methods of different regimes do not compete on equal terms.
    pub regime: String,
    /// Mean over tasks and draws, by variant.
    pub aurocs: Vec<f64>,
    /// Among the methods, 1 is the highest AUROC; ties share the mean of theirs.
    pub ranks: Vec<f64>,
}

/// The whole curve: variants by rising mean over methods, methods by falling median.
struct Curve {
    pub shots: usize,
    pub variants: Vec<Variant>,
    pub methods: Vec<Method>,
    /// What is not in it, in sentences.
    pub left_out: Vec<String>,
    pub warning: Option<String>,
}

/// AUROC of one cell by choice, and where it belongs.
struct Measured {
    task: TaskName,
    seed: Seed,
    aurocs: BTreeMap<OfCell, f64>,
}

/// Draws the curve of a run at a number of shots, the greatest if none is named, into `out`; returns the text that is
/// written there too.
///
/// # Errors
/// A run without methods that can be compared, cells that cannot be read, or an output that cannot be written.
pub fn write(run: &Path, shots: Option<usize>, out: &Path) -> Result<(String, PathBuf)> {
    let results = super::read(&[run.to_owned()])?;
    let curve = Curve::new(&results, shots)?;
    let text = table::markdown(&curve);
    let drawn = figure::draw(&curve)?;
    drawn.write(out)?;
    files::write_whole(&out.join("curve.csv"), &table::variants(&curve)?)?;
    files::write_whole(&out.join("ranges.csv"), &table::ranges(&curve)?)?;
    files::write_whole(&out.join("curve.md"), text.as_bytes())?;
    Ok((text, out.join("curve.svg")))
}

impl Curve {
    fn new(results: &[StoredCell], shots: Option<usize>) -> Result<Curve> {
        let all: BTreeSet<usize> = results.iter().map(|cell| cell.cell.identity.shots).collect();
        let shots = shots.or(all.last().copied()).unwrap_or_default();
        ensure!(all.contains(&shots), "no cell has {shots} shots (there are: {all:?})");
        let mut left_out = Vec::new();
        let entrants = comparable(entrants(results), shots, &mut left_out)?;
        let cells: Vec<Vec<(&StoredCell, OneCell<'_>)>> = entrants
            .iter()
            .map(|(_, cells)| cells.iter().map(|cell| Ok((*cell, OneCell::read(cell)?))).collect())
            .collect::<Result<_>>()?;
        let (entrants, cells) = alike(entrants, cells, &mut left_out);
        ensure!(!entrants.is_empty(), "no method kept the maps of all of its cells, or of none");
        let choices = crossed(had(&entrants, &cells, &mut left_out));
        let of_cell: Vec<OfCell> =
            choices.iter().map(|variant| variant.of_cell).collect::<BTreeSet<_>>().into_iter().collect();
        let bar = progress::bar(cells.iter().map(Vec::len).sum(), "cells under every choice");
        let measured: Vec<Vec<Measured>> = cells
            .par_iter()
            .map(|cells| {
                let measure = |(cell, one): &(&StoredCell, OneCell<'_>)| {
                    let id = &cell.cell.identity;
                    let aurocs = one.aurocs(&of_cell)?;
                    bar.inc(1);
                    Ok(Measured { task: id.task.clone(), seed: id.seed, aurocs })
                };
                cells.par_iter().map(measure).collect()
            })
            .collect::<Result<_>>()?;
        bar.finish_and_clear();
        let had: Vec<Variant> = choices
            .iter()
            .copied()
            .filter(|variant| measured.iter().all(|cells| mean(cells, *variant).is_some()))
            .collect();
        if had.len() < choices.len() {
            left_out.push(format!(
                "{} of {} combinations, since not every method has a value there",
                choices.len() - had.len(),
                choices.len()
            ));
        }
        ensure!(!had.is_empty(), "there is no choice under which every method has a value on every task");
        let labels =
            entrants.iter().map(|(entrant, _)| (entrant.label.clone(), entrant.regime_words())).collect();
        let only: Vec<Entrant> = entrants.into_iter().map(|(entrant, _)| entrant).collect();
        Ok(Curve::sorted(shots, had, labels, &measured, left_out, warning(&only)))
    }

    fn sorted(
        shots: usize,
        mut variants: Vec<Variant>,
        labels: Vec<(String, String)>,
        measured: &[Vec<Measured>],
        left_out: Vec<String>,
        warning: Option<String>,
    ) -> Curve {
        let value = |method: usize, variant: Variant| mean(&measured[method], variant).unwrap_or(f64::NAN);
        let over_methods = |variant: &Variant| -> f64 {
            (0..labels.len()).map(|method| value(method, *variant)).sum::<f64>() / labels.len() as f64
        };
        variants.sort_by(|a, b| over_methods(a).total_cmp(&over_methods(b)).then(a.cmp(b)));
        let mut methods: Vec<Method> = labels
            .into_iter()
            .enumerate()
            .map(|(method, (label, regime))| Method {
                label,
                regime,
                aurocs: variants.iter().map(|variant| value(method, *variant)).collect(),
                ranks: Vec::new(),
            })
            .collect();
        for place in 0..variants.len() {
            let negated: Vec<f64> = methods.iter().map(|method| -method.aurocs[place]).collect();
            for (method, rank) in methods.iter_mut().zip(ranks(&negated)) {
                method.ranks.push(rank);
            }
        }
        methods.sort_by(|a, b| {
            table::median(&b.aurocs).total_cmp(&table::median(&a.aurocs)).then_with(|| a.label.cmp(&b.label))
        });
        Curve { shots, variants, methods, left_out, warning }
    }
}

/// The entrants that are no controls and rest on the ground of most, with their cells that ran.
fn comparable<'a>(
    all: Vec<Entrant<'a>>,
    shots: usize,
    left_out: &mut Vec<String>,
) -> Result<Vec<(Entrant<'a>, Vec<&'a StoredCell>)>> {
    let ran = |entrant: &Entrant<'a>| -> Vec<&'a StoredCell> {
        entrant.at(shots).into_iter().filter(|cell| cell.cell.error.is_none()).collect()
    };
    let methods: Vec<(Entrant, Vec<&StoredCell>)> = all
        .into_iter()
        .filter(|entrant| !entrant.control)
        .map(|entrant| {
            let cells = ran(&entrant);
            (entrant, cells)
        })
        .filter(|(_, cells)| !cells.is_empty())
        .collect();
    let grounds: Vec<Ground> = methods.iter().map(|(_, cells)| Ground::of(cells)).collect();
    let Some(common) = common(grounds.iter()) else {
        bail!("no method has cells at {shots} shots; controls alone have no curve");
    };
    let mut kept = Vec::new();
    for (method, ground) in methods.into_iter().zip(&grounds) {
        match ground.unlike(common) {
            None => kept.push(method),
            Some(how) => left_out.push(format!("{}, which rests on other cells: {how}", method.0.label)),
        }
    }
    Ok(kept)
}

type Entrants<'a> = Vec<(Entrant<'a>, Vec<&'a StoredCell>)>;
type Cells<'a> = Vec<Vec<(&'a StoredCell, OneCell<'a>)>>;

/// Leaves methods out of which some cells kept maps and others did not: a mean would be of two kinds of numbers.
fn alike<'a>(
    entrants: Entrants<'a>,
    cells: Cells<'a>,
    left_out: &mut Vec<String>,
) -> (Entrants<'a>, Cells<'a>) {
    let mut kept = (Vec::new(), Vec::new());
    for (entrant, cells) in entrants.into_iter().zip(cells) {
        let with_maps = || cells.iter().filter(|(_, one)| one.has_maps());
        let n_keeping = with_maps().filter(|(_, one)| one.keeps_maps()).count();
        if n_keeping > 0 && n_keeping < with_maps().count() {
            left_out.push(format!(
                "{}, of which {n_keeping} of {} cells kept maps: compute the others again with --keep-maps",
                entrant.0.label,
                with_maps().count()
            ));
            continue;
        }
        kept.0.push(entrant);
        kept.1.push(cells);
    }
    kept
}

/// Which choices make a difference here; those that do not are said.
fn had(
    entrants: &[(Entrant, Vec<&StoredCell>)],
    cells: &[Vec<(&StoredCell, OneCell<'_>)>],
    left_out: &mut Vec<String>,
) -> Had {
    let all = || cells.iter().flatten();
    let seeds: BTreeSet<Seed> = all().map(|(cell, _)| cell.cell.identity.seed).collect();
    let epochs = all().any(|(_, one)| one.has_epochs);
    let maps = all().any(|(_, one)| one.has_maps());
    let rest = all().any(|(_, one)| !one.pictures().is_multiple_of(PUBLISHED_BATCH));
    for (differs, what) in [
        (epochs, "the epoch, since nothing was trained"),
        (maps, "smoothing, reduction and size of maps, since no method makes any"),
        (rest, "the last batch, since every task's pictures fill it"),
        (seeds.len() > 1, "the seed, since there is one"),
    ] {
        if !differs {
            left_out.push(what.to_owned());
        }
    }
    let unkept: Vec<&str> = entrants
        .iter()
        .zip(cells)
        .filter(|(_, cells)| cells.iter().any(|(_, one)| one.has_maps() && !one.keeps_maps()))
        .map(|((entrant, _), _)| entrant.label.as_str())
        .collect();
    if !unkept.is_empty() {
        left_out.push(format!(
            "whatever needs maps that were not kept (bench --keep-maps keeps them), of {}; the maximum there is the \
             method's image score, which may be its own and not the map's maximum",
            unkept.join(", ")
        ));
    }
    if all().any(|(_, one)| !one.is_sorted) {
        left_out.push(
            "smoothing over batches and dropping the last one, since the pictures are in no order of classes"
                .to_owned(),
        );
    }
    left_out.push(
        "min-max scaling over the test set, which rises with the score and so changes no AUROC".to_owned(),
    );
    Had {
        epochs: if epochs { Epoch::VARIANTS } else { &[Epoch::Last] },
        maps,
        last_batches: if rest { LastBatch::VARIANTS } else { &[LastBatch::Kept] },
        seeds: if seeds.len() > 1 { Seeds::VARIANTS } else { &[Seeds::All] },
    }
}

/// Over tasks, of the means over draws and the seeds that a variant looks at; `None` if a cell has no value there.
fn mean(cells: &[Measured], variant: Variant) -> Option<f64> {
    let first = cells.iter().map(|cell| cell.seed).min()?;
    let counts = |cell: &&Measured| variant.seeds == Seeds::All || cell.seed == first;
    let mut by_task: BTreeMap<&TaskName, Vec<f64>> = BTreeMap::new();
    for cell in cells.iter().filter(counts) {
        by_task.entry(&cell.task).or_default().push(*cell.aurocs.get(&variant.of_cell)?);
    }
    let mean = |values: &Vec<f64>| values.iter().sum::<f64>() / values.len() as f64;
    (!by_task.is_empty()).then(|| by_task.values().map(mean).sum::<f64>() / by_task.len() as f64)
}
