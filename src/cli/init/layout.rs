//! What a survey of folders amounts to: names of tasks, the folder that `--raw` will be, whose division binds.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};

use crate::source::survey::{FoundTask, Owner, Survey};
use crate::spec::SHIPPED;

/// What the two files say.
pub(super) struct Layout<'a> {
    pub name: String,
    /// What `--raw` will be.
    pub raw: PathBuf,
    pub tasks: Vec<Named<'a>>,
    /// Folders with normal pictures alone, or with others alone.
    pub one_sided: Vec<&'a FoundTask>,
}

/// A task with its name.
pub(super) struct Named<'a> {
    pub name: String,
    /// Below `raw`.
    pub folder: String,
    pub found: &'a FoundTask,
    /// Whose division binds, and how many normal pictures are tested where none does.
    pub sides: Sides,
}

/// Whose division into train and test binds.
pub(super) enum Sides {
    Owner,
    Drawn { test_normal: usize },
}

impl<'a> Layout<'a> {
    /// # Errors
    /// Folders that make no task, or one within another; a name that a spec of the program's has.
    pub(super) fn new(dir: &Path, survey: &'a Survey, name: String) -> Result<Layout<'a>> {
        let is_whole = |task: &&FoundTask| task.count(true) >= 2 && task.count(false) >= 1;
        let (whole, one_sided): (Vec<&FoundTask>, Vec<&FoundTask>) = survey.tasks.iter().partition(is_whole);
        if whole.is_empty() {
            bail!("{}", nothing_found(dir, &one_sided));
        }
        ensure_apart(dir, &whole)?;
        ensure!(
            !SHIPPED.iter().any(|(shipped, _)| *shipped == name),
            "`{name}` is the name of a spec that comes with the program; choose another with --name"
        );
        // Class folders that lie in DIR itself have no folder of a task: their `--raw` is the folder above.
        let is_flat = whole.iter().any(|task| task.folder.is_empty());
        let own = dir.file_name().map(|name| name.to_string_lossy().into_owned());
        let raw = match (is_flat, dir.parent()) {
            (true, Some(parent)) => parent.to_owned(),
            (true, None) => {
                bail!("{} has no folder above it; give the folder above the classes", dir.display())
            }
            (false, _) => dir.to_owned(),
        };
        let below = |folder: &str| match (&own, is_flat) {
            (Some(own), true) if folder.is_empty() => own.clone(),
            (Some(own), true) => format!("{own}/{folder}"),
            _ => folder.to_owned(),
        };
        let mut tasks: Vec<Named> = Vec::new();
        for found in whole {
            let base =
                plain(if found.folder.is_empty() { own.as_deref().unwrap_or("own") } else { &found.folder });
            let taken = |name: &str| tasks.iter().any(|task| task.name == name);
            let numbered = (2..).map(|n| format!("{base}-{n}"));
            let name = std::iter::once(base.clone()).chain(numbered).find(|name| !taken(name));
            let name = name.context("a name for each folder")?;
            tasks.push(Named { name, folder: below(&found.folder), found, sides: Sides::of(found) });
        }
        Ok(Layout { name, raw, tasks, one_sided })
    }

    /// Where a task's masks lie below `--raw`.
    pub(super) fn masks_of(&self, task: &Named) -> Option<String> {
        let masks = task.found.masks.as_ref()?;
        Some(match task.folder.strip_suffix(&task.found.folder) {
            Some(above) if !task.found.folder.is_empty() => format!("{above}{masks}"),
            _ => format!("{}/{masks}", task.folder),
        })
    }
}

impl Sides {
    fn of(found: &FoundTask) -> Sides {
        if found.is_divided() {
            return Sides::Owner;
        }
        // As many normal pictures as anomalous ones are tested, at most half of them.
        let (normal, anomalous) = (found.count(true), found.count(false));
        Sides::Drawn { test_normal: anomalous.min(normal / 2).max(1) }
    }
}

impl Named<'_> {
    /// Normal pictures that are left for training and references.
    pub(super) fn train_normal(&self) -> usize {
        let ill = self.found.patients.as_ref().map_or(0, |patients| patients.normal_of_ill);
        match self.sides {
            Sides::Owner => self.found.normal_on(Owner::Train),
            Sides::Drawn { test_normal } => {
                let normal = self.found.count(true);
                (normal - test_normal).min(normal.saturating_sub(ill))
            }
        }
    }

    /// Whether it is laid out as MVTec AD is, which has a source of its own.
    pub(super) fn is_mvtec(&self) -> bool {
        let masks = self.found.masks.as_deref().unwrap_or("");
        self.found.is_divided() && masks.rsplit('/').next() == Some("ground_truth")
    }

    /// Its other class folders.
    pub(super) fn anomalous(&self) -> Vec<&str> {
        let is_anomalous = |class: &&String| !self.found.normal.contains(class);
        self.found.classes.keys().filter(is_anomalous).map(String::as_str).collect()
    }
}

/// Refuses a task that lies within another one, whose pictures would be in both.
fn ensure_apart(dir: &Path, tasks: &[&FoundTask]) -> Result<()> {
    for (outer, inner) in tasks.iter().flat_map(|a| tasks.iter().map(move |b| (a, b))) {
        let lies_within = outer.folder != inner.folder
            && (outer.folder.is_empty() || inner.folder.starts_with(&format!("{}/", outer.folder)));
        ensure!(
            !lies_within,
            "{} has class folders of its own and {} below it, whose pictures would be in both tasks; put each organ's \
             class folders into a folder of its own",
            if outer.folder.is_empty() { dir.display().to_string() } else { outer.folder.clone() },
            inner.folder
        );
    }
    Ok(())
}

fn nothing_found(dir: &Path, one_sided: &[&FoundTask]) -> String {
    const LAYOUT: &str =
        "expected folders such as brain/normal/*.png and brain/tumour/*.png, or normal and tumour alone";
    if let Some(task) = one_sided.iter().find(|task| task.count(true) == 1 && task.count(false) > 0) {
        let folder = if task.folder.is_empty() { dir.display().to_string() } else { task.folder.clone() };
        return format!(
            "{folder} has one normal picture; at least two are needed, one to refer to and one to test"
        );
    }
    if one_sided.is_empty() {
        return format!("no picture in a class folder below {}; {LAYOUT}", dir.display());
    }
    let of = |task: &&FoundTask| {
        let classes: Vec<String> = task.classes.keys().map(|class| format!("`{class}`")).collect();
        format!(
            "{} has {}",
            if task.folder.is_empty() { "the folder" } else { &task.folder },
            classes.join(", ")
        )
    };
    let all: Vec<String> = one_sided.iter().map(of).collect();
    format!(
        "no folder below {} has both normal and other classes: {}; name the normal class with --normal CLASS, or {LAYOUT}",
        dir.display(),
        all.join("; ")
    )
}

/// A name as specs have them: small letters, digits, - and _.
pub(super) fn plain(name: &str) -> String {
    let keep = |c: char| if c.is_ascii_alphanumeric() || c == '_' { c.to_ascii_lowercase() } else { '-' };
    let kept: String = name.chars().map(keep).collect();
    let kept = kept.trim_matches('-').to_owned();
    if kept.is_empty() { "own".to_owned() } else { kept }
}
