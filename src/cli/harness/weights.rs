//! `weights`: which pretrained networks are known and installed; fetching and importing them.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};

use crate::network::known::{self, PUBLISHED, Published};
use crate::{download, files};

/// List, fetch, import and show pretrained networks
///
/// Lists, fetches, imports and shows the pretrained networks that methods need. Installed ones are kept for all
/// checkouts of a user, and every `--teacher` takes their names.
#[derive(clap::Args)]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(clap::Subcommand)]
enum Command {
    /// Known weights: network, size, SHA-256 prefix, where they come from
    List,
    /// Fetch known weights, or a file by its address; goes on where it stopped, and checks the hash
    Fetch(Fetch),
    /// Install a file that you have: safetensors or .pth, with torchvision's names
    Import(Import),
    /// What is installed: file, size, SHA-256, network
    Show,
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
    /// For an address: the network that it must fit, by torchvision's name
    #[arg(long)]
    network: Option<String>,
}

#[derive(clap::Args)]
struct Import {
    file: PathBuf,
    /// The network that it must fit: resnet18, resnet34, resnet50, wide_resnet50_2 or vgg19
    #[arg(long)]
    network: String,
    /// The name to install it under [default: the file's]
    #[arg(long)]
    name: Option<String>,
}

impl Args {
    pub fn run(self) -> Result<()> {
        match self.command {
            Command::List => list(),
            Command::Fetch(fetch) => fetch.run(),
            Command::Import(import) => import.run(),
            Command::Show => show(),
        }
    }
}

fn list() -> Result<()> {
    let installed = known::installed()?;
    println!("{:<19} {:<16} {:>6}  {:<9} {:<10}", "name", "network", "MiB", "SHA-256", "");
    for published in PUBLISHED {
        let Published { name, network, mebibytes, sha256_prefix, about, url } = published;
        let here = installed.iter().any(|(installed, _)| installed == name);
        let here = if here { "installed" } else { "" };
        println!(
            "{name:<19} {network:<16} {mebibytes:>6.1}  {sha256_prefix:<9} {here:<10} {about}\n    {url}"
        );
    }
    println!("`weights fetch NAME` gets one; --teacher NAME, or NETWORK=NAME, then uses it");
    Ok(())
}

fn show() -> Result<()> {
    let installed = known::installed()?;
    if installed.is_empty() {
        println!("nothing is installed in {}; see `weights list`", known::folder()?.display());
    }
    for (name, path) in installed {
        let (sha256, fitting) = known::describe(&path)?;
        let bytes = std::fs::metadata(&path).with_context(|| format!("reading {}", path.display()))?.len();
        let fitting: Vec<&str> = fitting.into_iter().map(|network| network.name()).collect();
        let fits =
            if fitting.is_empty() { "no network that methods use".to_owned() } else { fitting.join(", ") };
        println!(
            "{name}: fits {fits}, {:.1} MiB\n    {}\n    SHA-256 {sha256}",
            mebibytes(bytes),
            path.display()
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
            let published = PUBLISHED.iter().find(|published| published.name == name);
            let published = published
                .with_context(|| format!("`{name}` is neither a known name nor a URL; see `weights list`"))?;
            let url = match &self.mirror {
                Some(mirror) => format!("{}/{}", mirror.trim_end_matches('/'), file_name(published.url)),
                None => published.url.to_owned(),
            };
            install(&url, name, published.sha256_prefix, Some(published.network))?;
        }
        Ok(())
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
        install(url, name, &sha256.to_lowercase(), self.network.as_deref())
    }
}

fn is_hash(digits: &str) -> bool {
    (8..=64).contains(&digits.len()) && digits.bytes().all(|digit| digit.is_ascii_hexdigit())
}

/// The last part of an address, without what follows a question mark.
fn file_name(url: &str) -> &str {
    let path = url.split(['?', '#']).next().unwrap_or_default();
    path.rsplit('/').next().unwrap_or_default()
}

/// The place for weights of that name.
fn place(name: &str, ending: Option<&str>) -> Result<PathBuf> {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    ensure!(
        name.chars().all(plain) && name.starts_with(|c: char| c.is_ascii_alphanumeric()),
        "`{name}` cannot name weights: letters, digits, `-`, `_` and `.` can"
    );
    let ending = ending
        .filter(|ending| known::ENDINGS.contains(ending))
        .with_context(|| format!("`{name}`: weights files end in .{}", known::ENDINGS.join(", .")))?;
    Ok(known::folder()?.join(format!("{name}.{ending}")))
}

fn ending(file: &str) -> Option<&str> {
    file.rsplit_once('.').map(|(_, ending)| ending)
}

/// Refuses a name that other weights have.
fn is_free(name: &str, path: &Path) -> Result<()> {
    let other = known::installed()?.into_iter().find(|(installed, other)| installed == name && other != path);
    ensure!(other.is_none(), "`{name}` is installed as another file; choose another with --name");
    Ok(())
}

fn install(url: &str, name: &str, sha256_prefix: &str, network: Option<&str>) -> Result<()> {
    let network = network.map(known::network).transpose()?;
    let path = place(name, ending(file_name(url)))?;
    is_free(name, &path)?;
    if path.exists() && files::sha256_of(std::slice::from_ref(&path))?.0.starts_with(sha256_prefix) {
        println!("{name} is installed already");
        return Ok(());
    }
    // Under another name until it is known to fit, so that what is installed can be used.
    let draft = path.with_extension("fetched");
    download::fetch(url, &draft, sha256_prefix)?;
    if let Some(network) = network {
        known::check(network, &draft).with_context(|| format!("{url} does not fit {}", network.name()))?;
    }
    std::fs::rename(&draft, &path).with_context(|| format!("writing {}", path.display()))?;
    println!("{name} installed: {}", path.display());
    Ok(())
}

impl Import {
    fn run(self) -> Result<()> {
        let network = known::network(&self.network).context("--network")?;
        let stem = self.file.file_stem().and_then(|stem| stem.to_str()).context("the file has no name")?;
        let name = self.name.as_deref().unwrap_or(stem);
        let path = place(name, self.file.extension().and_then(|ending| ending.to_str()))?;
        is_free(name, &path)?;
        known::check(network, &self.file)
            .with_context(|| format!("{} does not fit {}", self.file.display(), network.name()))?;
        let bytes = files::read(&self.file)?;
        if path.exists() {
            let same = files::read(&path)? == bytes;
            ensure!(same, "`{name}` is installed with other content; choose another with --name");
        }
        files::write_whole(&path, &bytes)?;
        println!("{name} installed for {}: {}", network.name(), path.display());
        Ok(())
    }
}
