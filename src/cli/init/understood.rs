//! What `init` says it understood.

use std::fmt::Write as _;

use super::layout::{Layout, Named, Sides};
use crate::source::survey::{Patients, Survey};

/// What was understood, task by task, and what was left out.
pub(super) fn text(layout: &Layout, survey: &Survey) -> String {
    let mut text = format!("understood by names alone, below {}:\n", layout.raw.display());
    for task in &layout.tasks {
        text += &of_task(task, layout.masks_of(task).as_deref());
    }
    for task in &layout.one_sided {
        let what = if task.count(true) == 0 { "no class is named as normal" } else { "no anomalous class" };
        let classes: Vec<&str> = task.classes.keys().map(String::as_str).collect();
        let _ = writeln!(
            text,
            "left out: {} ({what}; classes: {})",
            if task.folder.is_empty() { "." } else { &task.folder },
            classes.join(", ")
        );
    }
    for (reason, count) in &survey.left_out {
        let _ = writeln!(text, "left out: {count} files, {reason}");
    }
    if layout.tasks.len() == 1 {
        text += "note: D2-4FAD trains on other tasks, so it needs a second one; the other methods do not.\n";
    }
    text
}

fn of_task(task: &Named, masks: Option<&str>) -> String {
    let classes = |normal: bool| {
        let of = task.found.classes.iter().filter(|(class, _)| task.found.normal.contains(class) == normal);
        let counted = of.map(|(class, sides)| format!("{class} {}", sides.values().sum::<usize>()));
        counted.collect::<Vec<_>>().join(", ")
    };
    let mut text = format!(
        "{} (in {})\n  normal     {}\n  anomalous  {}\n",
        task.name,
        task.folder,
        classes(true),
        classes(false)
    );
    text += &match task.sides {
        Sides::Owner => "  sides      train and test folders, as they are\n".to_owned(),
        Sides::Drawn { test_normal } => format!(
            "  sides      {} normal for training and references, {test_normal} for testing, drawn by seed\n",
            task.train_normal()
        ),
    };
    if let Some(masks) = masks {
        let _ = writeln!(text, "  masks      {masks}");
    }
    text += &match &task.found.patients {
        Some(Patients { count, example: [file, patient], normal_of_ill: 0, .. }) => {
            format!("  patients   {count}, from file names ({file} is of {patient})\n")
        }
        Some(Patients { count, example: [file, patient], normal_of_ill, .. }) => format!(
            "  patients   {count}, from file names ({file} is of {patient}); {normal_of_ill} normal pictures are of \
             patients with anomalous ones and do not train: if names count anew in each class, remove `patients`\n"
        ),
        None => "  patients   not in file names; DICOM files may tell when they are read\n".to_owned(),
    };
    text
}
