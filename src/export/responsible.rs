//! What Croissant's vocabulary for responsible AI (RAI 1.0) asks of a data set: how it was collected, what it lacks,
//! where it is biased, and what in it is sensitive. Everything is said by the cards, the counts and the audit; what
//! these do not tell is left out.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value, json};

use crate::ids::TaskName;
use crate::manifest::{Label, Manifest, MaskKind, Rejected, Row, Split};
use crate::spec::{Spec, Task};

/// What an audit says of a benchmark, as sentences.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Audited {
    /// Acquisition that tells the label, and labels that contradict.
    pub biases: Vec<String>,
    /// Leaks, copies, and gates that did not run.
    pub limitations: Vec<String>,
    /// Personal data in raw files and in their names.
    pub sensitive: Vec<String>,
}

/// Properties of the document, by their names. Without an audit they say that there was none.
pub(super) fn properties(
    manifest: &Manifest,
    spec: &Spec,
    rejected: &[Rejected],
    audited: Option<&Audited>,
) -> Map<String, Value> {
    let names = manifest.tasks();
    let tasks: Vec<&Task> = spec.tasks.iter().filter(|task| names.contains(&task.name)).collect();
    let none = Audited {
        limitations: vec!["No audit was at hand: leaks and shortcuts were not looked for.".to_owned()],
        sensitive: vec!["No audit was at hand: raw files were not searched for personal data.".to_owned()],
        ..Audited::default()
    };
    let Audited { biases, limitations, sensitive } = audited.unwrap_or(&none).clone();
    let rows = &manifest.rows;
    let texts = [
        ("rai:dataCollection", json!(collection(&tasks))),
        ("rai:dataCollectionType", json!([collection_type(spec)])),
        ("rai:dataCollectionMissingData", json!(missing(rejected))),
        ("rai:dataCollectionRawData", json!(raw_data(&tasks))),
        ("rai:dataPreprocessingProtocol", json!(preprocessing(manifest, rows))),
        ("rai:dataAnnotationProtocol", json!(annotation(&tasks, rows))),
        ("rai:dataUseCases", json!(use_cases(&tasks))),
        ("rai:dataBiases", json!([classes(&names, rows), biases].concat())),
        ("rai:dataLimitations", json!([bounds(&tasks, rows), limitations].concat())),
        ("rai:personalSensitiveInformation", json!([people(rows), sensitive].concat())),
    ];
    texts.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}

fn collection(tasks: &[&Task]) -> String {
    let one = |task: &&Task| {
        let owner = stated(&task.card.owner);
        format!(
            "{} ({}, {}): owned by {owner}, read as source `{}`",
            task.name, task.organ, task.modality, task.source
        )
    };
    let sources: Vec<String> = tasks.iter().map(one).collect();
    format!("Selected from these sources. {}.", sources.join("; "))
}

/// In the words of the vocabulary.
fn collection_type(spec: &Spec) -> &'static str {
    // The phantom is drawn and not collected.
    if spec.name == "phantom" { "Others" } else { "Secondary Data analysis" }
}

fn missing(rejected: &[Rejected]) -> String {
    let mut kinds: BTreeMap<&str, usize> = BTreeMap::new();
    rejected.iter().for_each(|one| *kinds.entry(&one.kind).or_default() += 1);
    let counts: Vec<String> = kinds.into_iter().map(|(kind, count)| format!("{count} {kind}")).collect();
    match counts.as_slice() {
        [] => "No file was left out.".to_owned(),
        counts => {
            format!("{} files or frames were found and not used: {}.", rejected.len(), counts.join(", "))
        }
    }
}

fn raw_data(tasks: &[&Task]) -> String {
    let mut ways: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    tasks.iter().for_each(|task| ways.entry(stated(&task.card.how_to_get)).or_default().push(&task.name));
    let ways: Vec<String> =
        ways.into_iter().map(|(way, names)| format!("{}: {way}", names.join(", "))).collect();
    format!("The raw pictures stay with their owners. How to get them: {}.", ways.join("; "))
}

fn preprocessing(manifest: &Manifest, rows: &[Row]) -> Vec<String> {
    let policies: BTreeSet<&str> = rows.iter().map(|row| row.intensity_policy.as_str()).collect();
    let repaired = rows.iter().filter(|row| row.repaired.is_some()).count();
    vec![
        format!(
            "Pictures are decoded to 8 bits ({} intensity policies, one for each row) and resized to squares of {:?} \
             pixels ({}).",
            policies.len(),
            manifest.header.sizes,
            manifest.header.resize
        ),
        format!("Defects of {repaired} files were forgiven; the column `repaired` names them."),
    ]
}

fn annotation(tasks: &[&Task], rows: &[Row]) -> String {
    let findings: Vec<String> = tasks
        .iter()
        .map(|task| {
            let anomalous: Vec<&str> =
                task.anomalous.iter().flat_map(|quota| &quota.findings).map(String::as_str).collect();
            format!(
                "{}: normal are {}; anomalous are {} ({})",
                task.name,
                task.normal.join(", "),
                anomalous.join(", "),
                task.anomaly
            )
        })
        .collect();
    let masks = |kind| rows.iter().filter(|row| row.mask_kind == Some(kind)).count();
    format!(
        "Labels are the owners'. {}. {} pictures have masks drawn pixel by pixel, {} masks of boxes, which hold healthy \
         pixels too.",
        findings.join("; "),
        masks(MaskKind::Pixels),
        masks(MaskKind::Boxes)
    )
}

fn use_cases(tasks: &[&Task]) -> Vec<String> {
    let mut cases = vec!["Testing few-shot anomaly detection.".to_owned()];
    let restricted = tasks.iter().filter(|task| !task.card.restrictions.is_empty());
    cases
        .extend(restricted.map(|task| format!("Restrictions of {}: {}.", task.name, task.card.restrictions)));
    cases
}

/// How the classes are balanced, task by task.
fn classes(names: &[TaskName], rows: &[Row]) -> Vec<String> {
    let count = |task: &str, split, label| {
        rows.iter().filter(|row| row.task == task && row.split == split && row.label == label).count()
    };
    let one = |task: &TaskName| {
        format!(
            "{task}: {} normal pictures to train on; {} normal and {} anomalous ones to test with, which is no \
             prevalence.",
            count(task, Split::Train, Label::Normal),
            count(task, Split::Test, Label::Normal),
            count(task, Split::Test, Label::Anomalous)
        )
    };
    names.iter().map(one).collect()
}

fn bounds(tasks: &[&Task], rows: &[Row]) -> Vec<String> {
    let mut bounds = Vec::new();
    for task in tasks {
        if !task.basis.is_empty() {
            bounds.push(format!("Counts of {}: {}.", task.name, task.basis));
        }
        let of_task = || rows.iter().filter(|row| row.task == task.name);
        let unknown = of_task().filter(|row| row.patient_id.is_none()).count();
        if unknown > 0 {
            bounds.push(format!(
                "{}: the patients of {unknown} of {} pictures are not known, so one may stand on both sides.",
                task.name,
                of_task().count()
            ));
        }
    }
    bounds
}

fn people(rows: &[Row]) -> Vec<String> {
    let count = |id: fn(&Row) -> &Option<String>| rows.iter().filter_map(|row| id(row).as_ref()).count();
    let (patients, studies) = (count(|row| &row.patient_id), count(|row| &row.study_id));
    vec![
        "Findings are medical, and sensitive where pictures are of people; the metadata hold no picture."
            .to_owned(),
        format!(
            "{patients} rows name a patient and {studies} a study, by pseudonyms that are made with a key."
        ),
    ]
}

fn stated(text: &str) -> &str {
    if text.is_empty() { "not stated" } else { text }
}
