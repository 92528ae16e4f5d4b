//! `import-scores`: what another program computed, as cells of a run.

use std::ffi::OsStr;
use std::path::PathBuf;

use anyhow::{Context, Result, bail, ensure};

use super::common::home;
use super::planned_run::PlannedRun;
use super::record::command_line;
use crate::episode::{Episodes, HeldOut};
use crate::imported::matched::{Defaults, Place, matched};
use crate::imported::{Import, lines};
use crate::manifest::Manifest;
use crate::regime::Regime;
use crate::{files, trivia};

/// Import the scores of another program into a run, to be measured and compared as any others
///
/// Reads scores from a CSV or parquet file with columns `image_id` or `path` (below the raw folder), `score`
/// (higher is more anomalous), `map`, or both and, where they matter, `method`, `shots`, `draw`, `seed`, `task`, `frame` and `label`; holds
/// them against the curated benchmark and the run's episodes; and writes cells, which every table marks as not run
/// here. Each cell must have every test picture of its task once. If anything is wrong, all of it is said and
/// nothing is imported. `episodes export RUN --lists DIR` writes which pictures to score, and by which supports.
/// A `map` is a file that numpy.save wrote, named from the table's folder: floats, as many a side as the run's pictures; maps
/// are scored under every protocol and measured against masks. Without a column `seed`, scores go to the run's first seed alone. Needs no libtorch.
#[derive(clap::Args)]
pub(super) struct Args {
    /// Table of scores, CSV or parquet
    file: PathBuf,
    /// The method's name, where the table has no column of it; tables show it as imported:NAME
    #[arg(long)]
    method: Option<String>,
    /// Run that the scores join: the name of a bench, its definition, or a folder with episodes (`episodes draw` makes one
    /// too)
    #[arg(long, default_value = "quick")]
    bench: String,
    /// Curated benchmark [default: the one that the run's plan names]
    #[arg(long)]
    manifest: Option<PathBuf>,
    /// What the method was given: R0 nothing, R1 the supports, R2 also train normals of other tasks, R3 also their
    /// anomalies, R4 anomalies of the task, R5 all its train normals, R6 these and unlabelled pictures of it, R6T these and its
    /// test pictures without labels; R4, R6 and R6T have no rank
    #[arg(long, value_parser = Regime::parse)]
    regime: Regime,
    /// Number of supports, where the table has no column of it
    #[arg(long)]
    shots: Option<usize>,
    /// The scores do not depend on the supports (R0, R5, R6, R6T): they stand for every draw of the run, and every seed
    #[arg(long)]
    all_draws: bool,
    /// Put these scores in the place of others that were imported before
    #[arg(long)]
    replace: bool,
}

impl Args {
    pub(super) fn run(self) -> Result<()> {
        let run = self.folder()?;
        ensure!(
            run.join("episodes.json").exists(),
            "{} holds no episodes; name a bench that has run, or draw some: `episodes draw --manifest FOLDER --out {}`",
            run.display(),
            run.display()
        );
        let plan = PlannedRun::read(&run)?;
        let manifest = self.manifest.clone().or_else(|| plan.manifest());
        let manifest = manifest.with_context(|| {
            format!("{} does not say which curated benchmark it is of; give --manifest FOLDER", run.display())
        })?;
        let manifest = Manifest::read(&manifest)?;
        let episodes = Episodes::read(&run)?;
        episodes.verify(&manifest)?;
        let lines = lines::read(&self.file)?;
        let defaults = Defaults { method: self.method.as_deref(), shots: self.shots };
        let found = matched(&lines, &defaults, &manifest)
            .with_context(|| format!("{} does not fit the benchmark", self.file.display()))?;
        let import = self.import(&run, &plan, &manifest, &episodes, found.keys())?;
        let n = import.write(&found)?;
        if let Err(error) = trivia::provide(&manifest, import.size, &run) {
            log::warn!(
                "note: the report has no joint control, as the pictures cannot be looked at: {error:#}"
            );
        }
        let all = seeds(&plan).len();
        if let (true, [seed]) = (all > 1 && found.keys().all(|place| place.seed.is_none()), &import.seeds[..])
        {
            println!(
                "the table has no column `seed`: its scores went to seed {seed}, the first of the run's {all}, alone"
            );
        }
        println!("{n} cells imported into {}; `report {}` draws the tables", run.display(), run.display());
        Ok(())
    }

    /// A folder that is there, or the one of a bench's name, which stands in its definition or is the definition's own.
    fn folder(&self) -> Result<PathBuf> {
        let given = PathBuf::from(&self.bench);
        if given.join("episodes.json").exists() {
            return Ok(given);
        }
        let Some(own_name) = given.file_stem().filter(|_| self.bench.ends_with(".toml")) else {
            return Ok(home("reports").join(given));
        };
        let definition: toml::Table = files::read_text(&given)
            .context("--bench")?
            .parse()
            .with_context(|| format!("--bench {} is no bench definition", given.display()))?;
        let name = match definition.get("name") {
            Some(name) => name.as_str().map(OsStr::new),
            None => Some(own_name),
        };
        let name = name.with_context(|| format!("--bench {}: its `name` is no text", given.display()))?;
        Ok(home("reports").join(name))
    }

    fn import<'a>(
        &'a self,
        run: &'a std::path::Path,
        plan: &PlannedRun,
        manifest: &'a Manifest,
        episodes: &'a Episodes,
        mut places: impl Iterator<Item = &'a Place>,
    ) -> Result<Import<'a>> {
        let definition = plan.definition();
        let number = |value: &serde_json::Value| value.as_u64().and_then(|value| usize::try_from(value).ok());
        let draws = number(&definition["draws"]).unwrap_or(episodes.settings.draws);
        if self.all_draws {
            ensure!(
                self.regime == Regime::Nothing || self.regime.sees_whole_target(),
                "--all-draws is for methods that are given no supports (R0, R5, R6, R6T)"
            );
            ensure!(
                places.all(|place| place.draw.is_none()),
                "the table has a column `draw`; leave --all-draws out"
            );
        } else if draws > 1 && places.any(|place| place.draw.is_none()) {
            bail!(
                "the run has {draws} support draws and the table has no column `draw` (from 0); add it, or \
                 give --all-draws where the scores do not depend on the supports"
            );
        }
        let seeds = seeds(plan);
        let held_out = definition["held_out"].as_str().map(HeldOut::parse).transpose()?;
        Ok(Import {
            file: &self.file,
            manifest,
            episodes,
            bench: definition["name"].as_str().unwrap_or("import-scores").to_owned(),
            run,
            regime: self.regime,
            held_out: held_out.unwrap_or_default(),
            size: match number(&definition["size"]) {
                Some(size) => size,
                None => manifest.smallest_size()?,
            },
            draws: if self.all_draws { (0..draws).collect() } else { vec![0] },
            seeds: if self.all_draws { seeds } else { seeds.into_iter().take(1).collect() },
            command: command_line()?,
            replace: self.replace,
        })
    }
}

/// Those of the run's plan; 1 where it has none.
fn seeds(plan: &PlannedRun) -> Vec<u64> {
    let definition = plan.definition();
    let seeds =
        definition["seeds"].as_array().map(|seeds| seeds.iter().filter_map(serde_json::Value::as_u64));
    seeds.map_or(vec![1], Iterator::collect)
}
