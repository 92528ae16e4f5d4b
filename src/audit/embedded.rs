//! What JPEG, PNG and BMP files carry beside their picture: comments, EXIF, XMP, IPTC, text behind the end.

use std::collections::BTreeSet;

use crate::decode::jpeg;

const PNG: &[u8] = b"\x89PNG\r\n\x1a\n";
/// Behind a picture's end this many readable characters in a row are a text.
const TEXT: usize = 6;
const TRAILING: &str = "text behind the picture's end";

/// What a file carries; `None` for kinds of files that are not looked into.
pub(super) fn carried(bytes: &[u8]) -> Option<Vec<String>> {
    let found = if bytes.starts_with(&[0xff, 0xd8]) {
        of_jpeg(bytes)
    } else if bytes.starts_with(PNG) {
        of_png(bytes)
    } else if bytes.starts_with(b"BM") {
        of_bmp(bytes)
    } else {
        return None;
    };
    Some(found.into_iter().map(str::to_owned).collect())
}

fn of_jpeg(bytes: &[u8]) -> BTreeSet<&'static str> {
    let named = |(marker, body): (u8, &[u8])| match marker {
        0xfe => Some("a JPEG comment"),
        0xe1 if body.starts_with(b"Exif") => Some("EXIF"),
        0xe1 if body.starts_with(b"http://ns.adobe.com/x") => Some("XMP"),
        0xed if holds(body, b"8BIM\x04\x04") => Some("IPTC"),
        _ => None,
    };
    let (segments, end) = jpeg::all_segments(bytes);
    let trailing = end.and_then(|end| trailing(&bytes[end..]));
    segments.into_iter().filter_map(named).chain(trailing).collect()
}

fn of_png(bytes: &[u8]) -> BTreeSet<&'static str> {
    let (mut found, mut at) = (BTreeSet::new(), PNG.len());
    while let (Some(length), Some(kind)) = (bytes.get(at..at + 4), bytes.get(at + 4..at + 8)) {
        let length = u32::from_be_bytes([length[0], length[1], length[2], length[3]]) as usize;
        let body = bytes.get(at + 8..(at + 8).saturating_add(length)).unwrap_or_default();
        found.extend(match kind {
            b"iTXt" if body.starts_with(b"XML:com.adobe.xmp\0") => Some("XMP"),
            b"tEXt" | b"zTXt" if body.starts_with(b"Raw profile type iptc\0") => Some("IPTC"),
            b"tEXt" => Some("PNG chunk tEXt"),
            b"zTXt" => Some("PNG chunk zTXt"),
            b"iTXt" => Some("PNG chunk iTXt"),
            b"eXIf" => Some("PNG chunk eXIf"),
            _ => None,
        });
        at = at.saturating_add(length).saturating_add(12);
        if kind == b"IEND" {
            found.extend(bytes.get(at..).and_then(trailing));
            break;
        }
    }
    found
}

/// What lies behind the length that the header states.
fn of_bmp(bytes: &[u8]) -> BTreeSet<&'static str> {
    let stated =
        bytes.get(2..6).map(|stated| u32::from_le_bytes([stated[0], stated[1], stated[2], stated[3]]));
    // Some writers leave the length 0; then nothing tells where the picture ends.
    let end = stated.filter(|end| *end > 0).map(|end| end as usize);
    end.and_then(|end| bytes.get(end..)).and_then(trailing).into_iter().collect()
}

/// Whether bytes behind a picture's end hold a text.
fn trailing(bytes: &[u8]) -> Option<&'static str> {
    let mut length = 0;
    let is_text = bytes.iter().any(|byte| {
        length = if byte.is_ascii_graphic() || *byte == b' ' || *byte >= 0x80 { length + 1 } else { 0 };
        length >= TEXT
    });
    is_text.then_some(TRAILING)
}

fn holds(bytes: &[u8], part: &[u8]) -> bool {
    bytes.windows(part.len()).any(|window| window == part)
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use image::{DynamicImage, ImageFormat};

    use super::*;

    fn picture(format: ImageFormat) -> Vec<u8> {
        let mut bytes = Cursor::new(Vec::new());
        DynamicImage::new_rgb8(40, 24).write_to(&mut bytes, format).unwrap();
        bytes.into_inner()
    }

    fn segment(marker: u8, body: &[u8]) -> Vec<u8> {
        let length = (body.len() as u16 + 2).to_be_bytes();
        [&[0xff, marker], &length[..], body].concat()
    }

    fn chunk(kind: &[u8], body: &[u8]) -> Vec<u8> {
        [&(body.len() as u32).to_be_bytes(), kind, body, &[0; 4]].concat()
    }

    #[test]
    fn segments_of_jpeg_are_named_also_behind_the_first_scan() {
        let plain = picture(ImageFormat::Jpeg);
        assert_eq!(carried(&plain), Some(Vec::new()));
        let with = |at: usize, added: &[u8]| {
            let mut bytes = plain.clone();
            bytes.splice(at..at, added.to_vec());
            carried(&bytes).unwrap()
        };
        let end = plain.len() - 2;
        assert_eq!(with(2, &segment(0xfe, b"Miller")), ["a JPEG comment"]);
        assert_eq!(with(end, &segment(0xfe, b"Miller")), ["a JPEG comment"]);
        assert_eq!(with(2, &segment(0xe1, b"Exif\0\0")), ["EXIF"]);
        assert_eq!(with(2, &segment(0xe1, b"http://ns.adobe.com/xap/1.0/\0<x/>")), ["XMP"]);
        assert_eq!(with(2, &segment(0xed, b"Photoshop 3.0\x008BIM\x04\x04\0\0")), ["IPTC"]);
        assert!(with(2, &segment(0xed, b"Photoshop 3.0\x008BIM\x03\xed\0\0")).is_empty());
        assert_eq!(with(plain.len(), b"\0\0name: Miller"), [TRAILING]);
        assert!(with(plain.len(), &[0; 512]).is_empty());
    }

    #[test]
    fn chunks_of_png_and_text_behind_the_end_are_named() {
        let plain = picture(ImageFormat::Png);
        assert_eq!(carried(&plain), Some(Vec::new()));
        let with = |at: usize, added: &[u8]| {
            let mut bytes = plain.clone();
            bytes.splice(at..at, added.to_vec());
            carried(&bytes).unwrap()
        };
        let first = PNG.len() + 25;
        assert_eq!(with(first, &chunk(b"tEXt", b"Author\0Miller")), ["PNG chunk tEXt"]);
        assert_eq!(with(first, &chunk(b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0<x/>")), ["XMP"]);
        assert_eq!(with(first, &chunk(b"zTXt", b"Raw profile type iptc\0\0x")), ["IPTC"]);
        assert_eq!(with(plain.len(), b"Miller, Ann"), [TRAILING]);
        let bmp = picture(ImageFormat::Bmp);
        assert_eq!(carried(&bmp), Some(Vec::new()));
        assert_eq!(carried(&[&bmp[..], b"Miller, Ann"].concat()).unwrap(), [TRAILING]);
        assert_eq!(carried(b"II*\0"), None);
    }
}
