//! The two files that `init` writes, every value with what it means.

use std::fmt::Write as _;

use super::layout::{Layout, Named, Sides, plain};
use crate::source::survey::Patients;

/// Support set sizes that are asked for, as far as there are normal pictures.
const SHOTS: [usize; 3] = [2, 4, 8];
const DRAWS: usize = 5;
const SIZE: usize = 128;

/// The spec.
pub(super) fn spec(layout: &Layout) -> String {
    let mut text = format!(
        "# Which pictures make the benchmark `{0}`, written by `init` from folder and file names. Check it, then:\n\
         #   cargo xtask build-dataset --spec manifests/{0}.toml --raw FOLDER\n",
        layout.name
    );
    text += &explained("name", quoted(&layout.name), "names the folder of the curated benchmark");
    text += &explained("version", 1, "raise it when the same pictures would give other rows");
    text += &explained("title", quoted(&format!("{} (own pictures)", layout.name)), "stands above reports");
    text += &explained("seed", 1, "of every draw: the same seed gives the same division");
    text += &explained(
        "sizes",
        format!("[{SIZE}]"),
        "sides of the standardised pictures in pixels, multiples of 32",
    );
    for task in &layout.tasks {
        text += &of_task(task, layout.masks_of(task).as_deref());
    }
    text
}

fn of_task(task: &Named, masks: Option<&str>) -> String {
    let list = |names: &[&str]| names.iter().map(|name| quoted(name)).collect::<Vec<_>>().join(", ");
    let normal: Vec<&str> = task.found.normal.iter().map(String::as_str).collect();
    let anomalous = task.anomalous();
    let source = if task.is_mvtec() { "mvtec" } else { "folders" };
    let mut text = "\n[[task]]\n".to_owned();
    text += &explained("name", quoted(&task.name), "names the task everywhere");
    text += &explained(
        "organ",
        quoted(&plain(task.folder.rsplit('/').next().unwrap_or(&task.name))),
        "under `held_out = \"organ\"` tasks of one organ never train for each other",
    );
    text += &explained("modality", quoted("unknown"), "in words: X-ray, MRI, fundus");
    text += &explained("anomaly", quoted(&anomalous.join(", ")), "in words");
    text += &explained("source", quoted(source), "`cargo xtask sources` lists the layouts");
    text += &explained("folder", quoted(&task.folder), "below --raw");
    text += &explained("normal", format!("[{}]", list(&normal)), "class folders of normal pictures");
    text += &match task.sides {
        Sides::Owner => explained(
            "owner_split",
            quoted("respect"),
            "train and test as the folders have them; patients on both sides do not train",
        ),
        Sides::Drawn { test_normal } => explained(
            "test_normal",
            test_normal,
            "normal pictures that test; the rest are references and training",
        ),
    };
    if let Some(masks) = masks.filter(|_| !task.is_mvtec()) {
        text +=
            &explained("masks", quoted(masks), "below --raw; the mask of a.png is a.png or a_mask.png there");
    }
    if let Some(Patients { pattern, example: [file, patient], .. }) = &task.found.patients {
        let about =
            format!("{file} is of patient {patient}; remove the line if names do not tell patients apart");
        text += &explained("patients", literal(pattern), &about);
    }
    text += "\n[[task.anomalous]]\n";
    text + &explained(
        "findings",
        format!("[{}]", list(&anomalous)),
        "class folders that count as anomalous; \"*\" alone: all others",
    )
}

/// The bench definition.
pub(super) fn bench(layout: &Layout) -> String {
    let least = layout.tasks.iter().map(Named::train_normal).min().unwrap_or(0);
    let shots: Vec<String> =
        SHOTS.iter().filter(|&&shots| shots <= least.max(1)).map(usize::to_string).collect();
    let shots = if shots.is_empty() { "1".to_owned() } else { shots.join(", ") };
    let trains = layout.tasks.len() > 1;
    let mut methods = vec!["patchcore", "dn2", "spade", "padim", "subspacead", "gde"];
    if trains {
        methods.insert(0, "d24fad");
    }
    let listed: Vec<String> = methods.iter().map(|name| quoted(name)).collect();
    let mut text = format!(
        "# How methods are run on the benchmark `{}`, written by `init`. `cargo xtask methods` lists more methods.\n",
        layout.name
    );
    text += &explained("spec", quoted(&layout.name), "the curated benchmark");
    text += &format!("methods = [{}]\n", listed.join(", "));
    text += "# All below have defaults, and stand here to be changed.\n";
    text += &explained("size", SIZE, "side of the pictures, one of the spec's sizes");
    text += &explained("shots", format!("[{shots}]"), "normal reference pictures that a method is given");
    text += &explained("draws", DRAWS, "different support sets per task; intervals need several");
    text += &explained("seeds", "[1]", "of trainings");
    if !trains {
        text +=
            "# One task alone: D2-4FAD, RegAD and InCTRL train on other tasks, of which there are none.\n";
    }
    text += "\n# EfficientNet-Lite0 with its ImageNet weights is fetched when it is first needed; the published networks are\n\
             # larger and need a file: see `cargo xtask weights list`.\n";
    for method in methods {
        let _ = write!(text, "[settings.{method}]\nbackbone = \"efficientnet_lite0\"\n");
        if method == "d24fad" {
            text += &explained("epochs", 20, "published: 70, which takes a laptop hours");
        }
        text.push('\n');
    }
    text.trim_end().to_owned() + "\n"
}

/// A line of TOML with what it means.
fn explained(key: &str, value: impl std::fmt::Display, about: &str) -> String {
    format!("{:<30} # {about}\n", format!("{key} = {value}"))
}

fn quoted(text: &str) -> String {
    toml::Value::from(text).to_string()
}

/// A regular expression, whose backslashes need no second one.
fn literal(text: &str) -> String {
    if text.contains('\'') { quoted(text) } else { format!("'{text}'") }
}
