//! What long and broken runs cost: memory and time of large reports, a soak of many cells in one process, random kills.
//!
//!     cargo run --release --example load cells FOLDER [CELLS] [PICTURES]
//!     cargo run --release --example load report PROGRAM FOLDER
//!     cargo run --release --example load soak PROGRAM FOLDER [CELLS]
//!     cargo run --release --example load kills PROGRAM FOLDER [KILLS]
//!     cargo run --release --example load disks PROGRAM FOLDER
//!
//! `cells` writes a run of made-up cells, `report` draws its report with `PROGRAM report` and prints its peak of memory.
//! `soak` runs a bench of tiny cells in one process and watches its memory and open files. `kills` ends build-dataset,
//! bench (which trains three methods) and report at random moments and compares what they leave, gone on with, with
//! undisturbed runs. `disks` does the same on a disk that is full, until it is not.

use std::path::Path;

use anyhow::{Context, Result, bail};

/// A run that nobody ran.
mod cells;
/// Fills disks.
mod disks;
/// Ends programs at random moments.
mod kills;
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
    match arguments[..] {
        ["cells", folder, ..] => cells::write(Path::new(folder), number(2, 11_250)?, number(3, 1500)?),
        ["report", program, folder] => watch::report(Path::new(program), Path::new(folder)),
        ["soak", program, folder, ..] => watch::soak(Path::new(program), Path::new(folder), number(3, 500)?),
        ["kills", program, folder, ..] => kills::all(Path::new(program), Path::new(folder), number(3, 20)?),
        ["disks", program, folder] => disks::all(Path::new(program), Path::new(folder)),
        _ => bail!("say cells FOLDER, or report, soak, kills or disks with PROGRAM FOLDER"),
    }
}
