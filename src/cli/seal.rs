//! `seal`: a run's scores and settings under one hash, before labels are opened.

use std::path::PathBuf;

use anyhow::Result;

use crate::results::sealed_scores::SealedRun;
use crate::results::{self, read_run};

/// Commit to a run's scores and settings by a hash, before labels are opened
///
/// Writes a small file with BLAKE3 hashes over the scores of every cell (each picture's, in the order of picture ids, under
/// every protocol) and over its settings, and prints the hash over all of it. Deposit that line where its date is
/// certain: in a registry, with the owner of the labels, in a mail. No label enters the hash. `verify RUN --seal FILE`
/// says what no longer matches; with `--labels` it also measures the sealed scores. docs/sealed-scores.md walks through
/// a test whose labels never leave a hospital. Needs neither a model nor a GPU.
#[derive(clap::Args)]
pub(super) struct Args {
    /// Run folder, such as reports/quick
    run: PathBuf,
    /// The seal file; an earlier seal of other scores is not replaced [default: RUN/scores.seal.json]
    #[arg(long)]
    out: Option<PathBuf>,
}

impl Args {
    pub(super) fn run(self) -> Result<()> {
        let cells = read_run(&self.run)?;
        let sealed = SealedRun::of(&cells)?;
        let path = self.out.unwrap_or_else(|| self.run.join("scores.seal.json"));
        sealed.write(&path)?;
        let failed = sealed.cells().iter().filter(|cell| cell.scores.is_none()).count();
        let pictures: u64 = sealed.cells().iter().map(|cell| cell.pictures).sum();
        println!(
            "sealed {} cells, {failed} of them failed, with the scores of {pictures} pictures: {}",
            sealed.cells().len(),
            path.display()
        );
        if let Some(planned) = results::planned(&self.run)? {
            let missing = results::missing(&self.run, &planned, &cells).len();
            if missing > 0 {
                println!(
                    "note: {missing} planned cells are not there and not sealed; whatever comes later does not match"
                );
            }
        }
        // A seal that was there already keeps its root, which a newer program would compute otherwise.
        println!("root: {}", SealedRun::read(&path)?.root());
        Ok(())
    }
}
