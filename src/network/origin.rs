//! Where the weights of pretrained networks come from.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use anyhow::{Context as _, Result, anyhow, ensure};
use serde::{Deserialize, Serialize};

use super::tuned::Tuned;
use super::{Network, published};
use crate::files::{self, RememberedHashes};

/// How the names of files for targets end.
const ENDING: &str = ".safetensors";

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
    /// A folder with a file for each target, named by it; each was trained without that target.
    Targets {
        /// Where the files lie.
        folder: PathBuf,
        /// The SHA-256 of each file, by target.
        sha256: BTreeMap<String, String>,
    },
}

impl Origin {
    /// A weights file, or the installed weights of that name (see [`published`]).
    ///
    /// # Errors
    /// A name that is neither a file nor installed weights, or a file that cannot be read.
    pub fn named(given: &str) -> Result<Origin> {
        if Path::new(given).is_dir() {
            return Origin::folder(Path::new(given));
        }
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

    /// Reads and hashes a folder with a file for each target.
    ///
    /// # Errors
    /// A folder without such files, or a file that cannot be read.
    pub fn folder(folder: &Path) -> Result<Origin> {
        let mut sha256 = BTreeMap::new();
        for file in files::walk(folder)? {
            // A dot stands before what a training has left that is not done yet.
            if let Some(target) = file.strip_suffix(ENDING).filter(|target| !target.contains(['/', '.'])) {
                sha256.insert(target.to_owned(), hash(&folder.join(&file))?);
            }
        }
        ensure!(
            !sha256.is_empty(),
            "{} is a folder without TASK{ENDING}, as `weights train` writes them; name a file",
            folder.display()
        );
        Ok(Origin::Targets { folder: folder.to_owned(), sha256 })
    }

    /// The file for one target, where there is one for each.
    ///
    /// # Errors
    /// A folder that lacks it.
    pub fn for_target(&self, target: &str) -> Result<Origin> {
        let Origin::Targets { folder, sha256 } = self else { return Ok(self.clone()) };
        let known = || sha256.keys().cloned().collect::<Vec<_>>().join(", ");
        let found = sha256.get(target).with_context(|| {
            format!(
                "{} has no teacher for `{target}` (it has: {}); train one with `weights train`",
                folder.display(),
                known()
            )
        })?;
        Ok(Origin::File { path: folder.join(format!("{target}{ENDING}")), sha256: found.clone() })
    }

    /// What a file says of its training on tasks of a benchmark; `None` where there was none.
    ///
    /// # Errors
    /// A file that cannot be read, or says so in another version.
    pub fn tuned(&self) -> Result<Option<Arc<Tuned>>> {
        /// By the file's hash: each file is read once, and these are asked of every cell.
        static KNOWN: Mutex<BTreeMap<String, Option<Arc<Tuned>>>> = Mutex::new(BTreeMap::new());
        let Origin::File { path, sha256 } = self else { return Ok(None) };
        let mut known = KNOWN.lock().expect("no thread panics while it holds this");
        if let Some(tuned) = known.get(sha256) {
            return Ok(tuned.clone());
        }
        let tuned = Tuned::of(path)?.map(Arc::new);
        known.insert(sha256.clone(), tuned.clone());
        Ok(tuned)
    }

    /// Why a folder of teachers cannot be opened as one.
    pub(super) fn several(folder: &Path) -> anyhow::Error {
        anyhow!("{} holds a teacher for each target; name the file of one", folder.display())
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
            Origin::Targets { sha256, .. } => files::fingerprint(format!("{sha256:?}").as_bytes()),
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
            Origin::Targets { folder, sha256 } => {
                let file = folder.file_name().unwrap_or_default().to_string_lossy();
                format!("{name} from {file}, a file for each of {} targets", sha256.len())
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
    /// Those for one target.
    ///
    /// # Errors
    /// As [`Origin::for_target`].
    pub fn for_target(&self, target: &str) -> Result<Teachers> {
        let named = self.named.iter().map(|(name, origin)| Ok((name.clone(), origin.for_target(target)?)));
        let other = self.other.as_ref().map(|origin| origin.for_target(target)).transpose()?;
        Ok(Teachers { named: named.collect::<Result<_>>()?, other })
    }

    /// The origin for `network`: its own, else the one for every other.
    ///
    /// # Errors
    /// A network that has neither; no random one stands in.
    pub fn of(&self, network: Network) -> Result<&Origin> {
        let found = self.named.get(network.name()).or(self.other.as_ref());
        found.with_context(|| format!("no weights of {0}: give them with --teacher {0}=FILE", network.name()))
    }
}
