//! Plain JPEG: 8 bits, Huffman codes, sequential or progressive.

use anyhow::{Context, Result, ensure};
use zune_jpeg::JpegDecoder;
use zune_jpeg::zune_core::bytestream::ZCursor;
use zune_jpeg::zune_core::colorspace::ColorSpace;
use zune_jpeg::zune_core::options::DecoderOptions;

use super::Sealed;

/// Samples of 8 bits, colours interleaved.
pub(in super::super) struct Plain {
    pub rows: usize,
    pub columns: usize,
    /// 1 or 3.
    pub channels: usize,
    pub samples: Vec<u8>,
    pub repaired: Vec<String>,
}

/// Decodes a stream; YBR and CMYK become RGB. `most` is how many bytes its picture may take.
///
/// # Errors
/// A scan that ends early or is damaged, a picture that takes more than `most` bytes, an unknown coding.
pub(in super::super) fn decode(stream: &[u8], most: u64) -> Result<Plain> {
    let sealed = Sealed::of(stream, true)?;
    if sealed.is_divided() {
        return divided(&Sealed::of(stream, false)?, most);
    }
    let options =
        DecoderOptions::default().set_strict_mode(true).set_max_width(usize::MAX).set_max_height(usize::MAX);
    let mut decoder = JpegDecoder::new_with_options(ZCursor::new(&sealed.bytes[..]), options);
    decoder.decode_headers().context("the JPEG header cannot be read")?;
    let (columns, rows) = decoder.dimensions().context("the JPEG stream states no size")?;
    let channels = match decoder.input_colorspace() {
        Some(ColorSpace::Luma) => 1,
        _ => 3,
    };
    check_size(rows, columns, channels, most)?;
    let shown = if channels == 1 { ColorSpace::Luma } else { ColorSpace::RGB };
    decoder.set_options(options.jpeg_set_out_colorspace(shown));
    let mut samples = vec![0; rows * columns * channels];
    decoder.decode_into(&mut samples).context(CUT)?;
    Ok(Plain { rows, columns, channels, samples, repaired: sealed.repaired })
}

const CUT: &str = "the JPEG scan is cut off or damaged; fetch it again";

fn check_size(rows: usize, columns: usize, channels: usize, most: u64) -> Result<()> {
    let total = (rows * columns * channels) as u64;
    ensure!(total <= most, "{columns} x {rows} pixels would take {total} bytes, over the limit of {most}");
    Ok(())
}

/// Components in scans of their own, which the faster decoder may lose.
fn divided(sealed: &Sealed, most: u64) -> Result<Plain> {
    let mut decoder = jpeg_decoder::Decoder::new(&sealed.bytes[..]);
    decoder.read_info().context("the JPEG header cannot be read")?;
    let info = decoder.info().context("the JPEG stream states no size")?;
    let channels = match info.pixel_format {
        jpeg_decoder::PixelFormat::L8 => 1,
        jpeg_decoder::PixelFormat::RGB24 => 3,
        other => anyhow::bail!("JPEG of {other:?} with a scan for each component is not read"),
    };
    let (rows, columns) = (usize::from(info.height), usize::from(info.width));
    check_size(rows, columns, channels, most)?;
    let samples = decoder.decode().context(CUT)?;
    Ok(Plain { rows, columns, channels, samples, repaired: sealed.repaired.clone() })
}
