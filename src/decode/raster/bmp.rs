//! Where a BMP says that its pixels begin, compared with where they can be.

use anyhow::{Context, Result, ensure};

/// Bytes of the file header.
const FILE_HEADER: usize = 14;

/// Compression numbers of rows that are stored as they are: none, and with colour masks.
const PLAIN: [u32; 3] = [0, 3, 6];

/// Refuses pixels that would begin in a header or end beyond the file: decoders read what is there.
pub(super) fn check(bytes: &[u8]) -> Result<()> {
    let short = |at: usize| {
        let pair = bytes.get(at..at + 2).context("the BMP header is cut off")?;
        Ok::<_, anyhow::Error>(u64::from(u16::from_le_bytes([pair[0], pair[1]])))
    };
    let long = |at: usize| Ok::<_, anyhow::Error>(short(at)? | short(at + 2)? << 16);
    let (offset, header) = (long(10)?, long(14)?);
    let end_of_headers = FILE_HEADER as u64 + header;
    ensure!(
        end_of_headers <= offset && offset < bytes.len() as u64,
        "its pixels are said to begin at byte {offset}, its headers end at {end_of_headers} and the file at {}",
        bytes.len()
    );
    let is_core = header == 12;
    let (width, height, bits, compression) = if is_core {
        (short(18)?, short(20)?, short(24)?, 0)
    } else {
        // A negative height is one from the top down.
        let height = i64::from(long(22)? as u32 as i32).unsigned_abs();
        (long(18)?, height, short(28)?, long(30)? as u32)
    };
    if PLAIN.contains(&compression) {
        let row = (width * bits).div_ceil(32) * 4;
        let needed = row.saturating_mul(height);
        let held = bytes.len() as u64 - offset;
        ensure!(needed <= held, "its pixels are cut off: {held} bytes of {needed}; fetch the file again");
    }
    Ok(())
}
