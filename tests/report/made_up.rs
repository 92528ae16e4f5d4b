//! A run that nobody ran: every number is chosen so that a reader can check the report by hand.

use std::path::{Path, PathBuf};

use medfsad::episode::HeldOut;
use medfsad::ids::{ImageId, TaskName};
use medfsad::manifest::Label;
use medfsad::metric::Metric::{self, ImageAp, ImageAuroc, ImageFpr95};
use medfsad::pixels::Pixels;
use medfsad::protocol::Protocol::{
    self, Clean, CleanMean, CleanTop1, Published, Published2d, PublishedShuffled,
};
use medfsad::random::Stream;
use medfsad::regime::Regime;
use medfsad::results::gallery::{self, Caption, Case};
use medfsad::results::{
    Cell, CellResult, Epoch, FORMAT, GALLERY, Identity, Measured, Provenance, Score, Seed, Seen,
};

pub const TASKS: [&str; 5] = ["his", "lag", "aptos", "rsna", "brain_tumor"];
pub const SHOTS: [usize; 3] = [2, 4, 8];
/// Method, regime and the AUROC that its cells start from.
pub const METHODS: [(&str, &str, f64); 4] = [
    ("d24fad", "R2", 0.80),
    ("patchcore", "R1", 0.74),
    ("control-random", "R0", 0.50),
    ("control-border", "R1", 0.52),
];

pub fn identity(method: &str, task: &str, shots: usize, draw: usize) -> Identity {
    let text = str::to_owned;
    Identity {
        method: text(method),
        settings: text("{}"),
        task: TaskName::new(task),
        shots,
        draw,
        seed: Seed(1),
        size: 128,
        held_out: HeldOut::Dataset,
        manifest_hash: text("0011223344556677"),
        episode_seed: Seed(1),
        episodes_hash: text("8899aabbccddeeff"),
        code_hash: text("c0de"),
        weights_hash: text("weights"),
        device_class: text("cpu"),
        epoch_by_sources: false,
        observed_every: None,
    }
}

pub fn provenance(method: &str, regime: &str) -> Provenance {
    let (control, text) = (method.starts_with("control-"), str::to_owned);
    Provenance {
        bench: text("made-up"),
        regime: Regime::parse(regime).expect("a regime"),
        spec: text("mini"),
        spec_version: 1,
        spec_title: text("Phantom benchmark"),
        backbone: if control { String::new() } else { text("resnet18") },
        weights: if control { String::new() } else { text("random teacher, seed 1") },
        random_weights: !control,
        extension: None,
        weights_trained_on: (!control).then(|| text("nothing: random")),
        seen_before: (!control).then_some(Seen::NotSeen),
        teacher_regime: None,
        teacher_recipe: None,
        version: text("0.1.0"),
        git_revision: text("unknown"),
        libtorch: text("2.11.0"),
        device: text("a made-up processor"),
        threads: 2,
        precision: text("f32"),
        subnormals: Some("flushed to zero".to_owned()),
        kernels: Some("products".to_owned()),
        command: text("medfsad bench --method d24fad,patchcore"),
        started_at: 1_700_000_000,
        fit_seconds: Some(12.5),
        observe_seconds: Some(2.5),
        score_seconds: Some(1.5),
        latency_seconds: Some(0.012),
        peak_memory_bytes: Some(300 << 20),
    }
}

fn scores(stream: &mut Stream, shift: f64) -> Vec<Score> {
    let score = |index: usize| {
        let label = if index < 40 { Label::Normal } else { Label::Anomalous };
        let clean = stream.normal() + if label == Label::Anomalous { shift } else { 0.0 };
        let mut scores = vec![(Clean, clean), (CleanMean, clean / 2.0), (CleanTop1, clean * 0.9)];
        if index < 80 {
            scores.extend([(Published2d, clean), (Published, clean * 1.1), (PublishedShuffled, clean * 0.9)]);
        }
        Score {
            image_id: ImageId::new(format!("picture-{index}")),
            label,
            finding: "made up".to_owned(),
            group: None,
            p_value: None,
            scores: scores.into_iter().collect(),
        }
    };
    (0..85).map(score).collect()
}

fn metric(protocol: Protocol, metric: Metric, value: Option<f64>) -> Measured {
    Measured {
        protocol,
        metric,
        value,
        low: value.map(|value| value - 0.03),
        high: value.map(|value| value + 0.02),
        n_normal: 40,
        n_anomalous: 45,
        n_left_out: 0,
        epoch: None,
    }
}

/// `clean` is the base plus 0.01 for each shot count's place and 0.02 for the second draw.
fn metrics(base: f64, place: usize, draw: usize, defined: bool) -> Vec<Measured> {
    let clean = base + 0.01 * place as f64 + 0.02 * draw as f64;
    let mut rows = vec![metric(Clean, ImageAuroc, defined.then_some(clean))];
    rows.push(metric(Published2d, ImageAuroc, Some(clean + 0.05)));
    rows.push(metric(Published, ImageAuroc, Some(clean + 0.11)));
    rows.push(metric(CleanMean, ImageAuroc, Some(clean - 0.04)));
    rows.push(metric(Clean, ImageAp, Some(clean - 0.1)));
    rows.push(metric(Clean, ImageFpr95, (place > 0).then_some(0.4)));
    rows
}

fn epochs(stream: &mut Stream) -> Vec<Epoch> {
    let mut rows = Vec::new();
    for epoch in 1..=20 {
        let decay = (-0.2 * epoch as f64).exp();
        for (quantity, value) in [
            ("loss", 0.3 + decay + 0.02 * stream.normal()),
            ("self-distillation", 0.2 + 0.7 * decay),
            ("teacher-student", 0.1 + 0.3 * decay),
            ("auroc-published", 0.9 - 0.3 * decay),
        ] {
            rows.push(Epoch { epoch, quantity: quantity.to_owned(), value: Some(value) });
        }
    }
    rows
}

fn cases(stream: &mut Stream) -> Vec<Case> {
    let (height, width) = (96, 128);
    let roles = ["clearest", "median", "hardest"];
    let case = |index: usize| {
        let anomalous = index < 3;
        let (row, column) = (20.0 + 50.0 * stream.unit(), 30.0 + 70.0 * stream.unit());
        let nearness = |i: usize| {
            let (dy, dx) = ((i / width) as f64 - row, (i % width) as f64 - column);
            (-(dy * dy + dx * dx) / 300.0).exp()
        };
        let picture = (0..height * width).map(|i| {
            let spot = if anomalous { 90.0 * nearness(i) } else { 0.0 };
            (70.0 + 60.0 * ((i % width) as f64 / 18.0).sin() + spot) as u8
        });
        let mask = (0..height * width).map(|i| if nearness(i) > 0.5 { 255 } else { 0 }).collect();
        let caption = Caption {
            image_id: ImageId::new(format!("picture-{index}")),
            label: if anomalous { Label::Anomalous } else { Label::Normal },
            finding: if index == 0 { "<script>alert(1)</script>".to_owned() } else { "none".to_owned() },
            score: 0.5 + 0.1 * index as f64,
            role: roles[index % 3].to_owned(),
        };
        let map = (0..height * width).map(|i| (nearness(i) * if anomalous { 0.9 } else { 0.4 }) as f32);
        Case {
            caption,
            picture: Pixels::new(height, width, 1, picture.collect()).expect("it fits"),
            map: map.collect(),
            mask: anomalous.then(|| Pixels::new(height, width, 1, mask).expect("it fits")),
        }
    };
    (0..6).map(case).collect()
}

fn write_cell(run: &Path, (method, regime, base): (&str, &str, f64), task: &str, shots: usize, draw: usize) {
    let identity = identity(method, task, shots, draw);
    let (id, place) = (identity.id(), SHOTS.iter().position(|&k| k == shots).expect("known"));
    let folder = run.join("cells").join(&id);
    let mut stream = Stream::new(1, &format!("{method} {task} {shots}"), draw as u64);
    let failed = (method, task, shots, draw) == ("patchcore", "lag", 8, 1);
    let trained = method == "d24fad";
    // The paper's own trap: one cell without an AUROC must not become 0.5 or vanish.
    let defined = (method, task, shots) != ("control-random", "rsna", 4);
    let result = CellResult {
        cell: Cell {
            format: FORMAT,
            id,
            identity,
            provenance: Provenance {
                fit_seconds: (!failed).then_some(12.5),
                observe_seconds: (!failed).then_some(2.5),
                score_seconds: (!failed).then_some(1.5),
                ..provenance(method, regime)
            },
            lacked: None,
            error: failed.then(|| "the memory bank of `lag` does not fit | 3 GiB".to_owned()),
        },
        scores: scores(&mut stream, 4.0 * (base - 0.5)),
        metrics: metrics(base, place, draw, defined),
        epochs: if trained { epochs(&mut stream) } else { Vec::new() },
        folder: folder.clone(),
    };
    if shots == 8 && draw == 0 && !method.starts_with("control-") {
        gallery::write(&folder.join(GALLERY), &cases(&mut stream)).expect("gallery");
    }
    result.write().expect("the cell is written");
}

/// Writes every cell of `methods` below `folder` and returns the run's folder.
pub fn run_of(folder: &Path, methods: &[(&str, &str, f64)]) -> PathBuf {
    let run = folder.join("run");
    for method in methods {
        for task in TASKS {
            for shots in SHOTS {
                (0..2).for_each(|draw| write_cell(&run, *method, task, shots, draw));
            }
        }
    }
    run
}
