//! What a folder tree of somebody's own seems to hold: tasks, classes, the owner's sides, masks, patients. By names
//! alone; no picture is opened.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use anyhow::Result;
use regex::Regex;

use super::contract::Side;
use super::folders::side;
use super::tree;
use crate::{files, names};

/// What was understood of a tree.
#[derive(Debug, Default)]
pub struct Survey {
    /// Tasks, by folder.
    pub tasks: Vec<FoundTask>,
    /// How many files are no part of a task, by reason.
    pub left_out: BTreeMap<String, usize>,
}

/// A folder of class folders.
#[derive(Debug)]
pub struct FoundTask {
    /// Below the tree's root, `/` between folders; empty for the root itself.
    pub folder: String,
    /// Counts by class folder, and in each by the owner's side, `None` where there is none.
    pub classes: BTreeMap<String, BTreeMap<Option<Owner>, usize>>,
    /// Classes that are called as normal pictures are, or that the caller named.
    pub normal: Vec<String>,
    /// A folder of masks below the tree's root.
    pub masks: Option<String>,
    /// How names of files seem to tell patients apart.
    pub patients: Option<Patients>,
}

/// A side of the owner's division, in an order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Owner {
    /// For training.
    Train,
    /// For validation or testing.
    Test,
}

/// Several files of one patient, by what their names begin with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Patients {
    /// Its first group is the patient, in a path below the task's folder.
    pub pattern: String,
    /// A file's name and the patient in it.
    pub example: [String; 2],
    /// How many there are.
    pub count: usize,
    /// Normal pictures of patients who have anomalous ones too, which do not train.
    pub normal_of_ill: usize,
}

impl FoundTask {
    /// Pictures of the normal classes, or of the others.
    pub fn count(&self, normal: bool) -> usize {
        let classes = self.classes.iter().filter(|(class, _)| self.normal.contains(class) == normal);
        classes.flat_map(|(_, sides)| sides.values()).sum()
    }

    /// Normal pictures on a side of the owner's.
    pub fn normal_on(&self, side: Owner) -> usize {
        let classes = self.normal.iter().filter_map(|class| self.classes.get(class));
        classes.filter_map(|sides| sides.get(&Some(side))).sum()
    }

    /// Whether the owner divided it into a train part with normal pictures and a test part with both kinds.
    pub fn is_divided(&self) -> bool {
        let on_test = |class: &String| self.classes[class].contains_key(&Some(Owner::Test));
        let anomalous_tested =
            self.classes.keys().any(|class| !self.normal.contains(class) && on_test(class));
        self.normal_on(Owner::Train) > 0 && self.normal_on(Owner::Test) > 0 && anomalous_tested
    }
}

/// Looks at a tree. `normal` are further names of normal classes, beside the usual ones.
///
/// # Errors
/// A folder that cannot be listed, or without a picture in a class folder.
pub fn survey(root: &Path, normal: &[String]) -> Result<Survey> {
    let scan = files::scan(root)?;
    let mut survey = Survey::default();
    for rejected in scan.rejected {
        *survey.left_out.entry(rejected.reason).or_default() += 1;
    }
    let mut paths: BTreeMap<String, Vec<Placed>> = BTreeMap::new();
    let mut mask_folders = BTreeSet::new();
    let beside =
        tree::masks_beside(scan.files.iter().map(String::as_str).filter(|path| tree::is_picture(path)));
    let beside: BTreeSet<&str> = beside.into_values().flatten().collect();
    for path in &scan.files {
        if beside.contains(path.as_str()) {
            *survey.left_out.entry("masks beside their pictures".to_owned()).or_default() += 1;
            continue;
        }
        match place(root, path) {
            Ok(placed) => paths.entry(placed.task.clone()).or_default().push(placed),
            Err(Apart::Mask(folder)) => {
                *survey.left_out.entry("masks".to_owned()).or_default() += 1;
                mask_folders.insert(folder);
            }
            Err(Apart::Other(reason)) => *survey.left_out.entry(reason.to_owned()).or_default() += 1,
        }
    }
    survey.tasks = paths.into_iter().map(|(folder, placed)| found(folder, &placed, normal)).collect();
    give_masks(&mut survey.tasks, &mask_folders);
    Ok(survey)
}

/// A picture: its task's folder, its class, the owner's side, its name.
struct Placed {
    task: String,
    class: String,
    side: Option<Owner>,
    name: String,
}

const ABOVE: &str =
    "pictures whose train or test folder lies above the organ's; move it below, as in brain/train/normal";

enum Apart {
    /// Below this folder.
    Mask(String),
    Other(&'static str),
}

fn place(root: &Path, path: &str) -> Result<Placed, Apart> {
    let composed = names::composed(path);
    let parts: Vec<&str> = composed.split('/').collect();
    let (name, folders) = parts.split_last().ok_or(Apart::Other("no name"))?;
    if let Some(depth) = folders.iter().position(|folder| holds_masks(folder)) {
        return Err(Apart::Mask(folders[..=depth].join("/")));
    }
    if !tree::is_a_picture(root, path) {
        return Err(Apart::Other("not pictures by their endings"));
    }
    let class = folders.iter().rposition(|folder| side(folder).is_none());
    let Some(class) = class else { return Err(Apart::Other("pictures outside class folders")) };
    let owner = folders.iter().find_map(|folder| side(folder)).map(|side| match side {
        Side::Train => Owner::Train,
        Side::Val | Side::Test => Owner::Test,
    });
    let above = &folders[..class];
    let first_side = above.iter().position(|folder| side(folder).is_some());
    if first_side.is_some_and(|first| above[first..].iter().any(|folder| side(folder).is_none())) {
        return Err(Apart::Other(ABOVE));
    }
    let above = above.iter().filter(|folder| side(folder).is_none());
    Ok(Placed {
        task: above.copied().collect::<Vec<_>>().join("/"),
        class: folders[class].to_owned(),
        side: owner,
        name: (*name).to_owned(),
    })
}

fn found(folder: String, placed: &[Placed], named: &[String]) -> FoundTask {
    let mut classes: BTreeMap<String, BTreeMap<Option<Owner>, usize>> = BTreeMap::new();
    for picture in placed {
        *classes.entry(picture.class.clone()).or_default().entry(picture.side).or_default() += 1;
    }
    let normal = normal_of(classes.keys(), named);
    let patients = patients(placed, &normal);
    FoundTask { folder, classes, normal, masks: None, patients }
}

/// The normal ones of a task's classes: those that the caller named, else those with a usual name, else those that deny a
/// finding, else the grade 0.
fn normal_of<'a>(classes: impl Iterator<Item = &'a String> + Clone, named: &[String]) -> Vec<String> {
    let graded = classes.clone().all(|class| class.bytes().all(|byte| byte.is_ascii_digit()));
    let rules: [&dyn Fn(&str) -> bool; 4] =
        [&|class| named.iter().any(|name| name == class), &sounds_normal, &denies_a_finding, &|class| {
            graded && class == "0"
        }];
    let of = |rule: &&dyn Fn(&str) -> bool| -> Vec<String> {
        classes.clone().filter(|class| rule(class)).cloned().collect()
    };
    rules.iter().map(of).find(|found| !found.is_empty()).unwrap_or_default()
}

/// Whether a folder's name is one under which masks are kept.
fn holds_masks(folder: &str) -> bool {
    let folder = folder.to_lowercase();
    let whole = ["ground_truth", "groundtruth", "gt", "mask", "masks", "segmentation", "segmentations"];
    whole.contains(&folder.as_str()) || ["_mask", "_masks", "-masks"].iter().any(|end| folder.ends_with(end))
}

/// Whether a class is called as normal pictures usually are: `good`, `NORMAL`, `notumor`.
fn sounds_normal(class: &str) -> bool {
    let class = class.to_lowercase();
    let plain: String = class.chars().filter(char::is_ascii_alphanumeric).collect();
    const WHOLE: [&str; 17] = [
        "good",
        "healthy",
        "negative",
        "neg",
        "control",
        "controls",
        "no",
        "none",
        "ok",
        "clean",
        "notumor",
        "nodr",
        "nofinding",
        "nofindings",
        "nonglaucoma",
        "nopneumonia",
        "nofracture",
    ];
    (plain.starts_with("normal") && !plain.contains("abnormal")) || WHOLE.contains(&plain.as_str())
}

/// Whether a class's name denies a finding: `no_tumor`, `non-glaucoma`, but not `not normal`.
fn denies_a_finding(class: &str) -> bool {
    let class = class.to_lowercase();
    let rests = ["no", "non", "not", "without"].iter().filter_map(|word| class.strip_prefix(word));
    let mut denied = rests.filter(|rest| rest.starts_with(['_', '-', ' ', '.']) && rest.len() > 1);
    denied.any(|rest| !["normal", "healthy"].iter().any(|good| rest.contains(good)))
}

/// Beginnings of names that may be patients, up to a separator.
const PATTERNS: [&str; 3] =
    ["^(?:.*/)?([^/_]+)_[^/]*$", "^(?:.*/)?([^/-]+)-[^/]*$", "^(?:.*/)?([^/_]+_[^/_]+)_[^/]*$"];

/// A pattern that fits every name, tells several patients apart in every class, and gives several files to most.
fn patients(placed: &[Placed], normal: &[String]) -> Option<Patients> {
    let classes: BTreeSet<&str> = placed.iter().map(|picture| picture.class.as_str()).collect();
    PATTERNS.iter().find_map(|pattern| {
        let regex = Regex::new(pattern).ok()?;
        let of = |picture: &Placed| Some(regex.captures(&picture.name)?.get(1)?.as_str().to_owned());
        let all: Vec<String> = placed.iter().map(of).collect::<Option<_>>()?;
        let mut files: BTreeMap<&str, usize> = BTreeMap::new();
        let mut by_class: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
        for (patient, picture) in all.iter().zip(placed) {
            *files.entry(patient).or_default() += 1;
            by_class.entry(&picture.class).or_default().insert(patient);
        }
        let several = by_class.len() == classes.len() && by_class.values().all(|of| of.len() >= 3);
        let repeated = 2 * files.len() <= placed.len();
        let numbered = all.iter().all(|patient| patient.bytes().any(|byte| byte.is_ascii_digit()));
        let is_normal = |picture: &Placed| normal.contains(&picture.class);
        let of_class = |wanted: bool| all.iter().zip(placed).filter(move |(_, of)| is_normal(of) == wanted);
        let ill: BTreeSet<&String> = of_class(false).map(|(patient, _)| patient).collect();
        let normal_of_ill = of_class(true).filter(|(patient, _)| ill.contains(patient)).count();
        (several && repeated && numbered).then(|| Patients {
            normal_of_ill,
            pattern: (*pattern).to_owned(),
            example: [placed[0].name.clone(), all[0].clone()],
            count: files.len(),
        })
    })
}

/// A task's masks lie in its own folder, or beside it under its name.
fn give_masks(tasks: &mut [FoundTask], folders: &BTreeSet<String>) {
    for task in tasks {
        let inside = |masks: &&String| {
            let (above, _) = masks.rsplit_once('/').unwrap_or(("", masks));
            above == task.folder
        };
        let beside = |masks: &&String| {
            let begins = masks.strip_prefix(&task.folder);
            !task.folder.is_empty() && begins.is_some_and(|rest| rest.starts_with(['_', '-']))
        };
        task.masks = folders.iter().find(inside).or_else(|| folders.iter().find(beside)).cloned();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn normal_classes_are_known_by_their_usual_names() {
        for class in ["good", "NORMAL", "notumor", "No Finding", "Healthy", "normal_cxr"] {
            assert!(sounds_normal(class), "{class}");
        }
        let normal = |classes: &[&str]| {
            let classes: Vec<String> = classes.iter().map(|class| (*class).to_owned()).collect();
            normal_of(classes.iter(), &[])
        };
        assert_eq!(normal(&["no_tumor", "glioma"]), ["no_tumor"]);
        assert_eq!(normal(&["non-small-cell", "normal", "small-cell"]), ["normal"]);
        assert_eq!(normal(&["not normal", "unclear"]), Vec::<String>::new());
        assert_eq!(normal(&["0", "1", "2"]), ["0"]);
        let named = ["mole".to_owned()];
        let classes = ["mole".to_owned(), "normal".to_owned()];
        assert_eq!(normal_of(classes.iter(), &named), ["mole"]);
        for class in ["abnormal", "nodule", "tumor", "notch", "glaucoma", "non", "novel"] {
            assert!(!sounds_normal(class), "{class}");
        }
    }

    fn placed(class: &str, name: &str) -> Placed {
        Placed { task: String::new(), class: class.to_owned(), side: None, name: name.to_owned() }
    }

    #[test]
    fn patients_are_seen_where_names_repeat_them_and_nowhere_else() {
        let repeated: Vec<Placed> = (0..4)
            .flat_map(|patient| (0..3).map(move |film| placed("good", &format!("P{patient:03}_{film}.png"))))
            .collect();
        let found = patients(&repeated, &["good".to_owned()]).expect("patients");
        assert_eq!(
            (found.count, found.example.as_slice()),
            (4, &["P000_0.png".to_owned(), "P000".to_owned()][..])
        );
        let numbered: Vec<Placed> = (0..12).map(|n| placed("good", &format!("image_{n:03}.png"))).collect();
        assert_eq!(patients(&numbered, &[]), None);
        let single: Vec<Placed> = (0..12).map(|n| placed("good", &format!("P{n}_film.png"))).collect();
        assert_eq!(patients(&single, &[]), None);
    }
}
