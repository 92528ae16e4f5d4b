//! What a NIfTI header says in words: its text fields, and the extensions behind it.

use std::io::{self, Read};

use anyhow::{Context, Result, ensure};
use flate2::bufread::MultiGzDecoder;

use super::container::is_gzip;
use super::header::{HEADER_1, Header, stated_size};

/// Name, first byte and length of the text fields of NIfTI-1.
const FIELDS_1: [(&str, usize, usize); 5] = [
    ("data_type", 4, 10),
    ("db_name", 14, 18),
    ("descrip", 148, 80),
    ("aux_file", 228, 24),
    ("intent_name", 328, 16),
];
/// Of NIfTI-2.
const FIELDS_2: [(&str, usize, usize); 3] =
    [("descrip", 240, 80), ("aux_file", 320, 24), ("intent_name", 508, 16)];
/// Readable characters in a row that make a text.
const TEXT: usize = 6;
/// Codes of extensions that are known by name.
const EXTENSIONS: [(i32, &str); 6] =
    [(2, "DICOM"), (4, "AFNI"), (6, "comment"), (8, "XCEDE"), (12, "workflow"), (16, "pickle")];

/// Names of the text fields and extensions that a NIfTI file carries; of extensions, what they hold is not looked
/// into.
///
/// # Errors
/// A header that is cut off or lies about itself, or a damaged gzip file.
pub fn texts(bytes: &[u8]) -> Result<Vec<String>> {
    let mut plain = bytes;
    let mut packed = MultiGzDecoder::new(bytes);
    let content: &mut dyn Read = if is_gzip(bytes) { &mut packed } else { &mut plain };
    let mut head = vec![0; 4];
    let cut = "the NIfTI header is cut off; fetch the file again";
    content.read_exact(&mut head).context(cut)?;
    let size = stated_size(&head).context("no NIfTI header")?;
    head.resize(size, 0);
    content.read_exact(&mut head[4..]).context(cut)?;
    let fields = if size == HEADER_1 { &FIELDS_1[..] } else { &FIELDS_2 };
    let is_said = |(_, at, length): &&(&str, usize, usize)| says_something(&head[*at..at + length]);
    let mut texts: Vec<String> =
        fields.iter().filter(is_said).map(|(name, ..)| format!("NIfTI field {name}")).collect();
    for extension in extensions(&head, content)?.into_iter().chain(behind(&head, content)?) {
        if !texts.contains(&extension) {
            texts.push(extension);
        }
    }
    Ok(texts)
}

/// Whether a text stands behind the voxels, if they follow in the same file and their number can be read.
fn behind(head: &[u8], content: &mut dyn Read) -> Result<Option<String>> {
    let Some(header) = Header::read(head).ok().filter(|header| header.single_file) else { return Ok(None) };
    let skipped = io::copy(&mut content.take(header.n_bytes() as u64), &mut io::sink());
    skipped.context("reading voxels of the NIfTI file")?;
    Ok(holds_text(content)?.then(|| "text behind the NIfTI file's voxels".to_owned()))
}

/// Whether so many readable characters follow each other as no numbers do by chance.
fn holds_text(content: &mut dyn Read) -> Result<bool> {
    let (mut part, mut length) = (vec![0; 1 << 16], 0);
    loop {
        let n_read = content.read(&mut part).context("reading the NIfTI file")?;
        if n_read == 0 {
            return Ok(false);
        }
        for byte in &part[..n_read] {
            length = if byte.is_ascii_graphic() || *byte == b' ' { length + 1 } else { 0 };
            if length == TEXT {
                return Ok(true);
            }
        }
    }
}

/// Whether a field holds more than blanks and `none`, which some writers put into empty fields; what stands behind its
/// end counts too.
fn says_something(field: &[u8]) -> bool {
    let mut parts = field.split(|byte| *byte == 0).map(<[u8]>::trim_ascii);
    parts.any(|part| !part.is_empty() && !part.eq_ignore_ascii_case(b"none"))
}

/// What stands between a header and its voxels, or the end of a file without voxels. Leaves `content` at the voxels.
fn extensions(head: &[u8], content: &mut dyn Read) -> Result<Vec<String>> {
    let is_big = i32::from_be_bytes(four(head)) as usize == head.len();
    let number =
        |bytes: &[u8]| if is_big { i32::from_be_bytes(four(bytes)) } else { i32::from_le_bytes(four(bytes)) };
    let (magic, offset) = if head.len() == HEADER_1 {
        (&head[344..], f64::from(f32::from_bits(number(&head[108..]) as u32)))
    } else {
        let (low, high) = if is_big { (172, 168) } else { (168, 172) };
        let offset = i64::from(number(&head[high..])) << 32 | i64::from(number(&head[low..]) as u32);
        (&head[4..], offset as f64)
    };
    // `n+1` has its voxels in the same file, `ni1` beside it.
    let end = if magic[1] == b'+' { offset as u64 } else { u64::MAX };
    let mut flag = Vec::new();
    content.take(4).read_to_end(&mut flag).context("reading what follows the NIfTI header")?;
    let mut found = Vec::new();
    let mut at = head.len() as u64 + 4;
    while flag.first().is_some_and(|flag| *flag != 0) && at < end {
        let mut start = Vec::new();
        content.take(8).read_to_end(&mut start).context("reading extensions of the NIfTI header")?;
        if start.is_empty() && end == u64::MAX {
            break;
        }
        ensure!(start.len() == 8, "an extension of the NIfTI header is cut off; fetch the file again");
        let (length, code) = (number(&start), number(&start[4..]));
        let is_whole = length >= 8 && at.saturating_add(length as u64) <= end;
        ensure!(is_whole, "an extension of the NIfTI header states {length} bytes");
        let skipped = io::copy(&mut content.take(length as u64 - 8), &mut io::sink());
        skipped.context("reading extensions of the NIfTI header")?;
        let name = EXTENSIONS.iter().find(|(known, _)| *known == code);
        found.push(name.map_or_else(
            || format!("NIfTI extension of code {code}"),
            |(_, name)| format!("NIfTI extension {name}"),
        ));
        at += length as u64;
    }
    // What no flag and no length announces.
    let mut gap = content.take(end.saturating_sub(at));
    if holds_text(&mut gap)? {
        found.push("text before the NIfTI file's voxels".to_owned());
    }
    io::copy(&mut gap, &mut io::sink()).context("reading what follows the NIfTI header")?;
    Ok(found)
}

fn four(bytes: &[u8]) -> [u8; 4] {
    std::array::from_fn(|place| bytes[place])
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    /// A little-endian NIfTI-1 header with one text and what follows it, and voxels.
    fn file(at: usize, text: &[u8], extensions: &[(i32, &[u8])]) -> Vec<u8> {
        let mut bytes = vec![0; 352];
        bytes[..4].copy_from_slice(&348i32.to_le_bytes());
        bytes[344..348].copy_from_slice(b"n+1\0");
        bytes[at..at + text.len()].copy_from_slice(text);
        bytes[348] = u8::from(!extensions.is_empty());
        for (code, body) in extensions {
            bytes.extend((body.len() as i32 + 8).to_le_bytes());
            bytes.extend(code.to_le_bytes());
            bytes.extend(*body);
        }
        let offset = bytes.len() as f32;
        bytes[108..112].copy_from_slice(&offset.to_le_bytes());
        bytes.extend(b"voxels and more voxels");
        bytes
    }

    #[test]
    fn fields_and_extensions_are_named_also_below_gzip() {
        assert!(texts(&file(148, b"", &[])).unwrap().is_empty());
        assert!(texts(&file(228, b"none", &[])).unwrap().is_empty());
        assert_eq!(texts(&file(148, b"Miller^Ann", &[])).unwrap(), ["NIfTI field descrip"]);
        assert_eq!(texts(&file(14, b"Miller", &[])).unwrap(), ["NIfTI field db_name"]);
        let with = file(328, b"x", &[(2, &[0; 24]), (6, b"Miller, Ann-----"), (77, &[0; 8])]);
        let expected = [
            "NIfTI field intent_name",
            "NIfTI extension DICOM",
            "NIfTI extension comment",
            "NIfTI extension of code 77",
        ];
        assert_eq!(texts(&with).unwrap(), expected);
        let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        packed.write_all(&with).unwrap();
        assert_eq!(texts(&packed.finish().unwrap()).unwrap(), expected);
    }

    #[test]
    fn the_second_version_in_the_other_byte_order_is_read_too() {
        let mut bytes = vec![0; 544];
        bytes[..4].copy_from_slice(&540i32.to_be_bytes());
        bytes[4..8].copy_from_slice(b"n+2\0");
        bytes[168..176].copy_from_slice(&560i64.to_be_bytes());
        bytes[240..246].copy_from_slice(b"Miller");
        bytes[540] = 1;
        bytes.extend([16i32.to_be_bytes(), 6i32.to_be_bytes()].concat());
        bytes.extend(b"a remark");
        assert_eq!(texts(&bytes).unwrap(), ["NIfTI field descrip", "NIfTI extension comment"]);
    }

    #[test]
    fn text_that_nothing_announces_is_found_before_and_behind_the_voxels() {
        let mut gap = file(148, b"", &[]);
        gap.splice(352..352, *b"\0\0Miller, Ann\0\0\0");
        gap[108..112].copy_from_slice(&368f32.to_le_bytes());
        assert_eq!(texts(&gap).unwrap(), ["text before the NIfTI file's voxels"]);
        // Bytes of 2 x 3 x 4 voxels.
        let mut bytes = file(148, b"", &[])[..352].to_vec();
        for (at, value) in [(40, 3i16), (42, 2), (44, 3), (46, 4), (70, 2), (72, 8)] {
            bytes[at..at + 2].copy_from_slice(&value.to_le_bytes());
        }
        bytes.extend(b"voxels and more of voxels");
        assert!(texts(&bytes).unwrap().is_empty());
        bytes.extend([0; 9]);
        assert!(texts(&bytes).unwrap().is_empty());
        bytes.extend(b"Miller, Ann");
        assert_eq!(texts(&bytes).unwrap(), ["text behind the NIfTI file's voxels"]);
    }

    #[test]
    fn an_extension_that_lies_is_an_error() {
        let mut bytes = file(148, b"", &[(6, b"a remark")]);
        bytes[352..356].copy_from_slice(&4000i32.to_le_bytes());
        assert!(texts(&bytes).unwrap_err().to_string().contains("states 4000 bytes"));
        assert!(texts(&bytes[..300]).unwrap_err().to_string().contains("cut off"));
    }
}
