//! What a bench is to run, as it is named on the command line.

use std::collections::BTreeMap;
use std::path::PathBuf;

use anyhow::{Context, Result};

use super::compute::Compute;
use super::{build_dataset, home};
use crate::episode::HeldOut;
use crate::evaluate::definition::Definition;
use crate::evaluate::device::Wanted;
use crate::evaluate::lock::Lock;
use crate::evaluate::planned::{Opened, Planned};
use crate::files;
use crate::manifest::Manifest;
use crate::method::METHODS;
use crate::network::known;
use crate::network::teacher::{Origin, Teachers};
use crate::spec::Spec;

/// Definition, and what overrides it.
#[derive(clap::Args)]
pub struct Selection {
    /// A TOML file, or one of the shipped definitions: quick, mini, full, slice, ablation,
    /// dae-noise, external
    #[arg(long, default_value = "quick")]
    bench: String,
    /// Methods, separated by commas; `all` for every built-in one; see `methods` [default: the definition's]
    #[arg(long, value_delimiter = ',')]
    method: Vec<String>,
    /// Tasks to hold out, separated by commas [default: the definition's, else all]
    #[arg(long, value_delimiter = ',')]
    task: Vec<String>,
    /// Support set sizes, such as 2,4,8 [default: the definition's]
    #[arg(long, value_delimiter = ',')]
    shots: Vec<usize>,
    /// Support sets per task [default: the definition's]
    #[arg(long)]
    draws: Option<usize>,
    /// Training seeds, separated by commas [default: the definition's]
    #[arg(long, value_delimiter = ',')]
    seed: Vec<u64>,
    /// Teacher weights, a safetensors file with torchvision's names; NETWORK=FILE gives them to one network
    /// (such as resnet18=FILE) and may be repeated. Networks without weights get a seeded random stand-in and
    /// every table says so
    #[arg(long, value_name = "[NETWORK=]FILE")]
    teacher: Vec<String>,
    /// Which tasks may train: `dataset`, all but the target (the paper's rule), or `organ`, those of other
    /// organs
    #[arg(long, value_parser = HeldOut::parse)]
    held_out: Option<HeldOut>,
    /// Also let the source tasks' test sets choose an epoch (protocol clean-source) for methods that train on them
    #[arg(long)]
    epoch_by_sources: bool,
    #[command(flatten)]
    pub compute: Compute,
    /// Curated benchmark [default: manifests/<spec of the definition>]
    #[arg(long)]
    manifest: Option<PathBuf>,
    /// Where cells and report go [default: reports/<name of the definition>]
    #[arg(long)]
    out: Option<PathBuf>,
}

impl Selection {
    /// The plan, where its results go, and the number of threads.
    ///
    /// # Errors
    /// Names the argument that does not fit.
    pub fn open(&self) -> Result<(Opened, PathBuf, usize)> {
        let threads = self.compute.set_up()?;
        let definition = self.definition()?;
        let manifest = self.manifest(&definition)?;
        let teachers = self.teachers(definition.teacher_seed).context("--teacher")?;
        let folder = self.out.clone().unwrap_or_else(|| home("reports").join(&definition.name));
        let planned = Planned {
            definition,
            manifest: std::path::absolute(&manifest.folder).context("the curated benchmark")?,
            teachers,
            device: self.compute.device.settled(),
            precision: self.compute.precision,
            command: command_line(),
        };
        Ok((planned.on(manifest)?, folder, threads))
    }

    /// Says for which kind of machine a plan is, where that was decided by this machine, which may not compute it.
    pub fn announce_device(&self) {
        if self.compute.device == Wanted::Auto {
            let settled = self.compute.device.settled();
            eprintln!("planned for {settled}, as this machine is; --device cuda or cpu plans for others");
        }
    }

    fn teachers(&self, seed: u64) -> Result<Teachers> {
        let other = Origin::Random { seed, cache: Some(files::cache_folder()?.join("weights")) };
        let mut teachers = Teachers { named: BTreeMap::new(), other };
        for given in &self.teacher {
            match given.split_once('=') {
                Some((name, file)) => {
                    let name = known::network(name)?.name().to_owned();
                    teachers.named.insert(name, Origin::named(file)?);
                }
                None => teachers.other = Origin::named(given)?,
            }
        }
        Ok(teachers)
    }

    fn definition(&self) -> Result<Definition> {
        let mut definition = Definition::load(&self.bench)?;
        let defined = std::mem::take(&mut definition.methods);
        for name in if self.method.is_empty() { &defined } else { &self.method } {
            if name == "all" {
                // Programs have no settings unless the definition gives them.
                let built_in = METHODS.iter().map(|entry| entry.name).filter(|name| *name != "external");
                let programs =
                    defined.iter().map(String::as_str).filter(|name| name.starts_with("external:"));
                definition.methods.extend(built_in.chain(programs).map(str::to_owned));
            } else {
                definition.methods.push(name.clone());
            }
        }
        for entry in METHODS.iter().filter(|entry| entry.name.starts_with("control-")) {
            if !definition.methods.iter().any(|name| name == entry.name) {
                definition.methods.push(entry.name.to_owned());
            }
        }
        if !self.task.is_empty() {
            definition.tasks = self.task.clone();
        }
        if !self.shots.is_empty() {
            definition.shots = self.shots.clone();
        }
        if !self.seed.is_empty() {
            definition.seeds = self.seed.clone();
        }
        definition.draws = self.draws.unwrap_or(definition.draws);
        definition.held_out = self.held_out.unwrap_or(definition.held_out);
        definition.epoch_by_sources |= self.epoch_by_sources;
        // Asking twice is asking once.
        keep_first(&mut definition.methods);
        keep_first(&mut definition.tasks);
        keep_first(&mut definition.shots);
        keep_first(&mut definition.seeds);
        definition.check()?;
        Ok(definition)
    }

    fn manifest(&self, definition: &Definition) -> Result<Manifest> {
        let folder = self.manifest.clone().unwrap_or_else(|| home("manifests").join(&definition.spec));
        if self.manifest.is_none() && definition.spec == "phantom" {
            // Cheap, and taken up where it is already there: so the phantom is never stale.
            let _lock = Lock::wait(&folder.with_extension("lock"))?;
            build_dataset::build_phantom(&Spec::load("phantom")?, &folder)?;
        }
        let manifest = Manifest::read(&folder).with_context(|| format!("bench `{}`", definition.name))?;
        let (sizes, spec) = (&manifest.header.sizes, &manifest.header.spec);
        anyhow::ensure!(
            sizes.contains(&definition.size),
            "{} holds pictures of {sizes:?} pixels, bench `{}` wants {}; add that to the spec's sizes and build again",
            folder.display(),
            definition.name,
            definition.size
        );
        anyhow::ensure!(
            *spec == definition.spec || self.out.is_some(),
            "{} is spec `{spec}`, bench `{}` is for `{}`; say where the results go with --out DIR",
            folder.display(),
            definition.name,
            definition.spec
        );
        Ok(manifest)
    }
}

fn keep_first<T: PartialEq + Clone>(items: &mut Vec<T>) {
    let mut kept: Vec<T> = Vec::new();
    for item in items.drain(..) {
        if !kept.contains(&item) {
            kept.push(item);
        }
    }
    *items = kept;
}

/// How this run was called, as a user would type it.
fn command_line() -> String {
    let arguments = std::env::args().skip(1).map(|argument| {
        if argument.chars().any(char::is_whitespace) { format!("'{argument}'") } else { argument }
    });
    format!("cargo xtask {}", arguments.collect::<Vec<_>>().join(" "))
}
