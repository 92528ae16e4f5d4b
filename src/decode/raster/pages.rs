//! Pages of a TIFF: the chain of its image file directories.

use anyhow::{Context, Result, ensure};

/// More pages than this are refused.
const MAX_PAGES: usize = 1 << 16;

/// Widths of the numbers that a TIFF is made of.
struct Layout {
    big_endian: bool,
    /// BigTIFF, with offsets of 8 bytes.
    big: bool,
}

/// Whether a file's first four bytes are a TIFF's.
pub(super) fn is_tiff(head: &[u8]) -> bool {
    Layout::of(head).is_some()
}

/// Where the directory of each page begins.
pub(super) fn starts(bytes: &[u8]) -> Result<Vec<u64>> {
    let layout = Layout::of(bytes).context("no TIFF file")?;
    let (first, width, count_width, entry) = if layout.big { (8, 8, 8, 20) } else { (4, 4, 2, 12) };
    let number = |at: u64, width: usize| {
        let found = layout.number(bytes, at, width);
        found.context("the TIFF file is cut off: a page begins beyond its end; fetch it again")
    };
    let mut starts = Vec::new();
    let mut next = number(first, width)?;
    while next != 0 {
        // Pages that go round in a circle end here too.
        ensure!(starts.len() < MAX_PAGES, "the TIFF file has over {MAX_PAGES} pages, or pages in a circle");
        starts.push(next);
        let entries = number(next, count_width)?;
        let end = entries
            .checked_mul(entry)
            .and_then(|length| next.checked_add(length)?.checked_add(count_width as u64));
        next = number(end.context("the TIFF file's directory has no end")?, width)?;
    }
    ensure!(!starts.is_empty(), "the TIFF file has no page");
    Ok(starts)
}

/// The same file with its first page at `start`.
pub(super) fn opening_at(bytes: &[u8], start: u64) -> Vec<u8> {
    let mut changed = bytes.to_vec();
    let Some(layout) = Layout::of(bytes) else { return changed };
    let (at, width) = if layout.big { (8, 8) } else { (4, 4) };
    let mut number = start.to_le_bytes();
    if layout.big_endian {
        number[..width].reverse();
    }
    changed[at..at + width].copy_from_slice(&number[..width]);
    changed
}

impl Layout {
    fn of(head: &[u8]) -> Option<Layout> {
        match head {
            [b'I', b'I', 42, 0, ..] => Some(Layout { big_endian: false, big: false }),
            [b'M', b'M', 0, 42, ..] => Some(Layout { big_endian: true, big: false }),
            [b'I', b'I', 43, 0, ..] => Some(Layout { big_endian: false, big: true }),
            [b'M', b'M', 0, 43, ..] => Some(Layout { big_endian: true, big: true }),
            _ => None,
        }
    }

    fn number(&self, bytes: &[u8], at: u64, width: usize) -> Option<u64> {
        let at = usize::try_from(at).ok()?;
        let digits = bytes.get(at..at.checked_add(width)?)?;
        let fold = |number: u64, &digit: &u8| number << 8 | u64::from(digit);
        Some(if self.big_endian { digits.iter().fold(0, fold) } else { digits.iter().rev().fold(0, fold) })
    }
}
