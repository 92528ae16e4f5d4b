//! A benchmark's definition, read from TOML: which tasks, from which sources, how many pictures.

use std::collections::BTreeSet;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use serde::{Deserialize, Serialize};

use crate::ids::{ImageId, TaskName};
use crate::{files, names};

mod audit;
mod draw;
mod pattern;
mod reading;

pub use audit::{Audit, Level};
pub use draw::{AnomalousPatients, OwnerSplit, OwnerValidation, Shuffle, Slices};
pub use pattern::Pattern;
pub use reading::{Axis, Intensity, Reading};

/// Specs that travel inside the binary, so that `--spec mini` works anywhere.
pub const SHIPPED: &[(&str, &str)] = &[
    ("phantom", include_str!("../../manifests/phantom.toml")),
    ("phantom-studies", include_str!("../../manifests/phantom-studies.toml")),
    ("mini", include_str!("../../manifests/mini.toml")),
    ("medfsad", include_str!("../../manifests/medfsad.toml")),
    ("ddad", include_str!("../../manifests/ddad.toml")),
    ("edc-aptos", include_str!("../../manifests/edc-aptos.toml")),
    ("bmad-camelyon16", include_str!("../../manifests/bmad-camelyon16.toml")),
    ("brats", include_str!("../../manifests/brats.toml")),
];

/// Whether a spec of that name is of pictures that this program draws itself.
pub fn is_drawn(name: &str) -> bool {
    matches!(name, "phantom" | "phantom-studies")
}

/// A whole benchmark.
///
/// ```
/// use medfsad::spec::Spec;
///
/// let spec = Spec::load("medfsad")?;
/// let tasks: Vec<&str> = spec.tasks.iter().map(|task| task.name.as_str()).collect();
/// assert_eq!(tasks, ["his", "lag", "aptos", "rsna", "brain_tumor"]);
/// # Ok::<(), anyhow::Error>(())
/// ```
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Spec {
    /// Names the folder of the curated benchmark.
    pub name: String,
    /// Raised whenever the same raw data would give other rows.
    pub version: u32,
    /// One line for people.
    pub title: String,
    /// Seed of every draw made while curating.
    pub seed: u64,
    /// Sides, in pixels, of the square standardised pictures in the pixel store.
    pub sizes: Vec<usize>,
    /// What an audit asks of it.
    #[serde(default)]
    pub audit: Audit,
    /// One entry per task.
    #[serde(rename = "task")]
    pub tasks: Vec<Task>,
}

/// One task: an organ, a modality and what counts as anomalous.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Task {
    /// Short name used everywhere: `his`, `lag`, `aptos`, `rsna`, `brain_tumor`.
    pub name: TaskName,
    /// What is imaged; tasks of one organ never train for each other under the `organ` rule.
    pub organ: String,
    /// How it is imaged.
    pub modality: String,
    /// What the anomaly is, in words.
    pub anomaly: String,
    /// Which adapter reads the raw folder; `medfsad sources` lists them.
    pub source: String,
    /// Folder below `--raw` that holds this source.
    pub folder: String,
    /// Findings of the source that count as normal; folder names for `folders`.
    pub normal: Vec<String>,
    /// Findings that count as anomalous; `"*"` alone stands for all the rest. Other findings are left out.
    pub anomalous: Vec<Quota>,
    /// Normal pictures for training; all that are left when not given.
    #[serde(default)]
    pub train_normal: Option<usize>,
    /// Normal pictures for testing; all that are left when not given.
    #[serde(default)]
    pub test_normal: Option<usize>,
    /// Normal pictures for validation; none when not given.
    #[serde(default)]
    pub val_normal: Option<usize>,
    /// Whether the owner's own division into train and test binds us.
    #[serde(default)]
    pub owner_split: OwnerSplit,
    /// What the owner's validation part becomes.
    #[serde(default)]
    pub owner_validation: OwnerValidation,
    /// Whether patients with anomalous pictures may give normal ones to training.
    #[serde(default)]
    pub anomalous_patients: AnomalousPatients,
    /// A published division that is made by shuffling, to be repeated to the letter.
    #[serde(default)]
    pub shuffle: Option<Shuffle>,
    /// How files become 8-bit pictures.
    #[serde(default)]
    pub reading: Reading,
    /// Which slices of volumes and frames of long files are offered; all when not given.
    #[serde(default)]
    pub slices: Option<Slices>,
    /// What happens to byte-identical copies.
    #[serde(default)]
    pub duplicates: Duplicates,
    /// Folder below `--raw` with lesion masks: the mask of `a/b.dcm` is `a/b.dcm`, `a/b.png`, `a/b_mask.png` or
    /// the like in it, frame by frame. Goes before masks that the source itself knows.
    #[serde(default)]
    pub masks: Option<String>,
    /// How names tell patients apart, for `folders` whose files do not name them: a regular expression over the path below
    /// the task's folder, whose first group is the patient. A file that it does not fit is rejected.
    #[serde(default)]
    pub patients: Option<Pattern>,
    /// CSV below `--raw` that tells how pictures were taken: a column `path` (below the task's folder) and any of `view`,
    /// `scanner` and `site`. What it says goes before what a DICOM file says of itself.
    #[serde(default)]
    pub taken: Option<String>,
    /// Pictures that are not used, by image id. `audit --remedy` writes them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub left_out: Vec<ImageId>,
    /// Pictures that stand on one side, by image id: each entry is one group, such as near copies. `audit --remedy` writes
    /// them. No picture may stand in two groups.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub together: Vec<Vec<ImageId>>,
    /// Where the counts come from: published, inferred, ours.
    #[serde(default)]
    pub basis: String,
    /// Who owns the data and what may be done with it.
    #[serde(default)]
    pub card: Card,
}

/// How many pictures of which findings.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Quota {
    /// Findings drawn from together.
    pub findings: Vec<String>,
    /// How many for testing; all when not given.
    #[serde(default)]
    pub count: Option<usize>,
    /// How many for validation; none when not given.
    #[serde(default)]
    pub val: Option<usize>,
    /// Whether these are test pictures of either class whose labels this machine is not to know: scores are sealed
    /// before they are opened (`seal`, `verify --labels`).
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub unopened: bool,
}

/// What happens to byte-identical copies of one picture.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Duplicates {
    /// Keep them, always on the same side.
    #[default]
    Group,
    /// Keep the first by path, reject the rest.
    Drop,
}

/// Who owns a source, and its terms.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Card {
    /// Who owns the data.
    pub owner: String,
    /// The publication to cite.
    pub citation: String,
    /// The licence, by name or in words.
    pub licence: String,
    /// How access is granted.
    pub access: String,
    /// Where and how to get it; printed when the folder is missing.
    pub how_to_get: String,
    /// What may not be done with it.
    pub restrictions: String,
}

impl Spec {
    /// Reads a spec from a file, or by its name from those shipped.
    ///
    /// # Errors
    /// A name that is neither shipped nor a readable file, or a spec that [`Spec::parse`] refuses.
    pub fn load(name_or_path: &str) -> Result<Spec> {
        let shipped = SHIPPED.iter().find(|(name, _)| *name == name_or_path);
        let text = match shipped {
            Some((_, text)) => (*text).to_owned(),
            None => {
                let known: Vec<&str> = SHIPPED.iter().map(|(name, _)| *name).collect();
                files::read_text(Path::new(name_or_path)).with_context(|| {
                    let meant = names::did_you_mean(name_or_path, known.iter().copied());
                    format!(
                        "no spec `{name_or_path}`{meant}: give a TOML file or one of {}",
                        known.join(", ")
                    )
                })?
            }
        };
        Spec::parse(&text).with_context(|| format!("in the spec {name_or_path}"))
    }

    /// Parses and checks the text of a spec.
    ///
    /// # Errors
    /// A text that is not TOML, an unknown or missing key, or a value that is out of range.
    pub fn parse(text: &str) -> Result<Spec> {
        let mut spec: Spec = toml::from_str(text)?;
        spec.tasks.iter_mut().for_each(Task::compose);
        spec.check()?;
        Ok(spec)
    }

    fn check(&self) -> Result<()> {
        ensure!(is_name(&self.name), "name `{}` may hold a-z, 0-9, - and _ only", self.name);
        ensure!(!self.sizes.is_empty(), "sizes is empty; give the side of the pictures, such as [128]");
        for &size in &self.sizes {
            ensure!(
                (32..=2048).contains(&size) && size % 32 == 0,
                "size {size} is not a multiple of 32 in 32 to 2048"
            );
        }
        ensure!(!self.tasks.is_empty(), "no [[task]] is given");
        let mut names = BTreeSet::new();
        for task in &self.tasks {
            ensure!(is_name(&task.name), "task name `{}` may hold a-z, 0-9, - and _ only", task.name);
            ensure!(names.insert(&task.name), "two tasks are called `{}`", task.name);
            task.check().with_context(|| format!("task `{}`", task.name))?;
        }
        Ok(())
    }

    /// The task of that name; the error lists the known ones.
    ///
    /// # Errors
    /// A name that no task has.
    pub fn task(&self, name: &str) -> Result<&Task> {
        let found = self.tasks.iter().find(|task| task.name == name);
        found.ok_or_else(|| names::unknown("task", name, self.tasks.iter().map(|task| task.name.as_str())))
    }
}

impl Task {
    /// Spells findings as sources do.
    fn compose(&mut self) {
        let anomalous = self.anomalous.iter_mut().flat_map(|quota| &mut quota.findings);
        self.normal.iter_mut().chain(anomalous).for_each(|finding| *finding = names::composed(finding));
    }

    fn check(&self) -> Result<()> {
        ensure!(!self.normal.is_empty(), "no finding is named normal");
        ensure!(
            self.owner_split != OwnerSplit::Pool || self.train_normal.is_some() || self.test_normal.is_some(),
            "give train_normal or test_normal, or set owner_split = \"respect\" or \"exact\""
        );
        ensure!(
            self.shuffle.is_none() || self.owner_split == OwnerSplit::Exact,
            "[task.shuffle] stands for the owner's division: set owner_split = \"exact\""
        );
        ensure!(
            self.patients.is_none() || self.source == "folders",
            "patients is for source = \"folders\"; `{}` knows its own patients or has none",
            self.source
        );
        self.reading.check()?;
        if let Some(slices) = &self.slices {
            slices.check()?;
        }
        self.check_together()?;
        let mut seen: BTreeSet<&str> = self.normal.iter().map(String::as_str).collect();
        ensure!(seen.len() == self.normal.len(), "a normal finding is named twice");
        for finding in self.anomalous.iter().flat_map(|quota| &quota.findings) {
            ensure!(seen.insert(finding), "finding `{finding}` is named twice");
        }
        let wildcards = self.anomalous.iter().filter(|quota| quota.findings.iter().any(|f| f == "*")).count();
        ensure!(wildcards <= 1, "only one quota may hold \"*\"");
        Ok(())
    }

    fn check_together(&self) -> Result<()> {
        ensure!(
            self.together.is_empty() || self.owner_split != OwnerSplit::Exact,
            "together is not heeded where owner_split = \"exact\"; name what must go in left_out"
        );
        let mut seen = BTreeSet::new();
        for group in &self.together {
            ensure!(group.len() > 1, "together: {group:?} is no group; give at least two image ids");
            for id in group {
                ensure!(seen.insert(id), "together: {} is named twice; make one group of both", id.as_str());
            }
        }
        Ok(())
    }
}

fn is_name(text: &str) -> bool {
    let allowed = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-' || c == '_';
    !text.is_empty() && text.chars().all(allowed)
}
