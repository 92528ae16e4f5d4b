//! Features of a pretrained network for `audit`.

use std::path::Path;

use anyhow::{Result, ensure};

use super::compute::Compute;
use super::settings::BackboneArg;
use super::teacher::TeacherArgs;
use crate::audit::{self, Embedder, Report};
use crate::evaluate::embed;
use crate::files;
use crate::manifest::Manifest;
use crate::network::origin::Origin;
use crate::network::{Backbone, Network};
use crate::pixels::Pixels;
use crate::spec::Audit;

/// The network by whose features pictures are compared, and where it runs.
#[derive(clap::Args)]
pub struct EmbeddingArgs {
    #[command(flatten)]
    teacher: TeacherArgs,
    #[command(flatten)]
    backbone: BackboneArg,
    #[command(flatten)]
    compute: Compute,
}

impl EmbeddingArgs {
    /// Runs the gates over a curated benchmark, with features if a network is given.
    ///
    /// # Errors
    /// Names the argument that does not fit; as [`audit::run`].
    pub fn audit(&self, manifest: &Manifest, gates: &Audit, raw: Option<&Path>) -> Result<Report> {
        let random = Origin::Random { seed: 0, cache: Some(files::cache_folder()?.join("weights")) };
        let backbone = self.backbone.backbone.unwrap_or(Backbone::Resnet18);
        let chosen = self.teacher.choose(&random)?;
        let Some(origin) = chosen.of(Network::Backbone(backbone)) else {
            ensure!(
                chosen.is_empty(),
                "--teacher gives no weights of {}; name the network with --backbone",
                backbone.name()
            );
            ensure!(
                self.backbone.backbone.is_none(),
                "--backbone is of the network that --teacher gives weights to"
            );
            self.compute.set_up()?;
            return audit::run(manifest, gates, raw, None);
        };
        let device = self.compute.start()?;
        let teacher =
            embed::teacher(manifest, backbone, origin, device)?.computing_in(self.compute.precision);
        let embed = |pictures: &[Pixels]| embed::vectors(&teacher, pictures);
        let embedder = Embedder { teacher: origin.label(Network::Backbone(backbone)), embed: &embed };
        audit::run(manifest, gates, raw, Some(&embedder))
    }
}
