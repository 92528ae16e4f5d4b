//! Features of a pretrained network for `audit`.

use std::path::Path;

use anyhow::{Context as _, Result};

use super::compute::Compute;
use crate::audit::{self, Embedder, Report};
use crate::evaluate::embed;
use crate::files;
use crate::manifest::Manifest;
use crate::network::teacher::Origin;
use crate::network::{Backbone, Network};
use crate::pixels::Pixels;
use crate::spec::Audit;

/// The network by whose features pictures are compared, and where it runs.
#[derive(clap::Args)]
pub struct EmbeddingArgs {
    /// Also compare pictures by features of this pretrained network: a safetensors file with torchvision's
    /// names, or `random` for a seeded stand-in, which the report names as such
    #[arg(long, value_name = "FILE")]
    teacher: Option<String>,
    /// The network of --teacher: resnet18, resnet34, resnet50 or wide_resnet50_2
    #[arg(long, default_value = "resnet18")]
    backbone: String,
    #[command(flatten)]
    compute: Compute,
}

impl EmbeddingArgs {
    /// Runs the gates over a curated benchmark, with features if a network is given.
    ///
    /// # Errors
    /// Names the argument that does not fit; as [`audit::run`].
    pub fn audit(&self, manifest: &Manifest, gates: &Audit, raw: Option<&Path>) -> Result<Report> {
        let device = self.compute.start()?;
        let Some(given) = &self.teacher else { return audit::run(manifest, gates, raw, None) };
        let backbone = Backbone::parse(&self.backbone).context("--backbone")?;
        let origin = match given.as_str() {
            "random" => Origin::Random { seed: 0, cache: Some(files::cache_folder()?.join("weights")) },
            file => Origin::file(file.into()).context("--teacher")?,
        };
        let teacher =
            embed::teacher(manifest, backbone, &origin, device)?.computing_in(self.compute.precision);
        let embed = |pictures: &[Pixels]| embed::vectors(&teacher, pictures);
        let embedder = Embedder { teacher: origin.label(Network::Backbone(backbone)), embed: &embed };
        audit::run(manifest, gates, raw, Some(&embedder))
    }
}
