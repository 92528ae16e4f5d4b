//! What a TIFF carries beside its pictures, by the names of its tags.

use std::collections::BTreeSet;

use anyhow::Result;

use super::pages;

/// Tags that hold words of people or of devices: of TIFF 6.0, of Windows, and what `ImageJ` keeps of a file.
const TEXTS: [(u16, &str); 16] = [
    (269, "TIFF tag DocumentName"),
    (270, "TIFF tag ImageDescription"),
    (271, "TIFF tag Make"),
    (272, "TIFF tag Model"),
    (285, "TIFF tag PageName"),
    (305, "TIFF tag Software"),
    (306, "TIFF tag DateTime"),
    (315, "TIFF tag Artist"),
    (316, "TIFF tag HostComputer"),
    (33432, "TIFF tag Copyright"),
    (40091, "TIFF tag XPTitle"),
    (40092, "TIFF tag XPComment"),
    (40093, "TIFF tag XPAuthor"),
    (40094, "TIFF tag XPKeywords"),
    (40095, "TIFF tag XPSubject"),
    (50839, "ImageJ metadata"),
];
/// Tags that hold tables of other standards.
const TABLES: [(u16, &str); 4] = [(700, "XMP"), (33723, "IPTC"), (34665, "EXIF"), (34853, "GPS position")];
/// Photoshop's resources; of them, [`IPTC`] is a table that names people.
const PHOTOSHOP: u16 = 34377;
const IPTC: &[u8] = b"8BIM\x04\x04";

/// Names of the texts and tables that a TIFF carries in any of its pages and reduced copies; `None` if the bytes are
/// no TIFF.
///
/// # Errors
/// Pages or tags that lie beyond the file's end.
pub fn tiff_texts(bytes: &[u8]) -> Result<Option<BTreeSet<&'static str>>> {
    if !pages::is_tiff(bytes) {
        return Ok(None);
    }
    let mut found = BTreeSet::new();
    for directory in pages::all(bytes)? {
        for (tag, name) in TEXTS {
            let is_said = directory.raw(tag)?.iter().any(|byte| !matches!(byte, 0 | b' '));
            found.extend(is_said.then_some(name));
        }
        found.extend(TABLES.iter().filter(|(tag, _)| directory.has(*tag)).map(|(_, name)| *name));
        let has_iptc = directory.raw(PHOTOSHOP)?.windows(IPTC.len()).any(|part| part == IPTC);
        found.extend(has_iptc.then_some("IPTC"));
    }
    Ok(Some(found))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A little-endian TIFF of directories, each of which is followed by the next; texts are of kind 2.
    fn tiff(directories: &[&[(u16, &[u8])]]) -> Vec<u8> {
        let mut bytes = b"II*\0\x08\0\0\0".to_vec();
        for (place, entries) in directories.iter().enumerate() {
            let end = bytes.len() + 6 + 12 * entries.len();
            let values: usize = entries.iter().map(|(_, value)| value.len().max(5)).sum();
            bytes.extend((entries.len() as u16).to_le_bytes());
            let mut at = end;
            for (tag, value) in *entries {
                bytes.extend([tag.to_le_bytes(), 2u16.to_le_bytes()].concat());
                bytes.extend([(value.len().max(5) as u32).to_le_bytes(), (at as u32).to_le_bytes()].concat());
                at += value.len().max(5);
            }
            let next = if place + 1 < directories.len() { end + values } else { 0 };
            bytes.extend((next as u32).to_le_bytes());
            for (_, value) in *entries {
                bytes.extend(*value);
                bytes.resize(bytes.len() + 5usize.saturating_sub(value.len()), 0);
            }
        }
        bytes
    }

    fn names(directories: &[&[(u16, &[u8])]]) -> Vec<&'static str> {
        tiff_texts(&tiff(directories)).unwrap().unwrap().into_iter().collect()
    }

    #[test]
    fn texts_and_tables_of_all_pages_are_named() {
        assert!(tiff_texts(b"BM").unwrap().is_none());
        assert!(names(&[&[(256, b"12345"), (270, b" \0")]]).is_empty());
        assert_eq!(names(&[&[(270, b"Miller, Ann")]]), ["TIFF tag ImageDescription"]);
        assert_eq!(
            names(&[&[(256, b"12345")], &[(315, b"Dr. Miller"), (306, b"2020:01:31 10:11:12")]]),
            ["TIFF tag Artist", "TIFF tag DateTime"]
        );
        assert_eq!(
            names(&[&[(40093, b"M\0i\0l\0l\0"), (50839, b"IJIJinfo")]]),
            ["ImageJ metadata", "TIFF tag XPAuthor"]
        );
        assert_eq!(names(&[&[(700, b"<x/>."), (34665, b"12345")]]), ["EXIF", "XMP"]);
        assert_eq!(names(&[&[(34377, b"8BIM\x04\x04\0\0")]]), ["IPTC"]);
        assert!(names(&[&[(34377, b"8BIM\x03\xed\0\0")]]).is_empty());
    }

    #[test]
    fn pages_below_others_are_looked_into_and_damage_is_an_error() {
        let mut bytes = tiff(&[&[(330, b"12345")]]);
        // The entry's kind is 4, one number, which is where the second directory begins.
        let below = bytes.len() as u32;
        bytes[12..22]
            .copy_from_slice(&[&4u16.to_le_bytes()[..], &1u32.to_le_bytes(), &below.to_le_bytes()].concat());
        bytes.extend([&1u16.to_le_bytes()[..], &316u16.to_le_bytes(), &2u16.to_le_bytes()].concat());
        bytes.extend([&4u32.to_le_bytes()[..], b"host", &[0; 4]].concat());
        assert_eq!(
            tiff_texts(&bytes).unwrap().unwrap().into_iter().collect::<Vec<_>>(),
            ["TIFF tag HostComputer"]
        );
        assert!(tiff_texts(&bytes[..bytes.len() - 10]).is_err());
    }
}
