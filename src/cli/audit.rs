//! `audit`: whether a curated benchmark leaks, and which files make it leak.

use std::path::{Path, PathBuf};

use anyhow::{Result, bail, ensure};
use clap::builder::PossibleValuesParser;

use super::common::{curated, home};
use super::harness::EmbeddingArgs;
use super::shell::quoted;
use crate::audit::{Outcome, REMEDIED, Remedied, Report};
use crate::manifest::Manifest;
use crate::spec::{Audit, Spec};
use crate::{audit, files, report};

/// How a remedy begins; another file is not overwritten.
const WRITTEN: &str = "# Written by `audit --remedy`";

/// Findings of one gate that are printed; all of them are in the files.
const N_SHOWN: usize = 20;

/// Check a curated benchmark for leaks, duplicates, shortcuts and personal data; exit 1 if a gate fails
///
/// Checks a curated benchmark: patients and duplicates in more than one split, near duplicates (also mirrored
/// or rotated, and by features of a pretrained network), label conflicts, acquisition
/// shortcuts, personal data. The spec's [audit] table sets the thresholds and switches gates off. Writes audit.json and audit.html;
/// exits with 1 if a gate fails.
#[derive(clap::Args)]
pub(super) struct Args {
    /// Curated folder [default: manifests/phantom]
    folder: Option<PathBuf>,
    /// Raw folder, for personal data and view positions [default: the one it was curated from]
    #[arg(long)]
    raw: Option<PathBuf>,
    /// Folder for audit.json and audit.html [default: the curated folder]
    #[arg(long)]
    out: Option<PathBuf>,
    /// Name files by their paths in audit.json and audit.html, not by their ids alone; the terminal shows paths in
    /// any case
    #[arg(long)]
    paths: bool,
    /// Run these gates only; the others are left out, and the report says so. Without near-copies, label-conflicts,
    /// embedding-neighbours and shortcuts no pixel store is read, which is how a million pictures are audited
    #[arg(long = "gate", value_name = "GATE", value_delimiter = ',', value_parser = PossibleValuesParser::new(Audit::GATES))]
    gates: Vec<String>,
    /// Also write the spec without the findings: pictures that are alike stand on one side or, in two tasks or an owner's
    /// division, one of them is left out; of contradicting labels both are. Build from it, and audit again
    #[arg(long, value_name = "SPEC.toml")]
    remedy: Option<PathBuf>,
    #[command(flatten)]
    embedding: EmbeddingArgs,
}

impl Args {
    pub(super) fn run(self) -> Result<()> {
        if let Some(path) = self.remedy.as_ref().filter(|path| path.exists()) {
            let is_own = files::read_text(path).is_ok_and(|text| text.starts_with(WRITTEN));
            ensure!(is_own, "--remedy: {} is there and no remedy; give another name", path.display());
        }
        let (folder, manifest, spec) = curated(self.folder.as_ref())?;
        if let Some(raw) = self.raw.as_ref().filter(|raw| !raw.is_dir()) {
            bail!("--raw {} is not a folder", raw.display());
        }
        let raw = self.raw.clone().map_or_else(|| manifest.raw(), |raw| Ok(Some(raw)))?;
        let raw = raw.filter(|raw| raw.is_dir());
        let thresholds = spec.audit.clone();
        let thresholds = if self.gates.is_empty() { thresholds } else { thresholds.only(&self.gates) };
        let mut report = self.embedding.audit(&manifest, &thresholds, raw.as_deref())?;
        if !self.gates.is_empty() {
            report.leave_out(|gate| !self.gates.contains(gate), "--gate does not name it");
        }
        let out = self.out.unwrap_or_else(|| folder.clone());
        let written = if self.paths { report.clone() } else { report.clone().by_ids() };
        files::write_whole(&out.join("audit.json"), serde_json::to_string_pretty(&written)?.as_bytes())?;
        files::write_whole(&out.join("audit.html"), report::audit::page(&written, &manifest)?.as_bytes())?;
        // Written before anything is said: nobody may be reading.
        let remedied =
            self.remedy.as_ref().map(|path| remedy(path, &spec, &manifest, &report, raw.as_deref()));
        let remedied = remedied.transpose()?.unwrap_or_default();
        print(&report, &out);
        print!("{remedied}");
        let failed: Vec<&str> = report
            .gates
            .iter()
            .filter(|gate| gate.outcome() == Outcome::Fail)
            .map(|gate| gate.name.as_str())
            .collect();
        if !failed.is_empty() {
            bail!("the audit failed: {}", failed.join(", "));
        }
        Ok(())
    }
}

/// Writes the spec without the findings, and says what it changes and what to do with it.
fn remedy(
    path: &Path,
    spec: &Spec,
    manifest: &Manifest,
    report: &Report,
    raw: Option<&Path>,
) -> Result<String> {
    let left_out = report.gates.iter().filter(|gate| gate.outcome() == Outcome::LeftOut);
    let left_out: Vec<&str> =
        left_out.map(|gate| gate.name.as_str()).filter(|name| REMEDIED.contains(name)).collect();
    let note = match left_out.join(", ") {
        names if names.is_empty() => names,
        names => format!("note: the remedy knows nothing of gates that did not run: {names}\n"),
    };
    let Some(remedied) = audit::remedied(spec, &manifest.rows, report)? else {
        return Ok(note + "no remedy written: no gate failed for something that a spec can mend\n");
    };
    let Remedied { spec, n_left_out, n_together } = remedied;
    let text = format!(
        "{WRITTEN} from the manifest {}.\n# left_out and together hold what it found.\n\n{}",
        manifest.header.canonical_hash,
        toml::to_string(&spec)?
    );
    files::write_whole(path, text.as_bytes())?;
    let folder = quoted(&home("manifests").join(&spec.name))?;
    let raw = raw.map_or_else(|| Ok("DIR".to_owned()), quoted)?;
    Ok(note
        + &format!(
            "remedies written to {}: {n_left_out} pictures left out, {n_together} kept together with others\n\nnext:\n  \
         cargo xtask build-dataset --spec {} --raw {raw}\n  cargo xtask audit {folder}\n",
            path.display(),
            quoted(path)?
        ))
}

fn print(report: &Report, out: &Path) {
    println!("{} pictures of {}, manifest {}", report.n_rows, report.title, report.canonical_hash);
    for gate in &report.gates {
        println!("\n{:<8} {}: {}", gate.outcome().name(), gate.name, gate.asks);
        if let Some(reason) = &gate.left_out {
            println!("         {reason}");
        }
        for finding in gate.findings.iter().take(N_SHOWN) {
            println!("         {}", finding.what);
            for picture in &finding.pictures {
                println!("           {picture}");
            }
        }
        if let Some(remedy) = &gate.remedy {
            println!("         remedy: {remedy}");
        }
        for note in gate.notes.iter().take(N_SHOWN) {
            println!("         note: {note}");
        }
        for (what, count) in [("findings", gate.findings.len()), ("notes", gate.notes.len())] {
            if count > N_SHOWN {
                println!("         ... {count} {what} in all");
            }
        }
    }
    println!("\nwritten to {0}/audit.html and {0}/audit.json", out.display());
}
