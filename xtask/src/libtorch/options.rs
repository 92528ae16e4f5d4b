//! What the user asks `cargo xtask libtorch` for.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use super::folder;
use crate::programs;

pub(crate) const HELP: &str = "\
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
pub(crate) enum Flavour {
    Cpu,
    Cuda,
}

impl Flavour {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Flavour::Cpu => "cpu",
            Flavour::Cuda => "cuda",
        }
    }

    /// Cuda where an NVIDIA driver is seen.
    pub(crate) fn fitting() -> Flavour {
        let driver = Path::new("/proc/driver/nvidia/version").exists();
        if driver || programs::which("nvidia-smi").is_some() { Flavour::Cuda } else { Flavour::Cpu }
    }

    /// Whether a libtorch has what this flavour needs.
    pub(crate) fn is_served_by(self, home: &Path) -> bool {
        self == Flavour::Cpu || folder::has_cuda(home)
    }
}

/// What the user asked `cargo xtask libtorch` for.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Options {
    pub flavour: Option<Flavour>,
    pub from: Option<PathBuf>,
}

impl Options {
    /// Reads `--flavour F` and `--from DIR`, also joined by `=`.
    pub(crate) fn parse(args: &[OsString]) -> Result<Options> {
        let mut options = Options::default();
        let mut rest = args.iter();
        while let Some(arg) = rest.next() {
            let text = arg.to_str().with_context(|| {
                format!(
                    "`{}` is not UTF-8; give such a folder as a word of its own: --from DIR",
                    arg.to_string_lossy()
                )
            })?;
            let (name, joined) =
                text.split_once('=').map_or((text, None), |(name, value)| (name, Some(value)));
            let mut value = || {
                let value = joined.map(OsString::from).or_else(|| rest.next().cloned());
                value.with_context(|| format!("{name} wants a value; `cargo xtask libtorch --help`"))
            };
            match name {
                "--flavour" | "--flavor" => options.flavour = Some(parse_flavour(&value()?)?),
                "--from" => options.from = Some(value()?.into()),
                _ => bail!("unexpected argument `{text}`; `cargo xtask libtorch --help` shows what there is"),
            }
        }
        Ok(options)
    }
}

fn parse_flavour(value: &OsString) -> Result<Flavour> {
    match value.to_str() {
        Some("cpu") => Ok(Flavour::Cpu),
        Some("cuda") => Ok(Flavour::Cuda),
        _ => bail!("unknown flavour `{}` (known: cpu, cuda)", value.to_string_lossy()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(args: &[&str]) -> Result<Options> {
        Options::parse(&args.iter().map(OsString::from).collect::<Vec<_>>())
    }

    #[test]
    fn options_are_read_with_and_without_the_equals_sign() {
        let options = Options { flavour: Some(Flavour::Cuda), from: Some("here".into()) };
        assert_eq!(parse(&["--flavour", "cuda", "--from=here"]).unwrap(), options);
        assert_eq!(parse(&[]).unwrap(), Options::default());
    }

    #[test]
    fn options_that_make_no_sense_are_refused() {
        for args in [&["--flavour", "rocm"][..], &["--from"], &["please"]] {
            assert!(parse(args).is_err(), "{args:?}");
        }
    }
}
