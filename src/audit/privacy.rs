//! Raw files that name people, or carry comments which may. Values are never shown, only the names of fields.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use anyhow::Result;
use rayon::prelude::*;

use super::{Finding, Gate, Picture, embedded, personal};
use crate::decode::dicom::{self, Field, Personal};
use crate::decode::{nifti, raster};
use crate::files;
use crate::manifest::Row;
use crate::spec::Level;

/// Files of a note that are named; it counts the rest.
const N_NAMED: usize = 5;

/// What one file carries.
#[derive(Default)]
struct Carried {
    /// Names of fields and kinds of comments, each a finding.
    fields: Vec<String>,
    /// What is worth a look, and no fault by itself.
    notes: Vec<&'static str>,
}

pub(super) fn gate(rows: &[Row], raw: Option<&Path>, level: Level) -> Gate {
    let asks = "do raw files carry names, birth dates, institutions, comments or camera data?";
    let mut gate = Gate::new("privacy", asks, level);
    let Some(raw) = raw else {
        gate.left_out.get_or_insert_with(|| "no raw folder is at hand; give --raw".to_owned());
        return gate;
    };
    if gate.left_out.is_some() {
        return gate;
    }
    let mut first_frames: Vec<&Row> = rows.iter().collect();
    first_frames.dedup_by(|a, b| a.source_path == b.source_path);
    let found: Vec<_> =
        first_frames.par_iter().map(|row| (*row, carried(&raw.join(&row.source_path)))).collect();
    let mut notes: BTreeMap<String, Vec<&Row>> = BTreeMap::new();
    for (row, carried) in found {
        let what = match carried {
            Ok(None) => {
                let note = format!("of kind {} were not looked into", ending(&row.source_path));
                notes.entry(note).or_default().push(row);
                continue;
            }
            Ok(Some(Carried { fields, notes: of_file })) => {
                of_file.into_iter().for_each(|note| notes.entry(note.to_owned()).or_default().push(row));
                if fields.is_empty() {
                    continue;
                }
                format!("carries {}", fields.join(", "))
            }
            // The outer layers of the error name the file.
            Err(error) => format!("could not be looked at: {}", error.root_cause()),
        };
        gate.findings.push(Finding { what, pictures: vec![Picture::of(row)] });
    }
    gate.notes.extend(notes.into_iter().map(|(what, rows)| said(&what, &rows)));
    gate
}

/// A note on several files, by ids of their first pictures.
fn said(what: &str, rows: &[&Row]) -> String {
    let ids: Vec<&str> = rows.iter().take(N_NAMED).map(|row| row.image_id.as_str()).collect();
    let more = if rows.len() > N_NAMED { ", ..." } else { "" };
    format!("{} files {what}: {}{more}", rows.len(), ids.join(", "))
}

fn ending(path: &str) -> String {
    Path::new(path).extension().map_or("unknown".to_owned(), |ending| ending.to_string_lossy().to_lowercase())
}

/// What a file carries; `None` for kinds of files that are not looked into.
fn carried(path: &Path) -> Result<Option<Carried>> {
    let bytes = files::read(path)?;
    if dicom::is_dicom(&bytes) {
        return Ok(Some(of_dicom(&dicom::personal(path)?)));
    }
    let fields = if let Some(texts) = raster::tiff_texts(&bytes)? {
        Some(texts.into_iter().map(str::to_owned).collect())
    } else if nifti::is_nifti(&bytes) {
        Some(nifti::texts(&bytes)?)
    } else {
        embedded::carried(&bytes)
    };
    Ok(fields.map(|fields| Carried { fields, notes: Vec::new() }))
}

fn of_dicom(personal: &Personal) -> Carried {
    let id = personal.fields.iter().find(|field| field.name == "PatientID").map(|field| field.value.as_str());
    let names: BTreeSet<&str> =
        personal.fields.iter().filter(|field| is_personal(field, id)).map(|field| field.name).collect();
    let mut fields: Vec<String> = names.into_iter().map(str::to_owned).collect();
    let mut notes = Vec::new();
    match personal.burned_in {
        Some(true) => fields.push("BurnedInAnnotation".to_owned()),
        None if personal.is_often_burned_in => {
            notes.push("are of a kind that often has text in the picture and do not say that they have none");
        }
        _ => {}
    }
    if personal.has_overlays {
        notes.push("have overlay planes, which may hold text; curated pictures do not have them");
    }
    if personal.is_recognisable {
        notes.push("say that features such as a face are recognisable (RecognizableVisualFeatures)");
    }
    if personal.private > 0 {
        notes.push("have private DICOM elements, which were not looked into");
    }
    Carried { fields, notes }
}

/// Whether an attribute tells of a person. A patient's id does where it is no code; a name does unless it says that
/// there is none, or repeats an id that is a code.
fn is_personal(field: &Field, id: Option<&str>) -> bool {
    let value = field.value.as_str();
    match (field.name, field.kind) {
        ("PatientID", _) => !personal::is_code(value) && value.contains(char::is_alphabetic),
        (_, "person") if personal::is_placeholder(value) => false,
        (_, "person") if id == Some(value) => !personal::is_code(value),
        _ => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn field(name: &'static str, kind: &'static str, value: &str) -> Field {
        Field { name, kind, value: value.to_owned() }
    }

    fn fields(personal: Vec<Field>) -> Vec<String> {
        of_dicom(&Personal { fields: personal, ..Personal::default() }).fields
    }

    #[test]
    fn a_name_that_repeats_the_id_is_passed_over_only_where_both_are_a_code() {
        let both =
            |value| vec![field("PatientName", "person", value), field("PatientID", "identifier", value)];
        assert!(fields(both("0004cfab-14fd-4e49-80ba-63a80b6bddd6")).is_empty());
        assert_eq!(fields(both("Miller^Ann")), ["PatientID", "PatientName"]);
        assert_eq!(fields(both("HMiller12")), ["PatientID", "PatientName"]);
        assert!(fields(vec![field("PatientName", "person", "Anonymous")]).is_empty());
        assert_eq!(fields(vec![field("OperatorsName", "person", "X12")]), ["OperatorsName"]);
        assert_eq!(fields(vec![field("InstitutionName", "institution", "Mercy")]), ["InstitutionName"]);
    }

    #[test]
    fn burned_in_text_is_a_finding_where_it_is_stated_and_a_note_where_it_is_suspected() {
        let of =
            |burned_in| of_dicom(&Personal { burned_in, is_often_burned_in: true, ..Personal::default() });
        assert_eq!(of(Some(true)).fields, ["BurnedInAnnotation"]);
        assert!(of(Some(false)).fields.is_empty() && of(Some(false)).notes.is_empty());
        assert!(of(None).fields.is_empty() && of(None).notes[0].contains("text in the picture"));
        let overlays = of_dicom(&Personal { has_overlays: true, ..Personal::default() });
        assert!(overlays.fields.is_empty() && overlays.notes[0].contains("overlay planes"));
    }

    #[test]
    fn volumes_and_stacks_are_looked_into_and_damaged_ones_are_errors() {
        let folder = tempfile::tempdir().unwrap();
        let look = |bytes: &[u8]| {
            let path = folder.path().join("file");
            std::fs::write(&path, bytes).unwrap();
            carried(&path).map(|carried| carried.map(|carried| carried.fields))
        };
        let mut tiff = std::io::Cursor::new(Vec::new());
        image::DynamicImage::new_luma8(9, 7).write_to(&mut tiff, image::ImageFormat::Tiff).unwrap();
        let tiff = tiff.into_inner();
        assert_eq!(look(&tiff).unwrap(), Some(Vec::new()));
        assert!(look(&tiff[..12]).is_err());
        let mut volume = vec![0; 352];
        volume[..4].copy_from_slice(&348i32.to_le_bytes());
        volume[344..348].copy_from_slice(b"n+1\0");
        assert_eq!(look(&volume).unwrap(), Some(Vec::new()));
        volume[148..154].copy_from_slice(b"Miller");
        assert_eq!(look(&volume).unwrap(), Some(vec!["NIfTI field descrip".to_owned()]));
        assert!(look(&volume[..200]).is_err());
        assert_eq!(look(b"a text").unwrap(), None);
    }
}
