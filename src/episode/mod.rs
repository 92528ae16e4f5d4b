//! Which pictures support and which train: drawn once from the manifest, stored, hashed, verified.
//!
//! Supports of a task are nested: its 2-shot set is the first two of its 4-shot set, and so on. Training
//! pairs give each train normal `max_shots` supports of its own task, of which k-shot training uses the
//! first k. Every method sees the same.

use std::collections::{BTreeMap, HashSet};
use std::path::Path;

use anyhow::{Context, Result, bail, ensure};
use serde::{Deserialize, Serialize};
use strum::{Display, EnumString, IntoStaticStr, VariantArray};

use crate::files;
use crate::ids::{ImageId, TaskName};
use crate::manifest::{Manifest, Row, Split};
use crate::random::Stream;
use crate::regime::Regime;
use crate::table::{Columns, Seals, Table};
use crate::words::word;

/// Episodes for programs of one's own.
pub mod lists;

/// Pictures to tensors; the only place.
#[cfg(feature = "torch")]
pub mod batch;

/// What determines episodes, beside the manifest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Settings {
    /// Root of the random streams of all draws.
    pub seed: u64,
    /// Support sets per task.
    pub draws: usize,
    /// Size of the largest support set.
    pub max_shots: usize,
}

/// A query of training with its supports, as image ids.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pair {
    /// A train normal of the task.
    pub query: ImageId,
    /// `max_shots` other train normals of the same task, drawn with replacement.
    pub supports: Vec<ImageId>,
}

/// All episodes of a benchmark.
///
/// ```no_run
/// use std::path::Path;
///
/// use medfsad::episode::{Settings, draw};
/// use medfsad::manifest::Manifest;
///
/// let manifest = Manifest::read(Path::new("manifests/phantom"))?;
/// let episodes = draw(&manifest, Settings { seed: 1, draws: 10, max_shots: 8 })?;
/// assert_eq!(episodes.supports["lag"].len(), 10);
/// # Ok::<(), anyhow::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Episodes {
    /// The settings they were drawn with.
    pub settings: Settings,
    /// Canonical hash of the manifest they were drawn from.
    pub manifest_hash: String,
    /// Per task, per draw, `max_shots` image ids.
    pub supports: BTreeMap<TaskName, Vec<Vec<ImageId>>>,
    /// Per task, one pair for each train normal.
    pub pairs: BTreeMap<TaskName, Vec<Pair>>,
}

/// Which tasks may train for a target.
#[derive(
    Clone,
    Copy,
    Debug,
    Default,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Display,
    EnumString,
    IntoStaticStr,
    VariantArray,
)]
#[strum(serialize_all = "kebab-case")]
pub enum HeldOut {
    /// Every other task (the paper's rule).
    #[default]
    Dataset,
    /// Every task of another organ.
    Organ,
    /// None does, as nothing is trained or calibrated; said of a cell, never asked for.
    None,
}

word!(HeldOut, "rule of what is held out");

impl HeldOut {
    /// Names of the tasks that may train for `target`, in manifest order.
    pub fn training_tasks(self, manifest: &Manifest, target: &str) -> Vec<TaskName> {
        let organ =
            |task: &str| manifest.rows.iter().find(|row| row.task == task).map(|row| row.organ.clone());
        let held_out = organ(target);
        let mut tasks = manifest.tasks();
        tasks.retain(|task| {
            task != target
                && match self {
                    HeldOut::Dataset => true,
                    HeldOut::Organ => organ(task) != held_out,
                    HeldOut::None => false,
                }
        });
        tasks
    }

    /// Names of the tasks whose train normals a method is given in its regime.
    pub fn given_tasks(self, regime: Regime, manifest: &Manifest, target: &str) -> Vec<TaskName> {
        match regime {
            Regime::Nothing | Regime::Supports | Regime::TargetAnomalies => Vec::new(),
            Regime::OtherNormals | Regime::OtherAnomalies => self.training_tasks(manifest, target),
            Regime::TargetNormals | Regime::UnlabelledPool | Regime::UnlabelledTest => {
                vec![TaskName::new(target)]
            }
        }
    }
}

/// What episodes are drawn from: the train normals of every task, by their ids.
pub struct Pool {
    manifest_hash: String,
    tasks: Vec<(TaskName, Vec<ImageId>)>,
}

impl Pool {
    /// Of a manifest that is in memory.
    pub fn of(manifest: &Manifest) -> Pool {
        let mut tasks = Vec::new();
        manifest.rows.iter().for_each(|row| add(&mut tasks, row));
        Pool { manifest_hash: manifest.header.canonical_hash.clone(), tasks }
    }

    /// Of a curated folder, in less memory than its rows take.
    ///
    /// # Errors
    /// As [`Manifest::read`].
    pub fn read(folder: &Path) -> Result<Pool> {
        let mut tasks = Vec::new();
        let header = Manifest::visit(folder, |row| add(&mut tasks, &row))?;
        Ok(Pool { manifest_hash: header.canonical_hash, tasks })
    }

    /// Draws episodes.
    ///
    /// # Errors
    /// As [`draw`].
    pub fn draw(&self, settings: Settings) -> Result<Episodes> {
        ensure!(settings.draws > 0 && settings.max_shots > 0, "draws and shots must be at least 1");
        let (mut supports, mut pairs) = (BTreeMap::new(), BTreeMap::new());
        for (task, ids) in &self.tasks {
            ensure!(
                ids.len() >= 2,
                "task `{task}` has {} train normals and needs at least 2; curate more",
                ids.len()
            );
            let draws = (0..settings.draws).map(|draw| support_set(ids, task, settings, draw));
            supports.insert(task.clone(), draws.collect());
            pairs.insert(task.clone(), (0..ids.len()).map(|query| pair(ids, query, settings)).collect());
        }
        Ok(Episodes { settings, manifest_hash: self.manifest_hash.clone(), supports, pairs })
    }
}

fn add(tasks: &mut Vec<(TaskName, Vec<ImageId>)>, row: &Row) {
    let place = tasks.iter().rposition(|(task, _)| *task == row.task).unwrap_or_else(|| {
        tasks.push((row.task.clone(), Vec::new()));
        tasks.len() - 1
    });
    if row.split == Split::Train {
        tasks[place].1.push(row.image_id.clone());
    }
}

/// Draws the episodes of a manifest.
///
/// # Errors
/// A task with fewer than the two train normals that pairs need. A task with fewer than `max_shots` has
/// smaller support sets.
pub fn draw(manifest: &Manifest, settings: Settings) -> Result<Episodes> {
    Pool::of(manifest).draw(settings)
}

/// Distinct train normals, in random order.
fn support_set(ids: &[ImageId], task: &str, settings: Settings, draw: usize) -> Vec<ImageId> {
    let mut stream = Stream::new(settings.seed, &format!("support {task}"), draw as u64);
    let mut order: Vec<usize> = (0..ids.len()).collect();
    stream.shuffle(&mut order);
    order.into_iter().take(settings.max_shots).map(|index| ids[index].clone()).collect()
}

/// Supports drawn with replacement from the query's own task, never the query itself, as published.
fn pair(ids: &[ImageId], query: usize, settings: Settings) -> Pair {
    let mut stream = Stream::new(settings.seed, &format!("pair {}", ids[query]), 0);
    let other = |_| ids[stream.other_than(query, ids.len())].clone();
    Pair { query: ids[query].clone(), supports: (0..settings.max_shots).map(other).collect() }
}

/// One row of the stored table.
struct Line<'a> {
    kind: &'a str,
    task: &'a str,
    draw: Option<i64>,
    query: Option<&'a str>,
    position: i64,
    image_id: &'a str,
}

impl Episodes {
    fn lines(&self) -> impl Iterator<Item = Line<'_>> {
        let supports = self.supports.iter().flat_map(|(task, draws)| {
            draws.iter().enumerate().flat_map(move |(draw, ids)| {
                ids.iter().enumerate().map(move |(position, image_id)| {
                    let (draw, position) = (Some(draw as i64), position as i64);
                    Line { kind: "support", task, draw, query: None, position, image_id }
                })
            })
        });
        let pairs = self.pairs.iter().flat_map(|(task, pairs)| {
            pairs.iter().flat_map(move |Pair { query, supports }| {
                supports.iter().enumerate().map(move |(position, image_id)| {
                    let (query, position) = (Some(query.as_str()), position as i64);
                    Line { kind: "pair", task, draw: None, query, position, image_id }
                })
            })
        });
        supports.chain(pairs)
    }

    /// Over settings, manifest and every line.
    pub fn hash(&self) -> String {
        let header = format!("{:?} {}\n", self.settings, self.manifest_hash);
        let line = |Line { kind, task, draw, query, position, image_id }: Line| {
            format!("{kind} {task} {draw:?} {query:?} {position} {image_id}\n")
        };
        files::fingerprint_of(std::iter::once(header).chain(self.lines().map(line)))
    }

    /// Over what one cell uses: its supports and the pairs of its training tasks, up to `shots` of each.
    /// More draws or larger sets elsewhere do not change it.
    ///
    /// # Errors
    /// A draw or a task that they lack, or more shots than the task has train normals.
    pub fn cell_hash(&self, task: &str, draw: usize, shots: usize, training: &[TaskName]) -> Result<String> {
        let set = self.supports.get(task).and_then(|draws| draws.get(draw));
        let set = set.with_context(|| format!("no support draw {draw} for task `{task}`"))?;
        ensure!(
            shots <= set.len(),
            "task `{task}` has {} train normals, {shots} shots are asked for; lower --shots or curate more",
            set.len()
        );
        let mut text = format!("{} {}\n{}", self.settings.seed, self.manifest_hash, set[..shots].join(" "));
        for task in training {
            for Pair { query, supports } in self.pairs.get(task).context("a task without pairs")? {
                text += &format!("\n{query} {}", supports[..shots].join(" "));
            }
        }
        Ok(files::fingerprint(text.as_bytes()))
    }

    /// Writes `episodes.parquet` and, beside it, `episodes.json` with settings and hash.
    ///
    /// # Errors
    /// A file that cannot be written.
    pub fn write(&self, folder: &Path) -> Result<()> {
        Columns::write_pieces(&folder.join(TABLE), self.lines().map(Ok), |lines| {
            Columns::default()
                .text("kind", lines.iter().map(|l| Some(l.kind)))
                .text("task", lines.iter().map(|l| Some(l.task)))
                .integer("draw", lines.iter().map(|l| l.draw))
                .text("query_id", lines.iter().map(|l| l.query))
                .integer("position", lines.iter().map(|l| Some(l.position)))
                .text("image_id", lines.iter().map(|l| Some(l.image_id)))
        })?;
        let header = Header {
            settings: self.settings,
            manifest_hash: self.manifest_hash.clone(),
            hash: self.hash(),
            tables: Seals::of(folder, &[TABLE])?,
        };
        files::write_whole(&folder.join("episodes.json"), serde_json::to_string_pretty(&header)?.as_bytes())
    }

    /// Reads stored episodes and checks their hash.
    ///
    /// # Errors
    /// A file that is missing or cannot be read, or rows that do not match their hash.
    pub fn read(folder: &Path) -> Result<Episodes> {
        let path = folder.join("episodes.json");
        let header: Header = serde_json::from_str(&files::read_text(&path)?)
            .with_context(|| format!("{} is not an episodes header", path.display()))?;
        let table = Table::read(&header.tables.check(folder, TABLE)?)?;
        let (kinds, tasks) = (table.text_given("kind")?, table.text_given("task")?);
        let (draws, queries) = (table.integer("draw")?, table.text("query_id")?);
        let ids = table.text_given("image_id")?;
        let mut supports: BTreeMap<TaskName, Vec<Vec<ImageId>>> = BTreeMap::new();
        let mut pairs: BTreeMap<TaskName, Vec<Pair>> = BTreeMap::new();
        for (row, id) in ids.into_iter().enumerate() {
            let task = TaskName::new(&*tasks[row]);
            match (kinds[row].as_str(), draws[row], queries[row].as_ref()) {
                ("support", Some(draw), _) => {
                    let sets = supports.entry(task).or_default();
                    let draw = usize::try_from(draw)?;
                    ensure!(draw <= sets.len(), "support sets of row {row} are out of order");
                    if draw == sets.len() {
                        sets.push(Vec::new());
                    }
                    sets[draw].push(ImageId::new(id));
                }
                ("pair", _, Some(query)) => {
                    let list = pairs.entry(task).or_default();
                    if list.last().is_none_or(|pair| pair.query != query.as_str()) {
                        list.push(Pair { query: ImageId::new(query.as_str()), supports: Vec::new() });
                    }
                    list.last_mut().context("just pushed")?.supports.push(ImageId::new(id));
                }
                (kind, ..) => bail!("row {row} of the episodes is neither a support nor a pair but `{kind}`"),
            }
        }
        let episodes =
            Episodes { settings: header.settings, manifest_hash: header.manifest_hash, supports, pairs };
        let found = episodes.hash();
        ensure!(
            found == header.hash,
            "episodes in {} hash to {found}, not {}",
            folder.display(),
            header.hash
        );
        Ok(episodes)
    }

    /// Checks that supports and pairs are train normals of their own task, distinct and complete.
    ///
    /// # Errors
    /// Names the task whose supports or pairs break a rule; also if they belong to another manifest.
    pub fn verify(&self, manifest: &Manifest) -> Result<()> {
        ensure!(
            self.manifest_hash == manifest.header.canonical_hash,
            "episodes belong to manifest {}, not to {}",
            self.manifest_hash,
            manifest.header.canonical_hash
        );
        for (task, draws) in &self.supports {
            let train: HashSet<&str> =
                manifest.select(task, Split::Train).map(|row| row.image_id.as_str()).collect();
            for ids in draws {
                let complete = self.settings.max_shots.min(train.len());
                ensure!(ids.len() == complete, "a support set of `{task}` is incomplete");
                let distinct: HashSet<&str> = ids.iter().map(ImageId::as_str).collect();
                ensure!(distinct.len() == ids.len(), "a support set of `{task}` repeats a picture");
                ensure!(distinct.is_subset(&train), "a support of `{task}` is not one of its train pictures");
            }
            for Pair { query, supports } in self.pairs.get(task).context("a task without pairs")? {
                let inside =
                    train.contains(query.as_str()) && supports.iter().all(|id| train.contains(id.as_str()));
                ensure!(inside, "a training pair of `{task}` leaves its train pictures");
                ensure!(!supports.contains(query), "a training query of `{task}` supports itself");
            }
        }
        Ok(())
    }

    /// For other tools: settings, hash, supports and pairs as one JSON object.
    pub fn to_json(&self) -> serde_json::Value {
        let pairs = |pairs: &Vec<Pair>| -> Vec<serde_json::Value> {
            pairs.iter().map(|p| serde_json::json!({"query": p.query, "supports": p.supports})).collect()
        };
        let pairs: BTreeMap<&TaskName, _> =
            self.pairs.iter().map(|(task, list)| (task, pairs(list))).collect();
        serde_json::json!({
            "settings": self.settings, "manifest_hash": self.manifest_hash, "hash": self.hash(),
            "supports": self.supports, "pairs": pairs,
        })
    }
}

/// Supports and pairs, one picture a row.
const TABLE: &str = "episodes.parquet";

#[derive(Serialize, Deserialize)]
struct Header {
    settings: Settings,
    manifest_hash: String,
    hash: String,
    /// Of the table's bytes, which are not parsed before they fit.
    #[serde(default)]
    tables: Seals,
}
