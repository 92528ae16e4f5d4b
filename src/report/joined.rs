//! All cells' rows in one table each, with the columns that say which cell they belong to.

use std::path::Path;

use anyhow::Result;

use crate::files;
use crate::protocol::Protocol;
use crate::results::CellResult;
use crate::table::Columns;
use crate::words::Word;

/// Writes `cells`, `scores`, `metrics` and `epochs` as parquet, and `metrics.csv`, into `folder`.
pub fn write(results: &[CellResult], folder: &Path) -> Result<()> {
    cells(results, &folder.join("cells.parquet"))?;
    scores(results, &folder.join("scores.parquet"))?;
    metrics(results, &folder.join("metrics.parquet"))?;
    epochs(results, &folder.join("epochs.parquet"))?;
    files::write_whole(&folder.join("metrics.csv"), &metrics_csv(results)?)
}

type Rows<'a, T> = Vec<(&'a CellResult, &'a T)>;

fn rows<'a, T>(results: &'a [CellResult], pick: fn(&CellResult) -> &Vec<T>) -> Rows<'a, T> {
    results.iter().flat_map(|result| pick(result).iter().map(move |row| (result, row))).collect()
}

fn identity<'a>(columns: Columns, cells: impl Iterator<Item = &'a CellResult> + Clone) -> Columns {
    let ids = cells.map(|result| (&result.cell.id, &result.cell.identity));
    columns
        .text("cell", ids.clone().map(|(id, _)| Some(id)))
        .text("method", ids.clone().map(|(_, i)| Some(&i.method)))
        .text("task", ids.clone().map(|(_, i)| Some(&i.task)))
        .integer("shots", ids.clone().map(|(_, i)| Some(i.shots as i64)))
        .integer("draw", ids.clone().map(|(_, i)| Some(i.draw as i64)))
        .text("seed", ids.map(|(_, i)| Some(i.seed.to_string())))
}

fn cells(results: &[CellResult], path: &Path) -> Result<()> {
    let ids = || results.iter().map(|r| &r.cell.identity);
    let origins = || results.iter().map(|r| &r.cell.provenance);
    let ran = || results.iter().map(|r| (r.cell.error.is_none(), &r.cell.provenance));
    identity(Columns::default(), results.iter())
        .text("settings", ids().map(|i| Some(&i.settings)))
        .integer("size", ids().map(|i| Some(i.size as i64)))
        .text("held_out", ids().map(|i| Some(&i.held_out)))
        .text("manifest_hash", ids().map(|i| Some(&i.manifest_hash)))
        .text("episodes_hash", ids().map(|i| Some(&i.episodes_hash)))
        .text("code_hash", ids().map(|i| Some(&i.code_hash)))
        .text("weights_hash", ids().map(|i| Some(&i.weights_hash)))
        .text("device_class", ids().map(|i| Some(&i.device_class)))
        .text("bench", origins().map(|p| Some(&p.bench)))
        .text("regime", origins().map(|p| Some(&p.regime)))
        .text("spec", origins().map(|p| Some(&p.spec)))
        .integer("spec_version", origins().map(|p| Some(i64::from(p.spec_version))))
        .text("backbone", origins().map(|p| Some(&p.backbone)))
        .text("weights", origins().map(|p| Some(&p.weights)))
        .integer("random_weights", origins().map(|p| Some(i64::from(p.random_weights))))
        .text("version", origins().map(|p| Some(&p.version)))
        .text("git_revision", origins().map(|p| Some(&p.git_revision)))
        .text("libtorch", origins().map(|p| Some(&p.libtorch)))
        .text("device", origins().map(|p| Some(&p.device)))
        .integer("threads", origins().map(|p| Some(p.threads as i64)))
        .text("precision", origins().map(|p| Some(&p.precision)))
        .text("command", origins().map(|p| Some(&p.command)))
        .integer("started_at", origins().map(|p| Some(p.started_at as i64)))
        .real("fit_seconds", ran().map(|(ran, p)| ran.then_some(p.fit_seconds)))
        .real("score_seconds", ran().map(|(ran, p)| ran.then_some(p.score_seconds)))
        .integer("peak_memory_bytes", ran().map(|(ran, p)| ran.then_some(p.peak_memory_bytes as i64)))
        .text("error", results.iter().map(|r| r.cell.error.as_ref()))
        .write(path)
}

fn scores(results: &[CellResult], path: &Path) -> Result<()> {
    let rows = rows(results, |result| &result.scores);
    let scores = || rows.iter().map(|(_, score)| score);
    let columns = identity(Columns::default(), rows.iter().map(|(result, _)| *result))
        .text("image_id", scores().map(|s| Some(&s.image_id)))
        .integer("label", scores().map(|s| Some(s.label.number())))
        .text("finding", scores().map(|s| Some(&s.finding)))
        .text("source_path", scores().map(|s| Some(&s.source_path)));
    let add = |columns: Columns, protocol: Protocol| {
        columns.real(&protocol.column(), scores().map(|score| score.under(protocol)))
    };
    Protocol::all().fold(columns, add).write(path)
}

fn metrics(results: &[CellResult], path: &Path) -> Result<()> {
    let rows = rows(results, |result| &result.metrics);
    let metrics = || rows.iter().map(|(_, metric)| metric);
    identity(Columns::default(), rows.iter().map(|(result, _)| *result))
        .text("protocol", metrics().map(|m| Some(m.protocol.name())))
        .text("metric", metrics().map(|m| Some(&m.metric)))
        .real("value", metrics().map(|m| m.value))
        .real("low", metrics().map(|m| m.low))
        .real("high", metrics().map(|m| m.high))
        .integer("n_normal", metrics().map(|m| Some(m.n_normal as i64)))
        .integer("n_anomalous", metrics().map(|m| Some(m.n_anomalous as i64)))
        .integer("n_left_out", metrics().map(|m| Some(m.n_left_out as i64)))
        .integer("epoch", metrics().map(|m| m.epoch.map(|epoch| epoch as i64)))
        .write(path)
}

fn epochs(results: &[CellResult], path: &Path) -> Result<()> {
    let rows = rows(results, |result| &result.epochs);
    let epochs = || rows.iter().map(|(_, epoch)| epoch);
    identity(Columns::default(), rows.iter().map(|(result, _)| *result))
        .integer("epoch", epochs().map(|e| Some(e.epoch as i64)))
        .text("quantity", epochs().map(|e| Some(&e.quantity)))
        .real("value", epochs().map(|e| e.value))
        .write(path)
}

fn metrics_csv(results: &[CellResult]) -> Result<Vec<u8>> {
    let mut writer = csv::Writer::from_writer(Vec::new());
    writer.write_record([
        "cell",
        "method",
        "task",
        "shots",
        "draw",
        "seed",
        "protocol",
        "metric",
        "value",
        "low",
        "high",
        "n_normal",
        "n_anomalous",
        "n_left_out",
        "epoch",
    ])?;
    let number = |value: Option<f64>| value.map_or(String::new(), |value| value.to_string());
    for (result, m) in rows(results, |result| &result.metrics) {
        let id = &result.cell.identity;
        let whole = [id.shots.to_string(), id.draw.to_string(), id.seed.to_string()];
        let counts = [m.n_normal, m.n_anomalous, m.n_left_out].map(|count| count.to_string());
        let text = [&result.cell.id, &id.method, &id.task].map(String::clone);
        let record = text.into_iter().chain(whole).chain([m.protocol.to_string(), m.metric.clone()]);
        let record = record.chain([m.value, m.low, m.high].map(number)).chain(counts);
        writer.write_record(record.chain([m.epoch.map_or(String::new(), |epoch| epoch.to_string())]))?;
    }
    Ok(writer.into_inner()?)
}
