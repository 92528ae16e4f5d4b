//! Which stages of a pretrained network, and which normalisation of its input, tell anomalies of the *training* tasks best?
//!
//!     cargo run --release --example stages WEIGHTS [CURATED_FOLDER] [--size PIXELS] [--draws N]
//!
//! WEIGHTS are of EfficientNet-Lite0. For each task held out, the choice that is best on the other tasks is taken and
//! measured on the one held out, so that no choice rests on the pictures that judge it. Without a folder, the phantom is
//! drawn and curated first. Distances are the simplest there are: of a position to the nearest of the supports' (the
//! greatest is the picture's score), or of a picture's mean features to the nearest support's.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};
use medfsad::curate::{Request, build};
use medfsad::episode::batch::Pictures;
use medfsad::episode::{self, Episodes};
use medfsad::ids::TaskName;
use medfsad::manifest::{Label, Manifest, Row, Split};
use medfsad::method::part::grid;
use medfsad::metric::auroc::auroc;
use medfsad::network::origin::Origin;
use medfsad::network::teacher::Teacher;
use medfsad::network::{Backbone, Features, Input};
use medfsad::phantom;
use medfsad::pseudonym::Key;
use medfsad::spec::Spec;
use tch::{Device, Tensor};

const SHOTS: usize = 4;
/// Stages that are joined, counted from 1.
const STAGES: [&[usize]; 7] = [&[1], &[2], &[3], &[4], &[1, 2], &[2, 3], &[1, 2, 3]];

/// What is chosen.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Choice {
    input: &'static str,
    distance: &'static str,
    stages: &'static [usize],
}

/// AUROCs by task.
type Measured = BTreeMap<TaskName, f64>;

struct Arguments {
    weights: PathBuf,
    curated: Option<PathBuf>,
    size: usize,
    draws: usize,
}

fn arguments() -> Result<Arguments> {
    let (mut places, mut size, mut draws) = (Vec::new(), 64, 3);
    let mut given = std::env::args().skip(1);
    while let Some(argument) = given.next() {
        match argument.as_str() {
            "--size" => size = given.next().context("--size needs a number")?.parse()?,
            "--draws" => draws = given.next().context("--draws needs a number")?.parse()?,
            _ => places.push(PathBuf::from(argument)),
        }
    }
    let mut places = places.into_iter();
    let (Some(weights), curated, None) = (places.next(), places.next(), places.next()) else {
        bail!("usage: stages WEIGHTS [CURATED_FOLDER] [--size PIXELS] [--draws N]");
    };
    Ok(Arguments { weights, curated, size, draws })
}

fn benchmark(curated: Option<&Path>, scratch: &Path) -> Result<Manifest> {
    if let Some(folder) = curated {
        return Manifest::read(folder);
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

/// Features of so many pictures at once.
fn features(teacher: &Teacher, pictures: &Pictures) -> Vec<Tensor> {
    let parts = pictures.pixels.split(32, 0).into_iter().map(|part| {
        let Features { scales: [first, second, third], deep } = teacher.features(&part);
        [first, second, third, deep]
    });
    let parts: Vec<[Tensor; 4]> = parts.collect();
    (0..4).map(|stage| Tensor::cat(&parts.iter().map(|part| &part[stage]).collect::<Vec<_>>(), 0)).collect()
}

/// `[n, positions, c]` of the stages, joined on the finest one's grid.
fn positions(features: &[Tensor], stages: &[usize]) -> Tensor {
    let scales: Vec<&Tensor> = stages.iter().map(|stage| &features[stage - 1]).collect();
    grid::joined(&scales, true).flatten(2, -1).transpose(1, 2)
}

/// One score a picture, from `[n, positions, c]` and the supports'.
fn scores(queries: &Tensor, supports: &Tensor, distance: &str) -> Result<Vec<f64>> {
    let nearest = |queries: &Tensor, bank: &Tensor| Tensor::cdist(queries, bank, 2.0, None).amin([-1], false);
    if distance == "picture" {
        let mean = |x: &Tensor| x.mean_dim(1, false, None);
        return grid::to_scores(&nearest(&mean(queries), &mean(supports)));
    }
    let bank = supports.flatten(0, 1);
    let each = (0..queries.size()[0]).map(|index| nearest(&queries.get(index), &bank).max());
    grid::to_scores(&Tensor::stack(&each.collect::<Vec<_>>(), 0))
}

/// Every choice on one task, mean over support draws.
fn measure(
    manifest: &Manifest,
    episodes: &Episodes,
    task: &str,
    size: usize,
    teachers: &[(&'static str, Teacher)],
) -> Result<BTreeMap<Choice, f64>> {
    let rows = manifest.task(task)?;
    let store = rows.store(size)?;
    let tested: Vec<&Row> = rows.of(Split::Test);
    let queries = Pictures::load(&store, &tested)?;
    let mut sums: BTreeMap<Choice, f64> = BTreeMap::new();
    for (input, teacher) in teachers {
        let queries = features(teacher, &queries);
        for drawn in &episodes.supports[task] {
            let supports: Vec<&Row> =
                rows.rows.iter().copied().filter(|row| drawn.contains(&row.image_id)).collect();
            let supports = features(teacher, &Pictures::load(&store, &supports)?);
            for stages in STAGES {
                let [queries, supports] = [&queries, &supports].map(|features| positions(features, stages));
                for distance in ["position", "picture"] {
                    let scores = scores(&queries, &supports, distance)?;
                    let of = |label: Label| -> Vec<f64> {
                        tested
                            .iter()
                            .zip(&scores)
                            .filter(|(row, _)| row.label == label)
                            .map(|(_, s)| *s)
                            .collect()
                    };
                    let auroc =
                        auroc(&of(Label::Normal), &of(Label::Anomalous)).context("a class is absent")?;
                    *sums.entry(Choice { input, distance, stages }).or_default() +=
                        auroc / episodes.supports[task].len() as f64;
                }
            }
        }
    }
    Ok(sums)
}

fn main() -> Result<()> {
    let Arguments { weights, curated, size, draws } = arguments()?;
    let scratch = tempfile::tempdir()?;
    let manifest = benchmark(curated.as_deref(), scratch.path())?;
    let origin = Origin::file(weights)?;
    let open = |input| Teacher::new(Backbone::EfficientNetLite0, input, &origin, None, Device::Cpu);
    let teachers = [("0 to 1", open(Input::Unit)?), ("as trained", open(Input::ImageNet)?)];
    let episodes = episode::draw(&manifest, episode::Settings { seed: 1, draws, max_shots: SHOTS })?;
    let mut measured: BTreeMap<Choice, Measured> = BTreeMap::new();
    for task in manifest.tasks() {
        for (choice, auroc) in measure(&manifest, &episodes, &task, size, &teachers)? {
            measured.entry(choice).or_default().insert(task.clone(), auroc);
        }
    }
    report(&measured, &manifest.tasks());
    Ok(())
}

/// Two means nearer than this are not told apart.
const NEAR: f64 = 0.001;

fn report(measured: &BTreeMap<Choice, Measured>, tasks: &[TaskName]) {
    println!("| distance | input | stages | {} | mean |", tasks.join(" | "));
    println!("| --- | --- | --- |{}", " --: |".repeat(tasks.len() + 1));
    for (Choice { input, distance, stages }, aurocs) in measured {
        let cells: Vec<String> = tasks.iter().map(|task| format!("{:.3}", aurocs[task])).collect();
        println!(
            "| {distance} | {input} | {stages:?} | {} | {:.3} |",
            cells.join(" | "),
            mean_without("", aurocs)
        );
    }
    println!();
    for task in tasks {
        for distance in ["position", "picture"] {
            println!("{}", chosen(measured, task, distance));
        }
    }
}

fn mean_without(task: &str, aurocs: &Measured) -> f64 {
    let kept: Vec<f64> = aurocs.iter().filter(|(other, _)| *other != task).map(|(_, auroc)| *auroc).collect();
    kept.iter().sum::<f64>() / kept.len() as f64
}

/// What the other tasks choose for one that is held out, and what came of it.
fn chosen(measured: &BTreeMap<Choice, Measured>, task: &str, distance: &str) -> String {
    let of_kind: Vec<(&Choice, &Measured)> =
        measured.iter().filter(|(choice, _)| choice.distance == distance).collect();
    let best = of_kind.iter().map(|(_, aurocs)| mean_without(task, aurocs)).fold(0.0, f64::max);
    let good = of_kind.iter().filter(|(_, aurocs)| mean_without(task, aurocs) > best - NEAR);
    let good: Vec<String> = good
        .map(|(Choice { input, stages, .. }, aurocs)| format!("{input} {stages:?} ({:.3})", aurocs[task]))
        .collect();
    format!("{task} held out, {distance}: the others choose {}", good.join(", or "))
}
