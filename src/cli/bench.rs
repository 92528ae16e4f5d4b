//! `bench`: episodes, fit, score, measure, report.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use tch::Device;

use super::compute::Compute;
use super::{build_dataset, home};
use crate::episode::{self, Episodes, HeldOut};
use crate::evaluate::definition::Definition;
use crate::evaluate::plan::{self, Setting};
use crate::evaluate::{self, Run, device};
use crate::files;
use crate::manifest::Manifest;
use crate::method::METHODS;
use crate::network::known;
use crate::network::teacher::{Origin, Teachers};
use crate::report;
use crate::spec::Spec;

/// Runs every method on the same episodes and pictures and writes a leaderboard report. Finished cells
/// (method x task x shots x draw x seed) are kept and skipped, so a stopped run goes on where it was.
/// Trivial controls are always on the board. The phantom is drawn and curated if it is not there yet.
#[derive(clap::Args)]
pub struct Args {
    /// A TOML file, or one of the shipped definitions: quick, mini, full, ablation, dae-noise,
    /// external
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
    #[arg(long)]
    held_out: Option<String>,
    #[command(flatten)]
    compute: Compute,
    /// Curated benchmark [default: manifests/<spec of the definition>]
    #[arg(long)]
    manifest: Option<PathBuf>,
    /// Where cells and report go [default: reports/<name of the definition>]
    #[arg(long)]
    out: Option<PathBuf>,
    /// Show what would run, and stop
    #[arg(long)]
    dry_run: bool,
}

impl Args {
    pub fn run(self) -> Result<()> {
        let (device, threads) = self.compute.start()?;
        let precision = self.compute.precision;
        let definition = self.definition()?;
        let manifest = self.manifest(&definition)?;
        let episodes = episode::draw(&manifest, definition.episodes())?;
        episodes.verify(&manifest)?;
        let teachers = self.teachers(definition.teacher_seed).context("--teacher")?;
        let folder = self.out.clone().unwrap_or_else(|| home("reports").join(&definition.name));
        let device_class = device::class(device, precision);
        let setting = Setting { manifest: &manifest, episodes: &episodes, teachers: &teachers, device_class };
        let groups = plan::plan(&definition, &setting)?;
        let cells: Vec<_> = groups.iter().flat_map(|group| &group.cells).collect();
        let n_done = cells.iter().filter(|identity| plan::is_done(&folder, identity)).count();
        eprintln!("{}: {} cells, {n_done} already done, on {device:?}", definition.name, cells.len());
        if self.dry_run {
            for i in cells {
                let state = if plan::is_done(&folder, i) { "done" } else { "to do" };
                println!(
                    "{} {:<6} {} {} {}-shot draw {} seed {}",
                    i.id(),
                    state,
                    i.method,
                    i.task,
                    i.shots,
                    i.draw,
                    i.seed
                );
            }
            return Ok(());
        }
        let planned: Vec<String> = cells.iter().map(|identity| identity.id()).collect();
        let n_aside = evaluate::tidy(&folder, &planned, &manifest.header.canonical_hash)?;
        if n_aside > 0 {
            let aside = folder.join("cells-stale");
            eprintln!(
                "{n_aside} failed cells or cells of other code or data set aside in {}",
                aside.display()
            );
        }
        store_episodes(&episodes, &manifest, &folder)?;
        let run = Run {
            bench: definition.name.clone(),
            size: definition.size,
            manifest: &manifest,
            episodes: &episodes,
            teachers: &teachers,
            device,
            precision,
            workers: if device == Device::Cpu { threads } else { 1 },
            folder: folder.clone(),
            command: command_line(),
        };
        let n_failed = run.run_all(&groups)?;
        let index = report::write(&folder, &folder)?;
        print_board(&folder)?;
        println!("report: {}", std::path::absolute(&index).unwrap_or(index).display());
        anyhow::ensure!(
            n_failed == 0,
            "{n_failed} of {} cells failed; the report lists them with their errors, and they run again next time",
            cells.len()
        );
        Ok(())
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
        match self.held_out.as_deref() {
            None => {}
            Some("dataset") => definition.held_out = HeldOut::Dataset,
            Some("organ") => definition.held_out = HeldOut::Organ,
            Some(other) => anyhow::bail!("unknown rule --held-out `{other}` (known: dataset, organ)"),
        }
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

/// Keeps the larger of what is stored and what is drawn: earlier cells may have used more draws or shots,
/// and smaller sets are contained in larger ones.
fn store_episodes(drawn: &Episodes, manifest: &Manifest, folder: &Path) -> Result<()> {
    let mut settings = drawn.settings;
    let same = |stored: &Episodes| {
        stored.manifest_hash == drawn.manifest_hash && stored.settings.seed == drawn.settings.seed
    };
    if let Some(Episodes { settings: stored, .. }) = Episodes::read(folder).ok().filter(same) {
        settings.draws = settings.draws.max(stored.draws);
        settings.max_shots = settings.max_shots.max(stored.max_shots);
    }
    episode::draw(manifest, settings)?.write(folder)
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

/// The first table of the report, so that the terminal shows it too.
fn print_board(folder: &Path) -> Result<()> {
    let text = files::read_text(&folder.join("leaderboard.md"))?;
    let table: Vec<&str> = text
        .lines()
        .skip_while(|line| !line.starts_with('|'))
        .take_while(|line| line.starts_with('|'))
        .collect();
    println!("{}", table.join("\n"));
    Ok(())
}

/// How this run was called, as a user would type it.
fn command_line() -> String {
    let arguments = std::env::args().skip(1).map(|argument| {
        if argument.chars().any(char::is_whitespace) { format!("'{argument}'") } else { argument }
    });
    format!("cargo xtask {}", arguments.collect::<Vec<_>>().join(" "))
}
