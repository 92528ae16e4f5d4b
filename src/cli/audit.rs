//! `audit`: proof that a curated benchmark does not leak, or the files by which it does.

use std::path::{Path, PathBuf};

use anyhow::{Result, bail};

use super::{curated, use_threads};
#[cfg(feature = "torch")]
use crate::audit::Embedder;
use crate::audit::{self, Outcome, Report};
#[cfg(feature = "torch")]
use crate::evaluate::{device::Wanted, embed};
use crate::files;
use crate::manifest::Manifest;
#[cfg(feature = "torch")]
use crate::network::{Backbone, Network, precision::Precision, teacher::Origin};
#[cfg(feature = "torch")]
use crate::pixels::Pixels;
use crate::report;
use crate::spec::Spec;

/// Findings of one gate that are printed; all of them are in the files.
const N_SHOWN: usize = 20;

/// Runs gates over a curated benchmark: patients and copies on two sides, near copies (also flipped or turned,
/// and with --teacher by the features of a pretrained network), label conflicts, acquisition shortcuts, personal
/// data. Thresholds stand in the spec's [audit] table. Writes audit.json and audit.html, and fails (exit code 1) when
/// a gate fails.
#[derive(clap::Args)]
pub struct Args {
    /// A curated folder [default: manifests/phantom]
    folder: Option<PathBuf>,
    /// The raw folder, for personal data and view positions [default: where it stood when it was curated]
    #[arg(long)]
    raw: Option<PathBuf>,
    /// Where to write audit.json and audit.html [default: the curated folder]
    #[arg(long)]
    out: Option<PathBuf>,
    /// Also compare pictures by features of this pretrained network: a safetensors file with torchvision's
    /// names, or `random` for a seeded stand-in, which the report names as such
    #[arg(long, value_name = "FILE")]
    teacher: Option<String>,
    /// The network of --teacher: resnet18, resnet34, resnet50 or wide_resnet50_2
    #[arg(long, default_value = "resnet18")]
    backbone: String,
    /// Where --teacher runs: auto, cpu, cuda or cuda:N
    #[arg(long, default_value = "auto")]
    device: String,
    /// Threads [default: all cores]
    #[arg(long)]
    threads: Option<usize>,
}

impl Args {
    pub fn run(self) -> Result<()> {
        use_threads(self.threads)?;
        let (folder, manifest, spec) = curated(self.folder.as_ref())?;
        if let Some(raw) = self.raw.as_ref().filter(|raw| !raw.is_dir()) {
            bail!("--raw {} is not a folder", raw.display());
        }
        let raw = self.raw.clone().unwrap_or_else(|| PathBuf::from(&manifest.header.raw));
        let report = self.audit(&manifest, &spec, Some(raw.as_path()).filter(|raw| raw.is_dir()))?;
        let out = self.out.unwrap_or_else(|| folder.clone());
        files::write_whole(&out.join("audit.json"), serde_json::to_string_pretty(&report)?.as_bytes())?;
        files::write_whole(&out.join("audit.html"), report::audit::page(&report, &manifest)?.as_bytes())?;
        print(&report, &out);
        let failed: Vec<&str> = report
            .gates
            .iter()
            .filter(|gate| gate.outcome() == Outcome::Fail)
            .map(|gate| gate.name.as_str())
            .collect();
        if !failed.is_empty() {
            bail!("the audit fails at {}", failed.join(", "));
        }
        Ok(())
    }

    #[cfg(feature = "torch")]
    fn audit(&self, manifest: &Manifest, spec: &Spec, raw: Option<&Path>) -> Result<Report> {
        use anyhow::Context as _;
        let Some(given) = &self.teacher else { return audit::run(manifest, &spec.audit, raw, None) };
        let backbone = Backbone::parse(&self.backbone).context("--backbone")?;
        let origin = match given.as_str() {
            "random" => Origin::Random { seed: 0, cache: Some(files::cache_folder()?.join("weights")) },
            file => Origin::file(file.into()).context("--teacher")?,
        };
        let device = self.device.parse::<Wanted>()?.open(Precision::F32)?;
        let teacher = embed::teacher(manifest, backbone, &origin, device)?;
        let embed = |pictures: &[Pixels]| embed::vectors(&teacher, pictures);
        let embedder = Embedder { teacher: origin.label(Network::Backbone(backbone)), embed: &embed };
        audit::run(manifest, &spec.audit, raw, Some(&embedder))
    }

    #[cfg(not(feature = "torch"))]
    fn audit(&self, manifest: &Manifest, spec: &Spec, raw: Option<&Path>) -> Result<Report> {
        if let Some(teacher) = &self.teacher {
            bail!(
                "--teacher {teacher} with {} on {} needs libtorch, which this program was built without; \
                 `cargo xtask libtorch` fetches it, and the next `cargo xtask audit` is built with it",
                self.backbone,
                self.device
            );
        }
        audit::run(manifest, &spec.audit, raw, None)
    }
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
