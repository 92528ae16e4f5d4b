//! `init`: a folder tree of somebody's own becomes a spec and a bench definition.

use std::collections::BTreeSet;
use std::path::PathBuf;

use anyhow::{Context, Result, ensure};

use super::common::home;
use super::shell::quoted;
use crate::source::survey::{Survey, survey};
use crate::spec::Spec;
use crate::{files, names};
use layout::{Layout, plain};

mod layout;
mod understood;
mod written;

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
        ensure!(
            self.dir.is_dir(),
            "{} is not a folder; name one that holds folders of pictures, such as brain/normal and brain/tumour",
            self.dir.display()
        );
        let dir = self.dir.canonicalize().with_context(|| self.dir.display().to_string())?;
        let survey = survey(&dir, &self.normal)?;
        self.check_named(&survey)?;
        let own = dir.file_name().map_or("own".into(), |name| name.to_string_lossy());
        let name = self.name.clone().unwrap_or_else(|| plain(&own));
        let layout = Layout::new(&dir, &survey, name)?;
        let (spec, bench) = (written::spec(&layout), written::bench(&layout));
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
        print!("{}", understood::text(&layout, &survey));
        println!("written: {}, {}", paths[0].display(), paths[1].display());
        let (spec, bench, raw) = (quoted(&paths[0])?, quoted(&paths[1])?, quoted(&layout.raw)?);
        println!("\nnext:");
        println!("  cargo xtask build-dataset --spec {spec} --raw {raw}");
        println!("  cargo xtask bench --bench {bench}");
        Ok(())
    }

    /// Every class that is named normal must be there.
    fn check_named(&self, survey: &Survey) -> Result<()> {
        let known: BTreeSet<&str> =
            survey.tasks.iter().flat_map(|task| task.classes.keys()).map(String::as_str).collect();
        // Without any class the layout is at fault, which is said later.
        match self.normal.iter().find(|name| !known.is_empty() && !known.contains(name.as_str())) {
            Some(name) => {
                Err(names::unknown("class folder", name, known.iter().copied())).context("--normal")
            }
            None => Ok(()),
        }
    }
}
