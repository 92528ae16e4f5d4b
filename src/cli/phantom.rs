//! `phantom`: a synthetic raw tree, in the layouts of the five sources.

use std::path::PathBuf;

use anyhow::Result;

use super::common::use_threads;
use crate::phantom::{self, Settings};

/// Generate the raw folders of a synthetic benchmark, small or at full size
///
/// Generates synthetic pictures in the folder layouts and formats of the five sources, as raw data for
/// `build-dataset --raw DIR`. They are not medical pictures.
///
/// `quick` generates a few hundred pictures with lesion masks; `full` as many as the owners' releases have
/// (54,472, at a third of their height), to build the 13,084-image benchmark at full scale. `studies` generates volumes
/// of three other tasks, with lesions in a few slices, for the spec phantom-studies.
#[derive(clap::Args)]
pub(super) struct Args {
    /// Output folder: new, empty, or made by this command before. What another version, scale or seed wrote
    /// there is replaced
    #[arg(long)]
    out: PathBuf,
    /// Number of pictures
    #[arg(long, value_enum, default_value = "quick")]
    scale: Scale,
    /// Seed; the same seed gives the same bytes
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Worker threads [default: all cores]
    #[arg(long)]
    threads: Option<usize>,
}

#[derive(Clone, Copy, clap::ValueEnum)]
enum Scale {
    Quick,
    Full,
    Studies,
}

impl Args {
    pub(super) fn run(self) -> Result<()> {
        use_threads(self.threads)?;
        let scale = match self.scale {
            Scale::Quick => phantom::Scale::Quick,
            Scale::Full => phantom::Scale::Full,
            Scale::Studies => phantom::Scale::Studies,
        };
        phantom::draw_once(&self.out, &Settings { seed: self.seed, scale, ..Settings::default() })
    }
}
