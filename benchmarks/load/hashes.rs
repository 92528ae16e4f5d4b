//! What it costs to prove that files are what they were.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::{Result, ensure};
use medfsad::files;

/// Rounds, of which the fastest counts.
const ROUNDS: usize = 5;

/// Reads all files of a folder from memory, then hashes them as pixel stores and tables are, and as weights are.
pub(super) fn measure(folder: &Path) -> Result<()> {
    let paths: Vec<PathBuf> = files::walk(folder)?.iter().map(|path| folder.join(path)).collect();
    ensure!(!paths.is_empty(), "{} holds no files", folder.display());
    let bytes: u64 = paths.iter().map(|path| Ok(path.metadata()?.len())).sum::<io::Result<u64>>()?;
    println!("{} files, {:.1} MB", paths.len(), bytes as f64 / 1e6);
    let read = |path: &Path| -> Result<()> {
        let (mut file, mut buffer) = (File::open(path)?, vec![0; 1 << 16]);
        while file.read(&mut buffer)? > 0 {}
        Ok(())
    };
    // Brings files into memory, so that disks do not count.
    paths.iter().try_for_each(|path| read(path))?;
    fastest("read", bytes, || paths.iter().try_for_each(|path| read(path)))?;
    fastest("BLAKE3", bytes, || paths.iter().try_for_each(|path| files::fingerprint_file(path).map(drop)))?;
    fastest("SHA-256", bytes, || files::sha256_of(&paths).map(drop))
}

fn fastest(what: &str, bytes: u64, work: impl Fn() -> Result<()>) -> Result<()> {
    let mut least = f64::INFINITY;
    for _ in 0..ROUNDS {
        let started = Instant::now();
        work()?;
        least = least.min(started.elapsed().as_secs_f64());
    }
    println!("{what}: {least:.3} s, {:.2} GB/s", bytes as f64 / least / 1e9);
    Ok(())
}
