//! Which pictures are drawn, and onto which side: seeded, independent of order, never splitting a group.

use std::collections::{BTreeMap, HashMap};

use crate::manifest::Split;
use crate::random::rank;
use crate::source::Side;
use crate::spec::{AnomalousPatients, OwnerSplit, OwnerValidation, Task};

/// A picture that may be drawn.
#[derive(Clone, Debug)]
pub struct Item {
    /// Unique within the task; the draw depends on it and on nothing else.
    pub key: String,
    /// `None` for normal, else the index of the quota it counts for.
    pub quota: Option<usize>,
    /// Its side in the owner's division; `None` where there is none.
    pub owner: Option<Side>,
    /// Things that must not be divided between sides: patient, slide, content hash.
    pub ties: Vec<String>,
}

/// The outcome for one picture.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// For that split.
    Drawn(Split),
    /// With the reason.
    LeftOut(&'static str),
}

/// Items that must not be divided, by rank.
struct Group {
    members: Vec<usize>,
    /// Those of its members that could train; empty if the group may not.
    trainable: Vec<usize>,
}

/// Decides over every item; `items` may come in any order, and unusable ones are simply not among them.
pub fn select(task: &Task, seed: u64, items: &[Item]) -> Vec<Outcome> {
    let purpose = format!("curate {}", task.name);
    let order: Vec<[u8; 16]> = items.iter().map(|item| rank(seed, &purpose, &item.key)).collect();
    let mut groups = group(task, items);
    for group in &mut groups {
        group.members.sort_by_key(|&member| order[member]);
        group.trainable.sort_by_key(|&member| order[member]);
    }
    groups.sort_by_key(|group| order[group.members[0]]);

    let mut outcomes = vec![Outcome::LeftOut("not drawn: the count asked for is met"); items.len()];
    let trained = draw_train(&groups, n_train(task, items, &groups));
    let mut rest = Vec::new();
    for (index, group) in groups.iter().enumerate() {
        let Some(&n_taken) = trained.get(&index) else {
            rest.push(group);
            continue;
        };
        for &member in &group.members {
            outcomes[member] = Outcome::LeftOut("not drawn: its patient or copy trains");
        }
        for &member in &group.trainable[..n_taken] {
            outcomes[member] = Outcome::Drawn(Split::Train);
        }
    }
    let rest = draw_val(task, items, &rest, &mut outcomes);
    let mut pool: Vec<usize> = rest.iter().flat_map(|group| &group.members).copied().collect();
    pool.sort_by_key(|&member| order[member]);
    draw_test(task, items, &pool, &mut outcomes);
    outcomes
}

/// Normal pictures wanted for training; if only the test count is given, what the test leaves.
fn n_train(task: &Task, items: &[Item], groups: &[Group]) -> usize {
    let available: usize = groups.iter().map(|group| group.trainable.len()).sum();
    match (task.train_normal, task.test_normal, task.owner_split) {
        (Some(count), ..) => count,
        (None, Some(test), OwnerSplit::Pool) => {
            let normals = items.iter().filter(|item| item.quota.is_none()).count();
            normals.saturating_sub(test + task.val_normal.unwrap_or(0)).min(available)
        }
        _ => available,
    }
}

/// Train groups by rank and how many of each are taken: whole groups that fit first, then, if the count
/// is still short, part of the first that did not.
fn draw_train(groups: &[Group], wanted: usize) -> BTreeMap<usize, usize> {
    let mut taken = BTreeMap::new();
    let mut left = wanted;
    let mut skipped = None;
    for (index, group) in groups.iter().enumerate().filter(|(_, group)| !group.trainable.is_empty()) {
        if left == 0 {
            break;
        }
        if group.trainable.len() <= left {
            taken.insert(index, group.trainable.len());
            left -= group.trainable.len();
        } else if skipped.is_none() {
            skipped = Some(index);
        }
    }
    if let (Some(index), true) = (skipped, left > 0) {
        taken.insert(index, left);
    }
    taken
}

/// How many pictures a split still takes.
struct Left {
    normals: usize,
    /// Per quota.
    anomalous: Vec<usize>,
}

impl Left {
    /// Whether it has room for a picture of this kind.
    fn has(&self, item: &Item) -> bool {
        item.quota.map_or(self.normals, |quota| self.anomalous[quota]) > 0
    }

    /// Takes the picture if there is room.
    fn take(&mut self, item: &Item) -> bool {
        let left = match item.quota {
            None => &mut self.normals,
            Some(quota) => &mut self.anomalous[quota],
        };
        let has = *left > 0;
        *left = left.saturating_sub(1);
        has
    }
}

/// Draws the validation split, of whole groups, and returns the groups that are left.
fn draw_val<'a>(
    task: &Task,
    items: &[Item],
    groups: &[&'a Group],
    outcomes: &mut [Outcome],
) -> Vec<&'a Group> {
    let mut left = Left {
        normals: task.val_normal.unwrap_or(0),
        anomalous: task.anomalous.iter().map(|quota| quota.val.unwrap_or(0)).collect(),
    };
    let mut rest = Vec::new();
    for &group in groups {
        let owned = |side| group.members.iter().any(|&member| items[member].owner == Some(side));
        let is_bound = task.owner_split != OwnerSplit::Pool;
        let by_owner = is_bound && task.owner_validation == OwnerValidation::Val && owned(Side::Val);
        let drawn = !is_bound && group.members.iter().any(|&member| left.has(&items[member]));
        if by_owner && owned(Side::Test) || !by_owner && !drawn {
            rest.push(group);
            continue;
        }
        for &member in &group.members {
            let item = &items[member];
            outcomes[member] = match (by_owner, item.owner) {
                (true, Some(Side::Val)) => Outcome::Drawn(Split::Val),
                (true, _) => Outcome::LeftOut("not drawn: the owner's train part does not validate"),
                (false, _) if left.take(item) => Outcome::Drawn(Split::Val),
                (false, _) => Outcome::LeftOut("not drawn: its patient or copy validates"),
            };
        }
    }
    rest
}

fn draw_test(task: &Task, items: &[Item], pool: &[usize], outcomes: &mut [Outcome]) {
    let mut left = Left {
        normals: task.test_normal.unwrap_or(usize::MAX),
        anomalous: task.anomalous.iter().map(|quota| quota.count.unwrap_or(usize::MAX)).collect(),
    };
    for &member in pool {
        let item = &items[member];
        let tests = match (task.owner_split, item.owner) {
            (OwnerSplit::Pool, _) | (_, Some(Side::Test)) => true,
            (_, Some(Side::Val)) => task.owner_validation == OwnerValidation::Test,
            _ => false,
        };
        if !tests {
            outcomes[member] = Outcome::LeftOut("not drawn: the owner's other parts do not test");
        } else if left.take(item) {
            outcomes[member] = Outcome::Drawn(Split::Test);
        }
    }
}

/// Items joined by any tie they share, over any number of steps; an exact division knows no ties.
fn group(task: &Task, items: &[Item]) -> Vec<Group> {
    let mut parent: Vec<usize> = (0..items.len()).collect();
    let mut first: HashMap<&str, usize> = HashMap::new();
    for (index, item) in items.iter().enumerate().filter(|_| task.owner_split != OwnerSplit::Exact) {
        for tie in &item.ties {
            let other = *first.entry(tie).or_insert(index);
            let (a, b) = (root(&mut parent, index), root(&mut parent, other));
            parent[a.max(b)] = a.min(b);
        }
    }
    let mut members: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
    for index in 0..items.len() {
        let root = root(&mut parent, index);
        members.entry(root).or_default().push(index);
    }
    let trainable = |members: &[usize]| -> Vec<usize> {
        let owner_allows =
            |&index: &usize| task.owner_split == OwnerSplit::Pool || items[index].owner == Some(Side::Train);
        let is_normal = |index: &usize| items[*index].quota.is_none();
        let patients_allow =
            task.anomalous_patients == AnomalousPatients::MayTrain || members.iter().all(is_normal);
        let may_train = patients_allow && members.iter().all(owner_allows);
        members.iter().copied().filter(|index| may_train && is_normal(index)).collect()
    };
    members.into_values().map(|members| Group { trainable: trainable(&members), members }).collect()
}

fn root(parent: &mut [usize], mut index: usize) -> usize {
    while parent[index] != index {
        parent[index] = parent[parent[index]];
        index = parent[index];
    }
    index
}
