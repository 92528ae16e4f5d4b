//! The phantom's exposure must not tell ill from healthy, or trivial controls would solve it.

use std::path::Path;

use anyhow::{Context, Result};
use medfsad::decode::{self, resize};
use medfsad::metric::auroc::auroc;
use medfsad::{files, phantom};

use super::{FOLDERS, findings, ids_of, mask, pictures};

/// Mean and standard deviation of all RGB samples and standard deviation of the luma, at 64 x 64.
fn exposure(path: &Path) -> Result<[f64; 3]> {
    let pixels = decode::decode(&files::read(path)?, 0)?.pixels;
    let pixels = resize::lanczos(&pixels.to_rgb(), 64, 64);
    let samples: Vec<f64> = pixels.samples().iter().map(|&sample| f64::from(sample)).collect();
    let luma = |rgb: &[f64]| 0.299 * rgb[0] + 0.587 * rgb[1] + 0.114 * rgb[2];
    let lumas: Vec<f64> = samples.chunks_exact(3).map(luma).collect();
    Ok([moments(&samples)[0], moments(&samples)[1], moments(&lumas)[1]])
}

/// Mean and standard deviation.
fn moments(values: &[f64]) -> [f64; 2] {
    let count = values.len() as f64;
    let mean = values.iter().sum::<f64>() / count;
    [mean, (values.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / count).sqrt()]
}

#[test]
fn exposure_does_not_tell_the_ill() -> Result<()> {
    let root = tempfile::tempdir()?;
    phantom::write(root.path(), 1)?;
    let classes = "rsna-pneumonia-detection-challenge/stage_2_detailed_class_info.csv";
    let classes = findings(root.path(), classes)?;
    let other = |path: &String| {
        let id = ids_of(std::slice::from_ref(path)).pop_first().unwrap_or_default();
        path.contains("/pituitary/") || classes.get(&id).is_some_and(|class| class.ends_with("Not Normal"))
    };
    for (task, folder) in FOLDERS {
        let (mut normal, mut ill) = (Vec::new(), Vec::new());
        for path in pictures(root.path(), folder)?.iter().filter(|path| !other(path)) {
            let side = if mask(root.path(), task, path).is_some() { &mut ill } else { &mut normal };
            side.push(exposure(&root.path().join(folder).join(path))?);
        }
        for (index, name) in ["RGB mean", "RGB deviation", "luma contrast"].iter().enumerate() {
            let of = |side: &[[f64; 3]]| side.iter().map(|picture| picture[index]).collect::<Vec<f64>>();
            let auroc = auroc(&of(&normal), &of(&ill)).context("both classes")?;
            assert!((0.4..=0.6).contains(&auroc), "{task}: {name} has AUROC {auroc:.3}");
        }
    }
    Ok(())
}
