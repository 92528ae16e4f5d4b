//! The draw keeps groups together, reaches its counts, respects owners and forgets the order.

use std::collections::BTreeMap;

use medfsad::curate::select::{Item, Outcome, select};
use medfsad::ids::TaskName;
use medfsad::manifest::Split;
use medfsad::random::Stream;
use medfsad::source::Side;
use medfsad::spec::{OwnerSplit, Quota, Task};

use super::tree;

/// 300 is enough to meet every branch; each case takes microseconds.
const N_CASES: u64 = 300;

fn task(train: Option<usize>, test: Option<usize>, owner_split: OwnerSplit) -> Task {
    let mut task = tree::spec().tasks.remove(0);
    let quota = |finding: &str, count| Quota {
        findings: vec![finding.to_owned()],
        count,
        val: None,
        unopened: false,
    };
    task.anomalous = vec![quota("bad", Some(6)), quota("worse", None)];
    (task.train_normal, task.test_normal, task.owner_split) = (train, test, owner_split);
    task
}

/// Up to 80 pictures; half of them share one of few patients or eyes, some carry both.
fn items(case: u64) -> Vec<Item> {
    let mut stream = Stream::new(3, "items", case);
    let n_patients = 1 + stream.below(20);
    let item = |index: usize, stream: &mut Stream| {
        let mut ties = vec![format!("file {index}")];
        if stream.below(2) == 0 {
            ties.push(format!("patient {}", stream.below(n_patients)));
        }
        if stream.below(8) == 0 {
            ties.push(format!("eye {}", stream.below(5)));
        }
        Item {
            key: format!("{index}.png#0"),
            quota: [None, None, None, Some(0), Some(1)][stream.below(5)],
            owner: [None, Some(Side::Train), Some(Side::Train), Some(Side::Test)][stream.below(4)],
            ties,
        }
    };
    (0..=stream.below(80)).map(|index| item(index, &mut stream)).collect()
}

/// A task with counts between 0 and 39, or open, under either owner rule.
fn any_task(case: u64) -> Task {
    let mut stream = Stream::new(3, "task", case);
    let mut count = || (stream.below(4) > 0).then(|| stream.below(40));
    let (train, test) = (count(), count());
    task(train, test, if case.is_multiple_of(2) { OwnerSplit::Pool } else { OwnerSplit::Respect })
}

fn drawn<'a>(items: &'a [Item], outcomes: &'a [Outcome], split: Split) -> impl Iterator<Item = &'a Item> {
    items
        .iter()
        .zip(outcomes)
        .filter(move |(_, outcome)| **outcome == Outcome::Drawn(split))
        .map(|(item, _)| item)
}

#[test]
fn nothing_that_belongs_together_stands_on_both_sides() {
    let mut n_shared = 0;
    for case in 0..N_CASES {
        let items = items(case);
        let outcomes = select(&any_task(case), case, &items);
        let mut side: BTreeMap<&str, Split> = BTreeMap::new();
        for split in [Split::Train, Split::Test] {
            for tie in drawn(&items, &outcomes, split).flat_map(|item| &item.ties) {
                n_shared += usize::from(side.contains_key(tie.as_str()));
                assert_eq!(*side.entry(tie).or_insert(split), split, "case {case}: {tie} is on both sides");
            }
        }
    }
    assert!(n_shared > 1000, "only {n_shared} ties were shared by pictures that were drawn");
}

#[test]
fn ties_hold_over_any_number_of_steps() {
    let tied = |key: &str, quota, ties: &[&str]| Item {
        key: key.to_owned(),
        quota,
        owner: None,
        ties: ties.iter().map(|tie| (*tie).to_owned()).collect(),
    };
    // The first normal is tied to an anomaly through two others, so none of the four may train.
    let chain = [
        tied("a", None, &["patient 1"]),
        tied("b", None, &["eye 2", "file 3"]),
        tied("c", Some(0), &["file 3"]),
        tied("d", None, &["patient 1", "eye 2"]),
        tied("e", None, &["patient 9"]),
    ];
    for seed in 0..20 {
        let outcomes = select(&task(Some(4), None, OwnerSplit::Pool), seed, &chain);
        let trained: Vec<&str> =
            drawn(&chain, &outcomes, Split::Train).map(|item| item.key.as_str()).collect();
        assert_eq!(trained, ["e"]);
    }
}

#[test]
fn training_pictures_are_normal_and_reach_their_count_where_groups_allow() {
    for case in 0..N_CASES {
        let items = items(case);
        let task = any_task(case);
        let outcomes = select(&task, case, &items);
        assert!(drawn(&items, &outcomes, Split::Train).all(|item| item.quota.is_none()), "case {case}");
        let (trained, all) = (drawn(&items, &outcomes, Split::Train).count(), usize::MAX);
        let open = select(&Task { train_normal: Some(all), ..task.clone() }, case, &items);
        let available = drawn(&items, &open, Split::Train).count();
        if let Some(wanted) = task.train_normal {
            assert_eq!(trained, wanted.min(available), "case {case}");
        }
        let tested = drawn(&items, &outcomes, Split::Test).filter(|item| item.quota.is_none()).count();
        assert!(tested <= task.test_normal.unwrap_or(all), "case {case}");
        let bad = drawn(&items, &outcomes, Split::Test).filter(|item| item.quota == Some(0)).count();
        assert!(bad <= 6, "case {case}: {bad} of a quota of 6");
    }
}

#[test]
fn single_pictures_reach_every_count_exactly() {
    let single = |index: usize| Item {
        key: format!("{index}"),
        quota: [None, Some(0), Some(1)][index % 3],
        owner: None,
        ties: vec![format!("file {index}")],
    };
    let items: Vec<Item> = (0..90).map(single).collect();
    let counts = |train, test| {
        let outcomes = select(&task(train, test, OwnerSplit::Pool), 1, &items);
        let tested = |quota| drawn(&items, &outcomes, Split::Test).filter(|item| item.quota == quota).count();
        [drawn(&items, &outcomes, Split::Train).count(), tested(None), tested(Some(0)), tested(Some(1))]
    };
    assert_eq!(counts(Some(17), Some(9)), [17, 9, 6, 30]);
    assert_eq!(counts(Some(17), None), [17, 13, 6, 30]);
    assert_eq!(counts(None, Some(9)), [21, 9, 6, 30]);
    assert_eq!(counts(Some(40), Some(9)), [30, 0, 6, 30]);
    assert_eq!(counts(Some(0), Some(0)), [0, 0, 6, 30]);
}

#[test]
fn the_owner_s_division_binds_where_the_spec_respects_it() {
    let mut n_drawn = 0;
    for case in 0..N_CASES {
        let items = items(case);
        let outcomes = select(&task(Some(10), None, OwnerSplit::Respect), case, &items);
        assert!(
            drawn(&items, &outcomes, Split::Train).all(|item| item.owner == Some(Side::Train)),
            "case {case}"
        );
        assert!(
            drawn(&items, &outcomes, Split::Test).all(|item| item.owner == Some(Side::Test)),
            "case {case}"
        );
        n_drawn += outcomes.iter().filter(|outcome| matches!(outcome, Outcome::Drawn(_))).count();
    }
    assert!(n_drawn > 1000, "only {n_drawn} pictures were drawn at all");
}

#[test]
fn the_order_of_pictures_changes_nobody_s_fate() {
    for case in 0..N_CASES {
        let task = any_task(case);
        let mut items = items(case);
        let fate_of = |items: &[Item]| -> BTreeMap<String, Outcome> {
            items.iter().map(|item| item.key.clone()).zip(select(&task, case, items)).collect()
        };
        let before = fate_of(&items);
        Stream::new(4, "order", case).shuffle(&mut items);
        assert_eq!(fate_of(&items), before, "case {case}");
    }
}

#[test]
fn another_seed_draws_other_pictures() {
    let items: Vec<Item> = (0..60)
        .map(|index| Item { key: format!("{index}"), quota: None, owner: None, ties: Vec::new() })
        .collect();
    let task = task(Some(20), Some(20), OwnerSplit::Pool);
    assert_ne!(select(&task, 1, &items), select(&task, 2, &items));
    assert_ne!(
        select(&task, 1, &items),
        select(&Task { name: TaskName::new("bone"), ..task.clone() }, 1, &items)
    );
}

#[test]
fn everything_left_out_has_a_reason() {
    for case in 0..50 {
        for outcome in select(&any_task(case), case, &items(case)) {
            assert!(
                !matches!(outcome, Outcome::LeftOut(reason) if !reason.starts_with("not drawn: ")),
                "{outcome:?}"
            );
        }
    }
}
