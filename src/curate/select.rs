//! Which pictures are drawn, and onto which side: seeded, independent of order, never splitting a group.

use std::collections::{BTreeMap, HashMap};

use crate::manifest::Split;
use crate::random::rank;
use crate::source::Side;
use crate::spec::{OwnerSplit, Task};

/// A picture that may be drawn.
#[derive(Clone, Debug)]
pub struct Item {
    /// Unique within the task; the draw depends on it and on nothing else.
    pub key: String,
    /// `None` for normal, else the index of the quota it counts for.
    pub quota: Option<usize>,
    pub owner: Option<Side>,
    /// Things that must not be divided between sides: patient, slide, content hash.
    pub ties: Vec<String>,
}

/// The outcome for one picture.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fate {
    Drawn(Split),
    /// With the reason.
    LeftOut(&'static str),
}

struct Group {
    members: Vec<usize>,
    may_train: bool,
}

/// Decides over every item; `items` may come in any order, and unusable ones are simply not among them.
pub fn select(task: &Task, seed: u64, items: &[Item]) -> Vec<Fate> {
    let purpose = format!("curate {}", task.name);
    let order: Vec<[u8; 16]> = items.iter().map(|item| rank(seed, &purpose, &item.key)).collect();
    let mut groups = group(items, task.owner_split);
    for group in &mut groups {
        group.members.sort_by_key(|&member| order[member]);
    }
    groups.sort_by_key(|group| order[group.members[0]]);
    let wanted = n_train(task, items, &groups);
    let trained = draw_train(&groups, wanted);

    let mut fates = vec![Fate::LeftOut("not drawn: the count asked for is met"); items.len()];
    let mut pool = Vec::new();
    for (index, group) in groups.iter().enumerate() {
        match trained.get(&index) {
            Some(&n_taken) => {
                for (place, &member) in group.members.iter().enumerate() {
                    fates[member] = if place < n_taken {
                        Fate::Drawn(Split::Train)
                    } else {
                        Fate::LeftOut("not drawn: its patient or copy trains")
                    };
                }
            }
            None => pool.extend(&group.members),
        }
    }
    pool.sort_by_key(|&member| order[member]);
    draw_test(task, items, &pool, &mut fates);
    fates
}

/// Normal pictures wanted for training; if only the test count is given, what the test leaves.
fn n_train(task: &Task, items: &[Item], groups: &[Group]) -> usize {
    let available: usize =
        groups.iter().filter(|group| group.may_train).map(|group| group.members.len()).sum();
    match (task.train_normal, task.test_normal, task.owner_split) {
        (Some(count), ..) => count,
        (None, Some(test), OwnerSplit::Pool) => {
            let normals = items.iter().filter(|item| item.quota.is_none()).count();
            normals.saturating_sub(test).min(available)
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
    for (index, group) in groups.iter().enumerate().filter(|(_, group)| group.may_train) {
        if left == 0 {
            break;
        }
        if group.members.len() <= left {
            taken.insert(index, group.members.len());
            left -= group.members.len();
        } else if skipped.is_none() {
            skipped = Some(index);
        }
    }
    if let (Some(index), true) = (skipped, left > 0) {
        taken.insert(index, left);
    }
    taken
}

fn draw_test(task: &Task, items: &[Item], pool: &[usize], fates: &mut [Fate]) {
    let mut normals_left = task.test_normal.unwrap_or(usize::MAX);
    let mut quotas_left: Vec<usize> =
        task.anomalous.iter().map(|quota| quota.count.unwrap_or(usize::MAX)).collect();
    for &member in pool {
        let item = &items[member];
        if task.owner_split == OwnerSplit::Respect && item.owner != Some(Side::Test) {
            fates[member] = Fate::LeftOut("not drawn: the owner's train part does not test");
            continue;
        }
        let left = match item.quota {
            None => &mut normals_left,
            Some(quota) => &mut quotas_left[quota],
        };
        if *left > 0 {
            *left -= 1;
            fates[member] = Fate::Drawn(Split::Test);
        }
    }
}

/// Items joined by any tie they share, over any number of steps.
fn group(items: &[Item], owner_split: OwnerSplit) -> Vec<Group> {
    let mut parent: Vec<usize> = (0..items.len()).collect();
    let mut first: HashMap<&str, usize> = HashMap::new();
    for (index, item) in items.iter().enumerate() {
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
    let may_train = |members: &[usize]| {
        let owner_trains = members.iter().all(|&index| items[index].owner == Some(Side::Train));
        let owner_allows = owner_split == OwnerSplit::Pool || owner_trains;
        owner_allows && members.iter().all(|&index| items[index].quota.is_none())
    };
    members.into_values().map(|members| Group { may_train: may_train(&members), members }).collect()
}

fn root(parent: &mut [usize], mut index: usize) -> usize {
    while parent[index] != index {
        parent[index] = parent[parent[index]];
        index = parent[index];
    }
    index
}
