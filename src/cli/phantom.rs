//! `phantom`: a synthetic raw tree, in the layouts of the five sources.

use std::path::PathBuf;

use anyhow::Result;

use super::common::use_threads;
use crate::phantom::{self, Settings};

/// Draws synthetic pictures into the five sources' own layouts and formats, as raw data for `build-dataset
/// --raw DIR`. They are no medical pictures.
///
/// `quick` draws some hundred pictures with lesion masks. `full` draws every picture of the owners' releases
/// (54,472 pictures that are a third as high), so that the 13,084-image benchmark can be built at size.
#[derive(clap::Args)]
pub struct Args {
    /// Where to write; a new or empty folder, or one that this command made before: what another version,
    /// scale or seed drew there is replaced
    #[arg(long)]
    out: PathBuf,
    /// How many pictures
    #[arg(long, value_enum, default_value = "quick")]
    scale: Scale,
    /// Same seed, same bytes
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Threads [default: all cores]
    #[arg(long)]
    threads: Option<usize>,
}

#[derive(Clone, Copy, clap::ValueEnum)]
enum Scale {
    Quick,
    Full,
}

impl Args {
    pub fn run(self) -> Result<()> {
        use_threads(self.threads)?;
        let scale = match self.scale {
            Scale::Quick => phantom::Scale::Quick,
            Scale::Full => phantom::Scale::Full,
        };
        phantom::draw_once(&self.out, &Settings { seed: self.seed, scale, ..Settings::default() })
    }
}
