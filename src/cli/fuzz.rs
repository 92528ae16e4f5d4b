//! `fuzz`: damaged files of every kind, each of which must end decoded or refused.

use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result, ensure};

use crate::fuzz::campaign::{Campaign, Tally};
use crate::fuzz::{Family, originals};
use crate::{files, progress};

/// Read damaged files of every kind and count what becomes of them
///
/// Damages files of a family by chance and reads them in a process of its own. Each must end decoded or refused with
/// a reason, within 5 seconds and 1 GiB. Prints a table; fails where an input did not. The same seed damages the same
/// files in the same way.
#[derive(clap::Args)]
pub(super) struct Args {
    /// Inputs of each family
    #[arg(long, default_value_t = 1000)]
    cases: u64,
    /// png, jpeg, bmp, tiff, dicom, nifti, manifest, spec, store, episodes, results or weights; repeat for more
    /// [default: all; results only with --from]
    #[arg(long, value_parser = Family::parse)]
    family: Vec<Family>,
    /// Seed of the damage
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Folder with further whole files, or a run for its results
    #[arg(long, value_name = "DIR")]
    from: Option<PathBuf>,
    /// Folder for the inputs that were read badly
    #[arg(long, value_name = "DIR")]
    keep: Option<PathBuf>,
    /// Read inputs from this number on and tell of each in a line
    #[arg(long, hide = true)]
    worker: Option<u64>,
}

impl Args {
    pub(super) fn run(self) -> Result<()> {
        let campaign =
            |family: Family| Campaign { family, cases: self.cases, seed: self.seed, from: self.from.clone() };
        if let (Some(first), &[family]) = (self.worker, &self.family[..]) {
            return campaign(family).work(first);
        }
        let all = || Family::all().filter(|&family| family.is_read() && family != Family::Results).collect();
        let families: Vec<Family> = if self.family.is_empty() { all() } else { self.family.clone() };
        println!("| family | inputs | decoded | rejected | panics | hangs | worst memory, MB |");
        println!("| --- | ---: | ---: | ---: | ---: | ---: | ---: |");
        let mut faults = 0;
        for family in families {
            let campaign = campaign(family);
            let tally = self.tally(&campaign)?;
            let Tally { decoded, rejected, panics, hangs, memory, .. } = &tally;
            let megabytes = memory.div_ceil(1024);
            println!(
                "| {family} | {} | {decoded} | {rejected} | {panics} | {hangs} | {megabytes} |",
                self.cases
            );
            self.tell(&campaign, &tally)?;
            faults += tally.faults.len();
        }
        ensure!(faults == 0, "{faults} inputs were read badly");
        Ok(())
    }

    fn tally(&self, campaign: &Campaign) -> Result<Tally> {
        let program = std::env::current_exe().context("cannot tell where this program is")?;
        let start = |first: u64| {
            let mut command = Command::new(&program);
            command.args(["fuzz", "--family", campaign.family.name(), "--worker", &first.to_string()]);
            command.args(["--cases", &self.cases.to_string(), "--seed", &self.seed.to_string()]);
            command.args(self.from.iter().flat_map(|from| ["--from".as_ref(), from.as_os_str()]));
            command
        };
        let bar = progress::bar(self.cases as usize, campaign.family.name());
        let tally = campaign.run(start, |done| bar.set_position(done));
        bar.finish_and_clear();
        tally
    }

    /// Says which inputs were read badly, and keeps them where that is asked for.
    fn tell(&self, campaign: &Campaign, tally: &Tally) -> Result<()> {
        for (index, what) in &tally.faults {
            log::warn!("{} {index}: {what}", campaign.family);
            let Some(keep) = &self.keep else { continue };
            let folder = keep.join(format!("{}-{index}", campaign.family));
            let whole = originals(campaign.family, self.from.as_deref())?;
            campaign.place(&whole, *index, &folder)?;
        }
        if let Some(keep) = self.keep.as_ref().filter(|_| !tally.faults.is_empty()) {
            files::write_whole(&keep.join("README"), format!("seed {}\n", self.seed).as_bytes())?;
        }
        Ok(())
    }
}
