//! What long and broken runs cost: memory and time of large reports, a soak of many cells in one process, random kills.
//!
//!     cargo run --release --example load cells FOLDER [CELLS] [PICTURES]
//!     cargo run --release --example load rows FOLDER [ROWS]
//!     cargo run --release --example load hashes FOLDER
//!     cargo run --release --example load report PROGRAM FOLDER
//!     cargo run --release --example load soak PROGRAM FOLDER [CELLS]
//!     cargo run --release --example load kills PROGRAM FOLDER [KILLS]
//!     cargo run --release --example load disks PROGRAM FOLDER
//!     cargo run --release --example load growth PROGRAM FOLDER
//!
//! `cells` writes a run of made-up cells, `rows` a curated folder without pictures. `hashes` measures what it costs to
//! hash the files of a folder. `report` draws a run's report with
//! `PROGRAM report` and prints its peak of memory. `soak` runs a bench of tiny cells in one process and watches its memory
//! and open files. `kills` ends build-dataset, bench (which trains three methods) and report at random moments and compares
//! what they leave, gone on with, with undisturbed runs. `disks` does the same on a disk that is full, until it is not. `growth` measures what more draws, methods and test
//! pictures cost, and goes on where it was stopped.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, anyhow, bail};
use plotters::style::{FontStyle, register_font};

/// What reports are written in; plotters brings no font of its own.
const FONT: &[u8] = include_bytes!("../../src/report/fonts/DejaVuSans.ttf");

/// A run that nobody ran.
mod cells;
/// Fills disks.
mod disks;
/// More draws, methods, pictures.
mod growth;
/// Hashes files.
mod hashes;
/// Ends programs at random moments.
mod kills;
/// Rows that nobody curated.
mod rows;
/// Watches a process.
mod watch;

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let number = |place: usize, otherwise: usize| -> Result<usize> {
        let given =
            arguments.get(place).map(|text| text.parse().with_context(|| format!("no number: {text}")));
        Ok(given.transpose()?.unwrap_or(otherwise))
    };
    register_font("sans-serif", FontStyle::Normal, FONT).map_err(|_| anyhow!("the font is damaged"))?;
    match arguments[..] {
        ["cells", folder, ..] => cells::write(Path::new(folder), number(2, 11_250)?, number(3, 1500)?),
        ["rows", folder, ..] => rows::write(Path::new(folder), number(2, 1_000_000)?),
        ["hashes", folder] => hashes::measure(Path::new(folder)),
        ["report", program, folder] => watch::report(&found(program)?, Path::new(folder)),
        ["soak", program, folder, ..] => watch::soak(&found(program)?, Path::new(folder), number(3, 500)?),
        ["kills", program, folder, ..] => kills::all(&found(program)?, Path::new(folder), number(3, 20)?),
        ["growth", program, folder] => growth::measure(&found(program)?, Path::new(folder)),
        ["disks", program, folder] => disks::all(&found(program)?, Path::new(folder)),
        _ => bail!(
            "say cells, rows or hashes FOLDER, or report, soak, kills, disks or growth with PROGRAM FOLDER"
        ),
    }
}

/// The program by its whole path, since it runs in other folders.
fn found(program: &str) -> Result<PathBuf> {
    Path::new(program).canonicalize().with_context(|| format!("finding {program}"))
}
