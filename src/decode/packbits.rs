//! PackBits, as DICOM's RLE and TIFF store bytes: runs, and stretches as they are.

/// PackBits into the places given; says how many stayed empty. Bytes beyond are padding.
pub(super) fn unpack<'a>(mut packed: &[u8], mut places: impl ExactSizeIterator<Item = &'a mut u8>) -> usize {
    while let [control, rest @ ..] = packed {
        let control = *control as i8;
        let taken = match control {
            -128 => 0,
            0.. => (control as usize + 1).min(rest.len()),
            _ => 1.min(rest.len()),
        };
        match control {
            -128 => {}
            0.. => rest[..taken].iter().zip(places.by_ref()).for_each(|(&byte, place)| *place = byte),
            _ => {
                let Some(&byte) = rest.first() else { break };
                places.by_ref().take(1 - isize::from(control) as usize).for_each(|place| *place = byte);
            }
        }
        packed = &rest[taken..];
        if places.len() == 0 {
            break;
        }
    }
    places.len()
}
