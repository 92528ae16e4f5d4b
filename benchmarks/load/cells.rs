//! Made-up cells of any number: 25 methods, five tasks, three numbers of shots, two seeds, and draws as many as it takes.

use std::path::Path;

use anyhow::{Context, Result, ensure};
use medfsad::episode::HeldOut;
use medfsad::ids::{ImageId, TaskName};
use medfsad::manifest::Label;
use medfsad::metric::auroc::auroc;
use medfsad::metric::{Metric, image};
use medfsad::protocol::Protocol;
use medfsad::random::Stream;
use medfsad::regime::Regime;
use medfsad::results::{Cell, CellResult, Epoch, FORMAT, Identity, Measured, Provenance, Score, Seed};
use rayon::prelude::*;

const METHODS: usize = 25;
const TASKS: [&str; 5] = ["his", "lag", "aptos", "rsna", "brain_tumor"];
const SHOTS: [usize; 3] = [2, 4, 8];
const SEEDS: [u64; 2] = [1, 2];

/// Writes `n_cells` cells of `n_pictures` each.
pub(super) fn write(folder: &Path, n_cells: usize, n_pictures: usize) -> Result<()> {
    let each = METHODS * TASKS.len() * SHOTS.len() * SEEDS.len();
    ensure!(n_cells.is_multiple_of(each), "give a multiple of {each} cells");
    let mut places = Vec::new();
    for method in 0..METHODS {
        for task in TASKS {
            for shots in SHOTS {
                for draw in 0..n_cells / each {
                    places.extend(SEEDS.map(|seed| (method, task, shots, draw, seed)));
                }
            }
        }
    }
    places.par_iter().try_for_each(|&(method, task, shots, draw, seed)| {
        let identity = identity(method, task, shots, draw, seed);
        cell(folder, identity, method, n_pictures)
            .write()
            .with_context(|| format!("writing below {}", folder.display()))
    })
}

fn identity(method: usize, task: &str, shots: usize, draw: usize, seed: u64) -> Identity {
    Identity {
        method: format!("made-up-{method:02}"),
        settings: "{}".to_owned(),
        task: TaskName::new(task),
        shots,
        draw,
        seed: Seed(seed),
        size: 128,
        held_out: HeldOut::None,
        manifest_hash: "0011223344556677".to_owned(),
        episode_seed: Seed(1),
        episodes_hash: "8899aabbccddeeff".to_owned(),
        code_hash: "made up".to_owned(),
        weights_hash: String::new(),
        device_class: "cpu".to_owned(),
        epoch_by_sources: false,
        observed_every: None,
    }
}

fn cell(run: &Path, identity: Identity, method: usize, n_pictures: usize) -> CellResult {
    let id = identity.id();
    let purpose = format!("{} {}", identity.task, identity.seed);
    let mut stream = Stream::new(method as u64, &purpose, identity.draw as u64);
    let shift = 0.5 + 0.05 * method as f64;
    let scores: Vec<Score> = (0..n_pictures).map(|picture| score(&mut stream, picture, shift)).collect();
    let epochs =
        (1..=20).map(|epoch| Epoch { epoch, quantity: "loss".to_owned(), value: Some(1.0 / epoch as f64) });
    let folder = run.join("cells").join(&id);
    let metrics = Protocol::all().flat_map(|protocol| measured(&scores, protocol)).collect();
    let cell = Cell { format: FORMAT, id, identity, provenance: provenance(), error: None, lacked: None };
    CellResult { cell, scores, metrics, epochs: epochs.collect(), folder }
}

fn score(stream: &mut Stream, picture: usize, shift: f64) -> Score {
    let label = if picture.is_multiple_of(2) { Label::Normal } else { Label::Anomalous };
    let value = stream.normal() + if label == Label::Anomalous { shift } else { 0.0 };
    let scores = Protocol::all().map(|protocol| (protocol, value + 0.1 * stream.normal())).collect();
    Score {
        image_id: ImageId::new(format!("{picture:016x}")),
        label,
        finding: if label == Label::Normal { "healthy" } else { "made up" }.to_owned(),
        group: Some(format!("patient {}", picture / 2)),
        p_value: Some(stream.unit()),
        scores,
    }
}

/// The metric that ranks and those along its thresholds; without the interval of the former, which takes the longest.
fn measured(scores: &[Score], protocol: Protocol) -> Vec<Measured> {
    let of = |label: Label| -> Vec<f64> {
        scores.iter().filter(|score| score.label == label).filter_map(|score| score.under(protocol)).collect()
    };
    let (normal, anomalous) = (of(Label::Normal), of(Label::Anomalous));
    let ranked = (Metric::RANKED, (auroc(&normal, &anomalous), None));
    let all = [ranked].into_iter().chain(image::along_thresholds(&normal, &anomalous));
    let counts = [normal.len(), anomalous.len(), 0];
    all.map(|number| Measured::of(protocol, number, counts)).collect()
}

fn provenance() -> Provenance {
    let text = str::to_owned;
    Provenance {
        bench: text("made-up"),
        regime: Regime::Supports,
        spec: text("made-up"),
        spec_version: 1,
        spec_title: text("Cells that nobody computed"),
        backbone: String::new(),
        weights: String::new(),
        extension: None,
        random_weights: false,
        weights_trained_on: None,
        seen_before: None,
        teacher_regime: None,
        teacher_recipe: None,
        version: text(medfsad::VERSION),
        git_revision: text("unknown"),
        libtorch: String::new(),
        device: text("none"),
        threads: 1,
        precision: text("f32"),
        subnormals: None,
        kernels: None,
        command: text("load cells"),
        started_at: 1_700_000_000,
        fit_seconds: Some(1.0),
        observe_seconds: None,
        score_seconds: Some(1.0),
        latency_seconds: None,
        peak_memory_bytes: None,
    }
}
