//! A model and its references as they are named on the command line.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::rc::Rc;

use anyhow::{Context as _, Result, bail, ensure};
use tch::Device;

use super::compute::Compute;
use super::settings;
use crate::evaluate::folder;
use crate::method::d24fad::{self, checkpoint};
use crate::method::{Context, Fitted, Sees, Unobserved, find};
use crate::network::teacher::{Origin, Teachers};
use crate::network::{Backbone, Network};

/// Side of pictures where neither a checkpoint nor the user says another.
const SIZE: u16 = 128;

/// What makes a model ready for one kind of picture.
#[derive(clap::Args)]
pub struct ModelArgs {
    /// Folder of normal references (the support set), all of which are used
    #[arg(long, value_name = "DIR")]
    pub support: PathBuf,
    /// d24fad: decoder and weighting, as `train` or the published code wrote them, as safetensors or .pth
    #[arg(long, value_name = "FILE")]
    checkpoint: Option<PathBuf>,
    /// Teacher weights: a file with torchvision's names (safetensors, .pth) or the name of installed ones (see
    /// `weights`); or `random` for a seeded stand-in calibrated on the references (not for d24fad)
    #[arg(long, value_name = "FILE")]
    teacher: Option<String>,
    /// d24fad: resnet18, resnet34, resnet50 or wide_resnet50_2 [default: the checkpoint's, else wide_resnet50_2]
    #[arg(long)]
    backbone: Option<String>,
    /// Side to which pictures are resized [default: the checkpoint's, else 128]
    #[arg(long)]
    size: Option<u16>,
    /// Settings of the method, as `key = value` in TOML; may be repeated. A checkpoint brings its own
    #[arg(long, value_name = "KEY=VALUE")]
    set: Vec<String>,
    #[command(flatten)]
    compute: Compute,
}

/// References that were read, at a size, and what it takes to make a model for them.
pub struct Opened {
    pub size: usize,
    pub supports: folder::Read,
    table: toml::Table,
    context: Context,
    checkpoint: Option<PathBuf>,
}

impl ModelArgs {
    /// Reads checkpoint's words, references and weights; says what it found.
    ///
    /// # Errors
    /// Names the argument that is missing or does not fit the others.
    pub fn open(&self, method: &str) -> Result<Opened> {
        let device = self.compute.start()?;
        let entry = find(method)?;
        let is_d24fad = entry.name == d24fad::ENTRY.name;
        ensure!(is_d24fad || self.checkpoint.is_none(), "--checkpoint belongs to d24fad");
        let mut table = settings(&self.set)?;
        if let Some(backbone) = &self.backbone {
            Backbone::parse(backbone).context("--backbone")?;
            table.insert("backbone".to_owned(), backbone.as_str().into());
        }
        let mut size = self.size.unwrap_or(SIZE);
        if let Some(path) = &self.checkpoint
            && let Some(trained) = checkpoint::header(path).context("--checkpoint")?
        {
            size = self.size.unwrap_or(trained.size);
            ensure!(
                size == trained.size,
                "--checkpoint: {} was trained on pictures of {} pixels; leave --size {size} out",
                path.display(),
                trained.size
            );
            table = trained.with(table).context("--checkpoint")?;
        }
        ensure!(size >= 32 && size.is_multiple_of(32), "--size must be a multiple of 32");
        let built = (entry.build)(table.clone())?;
        let teachers = self.teachers(method, built.network)?;
        let supports = folder::references(&self.support, usize::from(size)).context("--support")?;
        println!("{} references in {}", supports.names.len(), self.support.display());
        let context = Context {
            device,
            precision: self.compute.precision,
            seed: 1,
            shots: supports.names.len(),
            teachers,
            calibration: Some(Rc::new(supports.pictures().pixels)),
            task: "target".to_owned(),
            label: "fitting".to_owned(),
            state_file: None,
        };
        if let Some(network) = built.network {
            println!("network: {}", context.teachers.of(network).label(network));
        }
        let (size, checkpoint) = (usize::from(size), self.checkpoint.clone());
        Ok(Opened { size, supports, table, context, checkpoint })
    }

    fn teachers(&self, method: &str, network: Option<Network>) -> Result<Teachers> {
        let other = match (self.teacher.as_deref(), network) {
            (Some("random"), _) if method == d24fad::ENTRY.name => {
                bail!("--teacher random: give the file that `train` wrote beside the checkpoint")
            }
            (Some("random"), _) | (None, None) => Origin::Random { seed: 1, cache: None },
            (Some(file), _) => Origin::named(file).context("--teacher")?,
            (None, Some(network)) => {
                bail!("{method} needs the weights of {}; give --teacher FILE", network.name())
            }
        };
        Ok(Teachers { named: BTreeMap::new(), other })
    }
}

impl Opened {
    /// Where it computes.
    pub fn device(&self) -> Device {
        self.context.device
    }

    /// D2-4FAD as it was trained before.
    pub fn d24fad(&self) -> Result<d24fad::Model> {
        let checkpoint = self.checkpoint.as_ref().context(
            "d24fad learns from normal pictures of other kinds: give --checkpoint, made by `train`",
        )?;
        let settings: d24fad::Settings = self.table.clone().try_into().context("settings of d24fad")?;
        checkpoint::load(&settings, &self.context, checkpoint).context("--checkpoint")
    }

    /// Any method that can be made ready here.
    pub fn fitted(&self, method: &str) -> Result<Box<dyn Fitted>> {
        let entry = find(method)?;
        if entry.name == d24fad::ENTRY.name {
            return Ok(Box::new(self.d24fad()?));
        }
        let built = (entry.build)(self.table.clone())?;
        match built.sees {
            Sees::Nothing | Sees::Supports => built.method.fit(&[], &self.context, &mut Unobserved),
            Sees::OtherNormals | Sees::TargetNormals => bail!(
                "{} learns from more than references, and its trained state cannot be kept; run it with `bench`",
                entry.name
            ),
        }
    }
}
