//! Raw folders become a manifest: every file is accounted for, nothing leaks, the same comes again.

mod brats;
mod full;
mod mask;
mod mini;
mod private;
mod published;
mod selection;
mod stored;
mod taken;
mod tree;

use std::collections::{BTreeMap, BTreeSet};

use medfsad::curate::{Request, build};
use medfsad::files;
use medfsad::ids::TaskName;
use medfsad::manifest::{Manifest, Rejected, Selection, Split};
use medfsad::pseudonym::Key;
use medfsad::spec::Duplicates;
use medfsad::table::Record;

use tree::{built, entries, noise, plant, raw, refused, spec};

#[test]
fn every_file_is_in_the_manifest_or_rejected_exactly_once() {
    let raw = raw();
    let built = built(&spec(), raw.path());
    let used = built.manifest.rows.iter().map(|row| row.source_path.clone());
    let mut accounted: Vec<String> =
        used.chain(built.outcome.rejected.iter().map(|rejected| rejected.source_path.clone())).collect();
    accounted.sort_unstable();
    assert_eq!(accounted, files::walk(raw.path()).unwrap());
    assert_eq!(Rejected::read(&built.out.path().join("rejected.parquet")).unwrap(), built.outcome.rejected);
    let mut kinds: BTreeMap<&str, usize> = BTreeMap::new();
    for rejected in &built.outcome.rejected {
        *kinds.entry(&rejected.kind).or_default() += 1;
        assert!(!rejected.reason.is_empty());
    }
    assert_eq!(
        kinds.into_iter().collect::<Vec<_>>(),
        [("not-a-picture", 2), ("not-drawn", 13), ("other-finding", 3)]
    );
}

#[test]
fn counts_are_those_of_the_spec() {
    let built = built(&spec(), raw().path());
    assert_eq!(built.paths(Split::Train, &["good"]).len(), 8);
    assert_eq!(built.paths(Split::Test, &["good"]).len(), 5);
    assert_eq!(built.paths(Split::Test, &["bad", "worse"]).len(), 6);
    assert_eq!((built.manifest.rows.len(), built.outcome.header.n_rows), (19, 19));
    assert_eq!(built.outcome.header.n_rejected, 18);
    let selection = Selection::read(&built.out.path().join("selection.parquet")).unwrap();
    assert_eq!(selection, built.outcome.selection);
    let counts: Vec<_> =
        selection.iter().map(|s| (s.part.as_str(), s.expected, s.available, s.found)).collect();
    let expected = [
        ("train normal", Some(8), 20, 8),
        ("test normal", Some(5), 20, 5),
        ("test bad+worse", Some(6), 12, 6),
    ];
    assert_eq!(counts, expected);
    let told = "skin: no patient is known, so sides are divided by picture; where paths tell patients, give --group-by REGEX";
    assert_eq!(built.outcome.remarks, [told]);
}

#[test]
fn a_count_that_is_not_given_takes_all_there_is() {
    let mut spec = spec();
    (spec.tasks[0].train_normal, spec.tasks[0].anomalous[0].count) = (None, None);
    let built = built(&spec, raw().path());
    assert_eq!(built.paths(Split::Train, &["good"]).len(), 15);
    assert_eq!(built.paths(Split::Test, &["bad", "worse"]).len(), 12);
}

#[test]
fn byte_identical_pictures_never_stand_on_two_sides() {
    let raw = raw();
    for number in 0..10 {
        plant(raw.path(), &format!("Skin/good/copy {number}.png"), &noise(number));
    }
    // Also a normal and an anomalous picture that are one file.
    plant(raw.path(), "Skin/bad/copy.png", &noise(12));
    let mut n_both_drawn = 0;
    for seed in 0..8 {
        let mut spec = spec();
        spec.seed = seed;
        let built = built(&spec, raw.path());
        let mut sides: BTreeMap<&str, Vec<Split>> = BTreeMap::new();
        for row in &built.manifest.rows {
            sides.entry(&row.file_sha256).or_default().push(row.split);
        }
        assert!(sides.values().all(|sides| sides.iter().all(|side| *side == sides[0])), "seed {seed}");
        n_both_drawn += sides.values().filter(|sides| sides.len() == 2).count();
        assert_eq!(built.manifest.rows.len(), 19);
    }
    assert!(n_both_drawn > 5, "only {n_both_drawn} pairs of copies were drawn at all");
}

#[test]
fn copies_are_rejected_by_the_name_of_their_original_where_the_spec_drops_them() {
    let raw = raw();
    plant(raw.path(), "Skin/good/zz.png", &noise(3));
    plant(raw.path(), "Skin/good/00 before all.png", &noise(4));
    let mut spec = spec();
    spec.tasks[0].duplicates = Duplicates::Drop;
    let built = built(&spec, raw.path());
    assert_eq!(built.rejection("Skin/good/zz.png"), ("duplicate", "byte-identical to good/03.png"));
    assert_eq!(
        built.rejection("Skin/good/04.png"),
        ("duplicate", "byte-identical to good/00 before all.png")
    );
    assert_eq!(built.manifest.rows.len(), 19);
}

#[test]
fn a_broken_picture_is_rejected_and_the_next_of_the_draw_takes_its_place() {
    let raw = raw();
    let before = built(&spec(), raw.path());
    let broken = before.paths(Split::Train, &["good"])[2].to_owned();
    let bytes = std::fs::read(raw.path().join(&broken)).unwrap();
    for damage in [&b""[..], b"no picture", &bytes[..bytes.len() / 2]] {
        plant(raw.path(), &broken, damage);
        let after = built(&spec(), raw.path());
        let (kind, reason) = after.rejection(&broken);
        assert!(kind == "unreadable" && !reason.is_empty(), "{kind}: {reason}");
        let train = after.paths(Split::Train, &["good"]);
        let mut kept = before.paths(Split::Train, &["good"]);
        kept.retain(|path| *path != broken);
        assert_eq!(train.len(), 8);
        assert!(kept.iter().all(|path| train.contains(path)), "{kept:?} are not all in {train:?}");
        assert_eq!(after.paths(Split::Test, &["good"]).len(), 5);
        assert_eq!(after.paths(Split::Test, &["bad", "worse"]), before.paths(Split::Test, &["bad", "worse"]));
        let n_mentioned = after.outcome.rejected.iter().filter(|r| r.source_path == broken).count();
        assert_eq!(n_mentioned, 1);
    }
}

/// The small spec with a second task whose folder is missing.
fn with_missing_task() -> medfsad::spec::Spec {
    let mut spec = spec();
    let mut missing = spec.tasks[0].clone();
    (missing.name, missing.folder) = (TaskName::new("bone"), "Bone".to_owned());
    spec.tasks.push(missing);
    spec
}

#[test]
fn a_missing_source_is_named_with_its_folder_and_how_to_get_it() {
    let error = refused(&with_missing_task(), raw().path());
    assert!(error.contains("1 of 2 sources are missing") && error.contains("bone"), "{error}");
    assert!(error.contains("Bone") && error.contains(tree::HOW_TO_GET), "{error}");
    assert!(error.contains("--partial"), "{error}");
}

#[test]
fn a_partial_build_goes_on_without_a_missing_source_and_says_so() {
    let (raw, out) = (raw(), tempfile::tempdir().unwrap());
    let spec = with_missing_task();
    let outcome =
        build(&Request { spec: &spec, raw: raw.path(), out: out.path(), partial: true, key: &Key::PUBLIC })
            .unwrap();
    assert_eq!(Manifest::read(out.path()).unwrap().tasks(), ["skin"]);
    assert_eq!(outcome.remarks.len(), 2, "{:?}", outcome.remarks);
    assert!(outcome.remarks[0].contains("bone") && outcome.remarks[0].contains(tree::HOW_TO_GET));
    let empty = tempfile::tempdir().unwrap();
    let nothing =
        build(&Request { spec: &spec, raw: empty.path(), out: out.path(), partial: true, key: &Key::PUBLIC });
    assert!(nothing.is_err(), "there is nothing to build from");
}

#[test]
fn too_few_pictures_are_listed_by_task_and_part() {
    let (raw, mut spec) = (raw(), spec());
    spec.tasks[0].test_normal = Some(50);
    spec.tasks[0].anomalous[0].count = Some(13);
    let error = refused(&spec, raw.path());
    assert!(error.contains("skin test normal: 12 of 50 (20 available)"), "{error}");
    assert!(error.contains("skin test bad+worse: 12 of 13 (12 available)"), "{error}");
    assert!(!error.contains("train normal"), "{error}");
    let out = tempfile::tempdir().unwrap();
    let outcome =
        build(&Request { spec: &spec, raw: raw.path(), out: out.path(), partial: true, key: &Key::PUBLIC })
            .unwrap();
    assert_eq!((outcome.header.n_rows, outcome.remarks.len()), (32, 3));
}

#[test]
fn neither_threads_nor_the_order_of_files_change_the_manifest() {
    let mut turned = entries();
    turned.reverse();
    let mut built = Vec::new();
    for (n_threads, entries) in [(1, entries()), (2, turned)] {
        let raw = tempfile::tempdir().unwrap();
        for (path, bytes) in entries {
            plant(raw.path(), &path, &bytes);
        }
        let pool = rayon::ThreadPoolBuilder::new().num_threads(n_threads).build().unwrap();
        built.push(pool.install(|| tree::built(&spec(), raw.path())));
    }
    assert_eq!(built[0].outcome.header.canonical_hash, built[1].outcome.header.canonical_hash);
    for file in ["manifest.parquet", "rejected.parquet", "selection.parquet", "pixels/skin-32.safetensors"] {
        let bytes = |index: usize| std::fs::read(built[index].out.path().join(file)).unwrap();
        assert!(bytes(0) == bytes(1), "{file} differs");
    }
}

#[test]
fn a_file_added_to_another_class_changes_no_normal_that_is_drawn() {
    let raw = raw();
    let before = built(&spec(), raw.path());
    for path in ["Skin/bad/0 first.png", "Skin/bad/zz last.png", "Skin/odd/more.png"] {
        plant(raw.path(), path, &noise(100 + path.len() as u64));
    }
    let after = built(&spec(), raw.path());
    for split in [Split::Train, Split::Test] {
        assert_eq!(after.paths(split, &["good"]), before.paths(split, &["good"]));
    }
    let seeds = (0..4).map(|seed| {
        let mut spec = spec();
        spec.seed = seed;
        built(&spec, raw.path()).outcome.header.canonical_hash
    });
    assert_eq!(seeds.collect::<BTreeSet<_>>().len(), 4, "the seed does not move the draw");
}
