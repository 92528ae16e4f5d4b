//! A method of one's own, scored by the harness's rules, with the crate as a library.
//!
//!     cargo run --release --example own_method [CURATED_FOLDER]
//!
//! Without a folder, a small synthetic benchmark is drawn and curated first. To put a method on the list of
//! `cargo xtask bench`, see `CONTRIBUTING.md`.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use medfsad::curate::{Request, build};
use medfsad::episode::batch::Pictures;
use medfsad::episode::{self, Episodes};
use medfsad::ids::TaskName;
use medfsad::manifest::{Label, Manifest, Row, Split};
use medfsad::maps::MapStack;
use medfsad::method::{
    Context, Detector, Encoded, Fitted, Method, Observer, OpenTeachers, Prediction, TrainTask, Unobserved,
};
use medfsad::metric::auroc::auroc;
use medfsad::network::origin::Teachers;
use medfsad::network::precision::Precision;
use medfsad::pseudonym::Key;
use medfsad::spec::Spec;
use medfsad::{phantom, protocol};
use tch::{Device, Kind, Tensor};

/// Pixels far from the supports' mean picture are anomalous.
struct DistanceFromMean;

/// The mean of the supports, `[h, w]`.
struct MeanPicture(Tensor);

/// `[n, 3, h, w]` of 0 to 255 to `[n, h, w]` of 0 to 1.
fn grey(pictures: &Pictures) -> Tensor {
    pictures.pixels.to_kind(Kind::Float).mean_dim(1, false, None::<Kind>) / 255.0
}

impl Method for DistanceFromMean {
    /// Trains nothing.
    fn fit(&self, _: &[TrainTask], _: &Context, _: &mut dyn Observer) -> Result<Box<dyn Fitted>> {
        Ok(Box::new(DistanceFromMean))
    }
}

impl Fitted for DistanceFromMean {
    fn adapt<'a>(&'a self, supports: &Pictures) -> Result<Box<dyn Detector + 'a>> {
        Ok(Box::new(MeanPicture(grey(supports).mean_dim(0, false, None::<Kind>))))
    }
}

impl Detector for MeanPicture {
    /// One map for each query; the protocol turns maps into image scores.
    fn score(&self, queries: &Encoded) -> Result<Prediction> {
        let queries = queries.pictures();
        let distances = (grey(queries) - &self.0).abs();
        let side = usize::try_from(queries.size())?;
        let values = Vec::try_from(distances.flatten(0, -1))?;
        Ok(Prediction::Maps(MapStack::new(queries.len(), side, side, values)?))
    }
}

/// The curated benchmark that was named, or a synthetic one below `scratch`.
fn benchmark(scratch: &Path) -> Result<Manifest> {
    if let Some(folder) = std::env::args_os().nth(1) {
        return Manifest::read(&PathBuf::from(folder));
    }
    let (raw, out) = (scratch.join("raw"), scratch.join("curated"));
    phantom::write(&raw, 1)?;
    build(&Request {
        spec: &Spec::load("phantom")?,
        raw: &raw,
        out: &out,
        partial: false,
        key: &Key::PUBLIC,
    })?;
    Manifest::read(&out)
}

/// Clean AUROC of one task with its first support set; `None` where a class is absent.
fn evaluate(manifest: &Manifest, episodes: &Episodes, task: &str) -> Result<Option<f64>> {
    let size = *manifest.header.sizes.first().context("the benchmark has no pictures")?;
    let of_task = manifest.task(task)?;
    let store = of_task.store(size)?;

    let drawn = &episodes.supports[task][0];
    let supports: Vec<&Row> =
        of_task.rows.iter().copied().filter(|row| drawn.contains(&row.image_id)).collect();
    let tested = of_task.of(Split::Test);

    let context = Context {
        device: Device::Cpu,
        precision: Precision::F32,
        seed: 1,
        shots: supports.len(),
        teachers: Teachers { named: [].into(), other: None },
        calibration: None,
        task: TaskName::new(task),
        label: format!("distance-from-mean {task}"),
        state_file: None,
        opened: OpenTeachers::default(),
    };
    let model = DistanceFromMean.fit(&[], &context, &mut Unobserved)?;
    let detector = model.adapt(&Pictures::load(&store, &supports)?)?;

    let queries = Pictures::load(&store, &tested)?;
    let scores = match detector.score(&model.encode(&queries)?)? {
        Prediction::Maps(maps) => protocol::score_maps(&maps).ranked(),
        Prediction::Scores(scores) | Prediction::Both(_, scores) => scores,
    };
    let of = |label: Label| -> Vec<f64> {
        tested.iter().zip(&scores).filter(|(row, _)| row.label == label).map(|(_, score)| *score).collect()
    };
    Ok(auroc(&of(Label::Normal), &of(Label::Anomalous)))
}

fn main() -> Result<()> {
    let scratch = tempfile::tempdir()?;
    let manifest = benchmark(scratch.path())?;
    let episodes = episode::draw(&manifest, episode::Settings { seed: 1, draws: 1, max_shots: 4 })?;
    for task in manifest.tasks() {
        let supports = episodes.supports[&task][0].len();
        match evaluate(&manifest, &episodes, &task)? {
            Some(auroc) => println!("{task}: AUROC {auroc:.3} with {supports} supports"),
            None => println!("{task}: AUROC undefined, since a class is absent"),
        }
    }
    Ok(())
}
