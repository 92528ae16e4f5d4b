//! The whole benchmark, from raw trees in the owners' own counts.

use std::collections::BTreeMap;

use medfsad::curate::{Request, build};
use medfsad::manifest::{Label, Manifest, Split};
use medfsad::phantom::{Scale, Settings, write_with};
use medfsad::pseudonym::Key;
use medfsad::spec::Spec;

#[test]
fn the_owners_releases_give_the_13_084_pictures() {
    let raw = tempfile::tempdir().unwrap();
    let drawn = write_with(raw.path(), &Settings { scale: Scale::Full, ..Settings::default() }).unwrap();
    assert_eq!(drawn.pictures, 7321 + 4854 + 5590 + 29_684 + 7023);
    let spec = Spec::load("medfsad").unwrap();
    let out = tempfile::tempdir().unwrap();
    let built =
        build(&Request { spec: &spec, raw: raw.path(), out: out.path(), partial: false, key: &Key::PUBLIC })
            .unwrap();
    assert!(!built.remarks.iter().any(|remark| remark.contains("published")), "{:#?}", built.remarks);
    let manifest = Manifest::read(out.path()).unwrap();
    let mut counts: BTreeMap<&str, [usize; 3]> = BTreeMap::new();
    for row in &manifest.rows {
        let place = match (row.split, row.label) {
            (Split::Train, Label::Normal) => 0,
            (Split::Test, Label::Normal) => 1,
            (Split::Test, Label::Anomalous) => 2,
            other => panic!("{} stands at {other:?}", row.source_path),
        };
        counts.entry(&row.task).or_default()[place] += 1;
    }
    // Training normals, test normals, test anomalies.
    let expected = [
        ("his", [1000, 500, 500]),
        ("lag", [1500, 811, 911]),
        ("aptos", [1000, 805, 1857]),
        ("rsna", [1000, 500, 500]),
        ("brain_tumor", [1000, 600, 600]),
    ];
    assert_eq!(counts, expected.into_iter().collect());
    assert_eq!(manifest.rows.len(), 13_084);
}
