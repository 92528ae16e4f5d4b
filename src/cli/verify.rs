//! `verify`: whether a run's stored results hold.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use rayon::prelude::*;

use super::episodes;
use super::findings::Findings;
use super::planned_run::PlannedRun;
use super::verify_sealed::Sealed;
use crate::manifest::Manifest;
use crate::results::{self, GALLERY, MAPS, StoredCell, read_run, recompute};
use crate::trivia::Stored;
use crate::{files, progress, report};

/// Check that a run's stored results hold; exit 1 if something does not
///
/// Holds every cell against its seal, computes every image-level number again from the stored scores, draws the
/// report again, and hashes the inputs that are at hand: the curated benchmark, the episodes and the weights. Prints
/// what was checked, what could not be, and what does not hold. With --seal also whether scores and settings are those
/// that were sealed, and with --labels what the sealed scores are worth. Needs neither a model nor a GPU.
#[derive(clap::Args)]
pub(super) struct Args {
    /// Run folder, such as reports/quick
    run: PathBuf,
    /// Curated benchmark that the run was made on [default: the one that its plan names]
    #[arg(long)]
    manifest: Option<PathBuf>,
    #[command(flatten)]
    sealed: Sealed,
}

impl Args {
    pub(super) fn run(self) -> Result<()> {
        let mut findings = Findings::default();
        let results = read_run(&self.run)?;
        ensure!(!results.is_empty(), "{} holds no finished cell", self.run.display());
        cells(&results, &mut findings);
        self.sealed.check(&self.run, &results, &mut findings)?;
        planned(&self.run, &results, &mut findings)?;
        galleries(&results, &mut findings);
        drawn_again(&self.run, &mut findings)?;
        let plan = PlannedRun::read(&self.run)?;
        inputs(&plan, self.manifest.as_deref(), &results, &mut findings);
        weights(&plan, &mut findings);
        findings.print();
        let n = findings.broken.len();
        ensure!(n == 0, "{n} of the stored results do not hold; what they are is said above");
        Ok(())
    }
}

fn name(result: &StoredCell) -> String {
    let identity = &result.cell.identity;
    let (method, task, shots, draw) = (&identity.method, &identity.task, identity.shots, identity.draw);
    format!("cell {} ({method} on {task}, {shots} shots, draw {draw})", result.cell.id)
}

fn cells(results: &[StoredCell], findings: &mut Findings) {
    let (mut sealed, mut failed, mut numbers) = (0, 0, 0);
    let bar = progress::bar(results.len(), "numbers from scores");
    let again = |stored: &StoredCell| {
        let found = stored.whole().map(|result| recompute(&result));
        bar.inc(1);
        found.unwrap_or_else(|error| (0, vec![format!("{error:#}")]))
    };
    let again: Vec<_> = results.par_iter().map(again).collect();
    bar.finish_and_clear();
    for (result, (holding, broken)) in results.iter().zip(again) {
        if let Some(altered) = result.cell.altered() {
            findings.broken.push(format!("{}: {altered}", name(result)));
            continue;
        }
        sealed += 1;
        failed += usize::from(result.cell.error.is_some());
        numbers += holding;
        findings.broken.extend(broken.into_iter().map(|broken| format!("{}: {broken}", name(result))));
    }
    findings.holds.push(format!("{sealed} cells are what was written, {failed} of them failed"));
    findings.holds.push(format!("{numbers} image-level numbers and intervals follow from the stored scores"));
    let unchecked =
        "pixel-level numbers, thresholds of supports and p-values: maps and supports' scores are not stored";
    findings.unchecked.push(format!("{unchecked}, so their tables are held against hashes only"));
    let imported = results.iter().filter(|result| result.cell.identity.is_imported()).count();
    if imported > 0 {
        findings.unchecked.push(format!(
            "how the scores of {imported} imported cells came about: another program computed them, and their \
             author states method, regime and supports"
        ));
    }
}

/// The cells that are there, against the run's plan.
fn planned(run: &Path, cells: &[StoredCell], findings: &mut Findings) -> Result<()> {
    let Some(planned) = results::planned(run)? else {
        findings
            .unchecked
            .push("whether cells are missing: the run has no plan.json that names its tasks".to_owned());
        return Ok(());
    };
    let missing = results::missing(run, &planned, cells);
    match missing.first() {
        None => findings.holds.push(format!("all {} planned cells are there", planned.len())),
        Some(first) => findings.broken.push(format!(
            "{} of {} planned cells are missing, not computed yet or removed: first {} on {}, {} shots, draw {}",
            missing.len(),
            planned.len(),
            first.method,
            first.task,
            first.shots,
            first.draw
        )),
    }
    Ok(())
}

fn galleries(results: &[StoredCell], findings: &mut Findings) {
    for (file, what) in [(GALLERY, "galleries"), (MAPS, "files of maps")] {
        let mut n = 0;
        for result in results.iter().filter(|result| result.folder.join(file).exists()) {
            match result.seal.holds(file, &result.folder) {
                true => n += 1,
                false => findings.broken.push(format!("{}: {file} is not what was written", name(result))),
            }
        }
        findings.holds.push(format!("{n} {what} are what was written"));
    }
}

/// The report that lies in the run's folder, against the one that its cells give.
fn drawn_again(run: &Path, findings: &mut Findings) -> Result<()> {
    let folder = tempfile::tempdir().context("making a folder for the report")?;
    if let Err(error) = report::write(run, folder.path()) {
        findings.broken.push(format!("the report cannot be drawn: {error:#}"));
        return Ok(());
    }
    let mut n = 0;
    for file in files::walk(folder.path())? {
        let stored = run.join(&file);
        if !stored.exists() {
            continue;
        }
        match files::read(&stored)? == files::read(&folder.path().join(&file))? {
            true => n += 1,
            false => findings
                .broken
                .push(format!("{file} is not what the cells give; draw it again with `report`")),
        }
    }
    match n {
        0 => findings.unchecked.push("the report: none lies in the run's folder".to_owned()),
        n => findings.holds.push(format!("{n} files of the report are what the cells give")),
    }
    Ok(())
}

/// The curated benchmark, given or named by the plan, and the episodes drawn from it.
fn inputs(plan: &PlannedRun, given: Option<&Path>, results: &[StoredCell], findings: &mut Findings) {
    match given.map(Path::to_owned).or(plan.manifest()) {
        Some(path) => {
            findings.of("manifest and episodes", episodes::verify(plan.run, &path));
            pictures(&path, results, findings);
            looked_at(plan.run, &path, findings);
        }
        None => {
            findings
                .unchecked
                .push("manifest, pictures and episodes: name the benchmark with --manifest".to_owned());
        }
    }
}

/// The pixel stores of every size that a cell used, against the hashes that the manifest's header states.
fn pictures(folder: &Path, results: &[StoredCell], findings: &mut Findings) {
    let what = "standardised pictures";
    match Manifest::read(folder) {
        Ok(manifest) if !manifest.header.seals_pixels() => findings.unchecked.push(format!(
            "{what}: the benchmark was curated by an earlier program, which kept no hash of them"
        )),
        manifest => findings.of(what, manifest.and_then(|manifest| stores(&manifest, results))),
    }
}

/// The trivial numbers of the test pictures, against the pictures.
fn looked_at(run: &Path, manifest: &Path, findings: &mut Findings) {
    let again = |stored: Stored| {
        let manifest = Manifest::read(manifest)?;
        let n = stored.rows.len();
        ensure!(
            Stored::of(&manifest, stored.size)? == stored,
            "trivia.parquet is not what the pictures give"
        );
        Ok(format!("those of {n} pictures are what the pictures give"))
    };
    match Stored::read(run).transpose() {
        Some(stored) => findings.of("trivial numbers", stored.and_then(again)),
        None => findings.unchecked.push("trivial numbers: nobody has looked at the pictures".to_owned()),
    }
}

fn stores(manifest: &Manifest, results: &[StoredCell]) -> Result<String> {
    let sizes: BTreeSet<usize> = results.iter().map(|result| result.cell.identity.size).collect();
    let mut n = 0;
    for task in manifest.tasks() {
        for &size in &sizes {
            manifest.task(&task)?.store(size)?;
            n += 1;
        }
    }
    Ok(format!("{n} pixel stores are those that were curated"))
}

/// Files of pretrained weights that the plan names, against the hashes that it states.
fn weights(plan: &PlannedRun, findings: &mut Findings) {
    let teachers = &plan.json["teachers"];
    let named = teachers["named"].as_object().into_iter().flat_map(|named| named.values());
    let files = named.chain([&teachers["other"]]).filter_map(|origin| {
        Some((origin["File"]["path"].as_str()?.to_owned(), origin["File"]["sha256"].as_str()?.to_owned()))
    });
    for (path, stated) in files {
        let what = format!("weights {path}");
        let path = plan.path(&path);
        match path.exists() {
            true => findings.of(&what, hashed(&path, &stated)),
            false => findings.unchecked.push(format!("{what}: not at hand")),
        }
    }
}

fn hashed(path: &Path, stated: &str) -> Result<String> {
    let (hash, _) = files::sha256_of(&[path.to_owned()])?;
    ensure!(hash == stated, "SHA-256 {hash}, and the run used {stated}");
    Ok("the SHA-256 that the run used".to_owned())
}
