//! Published weights: where they come from, what they hash to, where they are kept.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use tch::Device;

use super::teacher::{Origin, Teacher};
use super::vgg::Vgg;
use super::{Input, Network};
use crate::files;

/// Weights that somebody publishes.
pub struct Published {
    pub name: &'static str,
    /// torchvision's name of the network.
    pub network: &'static str,
    pub url: &'static str,
    /// Of the file, in MiB, as their owner states it.
    pub mebibytes: f64,
    /// The first digits of the file's SHA-256.
    pub sha256_prefix: &'static str,
    pub about: &'static str,
}

/// Weights that stand in for the published ones where nothing else is named: small, and to be had without an account.
pub const LITE0: &str = "efficientnet-lite0";

const ABOUT_V1: &str = "torchvision IMAGENET1K_V1, the recipe of the papers";
const ABOUT_V2: &str = "torchvision IMAGENET1K_V2, a newer recipe; other numbers";

/// Every network that a method can use, as torchvision publishes it (its `models/*.py`).
pub const PUBLISHED: &[Published] = &[
    Published {
        name: "resnet18-v1",
        network: "resnet18",
        url: "https://download.pytorch.org/models/resnet18-f37072fd.pth",
        mebibytes: 44.661,
        sha256_prefix: "f37072fd",
        about: ABOUT_V1,
    },
    Published {
        name: "resnet34-v1",
        network: "resnet34",
        url: "https://download.pytorch.org/models/resnet34-b627a593.pth",
        mebibytes: 83.275,
        sha256_prefix: "b627a593",
        about: ABOUT_V1,
    },
    Published {
        name: "resnet50-v1",
        network: "resnet50",
        url: "https://download.pytorch.org/models/resnet50-0676ba61.pth",
        mebibytes: 97.781,
        sha256_prefix: "0676ba61",
        about: ABOUT_V1,
    },
    Published {
        name: "resnet50-v2",
        network: "resnet50",
        url: "https://download.pytorch.org/models/resnet50-11ad3fa6.pth",
        mebibytes: 97.79,
        sha256_prefix: "11ad3fa6",
        about: ABOUT_V2,
    },
    Published {
        name: "wide_resnet50_2-v1",
        network: "wide_resnet50_2",
        url: "https://download.pytorch.org/models/wide_resnet50_2-95faca4d.pth",
        mebibytes: 131.82,
        sha256_prefix: "95faca4d",
        about: ABOUT_V1,
    },
    Published {
        name: "wide_resnet50_2-v2",
        network: "wide_resnet50_2",
        url: "https://download.pytorch.org/models/wide_resnet50_2-9ba9bcbe.pth",
        mebibytes: 263.124,
        sha256_prefix: "9ba9bcbe",
        about: ABOUT_V2,
    },
    Published {
        name: "vgg19-v1",
        network: "vgg19",
        url: "https://download.pytorch.org/models/vgg19-dcbb9e9d.pth",
        mebibytes: 548.051,
        sha256_prefix: "dcbb9e9d",
        about: ABOUT_V1,
    },
];

/// Endings of weights files, which a name does without.
pub const ENDINGS: [&str; 3] = ["safetensors", "pth", "pt"];

/// The folder of installed weights, shared by all checkouts of a user.
pub fn folder() -> Result<PathBuf> {
    Ok(files::cache_folder()?.join("weights/installed"))
}

/// Names and files of all installed weights, by name.
///
/// # Errors
/// If the folder cannot be listed.
pub fn installed() -> Result<Vec<(String, PathBuf)>> {
    let folder = folder()?;
    if !folder.exists() {
        return Ok(Vec::new());
    }
    let found = files::walk(&folder)?.into_iter().map(PathBuf::from);
    let named = found.filter_map(|file| {
        let ending = file.extension()?.to_str()?;
        ENDINGS
            .contains(&ending)
            .then(|| Some((file.file_stem()?.to_str()?.to_owned(), folder.join(&file))))?
    });
    Ok(named.collect())
}

/// The file of that path, else the installed weights of that name.
///
/// # Errors
/// Says how to get published weights that are not installed.
pub fn find(given: &str) -> Result<PathBuf> {
    let path = Path::new(given);
    if path.exists() {
        return Ok(path.to_owned());
    }
    if let Some((_, path)) = installed()?.into_iter().find(|(name, _)| name == given) {
        return Ok(path);
    }
    if PUBLISHED.iter().any(|published| published.name == given) {
        bail!("`{given}` is not installed: `cargo xtask weights fetch {given}` gets it");
    }
    bail!(
        "there is no file {given}, and no installed weights of that name; `cargo xtask weights list` shows them"
    )
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
    }
}

/// Identity of a weights file (SHA-256), and the networks that it fits.
///
/// # Errors
/// If it cannot be read.
pub fn describe(path: &Path) -> Result<(String, Vec<Network>)> {
    let origin = Origin::file(path.to_owned())?;
    let fitting = Network::all().filter(|&network| load(network, &origin).is_ok()).collect();
    let network = Network::all().next().context("there are networks")?;
    Ok((origin.hash(network), fitting))
}

/// The network of torchvision's name.
///
/// # Errors
/// Lists the known ones.
pub fn network(name: &str) -> Result<Network> {
    let found = Network::all().find(|network| network.name() == name);
    found.with_context(|| {
        let known: Vec<&str> = Network::all().map(Network::name).collect();
        format!("unknown network `{name}` (known: {})", known.join(", "))
    })
}
