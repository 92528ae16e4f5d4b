//! Where the weights of pretrained networks come from.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, ensure};
use serde::{Deserialize, Serialize};

use super::{Network, published};
use crate::files::{self, RememberedHashes};

/// SHA-256 of a file.
fn hash(path: &Path) -> Result<String> {
    static HASHES: RememberedHashes =
        RememberedHashes::new(|path| files::sha256_of(&[path.to_owned()]).map(|(hash, _)| hash));
    HASHES.of(path)
}

/// Where a teacher's weights come from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Origin {
    /// A weights file with the published names, and its SHA-256.
    File {
        /// Where the file lies.
        path: PathBuf,
        /// 64 hexadecimal digits.
        sha256: String,
    },
    /// Kaiming normal from a named stream, batch norms calibrated on training normals; kept in `cache`, if
    /// given, under a name that holds all that determines it. A transformer has nothing to calibrate and is drawn
    /// anew each time.
    Random {
        /// Seed of the named stream.
        seed: u64,
        /// Folder that keeps the weights; `None` draws them each time.
        cache: Option<PathBuf>,
    },
}

impl Origin {
    /// A weights file, or the installed weights of that name (see [`published`]).
    ///
    /// # Errors
    /// A name that is neither a file nor installed weights, or a file that cannot be read.
    pub fn named(given: &str) -> Result<Origin> {
        let origin = Origin::file(published::find(given)?)?;
        if let (Origin::File { path, sha256 }, Some(known)) = (&origin, published::published(given)) {
            ensure!(
                path.as_path() == Path::new(given) || sha256.starts_with(known.source.sha256_prefix()),
                "{} is not what was published as {given} (SHA-256 {sha256}); remove it and call `cargo xtask weights fetch {given}`",
                path.display()
            );
        }
        Ok(origin)
    }

    /// Reads and hashes a weights file.
    ///
    /// # Errors
    /// A file that cannot be read.
    pub fn file(path: PathBuf) -> Result<Origin> {
        let sha256 = hash(&path)?;
        Ok(Origin::File { path, sha256 })
    }

    /// The file, if it is still the one whose hash is stated: it may have been exchanged since a run was planned.
    ///
    /// # Errors
    /// Another content, or a file that cannot be read.
    pub(super) fn unchanged<'a>(path: &'a Path, sha256: &str) -> Result<&'a Path> {
        let found = hash(path)?;
        ensure!(
            found == sha256,
            "{} was exchanged: its SHA-256 is {found}, and this run is planned with {sha256}; bring that file back, or plan \
             again",
            path.display()
        );
        Ok(path)
    }

    /// Whether the weights are drawn rather than learned.
    pub fn is_random(&self) -> bool {
        matches!(self, Origin::Random { .. })
    }

    /// Identity for results.
    pub fn hash(&self, network: Network) -> String {
        match self {
            Origin::File { sha256, .. } => sha256.clone(),
            Origin::Random { seed, .. } => {
                files::fingerprint(format!("random {} {seed} v1", network.name()).as_bytes())
            }
        }
    }

    /// In words, for every table and figure.
    pub fn label(&self, network: Network) -> String {
        let name = network.name();
        match self {
            Origin::File { path, sha256 } => {
                let file = path.file_name().unwrap_or_default().to_string_lossy();
                format!("{name} from {file} (sha256 {})", &sha256[..12])
            }
            Origin::Random { seed, .. } => {
                let calibrated = match network {
                    Network::Backbone(_) => ", calibrated batch norm",
                    Network::Vgg19 => ", calibrated layers",
                    Network::Transformer(_) | Network::Clip(_) => "",
                };
                format!("{name}, random teacher (seed {seed}{calibrated})")
            }
        }
    }
}

/// Which weights each network gets.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Teachers {
    /// For one network, by torchvision's name.
    pub named: BTreeMap<String, Origin>,
    /// For every other; `None` where the others have none.
    pub other: Option<Origin>,
}

impl Teachers {
    /// The origin for `network`: its own, else the one for every other.
    ///
    /// # Errors
    /// A network that has neither; no random one stands in.
    pub fn of(&self, network: Network) -> Result<&Origin> {
        let found = self.named.get(network.name()).or(self.other.as_ref());
        found.with_context(|| format!("no weights of {0}: give them with --teacher {0}=FILE", network.name()))
    }
}
