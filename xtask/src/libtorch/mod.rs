//! Finding, fetching and linking libtorch: exactly one version, by the first route that has it.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use crate::{cache, programs};

/// pip, and what it takes to get the pinned wheels with it.
mod fetch;

/// A folder with `include` and `lib`: is it libtorch, and which?
mod folder;

/// The torch that a Python has.
mod python;

/// The folder that cargo links against.
mod view;

/// The pinned wheels.
mod wheels;

pub use fetch::{find_pip, room_needed};
pub use folder::has_cuda;
pub use view::{is_linked, linked_home, linked_route};

/// The one version that `tch` 0.24 works with.
pub const VERSION: &str = "2.11.0";

pub const HELP: &str = "\
Provisions libtorch 2.11.0 and links it where the build looks (.libtorch).

Usage: cargo xtask libtorch [--flavour cpu|cuda] [--from DIR]

  --flavour cpu|cuda  what to look for and fetch; cuda where an NVIDIA GPU is seen, else cpu.
                      A cuda libtorch also serves the CPU.
  --from DIR          a libtorch folder (include, lib), a site-packages folder with torch in it,
                      or a folder of wheels fetched elsewhere

Looks at LIBTORCH, then for a Python whose torch is 2.11.0 (LIBTORCH_USE_PYTORCH insists on it), then in the
cache (MEDFSAD_CACHE, else XDG_CACHE_HOME/medfsad, else ~/.cache/medfsad), and fetches wheels with pip otherwise.
";

/// With or without the half that runs on NVIDIA GPUs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flavour {
    Cpu,
    Cuda,
}

impl Flavour {
    pub fn name(self) -> &'static str {
        match self {
            Flavour::Cpu => "cpu",
            Flavour::Cuda => "cuda",
        }
    }

    /// Cuda where an NVIDIA driver is seen.
    pub fn fitting() -> Flavour {
        let driver = Path::new("/proc/driver/nvidia/version").exists();
        if driver || programs::which("nvidia-smi").is_some() { Flavour::Cuda } else { Flavour::Cpu }
    }

    fn is_served_by(self, home: &Path) -> bool {
        self == Flavour::Cpu || has_cuda(home)
    }
}

/// What the user asked `cargo xtask libtorch` for.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Wish {
    pub flavour: Option<Flavour>,
    pub from: Option<PathBuf>,
}

impl Wish {
    /// Reads `--flavour F` and `--from DIR`, also joined by `=`.
    pub fn parse(args: &[OsString]) -> Result<Wish> {
        let mut wish = Wish::default();
        let mut rest = args.iter();
        while let Some(arg) = rest.next() {
            let text = arg.to_str().with_context(|| format!("{} is not text", arg.to_string_lossy()))?;
            let (name, joined) =
                text.split_once('=').map_or((text, None), |(name, value)| (name, Some(value)));
            let mut value = || {
                let value = joined.map(OsString::from).or_else(|| rest.next().cloned());
                value.with_context(|| format!("{name} wants a value; `cargo xtask libtorch --help`"))
            };
            match name {
                "--flavour" | "--flavor" => wish.flavour = Some(parse_flavour(&value()?)?),
                "--from" => wish.from = Some(value()?.into()),
                _ => bail!("unexpected argument `{text}`; `cargo xtask libtorch --help` shows what there is"),
            }
        }
        Ok(wish)
    }
}

fn parse_flavour(value: &OsString) -> Result<Flavour> {
    match value.to_str() {
        Some("cpu") => Ok(Flavour::Cpu),
        Some("cuda") => Ok(Flavour::Cuda),
        _ => bail!("unknown flavour `{}` (known: cpu, cuda)", value.to_string_lossy()),
    }
}

/// A libtorch of the right version.
#[derive(Debug)]
pub struct Found {
    /// How it was found, in words.
    pub route: String,
    /// Holds `include` and `lib`.
    pub home: PathBuf,
}

/// The first fitting libtorch on this machine, and why those before it were passed over.
#[derive(Debug, Default)]
pub struct Search {
    pub found: Option<Found>,
    pub passed_over: Vec<String>,
}

/// Looks without changing anything. A wrong version is an error only where the user named it.
pub fn search(root: &Path, flavour: Flavour) -> Result<Search> {
    let mut search = Search::default();
    if let Some(found) = named_by_user(root)? {
        search.found = Some(found);
        return Ok(search);
    }
    search.passed_over.push("LIBTORCH is not set".into());
    for program in python::PROGRAMS {
        match python::torch_of(program).and_then(|home| fitting(home, flavour)) {
            Ok(home) => {
                search.found = Some(Found { route: format!("the torch of {program}"), home });
                return Ok(search);
            }
            Err(reason) => search.passed_over.push(format!("{program}: {reason:#}")),
        }
    }
    for flavour in
        [Flavour::Cpu, Flavour::Cuda].into_iter().filter(|&kept| kept == flavour || flavour == Flavour::Cpu)
    {
        let home = kept_in(&cache::folder()?, flavour);
        match folder::check(&home) {
            Ok(()) => {
                search.found = Some(Found { route: format!("the cache, {} flavour", flavour.name()), home });
                return Ok(search);
            }
            Err(reason) => search.passed_over.push(format!("the cache: {reason:#}")),
        }
    }
    Ok(search)
}

fn fitting(home: PathBuf, flavour: Flavour) -> Result<PathBuf> {
    folder::check(&home)?;
    if !flavour.is_served_by(&home) {
        bail!("{} has no CUDA half, which the GPU here would need", home.display());
    }
    Ok(home)
}

/// Where the cache keeps a flavour, laid out like the wheels: `torch` beside `nvidia`.
fn kept_in(cache: &Path, flavour: Flavour) -> PathBuf {
    cache.join(format!("libtorch-{VERSION}-{}", flavour.name())).join("torch")
}

/// What `LIBTORCH` or `LIBTORCH_USE_PYTORCH` names; cargo's own `.libtorch` does not count.
fn named_by_user(root: &Path) -> Result<Option<Found>> {
    let set = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty());
    if let Some(given) = set("LIBTORCH").map(PathBuf::from).filter(|given| *given != view::folder(root)) {
        let home = std::path::absolute(&given)?;
        folder::check(&home)
            .context("LIBTORCH cannot be used; correct it, or unset it to have one fetched")?;
        return Ok(Some(Found { route: "LIBTORCH".into(), home }));
    }
    if set("LIBTORCH_USE_PYTORCH").is_none() {
        return Ok(None);
    }
    let mut reasons = Vec::new();
    for program in python::PROGRAMS {
        match python::torch_of(program).and_then(|home| folder::check(&home).map(|()| home)) {
            Ok(home) => return Ok(Some(Found { route: format!("LIBTORCH_USE_PYTORCH, {program}"), home })),
            Err(reason) => reasons.push(format!("{program}: {reason:#}")),
        }
    }
    bail!(
        "LIBTORCH_USE_PYTORCH is set, but no Python has torch {VERSION} ({}); \
         `pip install torch=={VERSION}` in that Python, or unset it to have libtorch fetched",
        reasons.join("; ")
    )
}

/// Sees to it that `.libtorch` can be linked against; what was chosen before stays.
pub fn provide(root: &Path) -> Result<()> {
    match named_by_user(root)? {
        Some(found) => view::link(root, &found),
        None if is_linked(root) => Ok(()),
        None => provide_anew(root, &Wish::default()),
    }
}

/// Chooses anew, by the order of the routes or as the user wishes.
pub fn provide_anew(root: &Path, wish: &Wish) -> Result<()> {
    let flavour = wish.flavour.unwrap_or_else(Flavour::fitting);
    let found = match &wish.from {
        Some(folder) => from_folder(folder, flavour)?,
        None => match search(root, flavour)? {
            Search { found: Some(found), .. } => found,
            Search { passed_over, .. } => {
                eprintln!("no libtorch {VERSION} yet: {}", passed_over.join("; "));
                fetched(flavour, None)?
            }
        },
    };
    if wish.flavour.is_some_and(|flavour| !flavour.is_served_by(&found.home)) {
        bail!("{} ({}) has no CUDA half; unset it or name another", found.route, found.home.display());
    }
    view::link(root, &found)?;
    println!("libtorch {VERSION}: {} ({})", found.route, found.home.display());
    Ok(())
}

fn from_folder(folder: &Path, flavour: Flavour) -> Result<Found> {
    let folder = std::path::absolute(folder)?;
    for home in [folder.clone(), folder.join("torch")] {
        if home.join("lib").is_dir() {
            folder::check(&home)?;
            return Ok(Found { route: format!("--from {}", folder.display()), home });
        }
    }
    fetched(flavour, Some(&folder))
}

fn fetched(flavour: Flavour, shelf: Option<&Path>) -> Result<Found> {
    let cache = cache::folder()?;
    let home = fetch::fetch(&cache, flavour, shelf)?;
    Ok(Found { route: format!("fetched with pip, {} flavour", flavour.name()), home })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(args: &[&str]) -> Result<Wish> {
        Wish::parse(&args.iter().map(OsString::from).collect::<Vec<_>>())
    }

    #[test]
    fn a_wish_is_read_with_and_without_the_equals_sign() {
        let wish = Wish { flavour: Some(Flavour::Cuda), from: Some("here".into()) };
        assert_eq!(parse(&["--flavour", "cuda", "--from=here"]).unwrap(), wish);
        assert_eq!(parse(&[]).unwrap(), Wish::default());
    }

    #[test]
    fn a_wish_that_makes_no_sense_is_refused() {
        for args in [&["--flavour", "rocm"][..], &["--from"], &["please"]] {
            assert!(parse(args).is_err(), "{args:?}");
        }
    }
}
