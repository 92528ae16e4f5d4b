//! What `bench` and the commands it is made of say and write of a run: what is to do, the plan, the report.

use std::path::{Path, PathBuf};

use anyhow::{Result, ensure};

use crate::evaluate::plan::Retry;
use crate::evaluate::planned::{Opened, Planned, Tally};
use crate::results::Stopped;
use crate::{files, report, trivia};

/// Says how much there is to do, beside what is `stopped`.
pub(super) fn announce(opened: &Opened, folder: &Path, stopped: &[Stopped]) {
    let Tally { done, failed, .. } = opened.tally(folder, stopped);
    let failed = if failed > 0 { format!(", {failed} failed before") } else { String::new() };
    let Planned { definition, device, precision, .. } = &opened.planned;
    let n_cells = opened.cells().count();
    log::info!(
        "{}: {n_cells} cells, {done} already done{failed}, on {device} ({})",
        definition.name,
        precision.name()
    );
}

/// Says how much room maps take, before any is made.
pub(super) fn announce_maps(opened: &Opened, folder: &Path, retry: Retry) {
    let ((cells, bytes), all) = (opened.bytes_of_maps(folder, retry), opened.cells().count());
    log::info!(
        "maps of {cells} cells are kept: at most {:.2} GB in {}",
        bytes as f64 / 1e9,
        folder.display()
    );
    if cells < all {
        log::info!(
            "{} cells that are there already get none; remove their folders in {} to compute them again",
            all - cells,
            folder.join("cells").display()
        );
    }
}

/// Writes the plan; says what it set aside.
pub(super) fn write_plan(opened: &Opened, folder: &Path, stopped: &[Stopped]) -> Result<()> {
    let n_aside = opened.write(folder, stopped)?;
    if n_aside > 0 {
        let aside = folder.join("cells-stale");
        log::info!("{n_aside} failed cells or cells of other code or data set aside in {}", aside.display());
    }
    Ok(())
}

/// Draws the report from what there is.
///
/// # Errors
/// If cells failed or are missing, after the report is drawn.
pub(super) fn finish(opened: &Opened, folder: &Path) -> Result<()> {
    trivia(opened, folder);
    // A stop meanwhile leaves the earlier report.
    let index: PathBuf = report::write(folder, folder)?;
    println!("{}", files::read_text(&folder.join(report::SCREEN))?);
    let metrics = files::read(&folder.join("results/metrics.csv"))?;
    println!("metrics: {} (hash over metrics.csv)", files::fingerprint(&metrics));
    println!("report: {} (open it in a browser)", std::path::absolute(&index).unwrap_or(index).display());
    opened.tidy_up(folder)?;
    let Tally { failed, lacked, to_do: missing, .. } = opened.tally(folder, &opened.stopped(folder)?);
    let all = opened.cells().count();
    ensure!(
        failed == 0 || failed > lacked,
        "{failed} of {all} cells failed because a disk or a quota is full; make room and run the same command again"
    );
    ensure!(
        failed == 0,
        "{failed} of {all} cells failed; the report lists them with their errors, and --retry-failed runs them again"
    );
    ensure!(missing == 0, "{missing} of {all} cells are not there yet");
    match opened.planned.definition.spec.as_str() {
        "phantom" => println!("next: your own pictures, with `cargo xtask init FOLDER`"),
        _ => println!("next: `cargo xtask verify {}` checks what is stored", folder.display()),
    }
    Ok(())
}

/// What the test pictures' trivial numbers are, for the report's joint control. Cells may be collected where no pictures
/// are; then the report goes without.
fn trivia(opened: &Opened, folder: &Path) {
    if let Err(error) = trivia::provide(&opened.manifest, opened.planned.definition.size, folder) {
        log::warn!("note: the report has no joint control, as the pictures cannot be looked at: {error:#}");
    }
}
