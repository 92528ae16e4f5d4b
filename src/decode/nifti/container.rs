//! Bytes of a NIfTI file, plain or gzip, without trusting what they claim.

use std::borrow::Cow;
use std::io::{self, Read};

use anyhow::{Context, Result, ensure};
use flate2::bufread::MultiGzDecoder;

use super::header::MAX_BYTES;

/// Bytes enough for either header.
const HEAD: u64 = 544;

/// Deflate makes at most 1032 bytes of one.
const MAX_RATIO: usize = 1032;

fn is_gzip(bytes: &[u8]) -> bool {
    bytes.starts_with(&[0x1f, 0x8b])
}

/// The start of the content.
pub(super) fn head(bytes: &[u8]) -> Result<Vec<u8>> {
    let mut head = Vec::new();
    if is_gzip(bytes) {
        // What comes before a cut or a fault is still there to be judged.
        let read = MultiGzDecoder::new(bytes).take(HEAD).read_to_end(&mut head);
        ensure!(read.is_ok() || !head.is_empty(), "damaged gzip file");
    } else {
        head.extend(bytes.iter().take(HEAD as usize));
    }
    Ok(head)
}

/// `length` bytes of content from `offset` on. A gzip file is read to its end, so that its checksum is checked.
pub(super) fn body(bytes: Cow<[u8]>, offset: usize, length: usize) -> Result<Cow<[u8]>> {
    let end = offset + length;
    if !is_gzip(&bytes) {
        let held = bytes.len();
        ensure!(end <= held, "{}", cut(held.saturating_sub(offset), length));
        return Ok(match bytes {
            Cow::Borrowed(bytes) => Cow::Borrowed(&bytes[offset..end]),
            Cow::Owned(mut bytes) => {
                bytes.truncate(end);
                bytes.drain(..offset);
                Cow::Owned(bytes)
            }
        });
    }
    ensure!(
        end / MAX_RATIO <= bytes.len(),
        "the volume would take {end} bytes, which {} bytes of gzip cannot hold; fetch the file again",
        bytes.len()
    );
    let mut decoder = MultiGzDecoder::new(&bytes[..]);
    io::copy(&mut decoder.by_ref().take(offset as u64), &mut io::sink()).context("damaged gzip file")?;
    let mut content = Vec::with_capacity(length);
    decoder.by_ref().take(length as u64).read_to_end(&mut content).context("damaged or cut gzip file")?;
    ensure!(content.len() == length, "{}", cut(content.len(), length));
    let beyond =
        io::copy(&mut decoder.take(MAX_BYTES), &mut io::sink()).context("damaged or cut gzip file")?;
    ensure!(beyond < MAX_BYTES, "the gzip file goes on for over {MAX_BYTES} bytes after its volume");
    Ok(Cow::Owned(content))
}

fn cut(held: usize, needed: usize) -> String {
    format!("the volume is cut off: {held} bytes of {needed}; fetch the file again")
}
