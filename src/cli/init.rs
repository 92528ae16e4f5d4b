//! `init`: a folder tree of somebody's own becomes a spec and a bench definition.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};

use super::common::home;
use crate::source::survey::{FoundTask, Owner, Patients, Survey, survey};
use crate::spec::{SHIPPED as SPECS, Spec};
use crate::{files, names};

/// Support set sizes that are asked for, as far as there are normal pictures.
const SHOTS: [usize; 3] = [2, 4, 8];
const DRAWS: usize = 5;
const SIZE: usize = 128;

/// Look at your own folders of pictures and write the two files that a benchmark of them needs
///
/// Looks at a folder tree (one folder per organ with class folders below, or class folders alone; train and test folders,
/// masks and patients in file names are understood), writes manifests/NAME.toml and benchmarks/NAME.toml with every value
/// explained, and prints what it understood and the next two commands. No picture is opened or changed.
#[derive(clap::Args)]
pub(super) struct Args {
    /// Folder that holds the pictures
    dir: PathBuf,
    /// Name of the benchmark [default: the folder's name]
    #[arg(long)]
    name: Option<String>,
    /// A class folder with normal pictures, where its name does not say so; may be repeated
    #[arg(long, value_name = "CLASS")]
    normal: Vec<String>,
    /// Overwrite files of an earlier call
    #[arg(long)]
    force: bool,
}

impl Args {
    pub(super) fn run(self) -> Result<()> {
        ensure!(self.dir.is_dir(), "{} is not a folder", self.dir.display());
        let dir = self.dir.canonicalize().with_context(|| self.dir.display().to_string())?;
        let survey = survey(&dir, &self.normal)?;
        self.check_named(&survey)?;
        let own = dir.file_name().map_or("own".into(), |name| name.to_string_lossy());
        let name = self.name.clone().unwrap_or_else(|| plain(&own));
        let layout = Layout::new(&dir, &survey, name)?;
        let (spec, bench) = (layout.spec(), layout.bench());
        Spec::parse(&spec).context("the spec that was made of these folders")?;
        let paths =
            ["manifests", "benchmarks"].map(|folder| home(folder).join(format!("{}.toml", layout.name)));
        for path in paths.iter().filter(|path| path.exists()) {
            ensure!(
                self.force,
                "{} is there already; --force overwrites it, --name takes another name",
                path.display()
            );
        }
        for (path, text) in paths.iter().zip([spec, bench]) {
            files::write_whole(path, text.as_bytes())?;
        }
        print!("{}", layout.understood(&survey));
        println!("written: {}, {}", paths[0].display(), paths[1].display());
        let raw = shlex::try_quote(layout.raw.to_str().context("--raw is not UTF-8")?)
            .context("the folder's name")?;
        println!("\nnext:");
        println!("  cargo xtask build-dataset --spec {} --raw {raw}", paths[0].display());
        println!("  cargo xtask bench --bench {}", paths[1].display());
        Ok(())
    }
}

impl Args {
    /// Every class that is named normal must be there.
    fn check_named(&self, survey: &Survey) -> Result<()> {
        let known: BTreeSet<&str> =
            survey.tasks.iter().flat_map(|task| task.classes.keys()).map(String::as_str).collect();
        match self.normal.iter().find(|name| !known.contains(name.as_str())) {
            Some(name) => {
                Err(names::unknown("class folder", name, known.iter().copied())).context("--normal")
            }
            None => Ok(()),
        }
    }
}

/// What the two files say.
struct Layout<'a> {
    name: String,
    /// What `--raw` will be.
    raw: PathBuf,
    tasks: Vec<Named<'a>>,
    /// Folders with normal pictures alone, or with others alone.
    one_sided: Vec<&'a FoundTask>,
}

struct Named<'a> {
    name: String,
    /// Below `raw`.
    folder: String,
    found: &'a FoundTask,
    /// Whose division binds, and how many normal pictures are tested where none does.
    sides: Sides,
}

enum Sides {
    Owner,
    Drawn { test_normal: usize },
}

impl<'a> Layout<'a> {
    fn new(dir: &Path, survey: &'a Survey, name: String) -> Result<Layout<'a>> {
        let is_whole = |task: &&FoundTask| task.count(true) >= 2 && task.count(false) >= 1;
        let (whole, one_sided): (Vec<&FoundTask>, Vec<&FoundTask>) = survey.tasks.iter().partition(is_whole);
        if whole.is_empty() {
            bail!("{}", nothing_found(dir, &one_sided));
        }
        ensure_apart(dir, &whole)?;
        ensure!(
            !SPECS.iter().any(|(shipped, _)| *shipped == name),
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

    fn spec(&self) -> String {
        let mut text = format!(
            "# Which pictures make the benchmark `{0}`, written by `init` from folder and file names. Check it, then:\n\
             #   cargo xtask build-dataset --spec manifests/{0}.toml --raw FOLDER\n",
            self.name
        );
        text += &explained("name", quoted(&self.name), "names the folder of the curated benchmark");
        text += &explained("version", 1, "raise it when the same pictures would give other rows");
        text += &explained("title", quoted(&format!("{} (own pictures)", self.name)), "stands above reports");
        text += &explained("seed", 1, "of every draw: the same seed gives the same division");
        text += &explained(
            "sizes",
            format!("[{SIZE}]"),
            "sides of the standardised pictures in pixels, multiples of 32",
        );
        for task in &self.tasks {
            text += &task.spec(self.below(task).as_deref());
        }
        text
    }

    /// Where a task's masks lie below `--raw`.
    fn below(&self, task: &Named) -> Option<String> {
        let masks = task.found.masks.as_ref()?;
        Some(match task.folder.strip_suffix(&task.found.folder) {
            Some(above) if !task.found.folder.is_empty() => format!("{above}{masks}"),
            _ => format!("{}/{masks}", task.folder),
        })
    }

    fn bench(&self) -> String {
        let least = self.tasks.iter().map(Named::train_normal).min().unwrap_or(0);
        let shots: Vec<String> =
            SHOTS.iter().filter(|&&shots| shots <= least.max(1)).map(usize::to_string).collect();
        let shots = if shots.is_empty() { "1".to_owned() } else { shots.join(", ") };
        let trains = self.tasks.len() > 1;
        let mut methods = vec!["patchcore", "dn2", "spade", "padim", "subspacead", "gde"];
        if trains {
            methods.insert(0, "d24fad");
        }
        let listed: Vec<String> = methods.iter().map(|name| quoted(name)).collect();
        let mut text = format!(
            "# How methods are run on the benchmark `{}`, written by `init`. `cargo xtask methods` lists more methods.\n",
            self.name
        );
        text += &explained("spec", quoted(&self.name), "the curated benchmark");
        text += &format!("methods = [{}]\n", listed.join(", "));
        text += "# All below have defaults, and stand here to be changed.\n";
        text += &explained("size", SIZE, "side of the pictures, one of the spec's sizes");
        text += &explained("shots", format!("[{shots}]"), "normal reference pictures that a method is given");
        text += &explained("draws", DRAWS, "different support sets per task; intervals need several");
        text += &explained("seeds", "[1]", "of trainings");
        if !trains {
            text += "# One task alone: D2-4FAD and RegAD train on other tasks, of which there are none.\n";
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

    fn understood(&self, survey: &Survey) -> String {
        let mut text = format!("understood by names alone, below {}:\n", self.raw.display());
        for task in &self.tasks {
            text += &task.understood(self.below(task).as_deref());
        }
        for task in &self.one_sided {
            let what =
                if task.count(true) == 0 { "no class is named as normal" } else { "no anomalous class" };
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
        if self.tasks.len() == 1 {
            text +=
                "note: D2-4FAD trains on other tasks, so it needs a second one; the other methods do not.\n";
        }
        text
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
    fn train_normal(&self) -> usize {
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
    fn is_mvtec(&self) -> bool {
        let masks = self.found.masks.as_deref().unwrap_or("");
        self.found.is_divided() && masks.rsplit('/').next() == Some("ground_truth")
    }

    fn anomalous(&self) -> Vec<&str> {
        let is_anomalous = |class: &&String| !self.found.normal.contains(class);
        self.found.classes.keys().filter(is_anomalous).map(String::as_str).collect()
    }

    fn spec(&self, masks: Option<&str>) -> String {
        let list = |names: &[&str]| names.iter().map(|name| quoted(name)).collect::<Vec<_>>().join(", ");
        let normal: Vec<&str> = self.found.normal.iter().map(String::as_str).collect();
        let anomalous = self.anomalous();
        let source = if self.is_mvtec() { "mvtec" } else { "folders" };
        let mut text = "\n[[task]]\n".to_owned();
        text += &explained("name", quoted(&self.name), "names the task everywhere");
        text += &explained(
            "organ",
            quoted(&plain(self.folder.rsplit('/').next().unwrap_or(&self.name))),
            "under `held_out = \"organ\"` tasks of one organ never train for each other",
        );
        text += &explained("modality", quoted("unknown"), "in words: X-ray, MRI, fundus");
        text += &explained("anomaly", quoted(&anomalous.join(", ")), "in words");
        text += &explained("source", quoted(source), "`cargo xtask sources` lists the layouts");
        text += &explained("folder", quoted(&self.folder), "below --raw");
        text += &explained("normal", format!("[{}]", list(&normal)), "class folders of normal pictures");
        text += &match self.sides {
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
        if let Some(masks) = masks.filter(|_| !self.is_mvtec()) {
            text += &explained(
                "masks",
                quoted(masks),
                "below --raw; the mask of a.png is a.png or a_mask.png there",
            );
        }
        if let Some(Patients { pattern, example: [file, patient], .. }) = &self.found.patients {
            let about = format!(
                "{file} is of patient {patient}; remove the line if names do not tell patients apart"
            );
            text += &explained("patients", literal(pattern), &about);
        }
        text += "\n[[task.anomalous]]\n";
        text + &explained(
            "findings",
            format!("[{}]", list(&anomalous)),
            "class folders that count as anomalous; \"*\" alone: all others",
        )
    }

    fn understood(&self, masks: Option<&str>) -> String {
        let classes = |normal: bool| {
            let of =
                self.found.classes.iter().filter(|(class, _)| self.found.normal.contains(class) == normal);
            let counted = of.map(|(class, sides)| format!("{class} {}", sides.values().sum::<usize>()));
            counted.collect::<Vec<_>>().join(", ")
        };
        let mut text = format!(
            "{} (in {})\n  normal     {}\n  anomalous  {}\n",
            self.name,
            self.folder,
            classes(true),
            classes(false)
        );
        text += &match self.sides {
            Sides::Owner => "  sides      train and test folders, as they are\n".to_owned(),
            Sides::Drawn { test_normal } => format!(
                "  sides      {} normal for training and references, {test_normal} for testing, drawn by seed\n",
                self.train_normal()
            ),
        };
        if let Some(masks) = masks {
            let _ = writeln!(text, "  masks      {masks}");
        }
        text += &match &self.found.patients {
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

/// A line of TOML with what it means.
fn explained(key: &str, value: impl std::fmt::Display, about: &str) -> String {
    format!("{:<30} # {about}\n", format!("{key} = {value}"))
}

/// A name as specs have them: small letters, digits, - and _.
fn plain(name: &str) -> String {
    let keep = |c: char| if c.is_ascii_alphanumeric() || c == '_' { c.to_ascii_lowercase() } else { '-' };
    let kept: String = name.chars().map(keep).collect();
    let kept = kept.trim_matches('-').to_owned();
    if kept.is_empty() { "own".to_owned() } else { kept }
}

fn quoted(text: &str) -> String {
    toml::Value::from(text).to_string()
}

/// A regular expression, whose backslashes need no second one.
fn literal(text: &str) -> String {
    if text.contains('\'') { quoted(text) } else { format!("'{text}'") }
}
