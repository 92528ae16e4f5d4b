//! Label tables as their owners write them.

use anyhow::Result;

use crate::phantom::{Region, Written};

/// A CSV file below the source's folder.
pub(super) struct Table {
    pub name: &'static str,
    pub bytes: Vec<u8>,
}

/// Sources whose folders tell the label.
pub(super) fn none(_written: &[Written]) -> Result<Vec<Table>> {
    Ok(Vec::new())
}

/// `id_code,diagnosis`, sorted by id.
pub(super) fn aptos(written: &[Written]) -> Result<Vec<Table>> {
    let rows = by_id(written).into_iter().map(|picture| {
        let subject = &picture.subject;
        vec![subject.id.clone(), subject.finding.to_owned()]
    });
    let mut tables = vec![table("train.csv", &["id_code", "diagnosis"], rows)?];
    let unlabelled: Vec<&str> = unlabelled(written).collect();
    if !unlabelled.is_empty() {
        let ids = unlabelled.iter().map(|id| vec![(*id).to_owned()]);
        tables.push(table("test.csv", &["id_code"], ids)?);
        let sample = unlabelled.iter().map(|id| vec![(*id).to_owned(), "0".to_owned()]);
        tables.push(table("sample_submission.csv", &["id_code", "diagnosis"], sample)?);
    }
    Ok(tables)
}

/// One row per box and table, sorted by id; a film without boxes has one row with empty fields.
pub(super) fn rsna(written: &[Written]) -> Result<Vec<Table>> {
    let pictures = by_id(written);
    let boxes = pictures.iter().flat_map(|picture| box_rows(picture));
    let header = ["patientId", "x", "y", "width", "height", "Target"];
    let boxes = table("stage_2_train_labels.csv", &header, boxes)?;
    let classes = pictures.iter().flat_map(|picture| {
        let row = vec![picture.subject.id.clone(), picture.subject.finding.to_owned()];
        std::iter::repeat_n(row, picture.regions.len().max(1))
    });
    let classes = table("stage_2_detailed_class_info.csv", &["patientId", "class"], classes)?;
    let mut tables = vec![boxes, classes];
    let sample: Vec<Vec<String>> =
        unlabelled(written).map(|id| vec![id.to_owned(), "0.5 0 0 100 100".to_owned()]).collect();
    if !sample.is_empty() {
        let header = ["patientId", "PredictionString"];
        tables.push(table("stage_2_sample_submission.csv", &header, sample.into_iter())?);
    }
    Ok(tables)
}

/// Ids of the owner's own test pictures, in the order they were drawn.
fn unlabelled(written: &[Written]) -> impl Iterator<Item = &str> {
    written.iter().filter(|picture| !picture.subject.is_labelled).map(|picture| picture.subject.id.as_str())
}

fn box_rows(picture: &Written) -> Vec<Vec<String>> {
    let id = &picture.subject.id;
    if picture.regions.is_empty() {
        let empty = [String::new(), String::new(), String::new(), String::new()];
        return vec![[id.clone()].into_iter().chain(empty).chain(["0".to_owned()]).collect()];
    }
    let row = |region: &Region| {
        let sides = [region.x, region.y, region.width, region.height].map(|side| format!("{side}.0"));
        [id.clone()].into_iter().chain(sides).chain(["1".to_owned()]).collect()
    };
    picture.regions.iter().map(row).collect()
}

fn by_id(written: &[Written]) -> Vec<&Written> {
    let mut pictures: Vec<&Written> = written.iter().filter(|picture| picture.subject.is_labelled).collect();
    pictures.sort_unstable_by(|a, b| a.subject.id.cmp(&b.subject.id));
    pictures
}

fn table(name: &'static str, header: &[&str], rows: impl Iterator<Item = Vec<String>>) -> Result<Table> {
    let mut writer = csv::Writer::from_writer(Vec::new());
    writer.write_record(header)?;
    for row in rows {
        writer.write_record(row)?;
    }
    Ok(Table { name, bytes: writer.into_inner()? })
}
