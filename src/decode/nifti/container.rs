//! Bytes of a NIfTI file, plain or gzip, without trusting what they claim.

use std::borrow::Cow;
use std::io::{self, Read};

use anyhow::{Context, Result, ensure};
use flate2::bufread::{GzDecoder, MultiGzDecoder};

use super::header::MAX_BYTES;

/// Bytes enough for either header.
const HEAD: u64 = 544;

/// Deflate makes at most 1032 bytes of one.
const MAX_RATIO: u64 = 1032;

pub(super) fn is_gzip(bytes: &[u8]) -> bool {
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

/// Whether a file of `held` bytes that begins with `head` can hold `length` bytes of content from `offset` on.
pub(super) fn check(head: &[u8], held: u64, offset: usize, length: usize) -> Result<()> {
    let end = (offset + length) as u64;
    if is_gzip(head) {
        ensure!(
            end / MAX_RATIO <= held,
            "the volume would take {end} bytes, which {held} bytes of gzip cannot hold; fetch the file again"
        );
    } else {
        ensure!(end <= held, "{}", cut(held.saturating_sub(offset as u64), length));
    }
    Ok(())
}

/// The members of a gzip file, one after the other, and how many zeros stand after the last.
struct Members<'a> {
    current: Option<GzDecoder<&'a [u8]>>,
    zeros: usize,
}

impl Read for Members<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while let Some(member) = &mut self.current {
            let read = member.read(buffer)?;
            if read > 0 || buffer.is_empty() {
                return Ok(read);
            }
            let rest = *member.get_ref();
            self.current = None;
            if rest.iter().all(|&byte| byte == 0) {
                // Tapes and block devices fill up with zeros.
                self.zeros = rest.len();
            } else {
                self.current = Some(GzDecoder::new(rest));
            }
        }
        Ok(0)
    }
}

/// Content of a file, and how many zero bytes after a gzip stream were passed over.
pub(super) type Body<'a> = (Cow<'a, [u8]>, usize);

/// `length` bytes of content from `offset` on. A gzip file is read to its end, so that its checksum is checked.
pub(super) fn body(bytes: Cow<[u8]>, offset: usize, length: usize) -> Result<Body> {
    check(&bytes, bytes.len() as u64, offset, length)?;
    let end = offset + length;
    if !is_gzip(&bytes) {
        let content = match bytes {
            Cow::Borrowed(bytes) => Cow::Borrowed(&bytes[offset..end]),
            Cow::Owned(mut bytes) => {
                bytes.truncate(end);
                bytes.drain(..offset);
                Cow::Owned(bytes)
            }
        };
        return Ok((content, 0));
    }
    let mut decoder = Members { current: Some(GzDecoder::new(&bytes[..])), zeros: 0 };
    io::copy(&mut decoder.by_ref().take(offset as u64), &mut io::sink()).context("damaged gzip file")?;
    let mut content = Vec::with_capacity(length);
    decoder.by_ref().take(length as u64).read_to_end(&mut content).context("damaged or cut gzip file")?;
    ensure!(content.len() == length, "{}", cut(content.len() as u64, length));
    let beyond = io::copy(&mut decoder.by_ref().take(MAX_BYTES), &mut io::sink())
        .context("damaged or cut gzip file")?;
    ensure!(beyond < MAX_BYTES, "the gzip file goes on for over {MAX_BYTES} bytes after its volume");
    Ok((Cow::Owned(content), decoder.zeros))
}

fn cut(held: u64, needed: usize) -> String {
    format!("the volume is cut off: {held} bytes of {needed}; fetch the file again")
}
