//! What the simulations of this folder are called with.

use anyhow::{Context, Result};

/// `[TRIALS] [--csv FILE]`: the number of trials, 1,000 unless stated, and where a table is to be written.
///
/// # Errors
/// Names the argument that does not fit.
pub(crate) fn trials_and_csv() -> Result<(u64, Option<String>)> {
    let mut arguments = std::env::args().skip(1);
    let (mut trials, mut csv) = (1000, None);
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            "--csv" => csv = Some(arguments.next().context("--csv takes a file")?),
            text => trials = text.parse().with_context(|| format!("{text}: TRIALS is a number"))?,
        }
    }
    Ok((trials, csv))
}
