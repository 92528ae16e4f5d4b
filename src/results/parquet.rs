//! Rows of a cell to parquet and back; nulls stay nulls.

use std::path::Path;

use anyhow::Result;

use super::{Epoch, Metric, Score};
use crate::manifest::Label;
use crate::table::{Columns, Table};

/// Writes one row per scored picture.
pub fn write_scores(path: &Path, rows: &[Score]) -> Result<()> {
    Columns::default()
        .text("image_id", rows.iter().map(|r| Some(&r.image_id)))
        .integer("label", rows.iter().map(|r| Some(r.label.number())))
        .text("finding", rows.iter().map(|r| Some(&r.finding)))
        .text("source_path", rows.iter().map(|r| Some(&r.source_path)))
        .text("group", rows.iter().map(|r| r.group.as_ref()))
        .real("p_value", rows.iter().map(|r| r.p_value))
        .real("clean", rows.iter().map(|r| r.clean))
        .real("clean_mean", rows.iter().map(|r| r.clean_mean))
        .real("clean_top1", rows.iter().map(|r| r.clean_top1))
        .real("published_2d", rows.iter().map(|r| r.published_2d))
        .real("published", rows.iter().map(|r| r.published))
        .real("published_shuffled", rows.iter().map(|r| r.published_shuffled))
        .real("clean_source", rows.iter().map(|r| r.clean_source))
        .write(path)
}

/// Reads what [`write_scores`] wrote.
pub fn read_scores(path: &Path) -> Result<Vec<Score>> {
    let table = Table::read(path)?;
    let (ids, labels) = (table.text_given("image_id")?, table.integer_given("label")?);
    let (findings, paths) = (table.text_given("finding")?, table.text_given("source_path")?);
    let (clean, mean, top1) = (table.real("clean")?, table.real("clean_mean")?, table.real("clean_top1")?);
    let (groups, p_values) = (table.text("group")?, table.real("p_value")?);
    let (published_2d, published) = (table.real("published_2d")?, table.real("published")?);
    let (shuffled, sources) = (table.real("published_shuffled")?, table.real("clean_source")?);
    let row = |i: usize| {
        Ok(Score {
            image_id: ids[i].clone(),
            label: Label::parse(labels[i])?,
            finding: findings[i].clone(),
            source_path: paths[i].clone(),
            group: groups[i].clone(),
            p_value: p_values[i],
            clean: clean[i],
            clean_mean: mean[i],
            clean_top1: top1[i],
            published_2d: published_2d[i],
            published: published[i],
            published_shuffled: shuffled[i],
            clean_source: sources[i],
        })
    };
    (0..table.height()).map(row).collect()
}

/// Writes one row per protocol and metric.
pub fn write_metrics(path: &Path, rows: &[Metric]) -> Result<()> {
    Columns::default()
        .text("protocol", rows.iter().map(|r| Some(&r.protocol)))
        .text("metric", rows.iter().map(|r| Some(&r.metric)))
        .real("value", rows.iter().map(|r| r.value))
        .real("low", rows.iter().map(|r| r.low))
        .real("high", rows.iter().map(|r| r.high))
        .integer("n_normal", rows.iter().map(|r| Some(r.n_normal as i64)))
        .integer("n_anomalous", rows.iter().map(|r| Some(r.n_anomalous as i64)))
        .integer("n_left_out", rows.iter().map(|r| Some(r.n_left_out as i64)))
        .integer("epoch", rows.iter().map(|r| r.epoch.map(|e| e as i64)))
        .write(path)
}

/// Reads what [`write_metrics`] wrote.
pub fn read_metrics(path: &Path) -> Result<Vec<Metric>> {
    let table = Table::read(path)?;
    let (protocols, metrics) = (table.text_given("protocol")?, table.text_given("metric")?);
    let (values, lows, highs) = (table.real("value")?, table.real("low")?, table.real("high")?);
    let (normal, anomalous) = (table.integer_given("n_normal")?, table.integer_given("n_anomalous")?);
    let (left_out, epochs) = (table.integer_given("n_left_out")?, table.integer("epoch")?);
    let row = |i: usize| Metric {
        protocol: protocols[i].clone(),
        metric: metrics[i].clone(),
        value: values[i],
        low: lows[i],
        high: highs[i],
        n_normal: normal[i] as u64,
        n_anomalous: anomalous[i] as u64,
        n_left_out: left_out[i] as u64,
        epoch: epochs[i].map(|e| e as u64),
    };
    Ok((0..table.height()).map(row).collect())
}

/// Writes one row per epoch and quantity.
pub fn write_epochs(path: &Path, rows: &[Epoch]) -> Result<()> {
    Columns::default()
        .integer("epoch", rows.iter().map(|r| Some(r.epoch as i64)))
        .text("quantity", rows.iter().map(|r| Some(&r.quantity)))
        .real("value", rows.iter().map(|r| r.value))
        .write(path)
}

/// Reads what [`write_epochs`] wrote.
pub fn read_epochs(path: &Path) -> Result<Vec<Epoch>> {
    let table = Table::read(path)?;
    let (epochs, quantities) = (table.integer_given("epoch")?, table.text_given("quantity")?);
    let values = table.real("value")?;
    let row = |i: usize| Epoch { epoch: epochs[i] as u64, quantity: quantities[i].clone(), value: values[i] };
    Ok((0..table.height()).map(row).collect())
}
