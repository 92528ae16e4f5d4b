//! What a JPEG stream says of itself before it is decoded, by itself or inside DICOM.

/// The frame header of a JPEG stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Stated {
    pub precision: u8,
    pub rows: u16,
    pub columns: u16,
    pub components: u8,
}

/// Whether an end marker follows the last scan; decoders alone fill a cut picture with grey.
pub(super) fn is_whole(stream: &[u8]) -> bool {
    let last = |marker: u8| stream.windows(2).rposition(|pair| pair == [0xff, marker]);
    matches!((last(0xda), last(0xd9)), (Some(scan), Some(end)) if scan < end)
}

/// Reads the first frame header; `None` if this is no JPEG stream or it has none.
pub(super) fn stated(stream: &[u8]) -> Option<Stated> {
    if !stream.starts_with(&[0xff, 0xd8]) {
        return None;
    }
    let mut rest = &stream[2..];
    loop {
        let [0xff, marker, high, low, body @ ..] = rest else { return None };
        match marker {
            // Fill bytes may stand before any marker.
            0xff => rest = &rest[1..],
            // SOF0 to SOF15, without the tables DHT, JPG and DAC between them.
            0xc0..=0xcf if ![0xc4, 0xc8, 0xcc].contains(marker) => {
                let &[precision, y1, y0, x1, x0, components, ..] = body else { return None };
                let (rows, columns) = (u16::from_be_bytes([y1, y0]), u16::from_be_bytes([x1, x0]));
                return Some(Stated { precision, rows, columns, components });
            }
            _ => rest = rest.get(2 + usize::from(u16::from_be_bytes([*high, *low]))..)?,
        }
    }
}

/// Whether the last piece of a stream holds its end marker; one byte of padding may follow.
pub(super) fn ends(piece: &[u8]) -> bool {
    piece.windows(2).any(|pair| pair == [0xff, 0xd9])
}
