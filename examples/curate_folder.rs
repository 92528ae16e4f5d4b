//! Curates a folder of class folders with the crate as a library, and reads the manifest back.
//!
//!     cargo run --release --example curate_folder [FOLDER NORMAL_CLASS]
//!
//! `FOLDER` holds one folder of pictures for each class. Without arguments, synthetic MRI slices are drawn first.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use medfsad::curate::{Request, build};
use medfsad::manifest::{Label, Manifest, Split};
use medfsad::phantom;
use medfsad::pseudonym::Key;
use medfsad::spec::Spec;

/// A specification of one task: every class but the normal one is anomalous, half of the normal pictures train.
fn specification(folder: &Path, normal: &str, n_train: usize) -> Result<Spec> {
    let name = folder.file_name().context("the folder has no name")?.to_string_lossy();
    let text = format!(
        r#"
        name = "example"
        version = 1
        title = "one folder"
        seed = 1
        sizes = [64]

        [[task]]
        name = "example"
        organ = "example"
        modality = "example"
        anomaly = "every class but {normal}"
        source = "folders"
        folder = {name:?}
        normal = [{normal:?}]
        train_normal = {n_train}

        [[task.anomalous]]
        findings = ["*"]
        "#
    );
    Spec::parse(&text)
}

/// The folder and its normal class: as given, or drawn into `scratch`.
fn input(scratch: &Path) -> Result<(PathBuf, String)> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.as_slice() {
        [folder, normal] => Ok((std::path::absolute(folder)?, normal.clone())),
        [] => {
            phantom::write(scratch, 1)?;
            Ok((scratch.join("brain-tumor-mri-dataset/Training"), "notumor".to_owned()))
        }
        _ => bail!("expected FOLDER and NORMAL_CLASS, or nothing"),
    }
}

fn main() -> Result<()> {
    let scratch = tempfile::tempdir()?;
    let (folder, normal) = input(&scratch.path().join("raw"))?;
    let n_train = std::fs::read_dir(folder.join(&normal))
        .with_context(|| format!("no class folder {normal} in {}", folder.display()))?
        .count()
        / 2;
    let spec = specification(&folder, &normal, n_train)?;
    let raw = folder.parent().context("the folder has no parent")?;
    let out = scratch.path().join("curated");
    // Nothing here is handed on; what is takes a key of one's own, `Key::own()`.
    let outcome = build(&Request { spec: &spec, raw, out: &out, partial: false, key: &Key::PUBLIC })?;
    for remark in &outcome.remarks {
        println!("note: {remark}");
    }
    println!("{} files rejected, each with its reason in rejected.parquet", outcome.rejected.len());

    let manifest = Manifest::read(&out)?;
    for (split, label) in
        [(Split::Train, Label::Normal), (Split::Test, Label::Normal), (Split::Test, Label::Anomalous)]
    {
        let n = manifest.select("example", split).filter(|row| row.label == label).count();
        println!("{split:?} {label:?}: {n} pictures");
    }
    println!("rows hash to {}", manifest.header.canonical_hash);
    Ok(())
}
