//! Published divisions come out to the letter, and a selection can be published as text.

use medfsad::curate::ids::{IdList, freeze};
use medfsad::curate::select::{Item, Outcome, select};
use medfsad::curate::shuffle::divide;
use medfsad::curate::{Request, build, replay};
use medfsad::manifest::{Manifest, Split};
use medfsad::pseudonym::Key;
use medfsad::source::Side;
use medfsad::spec::{AnomalousPatients, OwnerSplit, OwnerValidation, Shuffle, Task};

use super::tree::{self, built, noise, plant, raw};

/// First numbers of `random.seed(seed); random.shuffle(list(range(n)))` in CPython 3.11.
#[test]
fn shuffles_are_those_of_cpython() {
    for (seed, n, first) in [
        (1, 10, vec![6, 8, 9, 7, 5, 3, 0]),
        (1, 1805, vec![1029, 116, 1628, 1606, 1362, 1154, 760, 239, 1182, 1781, 964, 198]),
        (7, 33, vec![7, 23, 25, 31, 4, 10, 5, 15, 30, 0, 19, 8]),
    ] {
        for train in 1..=first.len() {
            let sides = divide(Shuffle { seed, train }, n);
            let mut expected = first[..train].to_vec();
            expected.sort_unstable();
            let trained: Vec<usize> = (0..n).filter(|&index| sides[index] == Side::Train).collect();
            assert_eq!(trained, expected, "seed {seed}, {n} items");
        }
    }
}

fn item(key: &str, quota: Option<usize>, owner: Option<Side>, tie: &str) -> Item {
    Item { key: key.to_owned(), quota, owner, ties: vec![tie.to_owned()] }
}

fn task() -> Task {
    let mut task = tree::spec().tasks.remove(0);
    task.anomalous[0].count = None;
    (task.train_normal, task.test_normal) = (None, None);
    task
}

#[test]
fn an_exact_division_keeps_its_sides_where_respect_takes_a_copy_out_of_training() {
    let items = [
        item("a", None, Some(Side::Train), "copy 1"),
        item("b", None, Some(Side::Test), "copy 1"),
        item("c", None, Some(Side::Train), "copy 2"),
        item("d", Some(0), Some(Side::Val), "copy 3"),
    ];
    let outcomes =
        |owner_split, owner_validation| select(&Task { owner_split, owner_validation, ..task() }, 1, &items);
    use Outcome::Drawn;
    use Split::{Test, Train, Val};
    let exact = outcomes(OwnerSplit::Exact, OwnerValidation::Val);
    assert_eq!(exact, [Drawn(Train), Drawn(Test), Drawn(Train), Drawn(Val)]);
    let respect = outcomes(OwnerSplit::Respect, OwnerValidation::Test);
    assert!(matches!(respect[0], Outcome::LeftOut(_)));
    assert_eq!(respect[1..], [Drawn(Test), Drawn(Train), Drawn(Test)]);
}

#[test]
fn validation_takes_whole_patients_and_what_they_have_left_tests_nothing() {
    let items: Vec<Item> = (0..60)
        .map(|index| {
            let quota = (index % 3 == 0).then_some(0);
            item(&format!("{index}"), quota, None, &format!("patient {}", index / 6))
        })
        .collect();
    let mut task = task();
    task.anomalous_patients = AnomalousPatients::MayTrain;
    (task.train_normal, task.val_normal, task.anomalous[0].val) = (Some(14), Some(5), Some(3));
    for seed in 0..20 {
        let outcomes = select(&task, seed, &items);
        let count = |split, anomalous: bool| {
            let fits = |(item, outcome): &(&Item, &Outcome)| {
                **outcome == Outcome::Drawn(split) && item.quota.is_some() == anomalous
            };
            items.iter().zip(&outcomes).filter(fits).count()
        };
        assert_eq!((count(Split::Train, false), count(Split::Train, true)), (14, 0));
        assert_eq!((count(Split::Val, false), count(Split::Val, true)), (5, 3));
        // 10 patients: 4 train, 2 validate, 4 test with all they have.
        assert_eq!((count(Split::Test, false), count(Split::Test, true)), (16, 8));
        for patient in 0..10 {
            let sides = outcomes[patient * 6..(patient + 1) * 6].iter().filter_map(|outcome| match outcome {
                Outcome::Drawn(split) => Some(*split),
                Outcome::LeftOut(_) => None,
            });
            let sides: std::collections::BTreeSet<Split> = sides.collect();
            assert!(sides.len() <= 1, "patient {patient} stands on {sides:?}");
        }
    }
}

#[test]
fn a_frozen_selection_comes_again_from_its_text() {
    let raw = raw();
    let first = built(&tree::spec(), raw.path());
    let text = freeze(&first.manifest, &Key::PUBLIC, false);
    assert!(text.starts_with("# medfsad id list 2\n# spec small version 1, 19 pictures"), "{text}");
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("small.ids");
    std::fs::write(&file, &text).unwrap();
    // Another seed would draw others, and more pictures are there now.
    let mut spec = tree::spec();
    spec.seed = 99;
    plant(raw.path(), "Skin/good/new.png", &noise(77));
    let out = tempfile::tempdir().unwrap();
    let request =
        Request { spec: &spec, raw: raw.path(), out: out.path(), partial: false, key: &Key::PUBLIC };
    let drawn = build(&request).unwrap().header.canonical_hash;
    let replayed = replay(&request, &IdList::read(&file, &spec).unwrap()).unwrap().header.canonical_hash;
    assert_eq!(replayed, first.outcome.header.canonical_hash);
    assert_ne!(replayed, drawn);
    assert_eq!(freeze(&Manifest::read(out.path()).unwrap(), &Key::PUBLIC, false), text);
}

#[test]
fn an_id_list_that_cannot_be_met_says_why() {
    let raw = raw();
    let spec = tree::spec();
    let text = freeze(&built(&spec, raw.path()).manifest, &Key::PUBLIC, true);
    let folder = tempfile::tempdir().unwrap();
    let refusal = |text: &str| {
        let (file, out) = (folder.path().join("ids.txt"), tempfile::tempdir().unwrap());
        std::fs::write(&file, text).unwrap();
        let request =
            Request { spec: &spec, raw: raw.path(), out: out.path(), partial: false, key: &Key::PUBLIC };
        let result = IdList::read(&file, &spec).and_then(|ids| replay(&request, &ids));
        format!("{:#}", result.err().expect("this list should be refused"))
    };
    assert!(refusal("id\n").contains("first line"));
    assert!(refusal(&text.replace("skin\t", "wrist\t")).contains("line 5: unknown task `wrist`"));
    assert!(refusal(&text.replacen("\ttest\t", "\tboth\t", 1)).contains("unknown split `both`"));
    let last = text.lines().last().unwrap();
    assert!(refusal(&format!("{text}{last}\n")).contains("is named twice"));
    assert!(refusal(&format!("{text}{}\n", last.replace("Skin/", "Skin/x"))).contains("1 of 20 pictures"));
    let (path, hash) = (last.rsplit('\t').next().unwrap(), last.split('\t').nth(3).unwrap());
    let changed = refusal(&text.replace(hash, &"0".repeat(64)));
    assert!(changed.contains("1 files are not those of the id list") && changed.contains(path), "{changed}");
}
