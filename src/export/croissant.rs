//! Croissant 1.1 with RAI 1.0 (MLCommons): what the manifest's columns are, where they came from, on which terms.

use anyhow::{Context, Result};
use serde_json::{Map, Value, json};

use super::counts::Counts;
use crate::files;
use crate::manifest::Header;
use crate::spec::{Card, Spec, Task};
use crate::table::{Described, Kind};

/// The standard's own context.
const CONTEXT: &str = include_str!("croissant-context.json");
/// The file of the table that the metadata describe.
pub const TABLE: &str = "pictures.parquet";

const CONFORMS_TO: [&str; 2] =
    ["http://mlcommons.org/croissant/1.1", "http://mlcommons.org/croissant/RAI/1.0"];

/// The metadata of a curated benchmark whose table has these bytes and columns, as JSON-LD.
pub(super) fn describe(
    header: &Header,
    spec: &Spec,
    counts: &Counts,
    columns: &[Described],
    parquet: &[u8],
    responsible: Map<String, Value>,
) -> Result<String> {
    let context: Value = serde_json::from_str(CONTEXT).context("the context that is built in")?;
    let is_used = |task: &&Task| counts.tasks.iter().any(|of_task| of_task.name == task.name);
    let used: Vec<&Task> = spec.tasks.iter().filter(is_used).collect();
    let each = |text: fn(&Card) -> &String| -> Vec<String> {
        let mut texts: Vec<String> = Vec::new();
        for task in &used {
            let text = text(&task.card);
            if !text.is_empty() && !texts.contains(text) {
                texts.push(text.clone());
            }
        }
        texts
    };
    let licences: Vec<String> = used
        .iter()
        .filter(|task| !task.card.licence.is_empty())
        .map(|task| format!("{}: {}", task.name, task.card.licence))
        .collect();
    let description = format!(
        "{}. {} pictures; manifest {} of spec {} {}, written by medfsad {}. It names pictures and holds none: \
         they are to be had from their owners, on their terms.",
        header.title, header.n_rows, header.canonical_hash, header.spec, header.spec_version, header.medfsad
    );
    let mut document = json!({
        "@context": context,
        "@type": "sc:Dataset",
        "conformsTo": CONFORMS_TO,
        "name": format!("medfsad-{}", header.spec),
        "description": description,
        "version": format!("{}.0.0", header.spec_version),
        "license": licences,
        "creator": each(|card| &card.owner).into_iter().map(organisation).collect::<Vec<_>>(),
        "citeAs": each(|card| &card.citation).join("; "),
        "conditionsOfAccess": each(|card| &card.restrictions).join("; "),
        "isLiveDataset": false,
        "distribution": [distribution(parquet)],
        "recordSet": [splits(), labels(), pictures(columns)],
    });
    document.as_object_mut().expect("an object was just made").extend(responsible);
    Ok(serde_json::to_string_pretty(&document)? + "\n")
}

/// The one file that is handed on.
fn distribution(parquet: &[u8]) -> Value {
    json!({
        "@type": "cr:FileObject",
        "@id": TABLE,
        "name": TABLE,
        "description": "One row for each picture.",
        "contentUrl": TABLE,
        "contentSize": format!("{} B", parquet.len()),
        "encodingFormat": "application/x-parquet",
        "sha256": files::sha256(parquet),
    })
}

fn splits() -> Value {
    let names = ["train", "val", "test"].map(|name| json!(name));
    values("splits", "Sides of the benchmark.", "cr:Split", "sc:Text", &names, &[])
}

fn labels() -> Value {
    let (numbers, words) = ([json!(0), json!(1)], ["normal", "anomalous"]);
    values("labels", "What a picture shows.", "sc:Enumeration", "sc:Integer", &numbers, &words)
}

fn pictures(columns: &[Described]) -> Value {
    json!({
        "@type": "cr:RecordSet",
        "@id": "pictures",
        "name": "pictures",
        "description": "One record for each picture of the benchmark.",
        "key": { "@id": "pictures/image_id" },
        "field": columns.iter().map(field).collect::<Vec<_>>(),
    })
}

fn organisation(name: String) -> Value {
    json!({ "@type": "sc:Organization", "name": name })
}

fn field(column: &Described) -> Value {
    let id = format!("pictures/{}", column.name);
    let kind = match column.kind {
        Kind::Text => "sc:Text",
        Kind::Integer => "sc:Integer",
        Kind::Real => "sc:Float",
    };
    let mut field = json!({
        "@type": "cr:Field",
        "@id": id,
        "name": id,
        "description": column.about,
        "dataType": kind,
        "source": { "fileObject": { "@id": TABLE }, "extract": { "column": column.name } },
    });
    if let Some(target) = match column.name.as_str() {
        "split" => Some("splits/value"),
        "label" => Some("labels/value"),
        _ => None,
    } {
        field["references"] = json!({ "field": { "@id": target } });
    }
    field
}

/// A record set whose records stand in the metadata itself.
fn values(name: &str, about: &str, kind: &str, data_type: &str, values: &[Value], words: &[&str]) -> Value {
    let id = |field: &str| format!("{name}/{field}");
    let mut fields = vec![json!({
        "@type": "cr:Field",
        "@id": id("value"),
        "name": id("value"),
        "description": "As it stands in the manifest.",
        "dataType": data_type,
    })];
    if !words.is_empty() {
        fields.push(json!({
            "@type": "cr:Field",
            "@id": id("name"),
            "name": id("name"),
            "description": "In words.",
            "dataType": "sc:Text",
        }));
    }
    let record = |(place, value): (usize, &Value)| {
        let mut record = json!({ id("value"): value });
        if let Some(word) = words.get(place) {
            record[id("name")] = json!(word);
        }
        record
    };
    json!({
        "@type": "cr:RecordSet",
        "@id": name,
        "name": name,
        "description": about,
        "dataType": kind,
        "key": { "@id": id("value") },
        "field": fields,
        "data": values.iter().enumerate().map(record).collect::<Vec<_>>(),
    })
}
