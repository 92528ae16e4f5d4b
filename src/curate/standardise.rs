//! One decoded picture becomes standardised ones and what the manifest says about it.

use anyhow::{Context, Result, ensure};

use crate::decode::difference_hash::difference_hash;
use crate::decode::{Decoded, Taken, overlap, resize};
use crate::manifest::spool::Spool;
use crate::pixels::Pixels;

/// What a manifest says of a decoded picture; the pictures themselves went into spools.
pub(super) struct Standard {
    /// Of the file's picture.
    pub height: usize,
    pub width: usize,
    pub bits: u16,
    pub photometric: String,
    pub intensity_policy: String,
    pub pixel_hash: String,
    pub phash: String,
    /// What was forgiven.
    pub repaired: Vec<String>,
    /// As far as the file tells.
    pub taken: Taken,
}

/// The perceptual hash looks at a picture of this side, whatever sizes a spec asks for.
const HASHED_SIZE: usize = 128;

/// Resizes a picture for every spool and adds it there.
///
/// # Errors
/// Only if a spool cannot be written.
pub(super) fn picture(decoded: Decoded, spools: &[Spool]) -> Result<Standard> {
    let pixels = decoded.pixels;
    let pixel_hash = pixels.hash();
    let mut hashed = None;
    for spool in spools {
        // Channels are resized apart, so a grey picture is repeated only afterwards.
        let small = resize::lanczos(&pixels, spool.size(), spool.size());
        spool.add_picture(&pixel_hash, &small.to_rgb())?;
        if spool.size() == HASHED_SIZE {
            hashed = Some(small);
        }
    }
    let hashed = hashed.unwrap_or_else(|| resize::lanczos(&pixels, HASHED_SIZE, HASHED_SIZE));
    Ok(Standard {
        height: pixels.height(),
        width: pixels.width(),
        bits: decoded.bits,
        photometric: decoded.photometric,
        intensity_policy: decoded.intensity_policy,
        pixel_hash,
        phash: format!("{:016x}", difference_hash(&hashed)),
        repaired: decoded.repaired,
        taken: decoded.taken,
    })
}

/// Refuses a mask of another shape than its picture's.
pub(super) fn check_mask(mask: &Pixels, picture: &Standard) -> Result<()> {
    ensure!(
        (mask.height(), mask.width()) == (picture.height, picture.width),
        "it is {} x {}, its picture {} x {}",
        mask.height(),
        mask.width(),
        picture.height,
        picture.width
    );
    Ok(())
}

/// Resizes a mask of 0 and 255 for every spool, by any overlap, and adds it there; returns its hash.
///
/// # Errors
/// Only if a spool cannot be written.
pub(super) fn mask(mask: &Pixels, spools: &[Spool]) -> Result<String> {
    let hash = mask.hash();
    for spool in spools {
        spool.add_mask(&hash, &overlap::resize(mask, spool.size(), spool.size()))?;
    }
    Ok(hash)
}

/// A mask of boxes (left, top, width, height), cut at the edges of a picture.
///
/// # Errors
/// A box that lies outside the picture.
pub(super) fn boxes(boxes: &[[u32; 4]], height: usize, width: usize) -> Result<Pixels> {
    let mut samples = vec![0; height * width];
    for &[left, top, box_width, box_height] in boxes {
        let span = |start: u32, length: u32, limit: usize| {
            let start = start as usize;
            let end = (start + length as usize).min(limit);
            (start < end).then_some(start..end)
        };
        let (columns, rows) =
            span(left, box_width, width).zip(span(top, box_height, height)).with_context(|| {
                format!("the box {left}, {top}, {box_width}, {box_height} lies outside the picture")
            })?;
        for row in rows {
            samples[row * width..][columns.clone()].fill(255);
        }
    }
    Pixels::new(height, width, 1, samples)
}
