//! Manifest tables to parquet and back; every column is named once on each side.

use std::path::Path;

use anyhow::{Context, Result};

use super::{Label, MaskKind, Rejected, Row, Selection, Split};
use crate::table::{Columns, Table};

/// Writes `manifest.parquet`.
pub fn write_rows(path: &Path, rows: &[Row]) -> Result<()> {
    Columns::default()
        .text("image_id", rows.iter().map(|r| Some(&r.image_id)))
        .text("task", rows.iter().map(|r| Some(&r.task)))
        .text("organ", rows.iter().map(|r| Some(&r.organ)))
        .text("modality", rows.iter().map(|r| Some(&r.modality)))
        .text("split", rows.iter().map(|r| Some(r.split.name())))
        .integer("label", rows.iter().map(|r| Some(r.label.number())))
        .text("finding", rows.iter().map(|r| Some(&r.finding)))
        .text("patient_id", rows.iter().map(|r| r.patient_id.as_ref()))
        .text("group_id", rows.iter().map(|r| r.group_id.as_ref()))
        .text("study_id", rows.iter().map(|r| r.study_id.as_ref()))
        .integer("slice_index", rows.iter().map(|r| r.slice_index.map(i64::from)))
        .text("source", rows.iter().map(|r| Some(&r.source)))
        .text("source_path", rows.iter().map(|r| Some(&r.source_path)))
        .integer("frame", rows.iter().map(|r| Some(r.frame.into())))
        .integer("width", rows.iter().map(|r| Some(r.width.into())))
        .integer("height", rows.iter().map(|r| Some(r.height.into())))
        .integer("bits", rows.iter().map(|r| Some(r.bits.into())))
        .text("photometric", rows.iter().map(|r| Some(&r.photometric)))
        .text("intensity_policy", rows.iter().map(|r| Some(&r.intensity_policy)))
        .text("repaired", rows.iter().map(|r| r.repaired.as_ref()))
        .integer("file_bytes", rows.iter().map(|r| Some(r.file_bytes as i64)))
        .text("file_sha256", rows.iter().map(|r| Some(&r.file_sha256)))
        .text("pixel_hash", rows.iter().map(|r| Some(&r.pixel_hash)))
        .text("phash", rows.iter().map(|r| Some(&r.phash)))
        .text("mask_kind", rows.iter().map(|r| r.mask_kind.map(MaskKind::name)))
        .text("mask_path", rows.iter().map(|r| r.mask_path.as_ref()))
        .text("mask_hash", rows.iter().map(|r| r.mask_hash.as_ref()))
        .text("spec", rows.iter().map(|r| Some(&r.spec)))
        .integer("spec_version", rows.iter().map(|r| Some(r.spec_version.into())))
        .write(path)
}

/// Reads what [`write_rows`] wrote.
pub fn read_rows(path: &Path) -> Result<Vec<Row>> {
    let table = Table::read(path)?;
    let text = |name: &str| table.text_given(name);
    let number = |name: &str| table.integer_given(name);
    let (image_id, task, organ, modality) =
        (text("image_id")?, text("task")?, text("organ")?, text("modality")?);
    let (split, label, finding) = (text("split")?, number("label")?, text("finding")?);
    let (patient, group, study) =
        (table.text("patient_id")?, table.text("group_id")?, table.text("study_id")?);
    let (slice, source, source_path) = (table.integer("slice_index")?, text("source")?, text("source_path")?);
    let (frame, width, height, bits) =
        (number("frame")?, number("width")?, number("height")?, number("bits")?);
    let (photometric, policy) = (text("photometric")?, text("intensity_policy")?);
    let repaired = table.text("repaired")?;
    let (file_bytes, file_sha256) = (number("file_bytes")?, text("file_sha256")?);
    let (pixel_hash, phash) = (text("pixel_hash")?, text("phash")?);
    let (mask_kind, mask_path, mask_hash) =
        (table.text("mask_kind")?, table.text("mask_path")?, table.text("mask_hash")?);
    let (spec, spec_version) = (text("spec")?, number("spec_version")?);
    let row = |i: usize| -> Result<Row> {
        Ok(Row {
            image_id: image_id[i].clone(),
            task: task[i].clone(),
            organ: organ[i].clone(),
            modality: modality[i].clone(),
            split: Split::parse(&split[i])?,
            label: Label::parse(label[i])?,
            finding: finding[i].clone(),
            patient_id: patient[i].clone(),
            group_id: group[i].clone(),
            study_id: study[i].clone(),
            slice_index: slice[i].map(u32::try_from).transpose()?,
            source: source[i].clone(),
            source_path: source_path[i].clone(),
            frame: u32::try_from(frame[i])?,
            width: u32::try_from(width[i])?,
            height: u32::try_from(height[i])?,
            bits: u16::try_from(bits[i])?,
            photometric: photometric[i].clone(),
            intensity_policy: policy[i].clone(),
            repaired: repaired[i].clone(),
            file_bytes: u64::try_from(file_bytes[i])?,
            file_sha256: file_sha256[i].clone(),
            pixel_hash: pixel_hash[i].clone(),
            phash: phash[i].clone(),
            mask_kind: mask_kind[i].as_deref().map(MaskKind::parse).transpose()?,
            mask_path: mask_path[i].clone(),
            mask_hash: mask_hash[i].clone(),
            spec: spec[i].clone(),
            spec_version: u32::try_from(spec_version[i])?,
        })
    };
    (0..table.height()).map(|i| row(i).with_context(|| format!("row {i} of {}", path.display()))).collect()
}

/// Writes `rejected.parquet`.
pub fn write_rejected(path: &Path, rows: &[Rejected]) -> Result<()> {
    Columns::default()
        .text("task", rows.iter().map(|r| Some(&r.task)))
        .text("source_path", rows.iter().map(|r| Some(&r.source_path)))
        .integer("frame", rows.iter().map(|r| Some(r.frame.into())))
        .text("finding", rows.iter().map(|r| r.finding.as_ref()))
        .text("kind", rows.iter().map(|r| Some(&r.kind)))
        .text("reason", rows.iter().map(|r| Some(&r.reason)))
        .write(path)
}

/// Reads what [`write_rejected`] wrote.
pub fn read_rejected(path: &Path) -> Result<Vec<Rejected>> {
    let table = Table::read(path)?;
    let (tasks, paths) = (table.text_given("task")?, table.text_given("source_path")?);
    let (frames, findings) = (table.integer_given("frame")?, table.text("finding")?);
    let (kinds, reasons) = (table.text_given("kind")?, table.text_given("reason")?);
    let row = |i: usize| -> Result<Rejected> {
        Ok(Rejected {
            task: tasks[i].clone(),
            source_path: paths[i].clone(),
            frame: u32::try_from(frames[i])?,
            finding: findings[i].clone(),
            kind: kinds[i].clone(),
            reason: reasons[i].clone(),
        })
    };
    (0..table.height()).map(row).collect()
}

/// Writes `selection.parquet`.
pub fn write_selection(path: &Path, rows: &[Selection]) -> Result<()> {
    Columns::default()
        .text("task", rows.iter().map(|r| Some(&r.task)))
        .text("part", rows.iter().map(|r| Some(&r.part)))
        .integer("expected", rows.iter().map(|r| r.expected.map(|n| n as i64)))
        .integer("available", rows.iter().map(|r| Some(r.available as i64)))
        .integer("found", rows.iter().map(|r| Some(r.found as i64)))
        .write(path)
}

/// Reads what [`write_selection`] wrote.
pub fn read_selection(path: &Path) -> Result<Vec<Selection>> {
    let table = Table::read(path)?;
    let (tasks, parts) = (table.text_given("task")?, table.text_given("part")?);
    let (expected, available) = (table.integer("expected")?, table.integer_given("available")?);
    let found = table.integer_given("found")?;
    let row = |i: usize| Selection {
        task: tasks[i].clone(),
        part: parts[i].clone(),
        expected: expected[i].map(|n| n as u64),
        available: available[i] as u64,
        found: found[i] as u64,
    };
    Ok((0..table.height()).map(row).collect())
}
