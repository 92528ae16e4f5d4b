//! `episodes`: draw, export, verify.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use super::common::home;
use super::planned_run::PlannedRun;
use crate::episode::{self, Episodes, Pool, Settings, lists};
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
    /// Write stored episodes as one JSON file, or as lists of files for a program of one's own
    ///
    /// `--lists` writes queries.csv (test pictures, in an order that tells nothing of their labels), supports.csv
    /// (by task, draw and position; K shots are the first K) and normals.csv (train normals of every task):
    /// `task`, `image_id`, `path` below the raw folder, and `frame`. Paths may name people: keep them at home.
    /// What a program makes of them, `import-scores` takes.
    #[command(group(clap::ArgGroup::new("what").required(true).multiple(true).args(["out", "lists"])))]
    Export {
        /// Folder with episodes.parquet
        run: PathBuf,
        /// JSON file to write
        #[arg(long)]
        out: Option<PathBuf>,
        /// Folder for lists of files
        #[arg(long, value_name = "DIR")]
        lists: Option<PathBuf>,
        /// --lists: the curated benchmark [default: the one that the run's plan names]
        #[arg(long, requires = "lists")]
        manifest: Option<PathBuf>,
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
            Action::Export { run, out, lists, manifest } => {
                let episodes = Episodes::read(&run)?;
                if let Some(out) = out {
                    files::write_whole(&out, &serde_json::to_vec_pretty(&episodes.to_json())?)?;
                    println!("written to {}", out.display());
                }
                if let Some(lists) = lists {
                    export_lists(&episodes, &run, manifest, &lists)?;
                }
            }
        }
        Ok(())
    }
}

/// Writes what a program of one's own must score, and by which supports; says where the files are.
fn export_lists(episodes: &Episodes, run: &Path, manifest: Option<PathBuf>, to: &Path) -> Result<()> {
    let named = PlannedRun::read(run)?.manifest();
    let folder = manifest.or(named).with_context(|| {
        format!("{} does not say which curated benchmark it is of; give --manifest FOLDER", run.display())
    })?;
    let manifest = Manifest::read(&folder)?;
    lists::write(episodes, &manifest, to)?;
    let raw = manifest.raw()?.map_or("the raw folder".to_owned(), |raw| raw.display().to_string());
    println!("queries.csv, supports.csv and normals.csv written to {}; paths are below {raw}", to.display());
    Ok(())
}

/// Checks that episodes follow from their seed and the manifest, and that the run's cells used them; says so.
pub(super) fn verify(run: &Path, manifest: &Path) -> Result<String> {
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
