//! What two entrants share at a number of shots: the draws, seeds and pictures on which they can be compared.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::Result;

use super::averages::{Averages, with_intervals};
use super::entrant::Entrant;
use crate::ids::ImageId;
use crate::manifest::Label;
use crate::metric::two_level::paired_differences;
use crate::metric::{Metric, power, two_level};
use crate::protocol::Protocol;
use crate::results::{Identity, Seed, StoredCell};

/// Task, draw and seed: what two cells of different methods must share to be paired.
type Place<'a> = (&'a str, usize, Seed);

fn place(cell: &StoredCell) -> Place<'_> {
    let id = &cell.cell.identity;
    (id.task.as_str(), id.draw, id.seed)
}

/// The cells of an entrant, by place.
fn by_place<'a>(entrant: &Entrant<'a>, shots: usize) -> BTreeMap<Place<'a>, &'a StoredCell> {
    let cells = entrant.cells.iter().copied().filter(|cell| cell.cell.identity.shots == shots);
    cells.map(|cell| (place(cell), cell)).collect()
}

/// What two entrants share at a number of shots.
pub(super) struct Shared {
    /// Cells of the first, of the second, and those that both have.
    pub counts: [usize; 3],
    /// Support draws, likewise.
    pub draws: [usize; 3],
    /// Over what both have.
    pub means: [Option<f64>; 2],
    /// Of the first mean less the second.
    pub interval: Option<(f64, f64)>,
    /// The smallest true difference that such an interval would show in four of five trials.
    pub could_show: Option<f64>,
    /// Why there is no interval.
    pub unjudged: Option<String>,
}

impl Shared {
    /// # Errors
    /// Scores that cannot be read.
    pub(super) fn new(pair: [&Entrant; 2], shots: usize) -> Result<Shared> {
        let all = pair.map(|entrant| by_place(entrant, shots));
        let ran = |cells: &BTreeMap<_, &StoredCell>, place: &Place| {
            cells.get(place).is_some_and(|cell| cell.cell.error.is_none())
        };
        let places: Vec<Place> =
            all[0].keys().copied().filter(|place| all.iter().all(|cells| ran(cells, place))).collect();
        let shared = [0, 1].map(|side| places.iter().map(|place| all[side][place]).collect::<Vec<_>>());
        let tasks: BTreeSet<&str> = all.iter().flat_map(BTreeMap::keys).map(|place| place.0).collect();
        let tasks: Vec<&str> = tasks.into_iter().collect();
        let averages = |side: usize| -> Result<Averages> {
            let mut averages = with_intervals(&shared[side], &tasks, &[Protocol::RANKED])?;
            Ok(averages.remove(0).1)
        };
        let averages = [averages(0)?, averages(1)?];
        let failed =
            all[0].iter().filter(|(place, cell)| cell.cell.error.is_some() && ran(&all[1], place)).count();
        let obstacle = obstacle(&all, &shared, &tasks, failed)?;
        let differences = match obstacle {
            Some(_) => None,
            None => paired_differences(&averages[0].replicates, &averages[1].replicates),
        };
        let interval = differences.as_deref().and_then(two_level::interval);
        let draws = |places: &mut dyn Iterator<Item = &Place>| {
            places.map(|place| place.1).collect::<BTreeSet<_>>().len()
        };
        let means = [0, 1].map(|side| averages[side].mean.map(|mean| mean.value));
        let no_interval =
            "there is no interval: a task has too few pictures, or those of a class are one patient's";
        Ok(Shared {
            counts: [all[0].len(), all[1].len(), places.len()],
            draws: [draws(&mut all[0].keys()), draws(&mut all[1].keys()), draws(&mut places.iter())],
            could_show: differences.zip(means[0].zip(means[1])).and_then(|(differences, (one, other))| {
                power::smallest_difference(&differences, [one, other])
            }),
            means,
            unjudged: obstacle.or_else(|| interval.is_none().then(|| no_interval.to_owned())),
            interval,
        })
    }

    /// The first mean less the second.
    pub(super) fn less(&self) -> Option<f64> {
        self.means[0].zip(self.means[1]).map(|(one, other)| one - other)
    }

    /// What the interval says of the first.
    pub(super) fn verdict(&self) -> &'static str {
        match self.interval {
            Some((_, high)) if high < 0.0 => "worse",
            Some((low, _)) if low > 0.0 => "better",
            Some(_) => "not told apart",
            None => "not comparable",
        }
    }
}

/// What keeps two sets of cells from being compared.
fn obstacle(
    all: &[BTreeMap<Place, &StoredCell>; 2],
    shared: &[Vec<&StoredCell>; 2],
    tasks: &[&str],
    failed: usize,
) -> Result<Option<String>> {
    if all[0].is_empty() {
        return Ok(Some("the first has no such cell".to_owned()));
    }
    if failed > 0 {
        return Ok(Some(format!("{failed} cells failed in the first that did not in the second")));
    }
    let lacking: Vec<&str> = tasks
        .iter()
        .copied()
        .filter(|task| shared[0].iter().all(|cell| cell.cell.identity.task != *task))
        .collect();
    if !lacking.is_empty() {
        return Ok(Some(format!("no draw of {} ran in both", lacking.join(", "))));
    }
    let differ = |of: fn(&Identity) -> String| {
        let pairs = shared[0].iter().zip(&shared[1]);
        pairs.clone().any(|(a, b)| of(&a.cell.identity) != of(&b.cell.identity))
    };
    if differ(|id| id.manifest_hash.clone()) {
        return Ok(Some("they were made on different manifests".to_owned()));
    }
    if differ(|id| id.episode_seed.to_string()) {
        return Ok(Some("their supports were drawn by different seeds".to_owned()));
    }
    let pictures = |cell: &StoredCell| -> Result<BTreeMap<ImageId, Label>> {
        Ok(cell.scores()?.into_iter().map(|score| (score.image_id, score.label)).collect())
    };
    for (a, b) in shared[0].iter().zip(&shared[1]) {
        if pictures(a)? != pictures(b)? {
            return Ok(Some("they scored different pictures, or by other labels".to_owned()));
        }
    }
    Ok(None)
}

/// Differences of AUROC under clean over the tasks, draws and seeds that both have.
pub(super) fn paired(first: &Entrant, second: &Entrant, shots: usize) -> Vec<f64> {
    let value = |entrant: &Entrant, task: &str, draw: usize, seed: Seed| {
        let cell = entrant.cells.iter().find(|cell| {
            let id = &cell.cell.identity;
            (id.task.as_str(), id.shots, id.draw, id.seed) == (task, shots, draw, seed)
        })?;
        cell.metric(Protocol::RANKED, Metric::RANKED)?.value
    };
    let places = first.cells.iter().map(|cell| &cell.cell.identity).filter(|id| id.shots == shots);
    let pairs = places.filter_map(|id| {
        let of = |entrant: &Entrant| value(entrant, &id.task, id.draw, id.seed);
        Some(of(first)? - of(second)?)
    });
    pairs.collect()
}
