//! Which fragments of encapsulated pixel data make up a frame, PS3.5 A.4.

use std::borrow::Cow;
use std::io::{Read, Seek, SeekFrom};

use anyhow::{Context, Result, bail, ensure};
use dicom_core::value::PixelFragmentSequence;

/// Bytes of an item's tag and length, which stand before every fragment and count in offsets.
const ITEM_HEADER: usize = 8;
/// The tag of an item, (FFFE,E000); compressed data are little-endian.
const ITEM: [u8; 4] = [0xfe, 0xff, 0x00, 0xe0];

/// The compressed stream of one frame of `frames`.
pub(super) fn frame(
    sequence: &PixelFragmentSequence<Vec<u8>>,
    frames: u32,
    frame: u32,
) -> Result<Cow<'_, [u8]>> {
    let fragments = sequence.fragments();
    let (frames, index) = (frames as usize, frame as usize);
    ensure!(!fragments.is_empty(), "the compressed pixel data holds nothing; fetch the file again");
    if frames == 1 {
        return Ok(joined(fragments));
    }
    if fragments.len() == frames {
        return Ok(Cow::Borrowed(&fragments[index]));
    }
    ensure!(
        fragments.len() > frames,
        "the file states {frames} frames and holds {} compressed pieces; fetch it again",
        fragments.len()
    );
    let starts = match sequence.offset_table() {
        [] => starts_by_stream(fragments),
        offsets => starts_by_offset(fragments, offsets)?,
    };
    if starts.len() != frames || starts.first() != Some(&0) {
        bail!(
            "{} compressed pieces for {frames} frames, and no table says which belong together",
            fragments.len()
        );
    }
    let end = starts.get(index + 1).copied().unwrap_or(fragments.len());
    Ok(joined(&fragments[starts[index]..end]))
}

/// How many fragments follow the offset table in the compressed pixel data whose value begins at `at`. Only their
/// headers are read.
pub(super) fn count(file: &mut (impl Read + Seek), at: u64) -> Result<u64> {
    let mut items = 0u64;
    let mut place = at;
    loop {
        file.seek(SeekFrom::Start(place))?;
        let mut head = [0; ITEM_HEADER];
        if file.read_exact(&mut head).is_err() || !head.starts_with(&ITEM) {
            return Ok(items.saturating_sub(1));
        }
        let length = u32::from_le_bytes([head[4], head[5], head[6], head[7]]);
        items += 1;
        place += ITEM_HEADER as u64 + u64::from(length);
    }
}

fn joined(fragments: &[Vec<u8>]) -> Cow<'_, [u8]> {
    match fragments {
        [one] => Cow::Borrowed(one),
        several => Cow::Owned(several.concat()),
    }
}

/// The first fragment of each frame by the basic offset table.
fn starts_by_offset(fragments: &[Vec<u8>], offsets: &[u32]) -> Result<Vec<usize>> {
    let mut end = 0;
    let place = |fragment: &Vec<u8>| {
        let start = end;
        end += fragment.len() + ITEM_HEADER;
        start
    };
    let places: Vec<usize> = fragments.iter().map(place).collect();
    let start = |offset: &u32| {
        let found = places.binary_search(&(*offset as usize)).ok();
        found.context("the basic offset table points between the compressed pieces; export the file again")
    };
    let starts: Vec<usize> = offsets.iter().map(start).collect::<Result<_>>()?;
    ensure!(starts.is_sorted_by(|a, b| a < b), "the basic offset table does not rise; export the file again");
    Ok(starts)
}

/// The fragments that open a JPEG, JPEG-LS or JPEG 2000 stream.
fn starts_by_stream(fragments: &[Vec<u8>]) -> Vec<usize> {
    let opens = |fragment: &[u8]| {
        fragment.starts_with(&[0xff, 0xd8, 0xff]) || fragment.starts_with(&[0xff, 0x4f, 0xff, 0x51])
    };
    (0..fragments.len()).filter(|&index| opens(&fragments[index])).collect()
}
