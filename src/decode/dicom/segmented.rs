//! Segmented palettes, PS3.3 C.7.9.2: runs, ramps and repeats instead of single entries.

use anyhow::{Context, Result, bail, ensure};

/// No table has more entries.
const MAX_ENTRIES: usize = 1 << 16;

/// Expands segments of words; `word_bytes` is what one word takes in the file, for offsets count bytes.
pub(super) fn expand(words: &[u16], word_bytes: usize) -> Result<Vec<u16>> {
    let mut entries = Vec::new();
    let mut at = 0;
    while at < words.len() {
        at = segment(words, at, word_bytes, &mut entries, true)?;
    }
    Ok(entries)
}

/// Expands the segment at `at` and returns where the next one is.
fn segment(
    words: &[u16],
    at: usize,
    word_bytes: usize,
    entries: &mut Vec<u16>,
    outer: bool,
) -> Result<usize> {
    let word = |place: usize| words.get(place).copied().context("a segmented palette is cut off");
    let n = usize::from(word(at + 1)?);
    let next = match word(at)? {
        0 => {
            entries.extend(words.get(at + 2..at + 2 + n).context("a segmented palette is cut off")?);
            at + 2 + n
        }
        1 => {
            let from = *entries.last().context("a segmented palette opens with a ramp")?;
            let (from, to) = (f64::from(from), f64::from(word(at + 2)?));
            entries.extend((1..=n).map(|step| (from + (to - from) * step as f64 / n as f64).round() as u16));
            at + 3
        }
        2 if outer => {
            let offset = usize::from(word(at + 2)?) | usize::from(word(at + 3)?) << 16;
            let mut repeated = offset / word_bytes;
            for _ in 0..n {
                repeated = segment(words, repeated, word_bytes, entries, false)?;
            }
            at + 4
        }
        2 => bail!("a segmented palette repeats a repeat"),
        code => bail!("a segmented palette has a segment of unknown kind {code}"),
    };
    ensure!(entries.len() <= MAX_ENTRIES, "a segmented palette has over {MAX_ENTRIES} entries");
    Ok(next)
}
