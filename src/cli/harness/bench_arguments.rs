//! What a bench runs: the definition, and the arguments that override it.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};

use super::compute::{Compute, FeatureArgs};
use super::settings::{self, MethodArgs};
use super::teacher::TeacherArgs;
use crate::cli::build_dataset;
use crate::cli::common::home;
use crate::cli::record::command_line;
use crate::episode::HeldOut;
use crate::evaluate::definition::Definition;
use crate::evaluate::device::Wanted;
use crate::evaluate::planned::{Opened, Planned};
use crate::files::lock::Lock;
use crate::ids::{PERMUTED, TaskName, is_of_permuted_labels};
use crate::manifest::{Label, Manifest};
use crate::method::{self, METHODS, external};
use crate::network::Network;
use crate::network::origin::Origin;
use crate::spec::Spec;
use crate::{files, names};

/// The bench definition and what overrides it.
#[derive(clap::Args)]
pub(super) struct BenchArgs {
    /// TOML file, or a shipped definition: quick, mini, full, slice, ablation, dae-noise, external
    #[arg(long, default_value = "quick")]
    bench: String,
    /// Methods, separated by commas, or `all`; see `methods` [default: the definition's]
    #[arg(long, value_delimiter = ',')]
    method: Vec<String>,
    /// Tasks to hold out, separated by commas [default: the definition's, else all]
    #[arg(long, value_delimiter = ',')]
    task: Vec<String>,
    /// Support set sizes, separated by commas, such as 2,4,8 [default: the definition's]
    #[arg(long, value_delimiter = ',')]
    shots: Vec<usize>,
    /// Support sets per task [default: the definition's]
    #[arg(long)]
    draws: Option<usize>,
    /// Training seeds, separated by commas [default: the definition's]
    #[arg(long, value_delimiter = ',')]
    seed: Vec<u64>,
    #[command(flatten)]
    teacher: TeacherArgs,
    #[command(flatten)]
    settings: MethodArgs,
    /// Tasks that may be trained on: `dataset`, all but the target (the rule of the paper), or `organ`, those
    /// of other organs [default: the definition's]
    #[arg(long, value_parser = HeldOut::parse)]
    held_out: Option<HeldOut>,
    /// Also choose an epoch by the test sets of the source tasks (protocol clean-source), for methods that
    /// train on them
    #[arg(long)]
    epoch_by_sources: bool,
    /// Score the test set after every N epochs of a training, and the last; the published protocols choose among these
    /// [default: the definition's, else 1 as published]
    #[arg(long, value_name = "N")]
    observe_every: Option<usize>,
    #[command(flatten)]
    features: FeatureArgs,
    #[command(flatten)]
    pub compute: Compute,
    /// Curated benchmark [default: manifests/<spec of the definition>]
    #[arg(long)]
    manifest: Option<PathBuf>,
    /// Folder for cells and report [default: reports/<name of the definition>]
    #[arg(long)]
    out: Option<PathBuf>,
}

/// Where labels of test pictures are not opened, there are none to permute: the control that does is left out.
fn without_permuted(mut definition: Definition, manifest: &Manifest) -> Definition {
    let unopened = manifest.rows.iter().any(|row| row.label == Label::Unopened);
    if unopened && definition.methods.iter().any(|name| is_of_permuted_labels(name)) {
        definition.methods.retain(|name| !is_of_permuted_labels(name));
        log::warn!("note: labels of test pictures are not opened, so {PERMUTED} is left out");
    }
    definition
}

impl BenchArgs {
    /// The plan, where its results go, and the number of threads. Every argument is checked before the phantom is
    /// drawn.
    ///
    /// # Errors
    /// Names the argument that does not fit.
    pub(super) fn open(&self) -> Result<(Opened, PathBuf, usize)> {
        let definition = self.definition()?;
        self.compute.device.class(self.compute.precision)?;
        let cache = Some(files::cache_folder()?.join("weights"));
        let random = Origin::Random { seed: definition.teacher_seed, cache };
        let chosen = self.teacher.choose(&random)?;
        let networks = networks(&definition)?;
        chosen.check_used_by(&networks)?;
        let threads = self.compute.set_up()?;
        let curated = self.curated(&definition)?;
        let teachers = chosen.complete(&networks)?;
        let manifest = match curated {
            Some(manifest) => manifest,
            None => self.phantom(&definition)?,
        };
        let definition = without_permuted(definition, &manifest);
        let folder = self.out.clone().unwrap_or_else(|| home("reports").join(&definition.name));
        let planned = Planned {
            definition,
            manifest: std::path::absolute(&manifest.folder).context("the curated benchmark")?,
            teachers,
            device: self.compute.device.settled(),
            precision: self.compute.precision,
            features: self.features.limits(),
            command: command_line()?,
        };
        Ok((planned.on(manifest)?, folder, threads))
    }

    /// Says for which kind of machine a plan is, where that was decided by this machine, which may not compute it.
    pub(super) fn announce_device(&self) {
        if self.compute.device == Wanted::Auto {
            let settled = self.compute.device.settled();
            log::info!("planned for {settled}, this machine's own device; use --device to plan for another");
        }
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
            definition.tasks = self.task.iter().map(TaskName::new).collect();
        }
        if !self.shots.is_empty() {
            definition.shots.clone_from(&self.shots);
        }
        if !self.seed.is_empty() {
            definition.seeds.clone_from(&self.seed);
        }
        definition.draws = self.draws.unwrap_or(definition.draws);
        definition.held_out = self.held_out.unwrap_or(definition.held_out);
        definition.epoch_by_sources |= self.epoch_by_sources;
        definition.observe_every = self.observe_every.unwrap_or(definition.observe_every);
        definition.size = self.settings.size.map_or(definition.size, usize::from);
        // Asking twice is asking once.
        keep_first(&mut definition.methods);
        keep_first(&mut definition.tasks);
        keep_first(&mut definition.shots);
        keep_first(&mut definition.seeds);
        definition.check()?;
        self.set(&mut definition)?;
        Ok(definition)
    }

    /// Changes the settings of every method that has them, and checks the settings of all.
    fn set(&self, definition: &mut Definition) -> Result<()> {
        let names = definition.methods.clone();
        let built = |definition: &Definition, name: &str| {
            settings::build(method::find(name)?, &definition.settings_of(name))
        };
        for name in definition.settings.keys() {
            method::find(name)?;
        }
        let known = names.iter().map(|name| match method::base_name(name) {
            // A program is nothing before its command is set.
            "external" => Ok((name, external::KEYS.map(str::to_owned).to_vec())),
            _ => Ok((name, settings::keys(&built(definition, name)?)?)),
        });
        let known: Vec<(&String, Vec<String>)> = known.collect::<Result<_>>()?;
        for (key, value) in self.settings.table()? {
            let having: Vec<&&String> =
                known.iter().filter(|(_, keys)| keys.contains(&key)).map(|(name, _)| name).collect();
            let all = known.iter().flat_map(|(_, keys)| keys).map(String::as_str);
            ensure!(
                !having.is_empty(),
                "no method of this bench has a setting `{key}`{}",
                names::did_you_mean(&key, all)
            );
            for name in having {
                let table = definition.settings.entry((*name).clone()).or_default();
                table.insert(key.clone(), value.clone());
            }
        }
        names.iter().try_for_each(|name| built(definition, name).map(drop))
    }

    fn folder(&self, definition: &Definition) -> PathBuf {
        self.manifest.clone().unwrap_or_else(|| home("manifests").join(&definition.spec))
    }

    /// The curated benchmark; none where it is the phantom, which is drawn when it is needed.
    fn curated(&self, definition: &Definition) -> Result<Option<Manifest>> {
        let folder = self.folder(definition);
        if self.manifest.is_none() && definition.spec == "phantom" {
            let spec = Spec::load("phantom")?;
            definition.tasks.iter().try_for_each(|task| spec.task(task).map(drop))?;
            check_size(definition, &spec.sizes, &folder)?;
            return Ok(None);
        }
        let manifest = Manifest::read(&folder).with_context(|| format!("bench `{}`", definition.name))?;
        check_size(definition, &manifest.header.sizes, &folder)?;
        let spec = &manifest.header.spec;
        ensure!(
            *spec == definition.spec || self.out.is_some(),
            "{} is curated from spec `{spec}`, bench `{}` expects `{}`; give a folder for the results with --out DIR",
            folder.display(),
            definition.name,
            definition.spec
        );
        Ok(Some(manifest))
    }

    /// The phantom, drawn and curated. It is cheap, and taken up where it is already there: so it is never stale.
    fn phantom(&self, definition: &Definition) -> Result<Manifest> {
        let folder = self.folder(definition);
        let _lock = Lock::wait(&folder.with_extension("lock"))?;
        build_dataset::build_phantom(&Spec::load("phantom")?, &folder)?;
        Manifest::read(&folder).with_context(|| format!("bench `{}`", definition.name))
    }
}

/// The networks that the methods need.
fn networks(definition: &Definition) -> Result<Vec<Network>> {
    let built = definition
        .methods
        .iter()
        .map(|name| settings::build(method::find(name)?, &definition.settings_of(name)));
    built.filter_map(|built| built.map(|built| built.network).transpose()).collect()
}

fn check_size(definition: &Definition, sizes: &[usize], folder: &Path) -> Result<()> {
    ensure!(
        sizes.contains(&definition.size),
        "{} holds pictures of {sizes:?} pixels, bench `{}` needs {}; add this size to the spec and build again",
        folder.display(),
        definition.name,
        definition.size
    );
    Ok(())
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
