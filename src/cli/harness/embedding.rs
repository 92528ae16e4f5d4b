//! Features of a pretrained network for `audit`.

use std::path::Path;

use anyhow::Result;

use super::compute::Compute;
use super::settings::BackboneArg;
use super::teacher::{self, TeacherArgs};
use crate::audit::{self, Embedder, Report};
use crate::evaluate::embed;
use crate::files;
use crate::manifest::Manifest;
use crate::network::origin::Origin;
use crate::network::{Backbone, Extractor, Network};
use crate::pixels::Pixels;
use crate::spec::{Audit, Level};

/// The network by whose features pictures are compared, and where it runs.
#[derive(clap::Args)]
pub(crate) struct EmbeddingArgs {
    #[command(flatten)]
    teacher: TeacherArgs,
    #[command(flatten)]
    backbone: BackboneArg,
    #[command(flatten)]
    compute: Compute,
}

impl EmbeddingArgs {
    /// Runs the gates over a curated benchmark; the network is opened only if the gate that needs it is on.
    ///
    /// # Errors
    /// Names the argument that does not fit; as [`audit::run`].
    pub(crate) fn audit(&self, manifest: &Manifest, gates: &Audit, raw: Option<&Path>) -> Result<Report> {
        let random = Origin::Random { seed: 0, cache: Some(files::cache_folder()?.join("weights")) };
        let usual = if self.teacher.is_empty() { teacher::DEFAULT } else { Backbone::Resnet18 };
        let backbone = self.backbone.backbone.unwrap_or(Extractor::Pyramid(usual));
        let network = Network::from(backbone);
        let chosen = self.teacher.choose(&random)?;
        chosen.check_used_by(&[network])?;
        if gates.embedding_neighbours == Level::Off {
            self.compute.set_up()?;
            return audit::run(manifest, gates, raw, None);
        }
        let teachers = chosen.complete(&[network])?;
        let origin = teachers.of(network)?;
        let device = self.compute.start()?;
        let teacher =
            embed::teacher(manifest, backbone, origin, device)?.computing_in(self.compute.precision);
        let embed = |pictures: &[Pixels]| embed::vectors(&teacher, pictures);
        let embedder = Embedder { teacher: origin.label(network), embed: &embed };
        audit::run(manifest, gates, raw, Some(&embedder))
    }
}
