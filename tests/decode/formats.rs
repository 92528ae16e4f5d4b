//! What is read and what is refused: every row of `docs/formats.md` is a file that is tried here.

use dicom_dictionary_std::uids;
use dicom_transfer_syntax_registry::TransferSyntaxRegistry;
use medfsad::decode::dicom::stored_values;
use medfsad::decode::{decode, frames, n_frames};
use medfsad::spec::{Intensity, Reading};

use super::made_dicom::{self, NATIVE, colour, compressed, grey, native};
use super::streams::{self, Entry};
use super::{cases, rasters, tables};
use crate::nifti::made::{Made, big_endian, nifti_2, patched, typed};

/// What a kind of file is called, and a file of it.
type Kind = (&'static str, fn() -> Vec<u8>);

/// The format, what must be given to read it, and its kinds.
type Format = (&'static str, Intensity, &'static [Kind]);

const WINDOW: Intensity = Intensity::Window { center: 100.0, width: 200.0 };

const READ: [Format; 7] = [
    (
        "DICOM",
        Intensity::Stated,
        &[
            ("grey of 1 bit", || grey(1, 1, 0)),
            ("of 8", || grey(8, 8, 0)),
            ("of 12 in 16", || grey(16, 12, 0)),
            ("of 16", || native(NATIVE[0])),
            ("of 32", || grey(32, 32, 0)),
            ("signed", || grey(16, 12, 1)),
            ("MONOCHROME1", || made_dicom::with("MONOCHROME1", &[], &made_dicom::little_endian())),
            ("PALETTE COLOR", made_dicom::palette),
            ("also in segments", || {
                tables::segmented(&[0, 5, 1, 2, 3, 4, 5], &[0, 5, 1, 2, 3, 4, 5], &[0, 5, 1, 2, 3, 4, 5])
            }),
            ("RGB by pixel", || colour("RGB", 0, 18)),
            ("RGB by plane", || colour("RGB", 1, 18)),
            ("YBR_FULL", || colour("YBR_FULL", 0, 18)),
            ("YBR_FULL_422", || colour("YBR_FULL_422", 0, 12)),
            ("several frames", made_dicom::two_frames),
        ],
    ),
    (
        "NIfTI-1 and NIfTI-2",
        Intensity::Stated,
        &[
            ("`.nii`", || Made::plain().bytes()),
            ("`.nii.gz`", || Made::plain().gzip()),
            ("NIfTI-2", nifti_2),
            ("big-endian", big_endian),
            ("integers of 8 bits", || typed(2, 1)),
            ("of 16", || typed(4, 2)),
            ("of 32", || typed(8, 4)),
            ("of 64", || typed(1024, 8)),
            ("floats of 32 bits", || typed(16, 4)),
            ("of 64", || typed(64, 8)),
            ("time points", || Made { times: 2, values: vec![1.0; 48], ..Made::plain() }.bytes()),
        ],
    ),
    (
        "PNG",
        Intensity::Stated,
        &[
            ("grey of 1 bit", || raster("black.png")),
            ("of 8", || raster("grey.png")),
            ("of 16", || raster("grey16.png")),
            ("RGB", || raster("rgb.png")),
            ("palette of 4 bits", || raster("palette4.png")),
            ("of 8", || raster("palette.png")),
            ("with alpha, which is dropped", || raster("rgba.png")),
        ],
    ),
    (
        "JPEG",
        Intensity::Stated,
        &[
            ("grey", || raster("grey.jpg")),
            ("RGB as YCbCr", || raster("rgb.jpg")),
            ("RGB as it is", || raster("rgb_coded.jpg")),
            ("CMYK", || raster("cmyk.jpg")),
            ("colour at half size", || raster("halved.jpg")),
            ("progressive", || raster("progressive.jpg")),
        ],
    ),
    (
        "BMP",
        Intensity::Stated,
        &[
            ("grey", || raster("grey.bmp")),
            ("RGB", || raster("rgb.bmp")),
            ("palette of 1 bit", || raster("black.bmp")),
            ("of 8", || raster("palette.bmp")),
            ("with alpha, which is dropped", || raster("rgba.bmp")),
        ],
    ),
    (
        "TIFF, BigTIFF",
        Intensity::Stated,
        &[
            ("grey of 1 bit", || raster("black.tif")),
            ("of 4", || cases::bytes("06_tiff_grey_4bit.tif")),
            ("of 8", || raster("grey.tif")),
            ("of 16", || raster("grey16.tif")),
            ("signed", || deep(2, 16)),
            ("palette", || raster("palette.tif")),
            ("RGB", || raster("rgb.tif")),
            ("CMYK", || raster("cmyk.tif")),
            ("YCbCr in JPEG", || cases::bytes("06_tiff_jpeg_ycbcr.tif")),
            ("LZW", || raster("lzw.tif")),
            ("Deflate", || raster("deflate.tif")),
            ("PackBits", || raster("packbits.tif")),
            ("JPEG", || raster("jpeg.tif")),
            ("fax of group 4", || raster("group4.tif")),
            ("tiles", || cases::bytes("05_tiff_lzw_tiled_by_libtiff.tif")),
            ("planes", || cases::bytes("04_tiff_planar_tiled_edge.tif")),
            ("lowest bit first", || cases::bytes("03_tiff_fillorder2.tif")),
            ("several pages", || raster("pages.tif")),
            ("a page beside reduced copies of it", || cases::bytes("07_tiff_pyramid.tif")),
            ("turned by its orientation tag", || cases::bytes("21_tiff_orientation_6.tif")),
            ("BigTIFF", || raster("bigtiff.tif")),
        ],
    ),
    (
        "TIFF, if an `intensity` is given",
        WINDOW,
        &[("whole numbers of 32 bits", || deep(1, 32)), ("floats of 32 bits", || deep(3, 32))],
    ),
];

/// What is refused: the format, the kind, a file of it, and words of the reason.
type Refused = (&'static str, &'static str, fn() -> Vec<u8>, &'static str);

const REFUSED: [Refused; 18] = [
    ("DICOM", "without its meta group", || native(NATIVE[1])[300..].to_vec(), "no `DICM` at byte 128"),
    ("DICOM", "floating-point pixels", made_dicom::floats, "floating-point pixels are not read"),
    (
        "DICOM",
        "a data set in another encoding than its transfer syntax",
        made_dicom::misnamed,
        "damaged or cut DICOM file",
    ),
    (
        "DICOM",
        "JPEG Extended of 12 bits in colour",
        twelve_bits_in_colour,
        "JPEG Extended of 12 bits in colour is not read",
    ),
    (
        "DICOM",
        "JPEG Lossless with restarts",
        lossless_with_restarts,
        "JPEG Lossless with restarts is not read",
    ),
    ("DICOM", "JPEG XL of signed samples", signed_jpeg_xl, "JPEG XL of signed samples is not read"),
    ("NIfTI", "ANALYZE 7.5", || patched(344, &[0; 4]), "ANALYZE 7.5 has none and is not read"),
    ("NIfTI", "CIFTI", || patched(68, &3006i16.to_le_bytes()), "a CIFTI file"),
    ("NIfTI", "complex numbers", || typed(32, 8), "Complex64 is not supported"),
    ("NIfTI", "RGB", || typed(128, 3), "Rgb24 is not supported"),
    ("NIfTI", "floats of 128 bits", || typed(1536, 16), "Float128 is not supported"),
    ("TIFF", "YCbCr without JPEG", || raster("ycbcr.tif"), "YCbCr without JPEG is not read"),
    ("TIFF", "CIE Lab", lab, "CIE Lab is not read"),
    (
        "TIFF",
        "JPEG of the old kind",
        || cases::tiff(3, &[&[1, 2, 3]], &[(259, 3, vec![6])]),
        "JPEG compression of the old kind (6) is not read",
    ),
    ("TIFF", "whole numbers of 32 bits and no `intensity`", || deep(1, 32), "no stated range"),
    ("TIFF", "floats and no `intensity`", || deep(3, 32), "no stated range"),
    (
        "JPEG",
        "a scan that ends early",
        || cases::bytes("08_jpeg_cut_with_eoi.jpg"),
        "the JPEG scan is cut off or damaged",
    ),
    ("others", "such as WebP", || b"RIFF\x24\0\0\0WEBPVP8 ".to_vec(), "the file is no picture known here"),
];

fn raster(name: &str) -> Vec<u8> {
    rasters::pages().iter().find(|page| page.file == name).and_then(rasters::Page::bytes).expect(name)
}

/// A TIFF of samples in a format (1 unsigned, 2 signed, 3 float) that states no range.
fn deep(format: u32, bits: u32) -> Vec<u8> {
    cases::tiff(2, &[&[0; 8][..bits as usize / 4]], &[(258, 3, vec![bits]), (339, 3, vec![format])])
}

fn lab() -> Vec<u8> {
    cases::tiff(1, &[&[90, 1, 2]], &[(258, 3, vec![8; 3]), (262, 3, vec![8]), (277, 3, vec![3])])
}

fn entry(start: &str) -> Entry {
    streams::entries().into_iter().find(|entry| entry.name.starts_with(start)).expect(start)
}

fn twelve_bits_in_colour() -> Vec<u8> {
    let frame = [0xff, 0xd8, 0xff, 0xc1, 0, 17, 12, 0, 2, 0, 3, 3, 1, 17, 0, 2, 17, 0, 3, 17, 0, 0xff, 0xd9];
    entry("JPEG Extended, grey of 12 bits").of_size(2, 3, 3).file(frame.to_vec())
}

fn lossless_with_restarts() -> Vec<u8> {
    let entry = entry("JPEG Lossless, grey of 8 bits");
    let mut stream = entry.stream();
    stream.splice(2..2, [0xff, 0xdd, 0, 4, 0, 37]);
    entry.file(stream)
}

fn signed_jpeg_xl() -> Vec<u8> {
    let mut file = entry("JPEG XL, 1 x 16 bits").file(entry("JPEG XL, 1 x 16 bits").stream());
    // PixelRepresentation, (0028,0103), US.
    let at = file.windows(6).position(|tag| tag == b"\x28\0\x03\x01US").expect("the element");
    file[at + 8] = 1;
    file
}

/// All frames of a file, each of at least one pixel; or why not.
fn tried(bytes: &[u8], intensity: Intensity) -> Result<(), String> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("file");
    std::fs::write(&path, bytes).unwrap();
    let reading = Reading { intensity, ..Reading::default() };
    let read = || {
        let wanted: Vec<u32> = (0..n_frames(&path, &reading)?).collect();
        frames(&path, &wanted, &reading)?.into_iter().collect::<anyhow::Result<Vec<_>>>()
    };
    let decoded = read().map_err(|error| format!("{error:#}"))?;
    assert!(decoded.iter().all(|frame| frame.frames as usize == decoded.len()));
    assert!(!decoded.is_empty() && decoded.iter().all(|frame| !frame.pixels.samples().is_empty()));
    Ok(())
}

/// Whether files in a transfer syntax are made of streams that other programs wrote.
fn is_stream(syntax: &str) -> bool {
    streams::entries().iter().any(|entry| entry.syntax == syntax)
}

/// Files in a transfer syntax that should be read.
fn files_in(syntax: &str) -> Vec<Vec<u8>> {
    match syntax {
        uids::RLE_LOSSLESS => vec![compressed(syntax, made_dicom::rle())],
        uids::ENCAPSULATED_UNCOMPRESSED_EXPLICIT_VR_LITTLE_ENDIAN => {
            vec![compressed(syntax, made_dicom::little_endian())]
        }
        _ if NATIVE.contains(&syntax) => vec![native(syntax)],
        _ => {
            let entries = streams::entries().into_iter().filter(|entry| entry.syntax == syntax);
            entries.map(|entry| entry.file(entry.stream())).collect()
        }
    }
}

/// Every transfer syntax that is known by name, and whether it is read: those of which no file is tried are refused.
fn syntaxes() -> Vec<String> {
    let mut known: Vec<_> = TransferSyntaxRegistry.iter().map(|known| (known.uid(), known.name())).collect();
    known.sort_by_key(|(uid, _)| uid.split('.').map(|part| part.parse().unwrap()).collect::<Vec<u32>>());
    let row = |(uid, name): (&str, &str)| {
        let files = files_in(uid);
        let is_read = !files.is_empty();
        for file in &files {
            assert!(
                file.windows(uid.len()).any(|text| text == uid.as_bytes()),
                "{name}: {uid} is not in its file"
            );
            assert_eq!(tried(file, Intensity::Stated), Ok(()), "{name}");
            // Those of streams are compared where they are read, `tests/decode/streams.rs`.
            let values = stored_values(file, 0).unwrap().values;
            assert!(is_stream(uid) || values == made_dicom::WORDS.map(i64::from), "{name}: {values:?}");
        }
        if !is_read {
            let reason = tried(&compressed(uid, vec![0; 64]), Intensity::Stated).expect_err(name);
            assert!(reason.contains(uid), "{name}: {reason}");
        }
        format!("| {name} | {uid} | {} |", if is_read { "yes" } else { "no" })
    };
    known.into_iter().map(row).collect()
}

#[test]
fn the_tables_of_formats_list_what_is_read_and_what_is_refused_here() {
    let mut rows = vec!["| format | what is read |".to_owned(), "| --- | --- |".to_owned()];
    for (format, intensity, kinds) in READ {
        for (kind, file) in kinds {
            assert_eq!(tried(&file(), intensity.clone()), Ok(()), "{format}, {kind}");
            let must_be_given = intensity != Intensity::Stated;
            assert!(!must_be_given || tried(&file(), Intensity::Stated).is_err(), "{format}, {kind}");
        }
        let kinds: Vec<&str> = kinds.iter().map(|(kind, _)| *kind).collect();
        rows.push(format!("| {format} | {} |", kinds.join(", ")));
    }
    rows.extend(["| format | what is refused | the reason says |", "| --- | --- | --- |"].map(str::to_owned));
    for (format, kind, file, words) in REFUSED {
        let reason = tried(&file(), Intensity::Stated).expect_err(kind);
        assert!(reason.contains(words), "{format}, {kind}: {reason}");
        rows.push(format!("| {format} | {kind} | {words} |"));
    }
    rows.extend(["| transfer syntax | UID | read |", "| --- | --- | --- |"].map(str::to_owned));
    rows.extend(syntaxes());
    let document = include_str!("../../docs/formats.md");
    let listed: Vec<&str> = document.lines().filter(|line| line.starts_with('|')).collect();
    assert!(listed == rows, "docs/formats.md should have these tables:\n{}", rows.join("\n"));
}

#[test]
fn one_volume_under_other_headers_is_the_same_volume() {
    let plain = decode(&Made::plain().bytes(), 1).unwrap().pixels;
    for (header, file) in [("big-endian", big_endian()), ("NIfTI-2", nifti_2())] {
        assert_eq!(decode(&file, 1).unwrap().pixels, plain, "{header}");
    }
}
