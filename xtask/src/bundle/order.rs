//! What the user asks `cargo xtask bundle` for.

use std::ffi::OsString;
use std::path::PathBuf;

use anyhow::{Context, Result, bail};

pub(crate) const HELP: &str = "\
Makes a folder that runs on another Linux x86_64 machine whose Python has torch 2.11.0.

Usage: cargo xtask bundle --out DIR

  --out DIR  the folder, made anew or in place of an earlier bundle; where DIR ends in .tar, a tar file of it

Builds the program and puts it beside a script that runs it (medfsad), the specs (manifests), the run
definitions and reference programs (benchmarks) and a README. Fails when all of it is over 40 MB.
";

/// What the user asked `cargo xtask bundle` for.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Order {
    /// A folder, or a file if it ends in `.tar`.
    pub out: PathBuf,
}

impl Order {
    /// Reads `--out DIR`, also joined by `=`.
    pub(crate) fn parse(args: &[OsString]) -> Result<Order> {
        let mut out = None;
        let mut rest = args.iter();
        while let Some(arg) = rest.next() {
            let text = arg.to_str().with_context(|| {
                format!(
                    "`{}` is not UTF-8; give such a folder as a word of its own: --out DIR",
                    arg.to_string_lossy()
                )
            })?;
            let (name, joined) =
                text.split_once('=').map_or((text, None), |(name, value)| (name, Some(value)));
            if name != "--out" {
                bail!("unexpected argument `{text}`; `cargo xtask bundle --help` shows what there is");
            }
            let value = joined.map(OsString::from).or_else(|| rest.next().cloned());
            out = value.filter(|value| !value.is_empty()).map(PathBuf::from);
            out.as_ref().context("--out wants a folder; `cargo xtask bundle --help`")?;
        }
        let out = out.context("where to? --out DIR names the folder; `cargo xtask bundle --help`")?;
        Ok(Order { out })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(args: &[&str]) -> Result<Order> {
        Order::parse(&args.iter().map(OsString::from).collect::<Vec<_>>())
    }

    #[test]
    fn an_order_is_read_with_and_without_the_equals_sign() {
        for args in [&["--out", "a folder.tar"][..], &["--out=a folder.tar"]] {
            assert_eq!(parse(args).unwrap(), Order { out: "a folder.tar".into() });
        }
    }

    #[test]
    fn an_order_that_makes_no_sense_is_refused() {
        for args in [&[][..], &["--out"], &["--out="], &["--out", ""], &["--out=here", "please"], &["here"]] {
            let error = parse(args).unwrap_err().to_string();
            assert!(error.contains("cargo xtask bundle --help"), "{args:?}: {error}");
        }
    }
}
