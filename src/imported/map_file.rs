//! Anomaly maps as numpy writes them (`numpy.save`): NEP 1, versions 1 to 3, little-endian floats in C order.

use std::path::Path;

use anyhow::{Context, Result, bail, ensure};

use crate::files;

const MAGIC: &[u8] = b"\x93NUMPY";

/// The values of a map of `side x side` pixels, row by row; higher is more anomalous.
///
/// # Errors
/// A file that cannot be read, is not written by `numpy.save`, has another shape or kind of numbers, or holds a value that
/// is no finite number.
pub fn read(path: &Path, side: usize) -> Result<Vec<f32>> {
    parse(&files::read(path)?, side).with_context(|| path.display().to_string())
}

fn parse(bytes: &[u8], side: usize) -> Result<Vec<f32>> {
    let rest = bytes.strip_prefix(MAGIC).context("no .npy file; write it with numpy.save")?;
    let cut = "the file is cut off; write it again";
    let (length, at): (usize, usize) = match *rest {
        [1, _, a, b, ..] => (usize::from(u16::from_le_bytes([a, b])), 4),
        [2 | 3, _, a, b, c, d, ..] => (u32::from_le_bytes([a, b, c, d]) as usize, 6),
        [version, ..] if !(1..=3).contains(&version) => {
            bail!("version {version} of .npy is not read; numpy.save writes 1")
        }
        _ => bail!(cut),
    };
    let header = rest.get(at..at.saturating_add(length)).context(cut)?;
    let header = std::str::from_utf8(header).context("its header is no text")?;
    let data = &rest[at + length..];
    ensure!(
        entry(header, "fortran_order") == Some("False"),
        "it is not in C order; save numpy.ascontiguousarray(map)"
    );
    let shape = entry(header, "shape").context("its header names no shape")?;
    let sides: Vec<usize> = shape
        .split(',')
        .map(str::trim)
        .filter(|side| !side.is_empty())
        .map(|side| side.parse().ok())
        .collect::<Option<_>>()
        .with_context(|| format!("its shape is `({shape})`"))?;
    ensure!(
        sides == [side, side],
        "its shape is ({shape}), and the run's pictures are {side} x {side}: resize maps to that before they are saved"
    );
    let values: Vec<f32> = match entry(header, "descr") {
        Some("<f4") => {
            ensure!(data.len() == side * side * 4, cut);
            data.chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect()
        }
        Some("<f8") => {
            ensure!(data.len() == side * side * 8, cut);
            let wide = |b: &[u8]| f64::from_le_bytes([b[0], b[1], b[2], b[3], b[4], b[5], b[6], b[7]]);
            data.chunks_exact(8).map(|b| wide(b) as f32).collect()
        }
        other => bail!(
            "its numbers are `{}`, not floats of 32 or 64 bits; save map.astype('<f4')",
            other.unwrap_or_default()
        ),
    };
    ensure!(
        values.iter().all(|value| value.is_finite()),
        "it holds NaN, infinite values or some beyond 32 bits"
    );
    Ok(values)
}

/// What stands behind a key of a header such as `{'descr': '<f4', 'fortran_order': False, 'shape': (8, 8), }`, without
/// quotes and brackets.
fn entry<'a>(header: &'a str, key: &str) -> Option<&'a str> {
    let (_, rest) = header.split_once(&format!("'{key}':"))?;
    let rest = rest.trim_start();
    match rest.chars().next()? {
        '\'' => rest[1..].split_once('\'').map(|(text, _)| text),
        '(' => rest[1..].split_once(')').map(|(text, _)| text),
        _ => rest.split([',', '}']).next().map(str::trim),
    }
}
