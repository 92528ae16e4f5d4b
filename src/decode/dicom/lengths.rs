//! Lengths that elements state, compared with the bytes that are there before anything is parsed.
//!
//! The parser makes room for a value before it reads it, so that a damaged length of 4 GB would take 4 GB.
//! Sequences and items are entered rather than passed over, in one walk of a whole data set that also bounds
//! their depth and mends what the parser would stumble over.

use std::borrow::Cow;
use std::io::Read;

use anyhow::{Result, ensure};
use dicom_dictionary_std::uids;
use flate2::read::DeflateDecoder;

use super::element::{Ahead, Order, Reached, Walk};
use super::meta::Meta;

/// Syntaxes of files that hold an address in place of their pixels.
const JPIP: [&str; 4] = [
    uids::JPIP_REFERENCED,
    uids::JPIP_REFERENCED_DEFLATE,
    uids::JPIPHTJ2K_REFERENCED,
    uids::JPIPHTJ2K_REFERENCED_DEFLATE,
];

/// A deflated data set may grow to this many bytes.
const MAX_INFLATED: u64 = 1 << 30;

/// A file that was walked through.
pub(super) struct Walked<'a> {
    pub reached: Reached,
    /// UID of the transfer syntax in which `data` is.
    pub syntax: String,
    /// The data set that is to be parsed: inflated, and with lengths where the parser needs them.
    pub data: Cow<'a, [u8]>,
    /// What was forgiven.
    pub repaired: Vec<String>,
}

/// Walks a file from its meta group on; `total` is its length where `bytes` is only its start. With
/// `until_pixels` nothing from the pixel data on is looked at or returned.
///
/// # Errors
/// A value that is longer than what is left of the file, sequences nested too deeply, no transfer syntax, or one of
/// JPIP.
pub(super) fn walk(bytes: &[u8], total: usize, until_pixels: bool) -> Result<Walked<'_>> {
    let start = if bytes.starts_with(super::BARE_META) { 0 } else { 132 };
    let Meta { syntax, end, mut repaired } = Meta::read(bytes, total, start)?;
    let Some(syntax) = syntax else {
        ensure!(bytes.len() < total, "the DICOM file states no transfer syntax; export it again");
        // More of the file is needed.
        return Ok(Walked { reached: Reached::End, syntax: String::new(), data: Cow::default(), repaired });
    };
    // Two of them are deflated, and would be inflated by the parser without a limit.
    ensure!(
        !JPIP.contains(&syntax.as_str()),
        "the transfer syntax {syntax} (JPIP) leaves the pixels on a server; export the file with its pixels"
    );
    let order = Order::of(&syntax);
    let rest = bytes.get(end..).unwrap_or_default();
    let (data, total, syntax, offset) = if syntax != uids::DEFLATED_EXPLICIT_VR_LITTLE_ENDIAN {
        (Cow::Borrowed(rest), total.saturating_sub(end), syntax, end)
    } else if bytes.len() < total {
        return Ok(Walked { reached: Reached::End, syntax, data: Cow::default(), repaired });
    } else {
        let data = inflated(rest)?;
        let total = data.len();
        (Cow::Owned(data), total, uids::EXPLICIT_VR_LITTLE_ENDIAN.to_owned(), 0)
    };
    let mut walk = Walk::new(&data, total, order);
    walk.until_pixels = until_pixels;
    let reached = match walk.walk()? {
        Reached::PixelData(ahead) => Reached::PixelData(Ahead { at: ahead.at + offset, ..ahead }),
        Reached::End => Reached::End,
    };
    // The parser would read on in another order and believe what it meets there.
    ensure!(
        data.len() < total || !walk.is_in_unknown(),
        "damaged or cut DICOM file: an element of unknown VR and undefined length does not end; export it again"
    );
    let (end, unknown) = (walk.at.min(data.len()), walk.unknown);
    let is_cut = data.len() > end && (reached != Reached::End || data[end..].iter().all(|&byte| byte == 0));
    if is_cut && reached == Reached::End {
        repaired.push(format!("{} zero bytes after the data set passed over", data.len() - end));
    }
    if !unknown.is_empty() {
        repaired.push(format!("{} elements of unknown VR and undefined length passed over", unknown.len()));
    }
    let data = stated(data, if is_cut { Some(end) } else { None }, &unknown, order);
    Ok(Walked { reached, syntax, data, repaired })
}

fn inflated(bytes: &[u8]) -> Result<Vec<u8>> {
    let mut inflated = Vec::new();
    // What follows a fault is for the parser to refuse.
    drop(DeflateDecoder::new(bytes).take(MAX_INFLATED + 1).read_to_end(&mut inflated));
    ensure!(inflated.len() as u64 <= MAX_INFLATED, "the deflated data set takes over {MAX_INFLATED} bytes");
    Ok(inflated)
}

/// The same data up to `end`, with the lengths in place that unknown elements lack.
fn stated<'a>(
    data: Cow<'a, [u8]>,
    end: Option<usize>,
    unknown: &[(usize, u32)],
    order: Order,
) -> Cow<'a, [u8]> {
    let mut data = match (data, end) {
        (Cow::Borrowed(bytes), Some(end)) => Cow::Borrowed(&bytes[..end]),
        (Cow::Owned(mut bytes), Some(end)) => {
            bytes.truncate(end);
            Cow::Owned(bytes)
        }
        (data, None) => data,
    };
    for &(place, length) in unknown {
        let length = if order.big_endian { length.to_be_bytes() } else { length.to_le_bytes() };
        data.to_mut()[place..place + 4].copy_from_slice(&length);
    }
    data
}
