//! `episodes`: draw, export, verify.

use std::path::PathBuf;

use anyhow::{Context, Result};

use super::common::home;
use crate::episode::{self, Episodes, Pool, Settings};
use crate::files;
use crate::manifest::Manifest;

/// Draw, export or verify the episodes of a curated benchmark
///
/// An episode says which pictures are supports and which are for training. Episodes follow from the manifest
/// and a seed alone, so they can be published as image ids and checked against a run.
#[derive(clap::Args)]
pub(super) struct Args {
    #[command(subcommand)]
    action: Action,
}

#[derive(clap::Subcommand)]
enum Action {
    /// Draw episodes and write episodes.parquet and episodes.json
    Draw {
        /// Curated benchmark
        #[arg(long, default_value_os_t = home("manifests").join("phantom"))]
        manifest: PathBuf,
        /// Seed; the same seed gives the same episodes
        #[arg(long, default_value_t = 1)]
        seed: u64,
        /// Number of support sets per task
        #[arg(long, default_value_t = 10)]
        draws: usize,
        /// Size of the largest support set
        #[arg(long, default_value_t = 8)]
        max_shots: usize,
        /// Output folder
        #[arg(long)]
        out: PathBuf,
    },
    /// Check that a run's stored episodes follow from its manifest and seed, and that its cells used them
    Verify {
        /// Run folder, such as reports/quick
        run: PathBuf,
        /// Curated benchmark
        #[arg(long, default_value_os_t = home("manifests").join("phantom"))]
        manifest: PathBuf,
    },
    /// Write stored episodes as one JSON file
    Export {
        /// Folder with episodes.parquet
        run: PathBuf,
        /// JSON file to write
        #[arg(long)]
        out: PathBuf,
    },
}

impl Args {
    pub(super) fn run(self) -> Result<()> {
        match self.action {
            Action::Draw { manifest, seed, draws, max_shots, out } => {
                let episodes = Pool::read(&manifest)?.draw(Settings { seed, draws, max_shots })?;
                episodes.write(&out)?;
                println!("episodes {} written to {}", episodes.hash(), out.display());
            }
            Action::Verify { run, manifest } => println!("episodes {}", verify(&run, &manifest)?),
            Action::Export { run, out } => {
                let json = serde_json::to_vec_pretty(&Episodes::read(&run)?.to_json())?;
                files::write_whole(&out, &json)?;
                println!("written to {}", out.display());
            }
        }
        Ok(())
    }
}

/// Checks that episodes follow from their seed and the manifest, and that the run's cells used them; says so.
pub(super) fn verify(run: &std::path::Path, manifest: &std::path::Path) -> Result<String> {
    let manifest = Manifest::read(manifest)?;
    let stored = Episodes::read(run)?;
    stored.verify(&manifest)?;
    let drawn = episode::draw(&manifest, stored.settings)?;
    anyhow::ensure!(drawn == stored, "{}: the stored episodes do not follow from their seed", run.display());
    let mut n_cells = 0;
    for result in crate::results::read_run(run)? {
        let identity = &result.cell.identity;
        if let Some(altered) = result.cell.altered() {
            anyhow::bail!("cell {}: {altered}", result.cell.id);
        }
        // What the plan handed over under each regime; R0 and R1 may name a rule for a random teacher's sake.
        let regime = result.cell.provenance.regime;
        let training = identity.held_out.given_tasks(regime, &manifest, &identity.task);
        anyhow::ensure!(
            identity.manifest_hash == stored.manifest_hash,
            "cell {} used manifest {}",
            result.cell.id,
            identity.manifest_hash
        );
        let hash = stored
            .cell_hash(&identity.task, identity.draw, identity.shots, &training)
            .with_context(|| format!("cell {}", result.cell.id))?;
        anyhow::ensure!(hash == identity.episodes_hash, "cell {} used other episodes", result.cell.id);
        n_cells += 1;
    }
    Ok(format!("{} verified; {n_cells} cells used them", stored.hash()))
}
