//! A model and its references, from the arguments of `score` and `explain`.

use std::path::{Path, PathBuf};
use std::rc::Rc;

use anyhow::{Context as _, Result, bail, ensure};
use tch::Device;

use super::compute::Compute;
use super::settings::{self, MethodArgs};
use super::teacher::{self, TeacherArgs};
use crate::evaluate::folder::{self, Shape};
use crate::files;
use crate::ids::TaskName;
use crate::method::d24fad::{self, checkpoint};
use crate::method::{self, Built, Context, Entry, Fitted, OpenTeachers, Unobserved};
use crate::network::Network;
use crate::network::origin::{Origin, Teachers};
use crate::pixels::Pixels;
use crate::regime::Regime;

/// Side of pictures where neither a checkpoint nor the user says another.
const SIZE: u16 = 128;

/// What makes a model ready for one kind of picture.
#[derive(clap::Args)]
pub(super) struct ModelArgs {
    /// Folder of normal references (the support set); all of them are used
    #[arg(long, value_name = "DIR")]
    pub support: PathBuf,
    /// d24fad: trained student, written by `train` or by the published code (safetensors or .pth)
    #[arg(long, value_name = "FILE")]
    checkpoint: Option<PathBuf>,
    #[command(flatten)]
    teacher: TeacherArgs,
    #[command(flatten)]
    method: MethodArgs,
    #[command(flatten)]
    compute: Compute,
}

/// Seed of what a method draws.
const SEED: u64 = 1;

/// References that were read, at a size, and what it takes to make a model for them.
pub(super) struct Opened {
    pub shape: Shape,
    pub supports: folder::Read,
    entry: &'static Entry,
    table: toml::Table,
    context: Context,
    checkpoint: Option<PathBuf>,
}

impl ModelArgs {
    /// Checks every argument, and with `check` that the method is one for the command, then reads references; says what
    /// it found.
    ///
    /// # Errors
    /// Names the argument that is missing or does not fit the others.
    pub(super) fn open(&self, method: &str, check: impl FnOnce(&Built) -> Result<()>) -> Result<Opened> {
        let entry = method::find(method)?;
        let (table, size) = self.settings(entry)?;
        let built = settings::build(entry, &table)?;
        ensure_fits_here(entry, &built)?;
        check(&built)?;
        let shape = self.shape(&built, size)?;
        built.check_size(shape.side).context("--size")?;
        let teachers = self.teachers(entry, built.network)?;
        folder::require(&self.support).context("--support")?;
        let device = self.compute.start()?;
        let supports = folder::references(&self.support, &shape, SEED).context("--support")?;
        println!("{} references in {}", supports.names.len(), self.support.display());
        if let Some(from_files) = &shape.from_files {
            println!("files prepared after the method's authors: {}", from_files.about);
        }
        let context = Context {
            device,
            precision: self.compute.precision,
            seed: SEED,
            shots: supports.names.len(),
            teachers,
            calibration: Some(Rc::new(supports.pictures().pixels)),
            task: TaskName::new("target"),
            label: "fitting".to_owned(),
            state_file: None,
            opened: OpenTeachers::default(),
        };
        if let Some(network) = built.network {
            println!("network: {}", context.teachers.of(network)?.label(network));
        }
        Ok(Opened { shape, supports, entry, table, context, checkpoint: self.checkpoint.clone() })
    }

    /// Squares of `size` pixels, or what the method's authors make of files where the settings ask for it.
    fn shape(&self, built: &Built, size: usize) -> Result<Shape> {
        let Some(from_files) = &built.from_files else { return Ok(Shape::squares(size)) };
        ensure!(
            self.method.size.is_none(),
            "--size: with geometry = \"published\" it is {}, by the method's own settings; leave --size out",
            from_files.side
        );
        Ok(Shape { side: from_files.side as usize, from_files: Some(from_files.clone()) })
    }

    /// Settings of the method and side of the pictures: the user's, else the checkpoint's.
    fn settings(&self, entry: &Entry) -> Result<(toml::Table, usize)> {
        let (given, size) = (self.method.table()?, self.method.size);
        let is_d24fad = entry.name == d24fad::ENTRY.name;
        ensure!(is_d24fad || self.checkpoint.is_none(), "only d24fad takes a --checkpoint");
        let Some(path) = &self.checkpoint else {
            ensure!(
                !is_d24fad,
                "d24fad learns from normal pictures of other kinds: give a --checkpoint written by `train`"
            );
            let given = if self.teacher.is_empty() { on_default_network(entry, given)? } else { given };
            return Ok((given, size.unwrap_or(SIZE).into()));
        };
        match checkpoint::header(path).context("--checkpoint")? {
            Some(trained) => {
                ensure_size_of(trained.size, size, path)?;
                Ok((trained.with(given).context("--checkpoint")?, trained.size.into()))
            }
            None => Ok((given, size.unwrap_or(SIZE).into())),
        }
    }

    fn teachers(&self, entry: &Entry, network: Option<Network>) -> Result<Teachers> {
        let random = Origin::Random { seed: 1, cache: None };
        let chosen = self.teacher.choose_for(self.checkpoint.as_deref(), &random)?;
        let used: Vec<Network> = network.into_iter().collect();
        chosen.check_used_by(&used)?;
        let teachers = chosen.complete(&used)?;
        let is_random = network.map(|network| teachers.of(network).map(Origin::is_random)).transpose()?;
        ensure!(
            entry.name != d24fad::ENTRY.name || is_random != Some(true),
            "--teacher random would not be the network that d24fad was trained with: give the file that `train` wrote beside the checkpoint"
        );
        Ok(teachers)
    }
}

/// The settings, with the network of [`teacher::DEFAULT`] where they name none and the method takes one; not where it is
/// made for transformers.
fn on_default_network(entry: &Entry, mut given: toml::Table) -> Result<toml::Table> {
    let built = settings::build(entry, &given)?;
    if matches!(built.network, Some(Network::Transformer(_))) {
        return Ok(given);
    }
    let known = settings::keys(&built)?;
    // `dpa` calls it `network`.
    let key = ["backbone", "network"].into_iter().find(|key| known.iter().any(|known| known == key));
    if let Some(key) = key.filter(|key| !given.contains_key(*key)) {
        given.insert(key.to_owned(), teacher::DEFAULT.name().into());
    }
    Ok(given)
}

fn ensure_size_of(trained: u16, size: Option<u16>, path: &Path) -> Result<()> {
    ensure!(
        size.is_none_or(|size| size == trained),
        "--checkpoint: {} was trained on pictures of {trained} pixels; leave --size out",
        path.display()
    );
    Ok(())
}

fn ensure_fits_here(entry: &Entry, built: &Built) -> Result<()> {
    match built.regime {
        Regime::Nothing | Regime::Supports => Ok(()),
        _ if entry.name == d24fad::ENTRY.name => Ok(()),
        _ => {
            bail!("{} learns from more than the references; run it with `bench`", entry.name)
        }
    }
}

impl Opened {
    /// Where it computes.
    pub(super) fn device(&self) -> Device {
        self.context.device
    }

    /// Which network it reads features with, and of which weights; "none" for a method without one.
    pub(super) fn network_label(&self) -> Result<String> {
        match self.network()? {
            Some(network) => Ok(self.context.teachers.of(network)?.label(network)),
            None => Ok("none".to_owned()),
        }
    }

    /// All that tells its maps from those of another model: settings, size, weights, the references' pixels.
    pub(super) fn identity(&self) -> Result<String> {
        let checkpoint = match &self.checkpoint {
            Some(path) => files::sha256(&files::read(path)?),
            None => String::new(),
        };
        let squares: Vec<u8> = self.supports.squares.iter().flat_map(Pixels::samples).copied().collect();
        let views: String =
            self.supports.views.iter().flat_map(|views| views.iter()).map(Pixels::hash).collect();
        let (name, label) = (self.entry.name, self.network_label()?);
        let (table, size, references) = (&self.table, self.shape.side, files::sha256(&squares));
        Ok(format!("{name} {table} {size} {label} {checkpoint} {references}{views}"))
    }

    /// Whether its network has random weights: drawn now, or in the file that `train` writes for no other.
    pub(super) fn is_random(&self) -> Result<bool> {
        let Some(network) = self.network()? else { return Ok(false) };
        Ok(match self.context.teachers.of(network)? {
            Origin::Random { .. } => true,
            Origin::Targets { .. } => false,
            Origin::File { path, .. } => path.to_string_lossy().ends_with(teacher::RANDOM_FILE),
        })
    }

    fn network(&self) -> Result<Option<Network>> {
        Ok(settings::build(self.entry, &self.table)?.network)
    }

    /// D2-4FAD as it was trained before.
    pub(super) fn d24fad(&self) -> Result<d24fad::Model> {
        let checkpoint = self.checkpoint.as_ref().context("d24fad needs --checkpoint")?;
        let settings: d24fad::Settings = self.table.clone().try_into().context("settings of d24fad")?;
        checkpoint::load(&settings, &self.context, checkpoint).context("--checkpoint")
    }

    /// The method, fitted.
    pub(super) fn fitted(&self) -> Result<Box<dyn Fitted>> {
        if self.entry.name == d24fad::ENTRY.name {
            return Ok(Box::new(self.d24fad()?));
        }
        settings::build(self.entry, &self.table)?.method.fit(&[], &self.context, &mut Unobserved)
    }
}
