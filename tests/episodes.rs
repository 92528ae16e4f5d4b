//! Episodes are nested, repeatable, drawn from train normals alone, and stored with a hash.

use std::collections::HashSet;

use medfsad::episode::{Episodes, HeldOut, Settings, draw};
use medfsad::ids::{ImageId, TaskName};
use medfsad::manifest::{Label, Manifest, Split};

use crate::made_up::manifest;

const SETTINGS: Settings = Settings { seed: 11, draws: 6, max_shots: 8 };

fn five_tasks() -> Manifest {
    manifest(&[
        ("aptos", "eye", 30),
        ("brain_tumor", "brain", 25),
        ("his", "breast", 20),
        ("lag", "eye", 31),
        ("rsna", "chest", 22),
    ])
}

fn drawn(settings: Settings) -> Episodes {
    draw(&five_tasks(), settings).unwrap()
}

fn train_ids<'a>(manifest: &'a Manifest, task: &str) -> HashSet<&'a str> {
    let rows = manifest.rows.iter().filter(|row| row.task == task);
    let train = rows.filter(|row| row.split == Split::Train && row.label == Label::Normal);
    train.map(|row| row.image_id.as_str()).collect()
}

#[test]
fn smaller_support_sets_are_the_head_of_larger_ones() {
    let eight = drawn(SETTINGS);
    for max_shots in [2, 4] {
        let fewer = drawn(Settings { max_shots, ..SETTINGS });
        for (task, draws) in &eight.supports {
            for (index, set) in draws.iter().enumerate() {
                assert_eq!(set.len(), 8);
                assert_eq!(fewer.supports[task][index], set[..max_shots], "{task} {index}");
            }
        }
        for (task, pairs) in &eight.pairs {
            for (pair, fewer) in pairs.iter().zip(&fewer.pairs[task]) {
                assert_eq!((&fewer.query, &fewer.supports[..]), (&pair.query, &pair.supports[..max_shots]));
            }
        }
    }
}

#[test]
fn more_draws_leave_earlier_ones_as_they_are() {
    let (few, many) = (drawn(SETTINGS), drawn(Settings { draws: 20, ..SETTINGS }));
    assert_eq!(few.pairs, many.pairs);
    for (task, draws) in &few.supports {
        assert_eq!(many.supports[task].len(), 20);
        assert_eq!(many.supports[task][..6], draws[..]);
    }
}

#[test]
fn supports_are_distinct_train_normals_of_their_own_task() {
    let manifest = five_tasks();
    let episodes = draw(&manifest, SETTINGS).unwrap();
    assert_eq!(episodes.supports.len(), 5);
    for (task, draws) in &episodes.supports {
        let train = train_ids(&manifest, task);
        assert_eq!(draws.len(), 6);
        for set in draws {
            assert!(set.iter().all(|id| train.contains(id.as_str())), "{task}");
            assert_eq!(set.iter().collect::<HashSet<_>>().len(), set.len(), "{task}");
        }
    }
    episodes.verify(&manifest).unwrap();
}

#[test]
fn draws_and_seeds_give_other_supports_and_reach_every_train_normal() {
    let manifest = five_tasks();
    let episodes = draw(&manifest, Settings { draws: 60, ..SETTINGS }).unwrap();
    for (task, draws) in &episodes.supports {
        assert_eq!(draws.iter().collect::<HashSet<_>>().len(), 60, "{task} repeats a draw");
        let reached: HashSet<&str> = draws.iter().flatten().map(ImageId::as_str).collect();
        assert_eq!(reached, train_ids(&manifest, task));
    }
    let other = drawn(Settings { seed: 12, ..SETTINGS });
    assert!(other.supports.iter().all(|(task, draws)| draws[0] != episodes.supports[task][0]));
    assert!(other.pairs.iter().all(|(task, pairs)| *pairs != episodes.pairs[task]));
}

#[test]
fn every_train_normal_is_a_query_once_and_never_its_own_support() {
    let manifest = five_tasks();
    for (task, pairs) in &draw(&manifest, SETTINGS).unwrap().pairs {
        let train = train_ids(&manifest, task);
        let queries: HashSet<&str> = pairs.iter().map(|pair| pair.query.as_str()).collect();
        assert_eq!((queries.len(), &queries), (pairs.len(), &train), "{task}");
        for pair in pairs {
            assert_eq!(pair.supports.len(), 8);
            assert!(!pair.supports.contains(&pair.query), "{task}");
            assert!(pair.supports.iter().all(|id| train.contains(id.as_str())), "{task}");
        }
        let reached: HashSet<&ImageId> = pairs.iter().flat_map(|pair| &pair.supports).collect();
        assert_eq!(reached.len(), train.len(), "{task}: some picture never supports in training");
    }
}

#[test]
fn the_smallest_task_has_two_train_normals_and_smaller_sets() {
    let small = manifest(&[("pair", "skin", 2)]);
    let episodes = draw(&small, SETTINGS).unwrap();
    assert!(episodes.supports["pair"].iter().all(|set| set.len() == 2));
    episodes.verify(&small).unwrap();
    let error = draw(&manifest(&[("lone", "skin", 1)]), SETTINGS).unwrap_err().to_string();
    assert!(error.contains("`lone` has 1 train normals"), "{error}");
}

#[test]
fn stored_episodes_read_back_equal_and_the_same_bytes_come_again() {
    let episodes = drawn(SETTINGS);
    let (one, two) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    for folder in [&one, &two] {
        episodes.write(folder.path()).unwrap();
        assert_eq!(Episodes::read(folder.path()).unwrap(), episodes);
    }
    for name in ["episodes.parquet", "episodes.json"] {
        let bytes = |folder: &tempfile::TempDir| std::fs::read(folder.path().join(name)).unwrap();
        assert_eq!(bytes(&one), bytes(&two));
    }
}

#[test]
fn stored_episodes_that_were_changed_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let (mine, other) = (drawn(SETTINGS), tempfile::tempdir().unwrap());
    let mut changed = drawn(SETTINGS);
    changed.supports.get_mut("his").unwrap()[3].swap(0, 1);
    changed.write(other.path()).unwrap();
    mine.write(folder.path()).unwrap();
    std::fs::copy(other.path().join("episodes.parquet"), folder.path().join("episodes.parquet")).unwrap();
    let error = format!("{:#}", Episodes::read(folder.path()).unwrap_err());
    assert!(error.contains("hash to"), "{error}");
    mine.write(folder.path()).unwrap();
    let header = std::fs::read_to_string(folder.path().join("episodes.json")).unwrap();
    std::fs::write(folder.path().join("episodes.json"), header.replace("11", "12")).unwrap();
    assert!(Episodes::read(folder.path()).is_err());
}

/// Something done to episodes behind their manifest's back.
type Change<'a> = &'a dyn Fn(&mut Episodes);

#[test]
fn episodes_of_another_manifest_and_leaking_ones_are_refused() {
    let manifest = five_tasks();
    let refusal = |change: Change| {
        let mut episodes = draw(&manifest, SETTINGS).unwrap();
        change(&mut episodes);
        episodes.verify(&manifest).unwrap_err().to_string()
    };
    let tested: Vec<ImageId> = manifest.select("his", Split::Test).map(|row| row.image_id.clone()).collect();
    let cases: [(&str, Change); 6] = [
        ("belong to manifest", &|e| e.manifest_hash = "another".to_owned()),
        ("not one of its train", &|e| e.supports.get_mut("his").unwrap()[0][7] = tested[0].clone()),
        ("repeats a picture", &|e| {
            let set = &mut e.supports.get_mut("his").unwrap()[2];
            set[1] = set[0].clone();
        }),
        ("is incomplete", &|e| drop(e.supports.get_mut("his").unwrap()[5].pop())),
        ("leaves its train", &|e| e.pairs.get_mut("lag").unwrap()[0].supports[0] = tested[0].clone()),
        ("supports itself", &|e| {
            let pair = &mut e.pairs.get_mut("lag").unwrap()[4];
            pair.supports[6] = pair.query.clone();
        }),
    ];
    for (named, change) in cases {
        let error = refusal(change);
        assert!(error.contains(named), "{named}: {error}");
    }
}

#[test]
fn the_hash_of_a_cell_covers_what_the_cell_uses_and_nothing_else() {
    let training = ["aptos", "rsna"].map(TaskName::new);
    let hash = |settings, shots| drawn(settings).cell_hash("his", 1, shots, &training).unwrap();
    let base = hash(SETTINGS, 2);
    assert_eq!(hash(Settings { draws: 9, ..SETTINGS }, 2), base);
    assert_eq!(hash(Settings { max_shots: 4, ..SETTINGS }, 2), base);
    assert_ne!(hash(Settings { seed: 12, ..SETTINGS }, 2), base);
    assert_ne!(hash(SETTINGS, 4), base);
    let episodes = drawn(SETTINGS);
    assert_ne!(episodes.cell_hash("his", 2, 2, &training).unwrap(), base);
    assert_ne!(episodes.cell_hash("lag", 1, 2, &training).unwrap(), base);
    assert_ne!(episodes.cell_hash("his", 1, 2, &training[..1]).unwrap(), base);
    let mut changed = drawn(SETTINGS);
    changed.pairs.get_mut("lag").unwrap()[0].supports.reverse();
    changed.supports.get_mut("his").unwrap()[1].swap(6, 7);
    assert_eq!(changed.cell_hash("his", 1, 2, &training).unwrap(), base, "something unused was hashed");
    changed.pairs.get_mut("rsna").unwrap().swap(0, 1);
    assert_ne!(changed.cell_hash("his", 1, 2, &training).unwrap(), base);
}

#[test]
fn a_cell_that_was_never_drawn_is_an_error() {
    let episodes = drawn(SETTINGS);
    let error = |task, draw, shots| episodes.cell_hash(task, draw, shots, &[]).unwrap_err().to_string();
    assert!(error("his", 6, 2).contains("no support draw 6 for task `his`"));
    assert!(error("skin", 0, 2).contains("`skin`"));
    assert!(error("his", 0, 9).contains("9 shots are asked for"));
}

#[test]
fn the_target_never_trains_and_under_the_organ_rule_neither_does_its_organ() {
    let manifest = five_tasks();
    let training = |rule: HeldOut, target| rule.training_tasks(&manifest, target);
    assert_eq!(training(HeldOut::Dataset, "aptos"), ["brain_tumor", "his", "lag", "rsna"]);
    assert_eq!(training(HeldOut::Organ, "aptos"), ["brain_tumor", "his", "rsna"]);
    assert_eq!(training(HeldOut::Organ, "lag"), ["brain_tumor", "his", "rsna"]);
    assert_eq!(training(HeldOut::Organ, "his"), ["aptos", "brain_tumor", "lag", "rsna"]);
}

#[test]
fn the_json_for_other_tools_holds_the_same_episodes() {
    let episodes = drawn(SETTINGS);
    let json = episodes.to_json();
    assert_eq!(json["hash"], episodes.hash());
    assert_eq!(json["supports"]["lag"][5][7], episodes.supports["lag"][5][7].as_str());
    assert_eq!(json["pairs"]["rsna"][21]["query"], episodes.pairs["rsna"][21].query.as_str());
    assert_eq!(json["settings"]["max_shots"], 8);
}
