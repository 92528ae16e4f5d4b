//! The search for near copies finds what comparing every picture with every other one finds.

use std::path::Path;

use image::{DynamicImage, ImageFormat};
use medfsad::audit::near::{Fingerprint, Limit, ORIENTATIONS};
use medfsad::audit::{Finding, run};
use medfsad::curate::{Request, build};
use medfsad::files;
use medfsad::manifest::{Manifest, Split};
use medfsad::pseudonym::Key;
use medfsad::random::Stream;
use medfsad::spec::{Audit, Spec};

use super::{encoded, gate};

/// Three pictures of four are fields of slow waves with noise, of two kinds and alike within each; every fourth is an
/// altered copy of an earlier one, turned or mirrored or with other noise. In two tasks, on all sides.
pub(super) fn raw_with_copies(seed: u64, raw: &Path) -> Spec {
    let mut stream = Stream::new(seed, "copies", 0);
    let mut made: Vec<image::GrayImage> = Vec::new();
    for index in 0..90 {
        let picture = if index % 4 == 3 {
            let original = &made[stream.below(index)];
            let turned = match stream.below(5) {
                0 => image::imageops::rotate90(original),
                1 => image::imageops::flip_horizontal(original),
                2 => image::imageops::rotate180(original),
                _ => original.clone(),
            };
            let noise = 1 + stream.below(40);
            let mut value = |value: u8| (usize::from(value) + stream.below(noise)).min(255) as u8;
            image::GrayImage::from_fn(48, 48, |x, y| image::Luma([value(turned.get_pixel(x, y).0[0])]))
        } else {
            let waves: Vec<[f64; 3]> = (0..6)
                .map(|wave| {
                    let mut kind = Stream::new(seed, "kind", (index % 2 * 6 + wave) as u64);
                    std::array::from_fn(|_| 0.5 * kind.normal() + 0.3 * stream.normal())
                })
                .collect();
            let mut value = |x: u32, y: u32| {
                let at = |[a, b, phase]: &[f64; 3]| (a * f64::from(x) + b * f64::from(y) + 3.0 * phase).sin();
                let sum: f64 = waves.iter().map(at).sum();
                (128.0 + 18.0 * sum + 8.0 * stream.normal()).clamp(0.0, 255.0) as u8
            };
            image::GrayImage::from_fn(48, 48, |x, y| image::Luma([value(x, y)]))
        };
        let folder =
            ["a/train/good", "a/test/good", "a/test/bad", "b/train/good", "b/test/bad"][stream.below(5)];
        let bytes = encoded(&DynamicImage::ImageLuma8(picture.clone()), ImageFormat::Png);
        files::write_unsynced(&raw.join(folder).join(format!("{index}.png")), &bytes).unwrap();
        made.push(picture);
    }
    let task = |name: &str| {
        format!(
            "[[task]]\nname = \"{name}\"\norgan = \"{name}\"\nmodality = \"m\"\nanomaly = \"bad\"\n\
             source = \"folders\"\nfolder = \"{name}\"\nnormal = [\"good\"]\nowner_split = \"exact\"\n\
             [[task.anomalous]]\nfindings = [\"bad\"]\n"
        )
    };
    let head = "name = \"p\"\nversion = 1\ntitle = \"p\"\nseed = 1\nsizes = [32]\n";
    Spec::parse(&format!("{head}{}{}", task("a"), task("b"))).unwrap()
}

/// What comparing every picture with every other one finds, said as the gate says it.
fn near_copies_by_all_pairs(manifest: &Manifest, thresholds: &Audit) -> Vec<(String, Vec<String>)> {
    let rows = &manifest.rows;
    let mut fingerprints = Vec::new();
    let mut limits = Vec::new();
    for name in manifest.tasks() {
        let task = manifest.task(&name).unwrap();
        let store = task.store(32).unwrap();
        let of_task: Vec<Fingerprint> =
            task.rows.iter().map(|row| Fingerprint::of(&store.pixels(&row.pixel_hash).unwrap())).collect();
        let limit = Limit::of(&of_task.iter().collect::<Vec<_>>(), thresholds).correlation;
        limits.extend(vec![limit; of_task.len()]);
        fingerprints.extend(of_task);
    }
    let mut found = Vec::new();
    for a in 0..rows.len() {
        for b in a + 1..rows.len() {
            let (first, second) = (&rows[a], &rows[b]);
            let is_across = first.split != second.split || first.task != second.task;
            if !is_across || first.pixel_hash == second.pixel_hash {
                continue;
            }
            let least = limits[a].max(limits[b]);
            if let Some((bits, correlation, orientation)) =
                fingerprints[a].compare(&fingerprints[b], thresholds.near_bits, least)
            {
                let lies = ORIENTATIONS[orientation];
                let mut ids = vec![first.image_id.to_string(), second.image_id.to_string()];
                if second.split == Split::Train {
                    ids.reverse();
                }
                found.push((format!("{bits} of 64 bits apart, correlation {correlation:.3}, {lies}"), ids));
            }
        }
    }
    found
}

#[test]
fn near_copies_are_those_that_comparing_all_pairs_finds_in_the_same_order() {
    for seed in 1..=3 {
        let (raw, out) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let spec = raw_with_copies(seed, raw.path());
        build(&Request { spec: &spec, raw: raw.path(), out: out.path(), partial: false, key: &Key::PUBLIC })
            .unwrap();
        let manifest = Manifest::read(out.path()).unwrap();
        for (near_bits, near_correlation) in [(2, -1.0), (12, 0.75), (20, 0.3), (64, 0.75)] {
            let thresholds = Audit { near_bits, near_correlation, ..Audit::default() };
            let report = run(&manifest, &thresholds, None, None).unwrap();
            let said = |finding: &Finding| {
                let ids = finding.pictures.iter().map(|picture| picture.image_id.to_string());
                (finding.what.clone(), ids.collect())
            };
            let found: Vec<(String, Vec<String>)> =
                gate(&report, "near-copies").findings.iter().map(said).collect();
            assert!(!found.is_empty(), "{seed} {near_bits} {near_correlation}: nothing was planted");
            assert_eq!(found, near_copies_by_all_pairs(&manifest, &thresholds), "{seed} {near_bits}");
        }
    }
}
