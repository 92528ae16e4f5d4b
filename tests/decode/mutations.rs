//! Damaged files of every format: no panic, no hang, each decoded or refused.
//!
//! `MEDFSAD_MUTATIONS` sets how many are tried, 600 otherwise.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use medfsad::decode::{frames, mask_frames, n_frames};
use medfsad::fuzz::damage;
use medfsad::random::Stream;
use medfsad::spec::{Axis, Intensity, Reading};

use super::rasters::pages;
use super::tables::{bytes, picture};
use crate::nifti::made::Made;
use crate::shared::shared;

/// Larger files are left to the other tests.
const MAX_BYTES: u64 = 60_000;

/// Ending and content of the files that are damaged.
fn originals() -> Vec<(&'static str, Vec<u8>)> {
    let mut all = vec![
        ("nii", Made::plain().bytes()),
        ("nii.gz", Made::plain().gzip()),
        ("dcm", bytes(picture("MONOCHROME2", &[0, 1, 2, 3, 4, 5]))),
    ];
    let ending = |file: &str| ["png", "bmp", "tif", "jpg"].into_iter().find(|ending| file.ends_with(ending));
    all.extend(pages().iter().filter_map(|page| Some((ending(&page.file)?, page.bytes()?))));
    let folders = [("realmini/formats/dicom/images", "dcm"), ("realmini/formats/nifti", "nii")];
    for (folder, ending) in folders {
        let Some(folder) = shared(folder) else { continue };
        let files = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap());
        let small = |path: &PathBuf| {
            std::fs::metadata(path).is_ok_and(|meta| meta.is_file() && meta.len() <= MAX_BYTES)
        };
        let mut paths: Vec<PathBuf> = files.map(|entry| entry.path()).filter(small).collect();
        paths.sort();
        all.extend(paths.into_iter().map(|path| (ending, std::fs::read(path).unwrap())));
    }
    all
}

#[test]
fn damaged_files_are_decoded_or_refused_in_time_and_in_little_memory() {
    let count: usize = std::env::var("MEDFSAD_MUTATIONS").map_or(600, |count| count.parse().unwrap());
    let folder = tempfile::tempdir().unwrap();
    let originals = originals();
    let (mut decoded, mut refused, mut slowest) = (0, 0, Duration::ZERO);
    for index in 0..count {
        let mut stream = Stream::new(1, "mutation", index as u64);
        let (ending, original) = &originals[index % originals.len()];
        let mut bytes = original.clone();
        damage(&mut bytes, &mut stream);
        let path = folder.path().join(format!("damaged.{ending}"));
        std::fs::write(&path, bytes).unwrap();
        let intensity = match stream.below(3) {
            0 => Intensity::Percentiles { low: 1.0, high: 99.0 },
            1 => Intensity::MinMax,
            _ => Intensity::Stated,
        };
        let reading = Reading { intensity, axis: Axis::Coronal };
        let start = Instant::now();
        let last = n_frames(&path, &reading).map_or(0, |frames| frames.saturating_sub(1));
        match frames(&path, &[0, last], &reading) {
            Ok(shown) if shown.iter().all(Result::is_ok) => decoded += 1,
            _ => refused += 1,
        }
        drop(mask_frames(&path, &[0], &reading));
        let taken = start.elapsed();
        slowest = slowest.max(taken);
        let number = index % originals.len();
        assert!(
            taken < Duration::from_secs(10),
            "mutation {index} of file {number}, {ending}, took {taken:?}"
        );
    }
    println!(
        "{count} damaged files: {decoded} decoded, {refused} refused, the slowest in {slowest:?}; {}",
        peak()
    );
    assert!(refused > 0 && decoded > 0);
}

/// Peak memory of this process, where the system tells it.
fn peak() -> String {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find(|line| line.starts_with("VmHWM")).unwrap_or("peak memory unknown");
    if let Some(kilobytes) = line.split_whitespace().nth(1).and_then(|number| number.parse::<u64>().ok()) {
        assert!(kilobytes < 1 << 20, "{line}");
    }
    line.split_whitespace().collect::<Vec<_>>().join(" ")
}
