//! Rows of a cell to parquet and back; nulls stay nulls.

use std::path::Path;

use anyhow::Result;

use super::{Epoch, Metric, Score};
use crate::manifest::Label;
use crate::protocol::Protocol;
use crate::table::{Columns, Table};
use crate::words::Word;

/// Writes one row per scored picture.
pub fn write_scores(path: &Path, rows: &[Score]) -> Result<()> {
    let columns = Columns::default()
        .text("image_id", rows.iter().map(|r| Some(&r.image_id)))
        .integer("label", rows.iter().map(|r| Some(r.label.number())))
        .text("finding", rows.iter().map(|r| Some(&r.finding)))
        .text("source_path", rows.iter().map(|r| Some(&r.source_path)))
        .text("group", rows.iter().map(|r| r.group.as_ref()))
        .real("p_value", rows.iter().map(|r| r.p_value));
    let add = |columns: Columns, protocol: Protocol| {
        columns.real(&protocol.column(), rows.iter().map(|row| row.under(protocol)))
    };
    Protocol::all().fold(columns, add).write(path)
}

/// Reads what [`write_scores`] wrote.
pub fn read_scores(path: &Path) -> Result<Vec<Score>> {
    let table = Table::read(path)?;
    let (ids, labels) = (table.text_given("image_id")?, table.integer_given("label")?);
    let (findings, paths) = (table.text_given("finding")?, table.text_given("source_path")?);
    let (groups, p_values) = (table.text("group")?, table.real("p_value")?);
    let under = |protocol: Protocol| Ok((protocol, table.real(&protocol.column())?));
    let scores: Vec<(Protocol, Vec<Option<f64>>)> = Protocol::all().map(under).collect::<Result<_>>()?;
    let row = |i: usize| {
        Ok(Score {
            image_id: ids[i].clone(),
            label: Label::parse(labels[i])?,
            finding: findings[i].clone(),
            source_path: paths[i].clone(),
            group: groups[i].clone(),
            p_value: p_values[i],
            scores: scores.iter().filter_map(|(protocol, values)| Some((*protocol, values[i]?))).collect(),
        })
    };
    (0..table.height()).map(row).collect()
}

/// Writes one row per protocol and metric.
pub fn write_metrics(path: &Path, rows: &[Metric]) -> Result<()> {
    Columns::default()
        .text("protocol", rows.iter().map(|r| Some(r.protocol.name())))
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
    let row = |i: usize| {
        Ok(Metric {
            protocol: Protocol::parse(&protocols[i])?,
            metric: metrics[i].clone(),
            value: values[i],
            low: lows[i],
            high: highs[i],
            n_normal: normal[i] as u64,
            n_anomalous: anomalous[i] as u64,
            n_left_out: left_out[i] as u64,
            epoch: epochs[i].map(|e| e as u64),
        })
    };
    (0..table.height()).map(row).collect()
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
