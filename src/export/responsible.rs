//! What Croissant's vocabulary for responsible AI (RAI 1.0) asks of a data set: how it was collected, what it lacks,
//! where it is biased, and what in it is sensitive. Everything is said by the cards, the counts and the audit; what
//! these do not tell is left out.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::counts::{Counts, OfTask};
use crate::manifest::{Header, Rejected};
use crate::spec::{Spec, Task, is_drawn};

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
    header: &Header,
    spec: &Spec,
    counts: &Counts,
    rejected: &[Rejected],
    audited: Option<&Audited>,
) -> Map<String, Value> {
    let is_there = |task: &&Task| counts.tasks.iter().any(|of_task| of_task.name == task.name);
    let tasks: Vec<&Task> = spec.tasks.iter().filter(is_there).collect();
    let none = Audited {
        limitations: vec!["No audit was at hand: leaks and shortcuts were not looked for.".to_owned()],
        sensitive: vec!["No audit was at hand: raw files were not searched for personal data.".to_owned()],
        ..Audited::default()
    };
    let Audited { biases, limitations, sensitive } = audited.unwrap_or(&none).clone();
    let texts = [
        ("rai:dataCollection", json!(collection(&tasks))),
        ("rai:dataCollectionType", json!([collection_type(spec)])),
        ("rai:dataCollectionMissingData", json!(missing(rejected))),
        ("rai:dataCollectionRawData", json!(raw_data(&tasks))),
        ("rai:dataPreprocessingProtocol", json!(preprocessing(header, counts))),
        ("rai:dataAnnotationProtocol", json!(annotation(&tasks, counts))),
        ("rai:dataUseCases", json!(use_cases(&tasks))),
        ("rai:dataBiases", json!([classes(counts), biases].concat())),
        ("rai:dataLimitations", json!([bounds(&tasks, counts), limitations].concat())),
        ("rai:personalSensitiveInformation", json!([people(counts), sensitive].concat())),
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
    if is_drawn(&spec.name) { "Others" } else { "Secondary Data analysis" }
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

fn preprocessing(header: &Header, counts: &Counts) -> Vec<String> {
    vec![
        format!(
            "Pictures are decoded to 8 bits ({} intensity policies, one for each row) and resized to squares of {:?} \
             pixels ({}).",
            counts.policies.len(),
            header.sizes,
            header.resize
        ),
        format!("Defects of {} files were forgiven; the column `repaired` names them.", counts.repaired),
    ]
}

fn annotation(tasks: &[&Task], counts: &Counts) -> String {
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
    format!(
        "Labels are the owners'. {}. {} pictures have masks drawn pixel by pixel, {} masks of boxes, which hold healthy \
         pixels too.",
        findings.join("; "),
        counts.pixel_masks,
        counts.box_masks
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
fn classes(counts: &Counts) -> Vec<String> {
    let one = |task: &OfTask| {
        format!(
            "{}: {} normal pictures to train on; {} normal and {} anomalous ones to test with, which is no \
             prevalence.",
            task.name, task.train_normal, task.test_normal, task.test_anomalous
        )
    };
    counts.tasks.iter().map(one).collect()
}

fn bounds(tasks: &[&Task], counts: &Counts) -> Vec<String> {
    let mut bounds = Vec::new();
    for task in tasks {
        if !task.basis.is_empty() {
            bounds.push(format!("Counts of {}: {}.", task.name, task.basis));
        }
        let of_task = counts.tasks.iter().find(|of_task| of_task.name == task.name);
        if let Some(OfTask { pictures, without_patient: unknown @ 1.., .. }) = of_task {
            bounds.push(format!(
                "{}: the patients of {unknown} of {pictures} pictures are not known, so one may stand on both sides.",
                task.name
            ));
        }
    }
    bounds
}

fn people(counts: &Counts) -> Vec<String> {
    vec![
        "Findings are medical, and sensitive where pictures are of people; the metadata hold no picture."
            .to_owned(),
        format!(
            "{} rows name a patient and {} a study, by pseudonyms that are made with a key.",
            counts.patients, counts.studies
        ),
    ]
}

fn stated(text: &str) -> &str {
    if text.is_empty() { "not stated" } else { text }
}
