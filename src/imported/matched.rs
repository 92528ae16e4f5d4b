//! Lines of a table, against the manifest's test pictures: every picture of a cell once, with a number, and no other.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::PathBuf;

use anyhow::{Result, bail, ensure};

use super::lines::Line;
use crate::ids::{ImageId, TaskName};
use crate::manifest::{Manifest, Row, Split};

/// Examples that an error names of each fault.
const NAMED: usize = 3;

/// Where scores belong.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// As the author calls it.
    pub method: String,
    /// The task whose test pictures were scored.
    pub task: TaskName,
    /// Number of supports.
    pub shots: usize,
    /// Which support set, from 0; `None` where the table does not say.
    pub draw: Option<usize>,
    /// Of the training; `None` where the table does not say.
    pub seed: Option<u64>,
}

/// A score for every test picture of a task.
pub type Scores = BTreeMap<ImageId, f64>;

/// What a table gives of every test picture of a task: a score, a map, or both.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Given {
    /// Empty where the table has maps alone.
    pub scores: Scores,
    /// Files of maps; empty where the table has none.
    pub maps: BTreeMap<ImageId, PathBuf>,
}

/// What stands for columns that a table does not have.
pub struct Defaults<'a> {
    /// The method's name.
    pub method: Option<&'a str>,
    /// Number of supports.
    pub shots: Option<usize>,
}

/// Scores by place, each of them whole.
///
/// # Errors
/// Names every fault of the table with some examples: pictures that are unknown, no test pictures, scored twice or
/// not at all, an id and a path of two pictures, scores that are no number, other labels than the manifest's; a method or a number of shots that nobody
/// gives, or that both give.
pub fn matched(lines: &[Line], defaults: &Defaults, manifest: &Manifest) -> Result<BTreeMap<Place, Given>> {
    let pictures = Pictures::new(manifest);
    let mut faults = Faults::default();
    let mut found: BTreeMap<Place, Given> = BTreeMap::new();
    for line in lines {
        let (method, shots) = (defaults.method_of(line)?, defaults.shots_of(line)?);
        let row = match pictures.of(line) {
            Ok(row) => row,
            Err(fault) => {
                faults.add(fault, format!("`{}` ({})", line.picture(), line.place));
                continue;
            }
        };
        if line.label.is_some_and(|label| Some(label) != row.label.number()) {
            faults.add(Fault::Label, format!("`{}` ({})", line.picture(), line.place));
        }
        if line.score.is_some_and(|score| !score.is_finite()) {
            faults.add(Fault::NoNumber, format!("that of `{}` ({})", line.picture(), line.place));
        }
        let place = Place { method, task: row.task.clone(), shots, draw: line.draw, seed: line.seed };
        let Given { scores, maps } = found.entry(place).or_default();
        let of_score = line.score.and_then(|score| scores.insert(row.image_id.clone(), score)).is_some();
        let of_map =
            line.map.as_ref().and_then(|map| maps.insert(row.image_id.clone(), map.clone())).is_some();
        if of_score || of_map {
            faults.add(Fault::Twice, format!("`{}` ({})", line.picture(), line.place));
        }
    }
    for (place, Given { scores, maps }) in &found {
        for row in manifest.select(&place.task, Split::Test) {
            if !scores.contains_key(&row.image_id) && !maps.contains_key(&row.image_id) {
                faults.add(Fault::Missing, format!("`{}` ({})", row.source_path, place.words()));
            }
        }
    }
    faults.none()?;
    Ok(found)
}

impl Place {
    pub(super) fn words(&self) -> String {
        let Place { method, task, shots, draw, seed } = self;
        let part =
            |what: &str, value: Option<String>| value.map_or(String::new(), |v| format!(", {what} {v}"));
        let (draw, seed) = (draw.map(|draw| draw.to_string()), seed.map(|seed| seed.to_string()));
        format!("{method} on {task}, {shots} shots{}{}", part("draw", draw), part("seed", seed))
    }
}

impl Defaults<'_> {
    fn method_of(&self, line: &Line) -> Result<String> {
        let name = match (self.method, line.method.as_deref()) {
            (Some(_), Some(_)) => bail!("the table has a column `method`; leave --method out"),
            (Some(name), None) | (None, Some(name)) => name,
            (None, None) => bail!("{} names no method; give --method NAME", line.place),
        };
        let is_plain = |c: char| c.is_ascii_alphanumeric() || "-_.+".contains(c);
        ensure!(
            !name.is_empty() && name.chars().all(is_plain),
            "the method's name `{name}` may have letters, digits, and - _ . + only"
        );
        Ok(name.to_owned())
    }

    fn shots_of(&self, line: &Line) -> Result<usize> {
        let shots = match (self.shots, line.shots) {
            (Some(_), Some(_)) => bail!("the table has a column `shots`; leave --shots out"),
            (Some(shots), None) | (None, Some(shots)) => shots,
            (None, None) => bail!("{} names no number of shots; give --shots K", line.place),
        };
        ensure!(
            shots > 0,
            "{}: shots must be at least 1; of a method that uses no supports, the number beside whose rows it shall stand",
            line.place
        );
        Ok(shots)
    }
}

/// What may be wrong with a line.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Fault {
    Unknown,
    Ambiguous,
    TwoPictures,
    NoTestPicture,
    Twice,
    NoNumber,
    Label,
    Missing,
}

impl Fault {
    fn words(self) -> &'static str {
        match self {
            Fault::Unknown => "pictures that the benchmark does not have",
            Fault::Ambiguous => {
                "pictures that several tasks or frames may be; add a column `task` or `frame`"
            }
            Fault::TwoPictures => "lines whose `image_id` and whose `path` or `frame` name two pictures",
            Fault::NoTestPicture => "pictures that are not for testing",
            Fault::Twice => "pictures that are scored twice",
            Fault::NoNumber => "scores that are no finite number",
            Fault::Label => "labels that are not the manifest's",
            Fault::Missing => "test pictures without a score",
        }
    }
}

#[derive(Default)]
struct Faults(BTreeMap<Fault, Vec<String>>);

impl Faults {
    fn add(&mut self, fault: Fault, what: String) {
        self.0.entry(fault).or_default().push(what);
    }

    fn none(self) -> Result<()> {
        let line = |(fault, found): (&Fault, &Vec<String>)| {
            let named = found.iter().take(NAMED).cloned().collect::<Vec<_>>().join(", ");
            let more = if found.len() > NAMED { ", ..." } else { "" };
            format!("{} {}: {named}{more}", found.len(), fault.words())
        };
        let lines: Vec<String> = self.0.iter().map(line).collect();
        ensure!(lines.is_empty(), "nothing was imported:\n  {}", lines.join("\n  "));
        Ok(())
    }
}

/// A manifest's pictures, by id and by file.
struct Pictures<'a> {
    by_id: HashMap<&'a str, &'a Row>,
    by_path: HashMap<&'a str, Vec<&'a Row>>,
    tasks: BTreeSet<&'a str>,
}

impl<'a> Pictures<'a> {
    fn new(manifest: &'a Manifest) -> Pictures<'a> {
        let mut by_path: HashMap<&str, Vec<&Row>> = HashMap::new();
        for row in &manifest.rows {
            by_path.entry(&row.source_path).or_default().push(row);
        }
        let by_id = manifest.rows.iter().map(|row| (row.image_id.as_str(), row)).collect();
        Pictures { by_id, by_path, tasks: manifest.rows.iter().map(|row| row.task.as_str()).collect() }
    }

    fn of(&self, line: &Line) -> Result<&'a Row, Fault> {
        let is_of_task = |row: &&&Row| line.task.as_ref().is_none_or(|task| row.task == **task);
        let is_of_frame = |row: &&&Row| line.frame.is_none_or(|frame| row.frame == frame);
        let by_path = line.path.as_ref().map(|path| self.of_path(path));
        let found: Vec<&Row> = match (&line.image_id, &by_path) {
            (Some(id), by_path) => {
                let by_id = self.by_id.get(id.as_str());
                let is_of_path = |row: &&&Row| {
                    by_path.as_ref().is_none_or(|rows| rows.iter().any(|one| one.image_id == row.image_id))
                };
                if by_id.is_some_and(|row| !is_of_path(&row) || !is_of_frame(&row)) {
                    return Err(Fault::TwoPictures);
                }
                by_id.into_iter().filter(is_of_task).copied().collect()
            }
            (None, Some(rows)) => rows.iter().filter(is_of_task).filter(is_of_frame).copied().collect(),
            (None, None) => Vec::new(),
        };
        let tested: Vec<&Row> = found.iter().copied().filter(|row| row.split == Split::Test).collect();
        match tested[..] {
            [row] => Ok(row),
            [_, ..] => Err(Fault::Ambiguous),
            [] if line.task.as_ref().is_some_and(|task| !self.tasks.contains(task.as_str())) => {
                Err(Fault::Unknown)
            }
            [] if found.is_empty() => Err(Fault::Unknown),
            [] => Err(Fault::NoTestPicture),
        }
    }

    /// By the path below the raw folder, or a longer one that ends in it; with backslashes too.
    fn of_path(&self, path: &str) -> Vec<&'a Row> {
        let path = path.replace('\\', "/");
        let (file, frame) = match path.rsplit_once('#').map(|(file, frame)| (file, frame.parse::<u32>())) {
            Some((file, Ok(frame))) if !self.by_path.contains_key(path.as_str()) => (file, Some(frame)),
            _ => (path.as_str(), None),
        };
        let mut tails = std::iter::successors(Some(file), |tail| tail.split_once('/').map(|(_, rest)| rest));
        let rows = tails.find_map(|tail| self.by_path.get(tail)).cloned().unwrap_or_default();
        rows.into_iter().filter(|row| frame.is_none_or(|frame| row.frame == frame)).collect()
    }
}
