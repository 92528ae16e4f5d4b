//! `build-dataset`: raw folders to a curated benchmark.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use super::common::{home, use_threads};
use crate::curate::ids::{self, IdList};
use crate::curate::{self, Outcome, Request};
use crate::files;
use crate::manifest::Manifest;
use crate::phantom;
use crate::pseudonym::Key;
use crate::spec::{Duplicates, Pattern, Spec, is_drawn};

/// Curate raw folders into a benchmark; without --raw, generate and curate the synthetic phantom
///
/// Reads the owners' folders (see `sources`), selects pictures as the spec says, decodes and standardises them,
/// and writes manifest.parquet, rejected.parquet, selection.parquet and a pixel store. Every file ends up in
/// the manifest or, with a reason, in the rejected table. Run the command again to resume.
#[derive(clap::Args)]
pub(super) struct Args {
    /// TOML file, or a shipped spec: phantom, phantom-studies, mini, medfsad, ddad, edc-aptos, bmad-camelyon16, brats [default:
    /// medfsad with --raw, otherwise phantom]
    #[arg(long)]
    spec: Option<String>,
    /// Folder that contains the sources' folders
    #[arg(long)]
    raw: Option<PathBuf>,
    /// Output folder [default: manifests/<spec name>]
    #[arg(long)]
    out: Option<PathBuf>,
    /// Build what is possible if sources or pictures are missing
    #[arg(long)]
    partial: bool,
    /// Use the pictures and splits of this id list instead of drawing new ones; it must belong to the spec
    #[arg(long, value_name = "FILE")]
    replay: Option<PathBuf>,
    /// Also write the selection as an id list: text without pictures that can be published and replayed. It names
    /// files by hashes
    #[arg(long, value_name = "FILE")]
    freeze: Option<PathBuf>,
    /// Write the files' paths into the id list, too: only if no name in them may not be published
    #[arg(long, requires = "freeze")]
    freeze_paths: bool,
    /// How paths tell patients apart: a regular expression over the path below a task's folder, whose first group is the
    /// patient. For every task of source `folders`, instead of what its spec says (`patients`); files whose path it does
    /// not fit are rejected, and what a DICOM file says of its patient goes before it
    #[arg(long, value_name = "REGEX")]
    group_by: Option<Pattern>,
    /// Keep one of the byte-identical files of a task, the first by path, and none where their labels differ (`duplicates =
    /// "drop"` in the spec); the others are in rejected.parquet
    #[arg(long, conflicts_with = "replay")]
    drop_copies: bool,
    /// Key of patients' pseudonyms: the same key gives the same ones [default: `MEDFSAD_KEY`, else
    /// ~/.config/medfsad/pseudonyms.key, made at its first use; the phantom's is public]
    #[arg(long, value_name = "FILE")]
    key: Option<PathBuf>,
    /// Worker threads [default: all cores]
    #[arg(long)]
    threads: Option<usize>,
}

impl Args {
    pub(super) fn run(self) -> Result<()> {
        use_threads(self.threads)?;
        let default = if self.raw.is_some() { "medfsad" } else { "phantom" };
        let name = self.spec.as_deref().unwrap_or(default);
        let spec = self.changed(Spec::load(name)?)?;
        let out = self.out.unwrap_or_else(|| home("manifests").join(&spec.name));
        if let Some(raw) = &self.raw {
            anyhow::ensure!(raw.is_dir(), "--raw {} is not a folder", raw.display());
            ensure_recordable(raw).context("--raw")?;
        }
        let key = match (&self.key, &self.raw) {
            (Some(path), _) => Key::read(path).context("--key")?,
            (None, Some(_)) => Key::own()?,
            (None, None) => Key::PUBLIC,
        };
        let outcome = match &self.raw {
            Some(raw) => {
                let request = Request { spec: &spec, raw, out: &out, partial: self.partial, key: &key };
                match &self.replay {
                    Some(ids) => curate::replay(&request, &IdList::read(ids, &spec)?)?,
                    None => curate::build(&request)?,
                }
            }
            None => {
                anyhow::ensure!(
                    is_drawn(&spec.name),
                    "spec `{name}` needs data: give --raw DIR (only phantom and phantom-studies are drawn on the spot)"
                );
                anyhow::ensure!(self.replay.is_none(), "--replay needs --raw DIR");
                anyhow::ensure!(self.key.is_none(), "--key needs --raw DIR: the phantom's key is public");
                build_phantom(&spec, &out)?
            }
        };
        // Written before anything is said: nobody may be reading.
        if let Some(file) = &self.freeze {
            let list = ids::freeze(&Manifest::read(&out)?, &key, self.freeze_paths);
            files::write_whole(file, list.as_bytes())?;
        }
        print_outcome(&outcome, &out);
        if let Some(file) = &self.freeze {
            println!("id list written to {}", file.display());
        }
        Ok(())
    }

    /// The spec as the options change it.
    fn changed(&self, mut spec: Spec) -> Result<Spec> {
        let mut folders = spec.tasks.iter_mut().filter(|task| task.source == "folders").peekable();
        if let Some(pattern) = &self.group_by {
            anyhow::ensure!(
                folders.peek().is_some(),
                "--group-by is for tasks of source `folders`, of which `{}` has none: other sources know their own \
                 patients or have none",
                spec.name
            );
            folders.for_each(|task| task.patients = Some(pattern.clone()));
        }
        if self.drop_copies {
            spec.tasks.iter_mut().for_each(|task| task.duplicates = Duplicates::Drop);
        }
        Ok(spec)
    }
}

/// Draws the phantom's raw tree below `out`, unless this very program has done so before, and tells where.
pub(super) fn draw_phantom(spec: &Spec, out: &Path) -> Result<PathBuf> {
    let raw = out.join("raw");
    ensure_recordable(&raw)?;
    let scale = if spec.name == "phantom" { phantom::Scale::Quick } else { phantom::Scale::Studies };
    phantom::draw_once(&raw, &phantom::Settings { seed: spec.seed, scale, ..Default::default() })?;
    Ok(raw)
}

/// Curated folders record where their raw folder lies, as text.
fn ensure_recordable(raw: &Path) -> Result<()> {
    let path = std::path::absolute(raw).context("the raw folder")?;
    anyhow::ensure!(
        path.to_str().is_some(),
        "{} is not UTF-8, and a curated folder records the path of its raw folder; rename it",
        path.display()
    );
    Ok(())
}

/// Draws the phantom below `out` and curates it like real data.
pub(super) fn build_phantom(spec: &Spec, out: &Path) -> Result<Outcome> {
    let raw = draw_phantom(spec, out)?;
    curate::build(&Request { spec, raw: &raw, out, partial: false, key: &Key::PUBLIC })
}

fn print_outcome(outcome: &Outcome, out: &Path) {
    println!("{:<14} {:<28} {:>9} {:>9} {:>9}", "task", "part", "expected", "available", "found");
    for row in &outcome.selection {
        let expected = row.expected.map_or_else(|| "all".to_owned(), |n| n.to_string());
        println!("{:<14} {:<28} {expected:>9} {:>9} {:>9}", row.task, row.part, row.available, row.found);
    }
    let mut kinds = std::collections::BTreeMap::new();
    for row in &outcome.rejected {
        *kinds.entry((row.task.as_str(), row.kind.as_str())).or_insert(0) += 1;
    }
    println!(
        "\n{} pictures curated, {} files rejected{}",
        outcome.header.n_rows,
        outcome.rejected.len(),
        if outcome.rejected.is_empty() { "" } else { ", each with its reason:" }
    );
    for ((task, kind), count) in kinds {
        println!("  {task:<14} {kind:<14} {count}");
    }
    for row in outcome.rejected.iter().filter(|row| row.kind == "unreadable").take(20) {
        println!("  unreadable: {}: {}", row.source_path, row.reason);
    }
    for row in outcome.selection.iter().filter(|row| row.part == "train normal" && row.found == 0) {
        println!(
            "note: {}: no normal picture trains, so there is none to refer to; see rejected.parquet",
            row.task
        );
    }
    for remark in &outcome.remarks {
        println!("note: {remark}");
    }
    println!("\ncanonical hash {}\nwritten to {}", outcome.header.canonical_hash, out.display());
}
