//! Strips and tiles: decompressed, and put in their place.

use std::borrow::Cow;
use std::io::Read;

use anyhow::{Context, Error, Result, bail, ensure};
use flate2::bufread::ZlibDecoder;
use weezl::BitOrder;

use super::super::super::jpeg::Sealed;
use super::super::super::packbits;
use super::super::pages::Directory;
use super::{JPEG, Kind, Layout, Photometric, predictor, tag, unpack};

/// Samples of a page, `[height, width, samples]`, little-endian words of [`Layout::width_bytes`]. What was forgiven is added
/// to `repaired`.
pub(super) fn samples(directory: &Directory, layout: &Layout, repaired: &mut Vec<String>) -> Result<Vec<u8>> {
    let (offsets, lengths) = match directory.numbers(tag::TILE_OFFSETS)? {
        offsets if !offsets.is_empty() => (offsets, directory.numbers(tag::TILE_BYTES)?),
        _ => (directory.numbers(tag::STRIP_OFFSETS)?, directory.numbers(tag::STRIP_BYTES)?),
    };
    let (across, down) = (layout.width.div_ceil(layout.chunk.1), layout.height.div_ceil(layout.chunk.0));
    let planes = if layout.planar { layout.samples } else { 1 };
    ensure!(
        offsets.len() == across * down * planes && lengths.len() == offsets.len(),
        "the TIFF page states {} strips or tiles, {} are needed",
        offsets.len(),
        across * down * planes
    );
    let word = layout.width_bytes();
    let mut samples = vec![0; layout.height * layout.width * layout.samples * word];
    for (index, (&offset, &length)) in offsets.iter().zip(&lengths).enumerate() {
        let (plane, place) = (index / (across * down), index % (across * down));
        let (top, left) = (place / across * layout.chunk.0, place % across * layout.chunk.1);
        let stored =
            directory.bytes_at(offset, length).context("a strip or tile lies beyond the file's end")?;
        // Strips end with the picture, tiles do not.
        let is_tiled = layout.chunk.1 != layout.width || directory.has(tag::TILE_WIDTH);
        let rows = if is_tiled { layout.chunk.0 } else { layout.chunk.0.min(layout.height - top) };
        let chunk = decoded(directory, layout, stored, rows, repaired)
            .with_context(|| format!("strip or tile {index} of {}", offsets.len()))?;
        put(layout, &chunk, (top, left), plane, &mut samples);
    }
    Ok(samples)
}

/// Copies what lies within the picture.
fn put(layout: &Layout, chunk: &[u8], (top, left): (usize, usize), plane: usize, samples: &mut [u8]) {
    let word = layout.width_bytes();
    let (from_pixel, to_pixel) = (layout.chunk_samples() * word, layout.samples * word);
    let columns = layout.chunk.1.min(layout.width - left);
    for (row, line) in chunk.chunks_exact(layout.chunk.1 * from_pixel).enumerate() {
        if top + row >= layout.height {
            break;
        }
        let start = ((top + row) * layout.width + left) * to_pixel;
        let target = &mut samples[start..start + columns * to_pixel];
        if !layout.planar {
            target.copy_from_slice(&line[..columns * to_pixel]);
            continue;
        }
        for (to, from) in target.chunks_exact_mut(to_pixel).zip(line.chunks_exact(word)) {
            to[plane * word..][..word].copy_from_slice(from);
        }
    }
}

/// Samples of one chunk of `rows` rows, as [`samples`] gives them.
fn decoded(
    directory: &Directory,
    layout: &Layout,
    stored: &[u8],
    rows: usize,
    repaired: &mut Vec<String>,
) -> Result<Vec<u8>> {
    if layout.compression == JPEG {
        return jpeg(directory, layout, stored, rows, repaired);
    }
    let row = (layout.chunk.1 * layout.chunk_samples() * layout.bits).div_ceil(8);
    let length = rows * row;
    let stored = match layout.reversed {
        true => Cow::Owned(stored.iter().map(|byte| byte.reverse_bits()).collect::<Vec<u8>>()),
        false => Cow::Borrowed(stored),
    };
    let mut bytes = decompressed(layout.compression, &stored, length)?;
    ensure!(bytes.len() >= length, "it is cut off: {} bytes of {length}; fetch the file again", bytes.len());
    bytes.truncate(length);
    let columns = layout.chunk.1 * layout.chunk_samples();
    Ok(match layout.predictor {
        1 => unpack::words(&bytes, layout.bits, columns, directory.is_big_endian()),
        2 if matches!(layout.bits, 8 | 16 | 32) && layout.kind != Kind::Float => {
            let mut words = unpack::words(&bytes, layout.bits, columns, directory.is_big_endian());
            predictor::undo(&mut words, layout.bits / 8, columns, layout.chunk_samples());
            words
        }
        3 if layout.kind == Kind::Float => {
            predictor::floats(&bytes, layout.bits / 8, columns, layout.chunk_samples())
        }
        other => bail!("TIFF predictor {other} for samples of {} bits is not read", layout.bits),
    })
}

fn decompressed(compression: u64, stored: &[u8], length: usize) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    match compression {
        1 => bytes.extend_from_slice(&stored[..stored.len().min(length)]),
        5 => {
            let is_old = stored.len() > 1 && stored[0] == 0 && stored[1] & 1 == 1;
            ensure!(!is_old, "LZW of the old bit order is not read; write the file again");
            bytes.resize(length, 0);
            let written = lzw(stored, &mut bytes)?;
            bytes.truncate(written);
        }
        8 | 32946 => {
            ZlibDecoder::new(stored)
                .take(length as u64)
                .read_to_end(&mut bytes)
                .context("damaged Deflate data")?;
        }
        32773 => {
            bytes.resize(length, 0);
            let missing = packbits::unpack(stored, bytes.iter_mut());
            bytes.truncate(length - missing);
        }
        6 => bail!("JPEG compression of the old kind (6) is not read; write the file again"),
        other => bail!("TIFF compression {other} is not read; write the file again without it"),
    }
    Ok(bytes)
}

/// Fills `bytes` and says how many there were; a chunk that is full needs no end code.
fn lzw(stored: &[u8], bytes: &mut [u8]) -> Result<usize> {
    let mut decoder = weezl::decode::Decoder::with_tiff_size_switch(BitOrder::Msb, 8);
    let (mut read, mut written) = (0, 0);
    while written < bytes.len() {
        let step = decoder.decode_bytes(&stored[read..], &mut bytes[written..]);
        (read, written) = (read + step.consumed_in, written + step.consumed_out);
        match step.status.map_err(Error::from).context("damaged LZW data")? {
            weezl::LzwStatus::Ok if step.consumed_in + step.consumed_out > 0 => {}
            _ => break,
        }
    }
    Ok(written)
}

/// A JPEG stream of its own, whose tables may stand in the page.
fn jpeg(
    directory: &Directory,
    layout: &Layout,
    stored: &[u8],
    rows: usize,
    repaired: &mut Vec<String>,
) -> Result<Vec<u8>> {
    ensure!(
        layout.bits == 8 && layout.kind == Kind::Unsigned,
        "JPEG of {} bits in a TIFF is not read",
        layout.bits
    );
    let tables = directory.raw(tag::JPEG_TABLES)?;
    let tables = tables.strip_prefix(&[0xff, 0xd8]).unwrap_or_default();
    let tables = tables.strip_suffix(&[0xff, 0xd9]).unwrap_or(tables);
    let stream = stored.strip_prefix(&[0xff, 0xd8]).context("a strip or tile is no JPEG stream")?;
    let sealed = Sealed::of(&[&[0xff, 0xd8], tables, stream].concat(), false)?;
    let mut decoder = jpeg_decoder::Decoder::new(&sealed.bytes[..]);
    decoder.read_info().context("the JPEG header cannot be read")?;
    let info = decoder.info().context("the JPEG stream states no size")?;
    let (height, width) = (usize::from(info.height), usize::from(info.width));
    ensure!(
        height >= rows
            && width == layout.chunk.1
            && info.pixel_format.pixel_bytes() == layout.chunk_samples(),
        "its JPEG stream is {width} x {height}, the page says {} x {rows}",
        layout.chunk.1
    );
    decoder.set_color_transform(match layout.photometric {
        Photometric::Ybr => jpeg_decoder::ColorTransform::YCbCr,
        Photometric::Rgb if layout.chunk_samples() == 3 => jpeg_decoder::ColorTransform::RGB,
        _ => jpeg_decoder::ColorTransform::None,
    });
    let mut samples =
        decoder.decode().context("the JPEG scan is cut off or damaged; fetch the file again")?;
    samples.truncate(rows * width * layout.chunk_samples());
    // Strips of one page are forgiven alike.
    repaired.extend(sealed.repaired.into_iter().filter(|what| !repaired.contains(what)).collect::<Vec<_>>());
    Ok(samples)
}
