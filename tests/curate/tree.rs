//! A small raw tree of class folders with noise pictures, none of them square.

use std::path::Path;

use medfsad::curate::{Outcome, Request, build};
use medfsad::files;
use medfsad::manifest::{Manifest, Row, Split};
use medfsad::pseudonym::Key;
use medfsad::random::Stream;
use medfsad::spec::Spec;
use tempfile::TempDir;

/// Side of the standardised pictures.
pub const SIZE: usize = 32;

pub const HOW_TO_GET: &str = "ask the skin archive";

const SPEC: &str = r#"
name = "small"
version = 1
title = "noise in class folders"
seed = 5
sizes = [32]

[[task]]
name = "skin"
organ = "skin"
modality = "photograph"
anomaly = "lesion"
source = "folders"
folder = "Skin"
normal = ["good"]
train_normal = 8
test_normal = 5
[[task.anomalous]]
findings = ["bad", "worse"]
count = 6
[task.card]
how_to_get = "ask the skin archive"
"#;

/// 8 of 20 normals train, 5 test beside 6 of 12 anomalous; `odd` is used for nothing.
pub fn spec() -> Spec {
    Spec::parse(SPEC).unwrap()
}

/// Height and width of noise picture `index`.
pub fn shape(index: u64) -> (u32, u32) {
    (20 + index as u32 % 7, 31 + index as u32 % 5)
}

/// PNG bytes of noise picture `index`.
pub fn noise(index: u64) -> Vec<u8> {
    let ((height, width), mut stream) = (shape(index), Stream::new(1, "noise", index));
    let picture =
        image::RgbImage::from_fn(width, height, |_, _| image::Rgb([0; 3].map(|_| stream.bits() as u8)));
    encode(&image::DynamicImage::ImageRgb8(picture))
}

pub fn encode(picture: &image::DynamicImage) -> Vec<u8> {
    let mut bytes = std::io::Cursor::new(Vec::new());
    picture.write_to(&mut bytes, image::ImageFormat::Png).unwrap();
    bytes.into_inner()
}

/// Every file of the tree, in the order of its making.
pub fn entries() -> Vec<(String, Vec<u8>)> {
    let mut entries = Vec::new();
    let mut index = 0;
    for (folder, count) in [("good", 20), ("bad", 7), ("worse", 5), ("odd", 3)] {
        for number in 0..count {
            entries.push((format!("Skin/{folder}/{number:02}.png"), noise(index)));
            index += 1;
        }
    }
    entries.push(("Skin/notes.txt".to_owned(), b"taken in spring".to_vec()));
    entries.push(("Skin/lone.png".to_owned(), noise(index)));
    entries
}

pub fn plant(raw: &Path, path: &str, bytes: &[u8]) {
    files::write_whole(&raw.join(path), bytes).unwrap();
}

/// The tree on disk.
pub fn raw() -> TempDir {
    let raw = tempfile::tempdir().unwrap();
    for (path, bytes) in entries() {
        plant(raw.path(), &path, &bytes);
    }
    raw
}

/// A curated folder that goes away with this value, as read back, and what building said.
pub struct Built {
    pub out: TempDir,
    pub manifest: Manifest,
    pub outcome: Outcome,
}

impl Built {
    /// Source paths of one split and finding, in the manifest's order.
    pub fn paths(&self, split: Split, findings: &[&str]) -> Vec<&str> {
        let fits = |row: &&Row| row.split == split && findings.contains(&row.finding.as_str());
        self.manifest.rows.iter().filter(fits).map(|row| row.source_path.as_str()).collect()
    }

    /// Kind and reason of a file that was not used.
    pub fn rejection(&self, path: &str) -> (&str, &str) {
        let found = self.outcome.rejected.iter().find(|rejected| rejected.source_path == path);
        let rejected = found.unwrap_or_else(|| panic!("{path} is not among the rejected"));
        (&rejected.kind, &rejected.reason)
    }
}

pub fn built(spec: &Spec, raw: &Path) -> Built {
    let out = tempfile::tempdir().unwrap();
    let outcome = build(&Request { spec, raw, out: out.path(), partial: false, key: &Key::PUBLIC }).unwrap();
    Built { manifest: Manifest::read(out.path()).unwrap(), out, outcome }
}

pub fn refused(spec: &Spec, raw: &Path) -> String {
    let out = tempfile::tempdir().unwrap();
    let result = build(&Request { spec, raw, out: out.path(), partial: false, key: &Key::PUBLIC });
    assert!(!out.path().join("manifest.json").exists(), "a refused build left a manifest");
    format!("{:#}", result.err().expect("the build should be refused"))
}
