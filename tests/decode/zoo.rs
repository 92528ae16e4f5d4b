//! Every DICOM file of the zoo beside what pydicom reads from it. `--nocapture` shows the table.

use medfsad::decode::dicom::stored_values;
use medfsad::decode::{decode, n_frames};
use medfsad::files::sha256;
use medfsad::spec::Reading;

use super::dicom::{Row, dicom_files, read};

const LOSSY: [&str; 4] = ["50", "51", "81", "91"];

/// Files that cannot be read here, and a word of the reason.
const REFUSED: [(&str, &str); 4] = [
    ("JPEG2000-embedded-sequence-delimiter.dcm", "the file says 1024 x 256"),
    ("OT-PAL-8-face.dcm", "no picture known here"),
    ("SC_rgb_jpeg.dcm", "damaged or cut DICOM file"),
    ("nested_priv_SQ.dcm", "BitsAllocated is missing"),
];

/// Broken files that may still decode, since their pictures are whole.
const WHOLE_THOUGH_BROKEN: [&str; 3] =
    ["bad_sequence.dcm", "J2K_pixelrep_mismatch.dcm", "emri_small_jpeg_2k_lossless_too_short.dcm"];

/// What pydicom sampled from one frame of a lossy file.
#[derive(serde::Deserialize)]
struct Sampled {
    file: String,
    frame: u32,
    rows: Vec<usize>,
    columns: Vec<usize>,
    bits: u16,
    values: Vec<i64>,
}

#[derive(serde::Deserialize)]
struct Reference<T> {
    entries: Vec<T>,
}

/// How one file compares, or why it does not.
fn outcome(bytes: &[u8], row: &Row, sampled: &[Sampled]) -> Result<String, String> {
    let frames: u32 = row["NumberOfFrames"].parse().unwrap_or(1);
    let mut all = Vec::new();
    for frame in 0..frames {
        decode(bytes, frame).map_err(|err| format!("refused: {err:#}"))?;
        let stored = stored_values(bytes, frame).map_err(|err| format!("refused: {err:#}"))?;
        all.extend(stored.to_le_bytes());
    }
    if frames == 1 && !row["Rows"].is_empty() {
        let decoded = decode(bytes, 0).map_err(|err| format!("{err:#}"))?;
        let sides = format!("{}x{}", decoded.pixels.height(), decoded.pixels.width());
        assert_eq!(sides, format!("{}x{}", row["Rows"], row["Columns"]), "{}", row["file"]);
    }
    let expected = row["decoded_sha256_le"].as_str();
    if expected.is_empty() {
        return Ok(format!("decodes, {frames} frames"));
    }
    if sha256(&all) == expected {
        return Ok(format!("equal, {frames} frames"));
    }
    let is_native_ybr = row["PhotometricInterpretation"].starts_with("YBR_FULL") && !is_encapsulated(row);
    if is_native_ybr && sha256(decode(bytes, 0).unwrap().pixels.samples()) == expected {
        return Ok("equal as RGB".to_owned());
    }
    let sampled: Vec<&Sampled> = sampled.iter().filter(|sampled| sampled.file == row["file"]).collect();
    if sampled.is_empty() {
        return Err("DIFFERS".to_owned());
    }
    let difference = sampled.iter().map(|sampled| difference(bytes, sampled)).fold(0.0, f64::max);
    let text = format!("lossy, {difference:.3} of 256 levels apart in the mean");
    if difference < 2.0 { Ok(text) } else { Err(format!("DIFFERS: {text}")) }
}

fn is_encapsulated(row: &Row) -> bool {
    row["transfer_syntax"].starts_with("1.2.840.10008.1.2.4.") || row["transfer_syntax"].ends_with("1.2.5")
}

/// Mean difference at the sampled places, in 256ths of the stored range.
fn difference(bytes: &[u8], sampled: &Sampled) -> f64 {
    let ours = stored_values(bytes, sampled.frame).unwrap();
    let place = |row: usize, column: usize| (row * ours.columns + column) * ours.samples;
    let places = sampled.rows.iter().flat_map(|&row| {
        sampled.columns.iter().flat_map(move |&column| (0..ours.samples).map(move |s| place(row, column) + s))
    });
    let sum: i64 = places.zip(&sampled.values).map(|(at, theirs)| (ours.values[at] - theirs).abs()).sum();
    sum as f64 / sampled.values.len() as f64 / f64::from(1u32 << sampled.bits) * 256.0
}

#[test]
fn every_picture_is_what_pydicom_reads_or_refused_by_name() {
    let text = include_str!("../reference/dicom_lossy.json");
    let sampled: Reference<Sampled> = serde_json::from_str(text).unwrap();
    let mut wrong = Vec::new();
    for (path, row) in dicom_files("images") {
        let file = row["file"].as_str();
        let found = outcome(&read(&path), &row, &sampled.entries);
        if found.is_ok() {
            let frames: u32 = row["NumberOfFrames"].parse().unwrap_or(1);
            assert_eq!(n_frames(&path, &Reading::default()).unwrap(), frames, "{file}");
        }
        let refusal = REFUSED.iter().find(|(refused, _)| *refused == file);
        let is_right = match (&found, refusal) {
            (Ok(text), None) => {
                !text.starts_with("lossy") || LOSSY.iter().any(|end| row["transfer_syntax"].ends_with(end))
            }
            (Err(reason), Some((_, word))) => reason.contains(word),
            _ => false,
        };
        let text = found.unwrap_or_else(|reason| reason);
        let expected = if row["decode_error"].is_empty() { "reads" } else { "refuses" };
        println!("{file} | {} | {text} | pydicom {expected}", row["ts_name"]);
        if !is_right {
            wrong.push(format!("{file}: {text}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn broken_files_are_refused_unless_their_picture_is_whole() {
    for (path, row) in dicom_files("broken") {
        let (bytes, file) = (read(&path), row["file"].as_str());
        let found = outcome(&bytes, &row, &[]);
        let is_whole = WHOLE_THOUGH_BROKEN.contains(&file);
        println!("{file} | {} | {} |", row["ts_name"], found.as_ref().unwrap_or_else(|reason| reason));
        assert_eq!(found.is_ok(), is_whole, "{file}");
    }
}

#[test]
fn a_file_that_lacks_its_last_delimiter_alone_has_all_its_frames() {
    let of = |kind: &str, file: &str| {
        let found = dicom_files(kind).into_iter().find(|(_, row)| row["file"] == file);
        let bytes = found.map(|(path, _)| read(&path))?;
        Some((0..10).map(|frame| stored_values(&bytes, frame).unwrap()).collect::<Vec<_>>())
    };
    let short = of("broken", "emri_small_jpeg_2k_lossless_too_short.dcm");
    assert_eq!(short, of("images", "emri_small_jpeg_2k_lossless.dcm"));
}
