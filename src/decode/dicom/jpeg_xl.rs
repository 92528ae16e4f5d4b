//! Frames in JPEG XL, by the stream's own depth.

use anyhow::{Context, Result, anyhow, ensure};
use jxl_oxide::{AllocTracker, JxlImage, JxlThreadPool};

use super::header::Header;

/// Memory that a decoder may take for each byte of its picture: samples are held as 32 bits, and some stages hold
/// several copies.
const MEMORY_RATIO: usize = 64;
const SMALL_BYTES: usize = 64 << 20;

const CUT: &str = "the JPEG XL stream is cut off or damaged; fetch the file again";

/// Decodes one stream to `[rows, columns, samples]`, little-endian.
///
/// # Errors
/// A stream that is cut off, or whose size or depth is not what the file says.
pub(super) fn decode(header: &Header, stream: &[u8]) -> Result<Vec<u8>> {
    ensure!(!header.signed, "JPEG XL of signed samples is not read; convert the file to another syntax");
    let size = usize::from(header.bits_allocated.div_ceil(8));
    let total = header.pixels() * header.samples;
    let memory = SMALL_BYTES.max(total.saturating_mul(size).saturating_mul(MEMORY_RATIO));
    let image = JxlImage::builder()
        .pool(JxlThreadPool::none())
        .alloc_tracker(AllocTracker::with_limit(memory))
        .read(stream)
        .map_err(|error| anyhow!("{error}"))
        .context(CUT)?;
    let metadata = &image.image_header().metadata;
    let depth = metadata.bit_depth.bits_per_sample();
    let (rows, columns) = (image.height() as usize, image.width() as usize);
    let samples = image.pixel_format().channels();
    ensure!(
        (rows, columns, samples) == (header.rows, header.columns, header.samples),
        "the compressed stream is {rows} x {columns} x {samples}, the file says {} x {} x {}",
        header.rows,
        header.columns,
        header.samples
    );
    ensure!(
        depth <= u32::from(header.bits_allocated).min(16),
        "the JPEG XL stream has {depth} bits a sample, the file allocates {}",
        header.bits_allocated
    );
    ensure!(image.is_loading_done() && image.num_loaded_keyframes() == 1, CUT);
    let frame = image.render_frame(0).map_err(|error| anyhow!("{error}")).context(CUT)?;
    let mut shares = vec![0f32; total];
    let written = frame.stream().write_to_buffer(&mut shares);
    ensure!(written == total, CUT);
    let top = ((1u32 << depth) - 1) as f32;
    let sample = |share: f32| ((share.clamp(0.0, 1.0) * top).round() as u32).to_le_bytes();
    Ok(shares.into_iter().flat_map(|share| sample(share).into_iter().take(size)).collect())
}
