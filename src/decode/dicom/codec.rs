//! Compressed frames to samples, each checked against what its own stream says.

use anyhow::{Context, Result, ensure};
use dicom_core::value::PixelFragmentSequence;
use dicom_core::{DataElement, PrimitiveValue, VR};
use dicom_dictionary_std::{tags, uids};
use dicom_object::{DefaultDicomObject, FileMetaTableBuilder, InMemDicomObject};
use dicom_pixeldata::PixelDecoder;
use dicom_transfer_syntax_registry::{TransferSyntax, TransferSyntaxIndex, TransferSyntaxRegistry};
use jpeg_decoder::ColorTransform;

use super::super::jpeg::{self, Sealed, Stated};
use super::super::jpeg_ls;
use super::header::{Header, cut_off};
use super::{jpeg_xl, rle};

/// What no frame is refused for, and beyond it no more bytes than this for one of its stream.
const SMALL_BYTES: usize = 64 << 20;
const MAX_RATIO: usize = 4096;

/// Decodes the stream of one frame to `[rows, columns, samples]`, little-endian. What it was forgiven is added to `repaired`.
pub(super) fn decode(header: &Header, stream: &[u8], repaired: &mut Vec<String>) -> Result<Vec<u8>> {
    let size = usize::from(header.bits_allocated.div_ceil(8));
    let length = header.pixels() * header.samples * size;
    ensure!(
        length <= SMALL_BYTES.max(stream.len().saturating_mul(MAX_RATIO)),
        "a frame of {length} bytes cannot come out of {} compressed ones; fetch the file again",
        stream.len()
    );
    if header.syntax == uids::RLE_LOSSLESS {
        return rle::decode(stream, header.pixels(), header.samples, size);
    }
    if matches!(header.syntax.as_str(), uids::JPEGLS_LOSSLESS | uids::JPEGLS_NEAR_LOSSLESS) {
        return decode_ls(header, stream, repaired).context("decoding JPEG-LS");
    }
    if matches!(header.syntax.as_str(), uids::JPEGXL_LOSSLESS | uids::JPEGXLJPEG_RECOMPRESSION | uids::JPEGXL)
    {
        return jpeg_xl::decode(header, stream).context("decoding JPEG XL");
    }
    let syntax = TransferSyntaxRegistry.get(&header.syntax);
    let name = syntax.map_or("unknown", |syntax| syntax.name());
    ensure!(
        syntax.is_some_and(TransferSyntax::can_decode_all),
        "transfer syntax {} ({name}) cannot be decoded here; convert the file to a lossless one",
        header.syntax
    );
    check_stream(header, stream)?;
    let decoded = match header.syntax.as_str() {
        uids::JPEG_BASELINE8_BIT if header.samples == 1 => decode_grey(header, stream, repaired),
        uids::JPEG_EXTENDED12_BIT if jpeg::stated(stream).is_some_and(|stated| stated.precision == 12) => {
            decode_12(header, stream, length, repaired)
        }
        uids::JPEG_BASELINE8_BIT
        | uids::JPEG_EXTENDED12_BIT
        | uids::JPEG_LOSSLESS
        | uids::JPEG_LOSSLESS_SV1 => decode_jpeg(header, stream, repaired),
        _ => alone(header, stream).and_then(|object| Ok(object.decode_pixel_data_frame(0)?.into_data())),
    };
    let decoded = decoded.with_context(|| format!("decoding transfer syntax {} ({name})", header.syntax))?;
    ensure!(decoded.len() == length, "{}", cut_off(decoded.len(), length));
    Ok(decoded)
}

/// Grey films, by the decoder of plain JPEG files, which is the faster one.
fn decode_grey(header: &Header, stream: &[u8], repaired: &mut Vec<String>) -> Result<Vec<u8>> {
    let plain = jpeg::plain(stream, header.pixels() as u64)?;
    ensure!(plain.channels == 1, "the stream holds {} samples a pixel", plain.channels);
    repaired.extend(plain.repaired);
    Ok(plain.samples)
}

/// Grey of 12 bits; `length` is what it must take in bytes.
fn decode_12(header: &Header, stream: &[u8], length: usize, repaired: &mut Vec<String>) -> Result<Vec<u8>> {
    ensure!(
        header.samples == 1,
        "JPEG Extended of 12 bits in colour is not read; convert the file to a lossless one"
    );
    let sealed = Sealed::of(stream, false)?;
    let raster = openreadout_codecs::jpeg_decode_limited(&sealed.bytes, length)
        .context("the JPEG scan is cut off or damaged; fetch the file again")?;
    repaired.extend(sealed.repaired);
    Ok(raster.data)
}

fn decode_ls(header: &Header, stream: &[u8], repaired: &mut Vec<String>) -> Result<Vec<u8>> {
    let picture = jpeg_ls::decode(stream, header.pixels() * header.samples)?;
    let jpeg_ls::Picture { rows, columns, components, precision, samples, repaired: forgiven } = picture;
    check_sides(header, rows, columns, components)?;
    ensure!(
        u16::from(precision) <= header.bits_allocated,
        "the JPEG-LS stream has {precision} bits a sample, the file allocates {}",
        header.bits_allocated
    );
    repaired.extend(forgiven);
    let wide = |&sample: &u16| u32::from(sample).to_le_bytes();
    let size = usize::from(header.bits_allocated.div_ceil(8));
    Ok(samples.iter().flat_map(|sample| wide(sample).into_iter().take(size)).collect())
}

/// Where the stream does not say whether it is RGB or YBR, the file's photometric interpretation does.
fn decode_jpeg(header: &Header, stream: &[u8], repaired: &mut Vec<String>) -> Result<Vec<u8>> {
    let mut sealed = Sealed::of(stream, false)?;
    let shift = sealed.take_point_transform()?;
    let mut decoder = jpeg_decoder::Decoder::new(&sealed.bytes[..]);
    decoder.set_max_decoding_buffer_size(SMALL_BYTES.max(stream.len().saturating_mul(MAX_RATIO)));
    if header.samples == 3 {
        let is_rgb = jpeg::holds_rgb(stream).unwrap_or(header.photometric == "RGB");
        decoder.set_color_transform(if is_rgb { ColorTransform::RGB } else { ColorTransform::YCbCr });
    }
    let samples = decoder.decode().context("the JPEG scan is cut off or damaged; fetch the file again")?;
    repaired.extend(sealed.repaired);
    let n_samples = header.pixels() * header.samples;
    let wide: Vec<u16> = match samples.len() == 2 * n_samples {
        // Deep samples come in the machine's byte order.
        true => samples.as_chunks().0.iter().map(|&word| u16::from_ne_bytes(word)).collect(),
        false if shift == 0 => return Ok(samples),
        false => samples.iter().map(|&byte| byte.into()).collect(),
    };
    Ok(match header.bits_allocated {
        8 => wide.iter().map(|&sample| (sample << shift) as u8).collect(),
        _ => wide.iter().flat_map(|&sample| (sample << shift).to_le_bytes()).collect(),
    })
}

/// An object with this frame alone, so that a codec cannot take it for another.
fn alone(header: &Header, stream: &[u8]) -> Result<DefaultDicomObject> {
    let number = |tag, value: u16| DataElement::new(tag, VR::US, PrimitiveValue::from(value));
    let mut object = InMemDicomObject::from_element_iter([
        number(tags::SAMPLES_PER_PIXEL, header.samples as u16),
        number(tags::ROWS, header.rows as u16),
        number(tags::COLUMNS, header.columns as u16),
        number(tags::BITS_ALLOCATED, header.bits_allocated),
        number(tags::BITS_STORED, header.bits_stored),
        number(tags::HIGH_BIT, header.high_bit),
        number(tags::PIXEL_REPRESENTATION, header.signed.into()),
        number(tags::PLANAR_CONFIGURATION, 0),
        DataElement::new(tags::PHOTOMETRIC_INTERPRETATION, VR::CS, header.photometric.as_str()),
    ]);
    let fragments = PixelFragmentSequence::new_fragments(vec![stream.to_vec()]);
    object.put(DataElement::new(tags::PIXEL_DATA, VR::OB, fragments));
    let meta = FileMetaTableBuilder::new()
        .transfer_syntax(&header.syntax)
        .media_storage_sop_class_uid(uids::SECONDARY_CAPTURE_IMAGE_STORAGE)
        .media_storage_sop_instance_uid("2.25.1");
    object.with_meta(meta).context("a frame cannot be handed to its codec")
}

/// Compares a stream's own header and end with the file's header; codecs do not.
fn check_stream(header: &Header, stream: &[u8]) -> Result<()> {
    let (stated, is_jpeg) = match (jpeg::stated(stream), jpeg::stated_2000(stream)) {
        (Some(stated), _) => (stated, true),
        (None, Some(stated)) => (stated, false),
        (None, None) => return Ok(()),
    };
    let Stated { precision, rows, columns, components } = stated;
    check_sides(header, rows as usize, columns as usize, components.into())?;
    ensure!(
        !is_jpeg || u16::from(precision.div_ceil(8)) * 8 == header.bits_allocated,
        "the JPEG stream has {precision} bits a sample, the file allocates {}",
        header.bits_allocated
    );
    ensure!(
        is_jpeg || jpeg::ends_2000(stream),
        "the compressed stream is cut off: its end marker is missing; fetch the file again"
    );
    Ok(())
}

fn check_sides(header: &Header, rows: usize, columns: usize, components: usize) -> Result<()> {
    ensure!(
        (rows, columns, components) == (header.rows, header.columns, header.samples),
        "the compressed stream is {rows} x {columns} x {components}, the file says {} x {} x {}",
        header.rows,
        header.columns,
        header.samples
    );
    Ok(())
}
