//! JPEG streams, by themselves, in TIFF or inside DICOM: what they say of themselves, sealed against cuts, and decoded
//! where they are plain.

mod plain;
mod sealed;

pub(super) use plain::{Plain, decode as plain};
pub(super) use sealed::Sealed;

/// The frame header of a JPEG stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Stated {
    pub precision: u8,
    pub rows: u32,
    pub columns: u32,
    pub components: u16,
}

/// Reads the first frame header; `None` if this is no JPEG stream or it has none.
pub(super) fn stated(stream: &[u8]) -> Option<Stated> {
    segments(stream).find_map(|(marker, body)| match (marker, body) {
        // SOF0 to SOF15, without the tables DHT, JPG and DAC between them.
        (0xc4 | 0xc8 | 0xcc, _) => None,
        (0xc0..=0xcf, &[precision, y1, y0, x1, x0, components, ..]) => Some(Stated {
            precision,
            rows: u16::from_be_bytes([y1, y0]).into(),
            columns: u16::from_be_bytes([x1, x0]).into(),
            components: components.into(),
        }),
        _ => None,
    })
}

/// Whether a stream of three components holds RGB (and not YBR), as far as it says so itself: by a JFIF or
/// Adobe segment, or by components named R, G and B. `None` if it does not.
pub(super) fn holds_rgb(stream: &[u8]) -> Option<bool> {
    let mut adobe = None;
    let mut named = None;
    for (marker, body) in segments(stream) {
        match (marker, body) {
            (0xe0, [b'J', b'F', b'I', b'F', 0, ..]) => return Some(false),
            (0xee, [b'A', b'd', b'o', b'b', b'e', _, _, _, _, _, _, transform, ..]) => {
                adobe = Some(*transform == 0);
            }
            (0xc0..=0xc3, [_, _, _, _, _, 3, b'R', _, _, b'G', _, _, b'B', ..]) => named = Some(true),
            _ => {}
        }
    }
    adobe.or(named)
}

/// Marker and content of every segment before the first scan.
pub(crate) fn segments(stream: &[u8]) -> impl Iterator<Item = (u8, &[u8])> {
    let mut rest = stream.strip_prefix(&[0xff, 0xd8]).unwrap_or_default();
    std::iter::from_fn(move || {
        // Fill bytes may stand before any marker.
        while let [0xff, 0xff, ..] = rest {
            rest = &rest[1..];
        }
        let &[0xff, marker, high, low, ..] = rest else { return None };
        let length = usize::from(u16::from_be_bytes([high, low]));
        let body = rest.get(4..2 + length)?;
        rest = &rest[2 + length..];
        (marker != 0xda).then_some((marker, body))
    })
}

/// Marker and content of every segment, also behind scans, and where the picture ends, if it does.
pub(crate) fn all_segments(stream: &[u8]) -> (Vec<(u8, &[u8])>, Option<usize>) {
    // Within a scan 0xff is followed by 0 or a restart marker; fill bytes may stand before any marker.
    let is_marker = |pair: &[u8]| pair[0] == 0xff && !matches!(pair[1], 0 | 0xd0..=0xd7 | 0xff);
    let (mut found, mut at) = (Vec::new(), 2);
    while let Some(next) = stream.get(at..).and_then(|rest| rest.windows(2).position(is_marker)) {
        at += next;
        let marker = stream[at + 1];
        if marker == 0xd9 {
            return (found, Some(at + 2));
        }
        let Some(&[high, low]) = stream.get(at + 2..at + 4) else { break };
        let length = usize::from(u16::from_be_bytes([high, low]));
        let Some(body) = stream.get(at + 4..at + 2 + length) else { break };
        found.push((marker, body));
        at += 2 + length;
    }
    (found, None)
}

/// Reads the size segment of a JPEG 2000 codestream (SOC, then SIZ); `None` if this is none.
pub(super) fn stated_2000(stream: &[u8]) -> Option<Stated> {
    let body = stream.strip_prefix(&[0xff, 0x4f, 0xff, 0x51])?;
    let number = |at: usize| Some(u32::from_be_bytes(body.get(at..at + 4)?.try_into().ok()?));
    let [columns, rows, left, top] = [number(4)?, number(8)?, number(12)?, number(16)?];
    Some(Stated {
        precision: (body.get(38)? & 0x7f) + 1,
        rows: rows.checked_sub(top)?,
        columns: columns.checked_sub(left)?,
        components: u16::from_be_bytes([*body.get(36)?, *body.get(37)?]),
    })
}

/// Whether a JPEG 2000 stream holds its end marker; one byte of padding may follow.
pub(super) fn ends_2000(piece: &[u8]) -> bool {
    piece.windows(2).any(|pair| pair == [0xff, 0xd9])
}
