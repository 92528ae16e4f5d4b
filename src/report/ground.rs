//! What a row's mean rests on: only rows on the same support draws, seeds and pictures are ranked together.

use std::collections::BTreeSet;

use crate::metric::Metric;
use crate::protocol::Protocol;
use crate::results::{Seed, StoredCell};

/// A draw of a task that was scored, with what its supports and pictures follow from.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Place {
    task: String,
    draw: usize,
    seed: Seed,
    /// Hash of the manifest, and the seed that drew its episodes.
    data: (String, Seed),
    /// Normal and anomalous pictures that were scored.
    pictures: [u64; 2],
}

/// Every place that a row's mean is over.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Ground(BTreeSet<Place>);

impl Ground {
    /// Of an entrant's cells of one number of shots: those whose ranked metric is defined.
    pub(super) fn of(cells: &[&StoredCell]) -> Ground {
        let place = |cell: &&StoredCell| {
            let measured = cell.metric(Protocol::RANKED, Metric::RANKED).filter(|row| row.value.is_some())?;
            let id = &cell.cell.identity;
            Some(Place {
                task: id.task.to_string(),
                draw: id.draw,
                seed: id.seed,
                data: (id.manifest_hash.clone(), id.episode_seed),
                pictures: [measured.n_normal, measured.n_anomalous],
            })
        };
        Ground(cells.iter().filter_map(place).collect())
    }

    /// Support draws.
    pub(super) fn draws(&self) -> usize {
        self.0.iter().map(|place| place.draw).collect::<BTreeSet<_>>().len()
    }

    /// Seeds of the training.
    pub(super) fn seeds(&self) -> usize {
        self.0.iter().map(|place| place.seed).collect::<BTreeSet<_>>().len()
    }

    /// Whether both rest on the same manifest and episodes.
    pub(super) fn has_data_of(&self, other: &Ground) -> bool {
        let data = |ground: &Ground| ground.0.iter().map(|place| place.data.clone()).collect::<BTreeSet<_>>();
        data(self) == data(other)
    }

    /// How it differs from `common`, in words; `None` if it does not.
    pub(super) fn unlike(&self, common: &Ground) -> Option<String> {
        if !self.has_data_of(common) {
            return Some("other data or episodes".to_owned());
        }
        let where_ = |place: &Place| format!("{} draw {} seed {}", place.task, place.draw, place.seed);
        let at = |ground: &Ground| ground.0.iter().map(where_).collect::<BTreeSet<_>>();
        let (own, others) = (at(self), at(common));
        let parts = [
            listed("lacks", &others.difference(&own).collect::<Vec<_>>()),
            listed("alone has", &own.difference(&others).collect::<Vec<_>>()),
        ];
        let parts: Vec<String> = parts.into_iter().flatten().collect();
        match parts.is_empty() {
            false => Some(parts.join("; ")),
            true => (self != common).then(|| "other numbers of pictures".to_owned()),
        }
    }
}

fn listed(verb: &str, places: &[&String]) -> Option<String> {
    match places {
        [] => None,
        [one] => Some(format!("{verb} {one}")),
        [first, rest @ ..] => Some(format!("{verb} {first} and {} more", rest.len())),
    }
}

/// The ground that most rows share; of several, the one with more places, then that of the earlier row.
pub(super) fn common<'a>(grounds: impl Iterator<Item = &'a Ground> + Clone) -> Option<&'a Ground> {
    let shared = |ground: &Ground| grounds.clone().filter(|other| *other == ground).count();
    let better = |a: &&Ground, b: &&Ground| (shared(a), a.0.len()) >= (shared(b), b.0.len());
    grounds.clone().reduce(|best, next| if better(&best, &next) { best } else { next })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ground(draws: &[usize]) -> Ground {
        let place = |&draw: &usize| Place {
            task: "his".to_owned(),
            draw,
            seed: Seed(1),
            data: ("manifest".to_owned(), Seed(1)),
            pictures: [10, 10],
        };
        Ground(draws.iter().map(place).collect())
    }

    #[test]
    fn the_common_ground_is_that_of_most_rows_then_the_larger() {
        let grounds = [ground(&[0]), ground(&[0, 1]), ground(&[0])];
        assert_eq!(common(grounds.iter()), Some(&grounds[0]));
        assert_eq!(common(grounds[..2].iter()), Some(&grounds[1]));
        assert_eq!(common([].iter()), None);
    }

    #[test]
    fn what_differs_is_said() {
        let all = ground(&[0, 1, 2]);
        assert_eq!(all.unlike(&all), None);
        assert_eq!(ground(&[0, 1]).unlike(&all).as_deref(), Some("lacks his draw 2 seed 1"));
        assert_eq!(
            ground(&[0, 3]).unlike(&all).as_deref(),
            Some("lacks his draw 1 seed 1 and 1 more; alone has his draw 3 seed 1")
        );
        let fewer = Ground(all.0.iter().map(|place| Place { pictures: [9, 10], ..place.clone() }).collect());
        assert_eq!(fewer.unlike(&all).as_deref(), Some("other numbers of pictures"));
        let elsewhere = Ground(
            all.0
                .iter()
                .map(|place| Place { data: ("other".to_owned(), Seed(1)), ..place.clone() })
                .collect(),
        );
        assert_eq!(elsewhere.unlike(&all).as_deref(), Some("other data or episodes"));
    }
}
