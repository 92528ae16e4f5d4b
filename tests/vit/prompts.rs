//! The words that methods ask with against those that are published, and what becomes of them.

use std::path::Path;

use medfsad::method::part::prompts::{BuiltIn, Prompts};
use medfsad::network::vit::tokenizer::{self, Dialect, END, Tokenizer, VOCABULARY};
use serde_json::Value;

use super::{reference, text};
use crate::shared::leave_out;

/// A file of `benchmarks/prompts`.
fn prompts(file: &str) -> Prompts {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("benchmarks/prompts").join(file);
    let none = BuiltIn { file: "", text: "" };
    Prompts::read(path.to_str(), none).expect("words").0
}

fn texts(value: &Value) -> Vec<&str> {
    value.as_array().expect("a list").iter().map(text).collect()
}

#[test]
fn words_are_the_published_ones() {
    let golden = reference("prompts.json");
    let (states, templates) = (&golden["states"], &golden["templates"]);
    for (file, anomalous, list) in [
        ("winclip-anomalib.toml", "anomalous_winclip_inctrl", "winclip_anomalib"),
        ("winclip-caoyunkang.toml", "anomalous_winclip_inctrl", "inctrl"),
        ("inctrl.toml", "anomalous_winclip_inctrl", "inctrl"),
        ("mvfa.toml", "anomalous_mvfa", "mvfa"),
    ] {
        let found = prompts(file);
        assert_eq!(found.normal, texts(&states["normal"]), "{file}");
        assert_eq!(found.anomalous, texts(&states[anomalous]), "{file}");
        let without_stop = file == "winclip-caoyunkang.toml";
        let published = texts(&templates[list]).into_iter();
        let published: Vec<&str> =
            published.map(|text| if without_stop { text.trim_end_matches('.') } else { text }).collect();
        assert_eq!(found.templates, published, "{file}");
    }
    let found = prompts("mediclip.toml");
    assert_eq!(found.normal, texts(&golden["mediclip"]["normal"]));
    assert_eq!(found.anomalous, texts(&golden["mediclip"]["abnormal"]));
    assert!(found.templates.is_empty() && found.class_names.is_empty());
    let (published, mvfa) = (&golden["class_names"]["mvfa"], prompts("mvfa.toml").class_names);
    for (task, theirs) in [("brain_tumor", "Brain"), ("rsna", "Chest"), ("his", "Histopathology")] {
        assert_eq!(mvfa[task], text(&published[theirs]), "{task}");
    }
}

#[test]
fn every_task_of_the_specs_has_a_name() {
    for file in ["winclip-anomalib.toml", "winclip-caoyunkang.toml", "inctrl.toml", "mvfa.toml"] {
        let names = prompts(file).class_names;
        for task in ["his", "lag", "aptos", "rsna", "brain_tumor", "brats"] {
            assert!(names.contains_key(task), "{file} lacks {task}");
        }
    }
}

#[test]
fn sentences_become_the_published_ids() {
    let vocabulary = tokenizer::kept().expect("a cache folder");
    if !vocabulary.exists() {
        leave_out(&format!("CLIP's vocabulary (`cargo xtask weights fetch {VOCABULARY}` gets it)"));
        return;
    }
    let tokenizer = Tokenizer::open(&vocabulary, Dialect::OpenClip).expect("the vocabulary");
    let checks = &reference("prompts.json")["checks"];
    for (file, method) in
        [("winclip-anomalib.toml", "anomalib"), ("inctrl.toml", "inctrl"), ("mvfa.toml", "mvfa")]
    {
        let sentences = prompts(file).sentences("brain mri slice");
        for (sentences, state) in sentences.iter().zip(["normal", "anomalous"]) {
            let golden = &checks[format!("{method}_{state}")];
            let rows = sentences.iter().map(|text| tokenizer.row(text, 77).expect("a row"));
            let rows: Vec<Vec<i64>> = rows.collect();
            let length = |row: &Vec<i64>| 1 + row.iter().position(|id| *id == END).expect("an end");
            assert_eq!(Some(rows.len() as u64), golden["prompts"].as_u64(), "{file} {state}");
            assert_eq!(
                Some(rows.concat().iter().sum::<i64>()),
                golden["sum_of_ids"].as_i64(),
                "{file} {state}"
            );
            assert_eq!(
                rows.iter().map(length).max(),
                golden["longest"].as_u64().map(|n| n as usize),
                "{file} {state}"
            );
        }
    }
}
