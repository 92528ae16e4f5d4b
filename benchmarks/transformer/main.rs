//! DINOv2 ViT-S/14 at 448 pixels against timm's, and AnomalyDINO against a script of `PyTorch`, `OpenCV` and faiss, in turns in
//! one run on the same weights, pictures and threads. Fails if values differ.
//!
//!     python3 -m venv PLACE && PLACE/bin/pip install -r benchmarks/transformer/requirements.txt
//!     cargo run --release --example transformer PLACE/bin/python [--threads N] [--repeats N]
//!
//! Weights are random: time does not depend on them.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::Instant;

use anyhow::{Context as _, Result, ensure};
use medfsad::episode::batch::{Acquisition, Pictures};
use medfsad::evaluate::memory;
use medfsad::ids::TaskName;
use medfsad::method::{self, Context, Fitted, OpenTeachers, Prediction, Unobserved, batches};
use medfsad::network::origin::{Origin, Teachers};
use medfsad::network::precision::Precision;
use medfsad::network::teacher::Teacher;
use medfsad::network::vit::dinov2::Dinov2;
use medfsad::network::vit::{Deep, Reading, Shallow, Transformer};
use medfsad::network::{Sight, weights};
use medfsad::regime::Regime;
use serde::Deserialize;
use tch::nn::VarStore;
use tch::{Device, Kind, Tensor};

const SIDE: i64 = 448;
const N_SUPPORTS: i64 = 4;
const N_QUERIES: i64 = 8;
/// Of the greatest value: both add up in another order.
const TOLERANCE: f64 = 1e-3;

struct Arguments {
    python: String,
    threads: usize,
    repeats: usize,
}

fn arguments() -> Result<Arguments> {
    let mut given = std::env::args().skip(1);
    let usage = "usage: transformer PYTHON [--threads N] [--repeats N], each at least 1";
    let mut arguments = Arguments {
        python: given.next().context(usage)?,
        threads: std::thread::available_parallelism()?.get(),
        repeats: 5,
    };
    while let Some(argument) = given.next() {
        let number = given.next().context(usage)?.parse()?;
        ensure!(number > 0, usage);
        match argument.as_str() {
            "--threads" => arguments.threads = number,
            "--repeats" => arguments.repeats = number,
            _ => anyhow::bail!(usage),
        }
    }
    Ok(arguments)
}

/// The program that ours is compared with.
struct Reference {
    child: Child,
    asks: ChildStdin,
    answers: BufReader<ChildStdout>,
}

/// What one of both took, and values that the other must have too.
#[derive(Deserialize)]
struct Timed {
    seconds: f64,
    values: Vec<f64>,
}

impl Reference {
    fn start(arguments: &Arguments, file: &Path) -> Result<Reference> {
        let mut child = Command::new(&arguments.python)
            .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("benchmarks/transformer/reference.py"))
            .arg(file)
            .arg(arguments.threads.to_string())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .with_context(|| format!("starting {}", arguments.python))?;
        let (asks, answers) =
            (child.stdin.take().context("its input")?, child.stdout.take().context("its output")?);
        let mut reference = Reference { child, asks, answers: BufReader::new(answers) };
        println!("reference: {}", reference.line()?.trim());
        Ok(reference)
    }

    fn line(&mut self) -> Result<String> {
        let mut line = String::new();
        ensure!(self.answers.read_line(&mut line)? > 0, "reference.py ended; it wrote why above");
        Ok(line)
    }

    fn ask(&mut self, request: &str) -> Result<Timed> {
        writeln!(self.asks, "{request}")?;
        Ok(serde_json::from_str(&self.line()?)?)
    }
}

impl Drop for Reference {
    fn drop(&mut self) {
        _ = self.child.kill();
        _ = self.child.wait();
    }
}

/// Smooth noise, `[n, 3, 448, 448]` of bytes.
fn pictures(n: i64) -> Tensor {
    let coarse = Tensor::rand([n, 3, 28, 28], (Kind::Float, Device::Cpu)) * 255.0;
    coarse.upsample_bilinear2d([SIDE, SIDE], false, None, None).round().to_kind(Kind::Uint8)
}

fn unlabelled(pixels: &Tensor) -> Pictures {
    let side = SIDE as u32;
    let one = Acquisition { width: side, height: side, file_bytes: 1 };
    Pictures::new(pixels.shallow_clone(), vec![one; pixels.size()[0] as usize])
}

/// The weights with the position table at the size of the pictures, and the pictures, for the reference.
fn write_for_reference(weights: &Path, [supports, queries]: [&Tensor; 2], file: &Path) -> Result<()> {
    let store = VarStore::new(Device::Cpu);
    let network = Dinov2::new(&store.root(), Transformer::Dinov2Small.plan());
    medfsad::network::vit::dinov2::load(&store, weights)?;
    let grid = [SIDE / 14, SIDE / 14];
    let positions = network.positions(grid, Transformer::Dinov2Small.plan().interpolation());
    let mut tensors = weights::read(weights)?;
    tensors.insert("pos_embed".to_owned(), positions.detach().contiguous());
    tensors.insert("supports".to_owned(), supports.shallow_clone());
    tensors.insert("queries".to_owned(), queries.shallow_clone());
    let named: Vec<(&str, &Tensor)> = tensors.iter().map(|(name, tensor)| (name.as_str(), tensor)).collect();
    Tensor::write_safetensors(&named, file)?;
    Ok(())
}

fn tokens(teacher: &Teacher, queries: &Tensor, count: i64) -> Result<Timed> {
    let started = Instant::now();
    let found = teacher.features(&queries.narrow(0, 0, count)).deep;
    let seconds = started.elapsed().as_secs_f64();
    let rows = found.get(0).flatten(1, -1).transpose(0, 1);
    let values = Vec::<f64>::try_from(rows.slice(0, 0, None, 97).flatten(0, -1).to_kind(Kind::Double))?;
    Ok(Timed { seconds, values })
}

fn anomalydino(model: &dyn Fitted, supports: &Pictures, queries: &Pictures) -> Result<Timed> {
    let started = Instant::now();
    let detector = model.adapt(supports)?;
    let mut values = Vec::new();
    batches::score(model, &[&*detector], queries, Device::Cpu, &mut |_, _, prediction| {
        match prediction {
            Prediction::Both(_, scores) | Prediction::Scores(scores) => values.extend(scores),
            Prediction::Maps(_) => anyhow::bail!("maps without scores"),
        }
        Ok(())
    })?;
    Ok(Timed { seconds: started.elapsed().as_secs_f64(), values })
}

/// The largest deviation of `b` from `a`, of the greatest value of `a`, all of which are numbers.
fn deviation(a: &[f64], b: &[f64]) -> f64 {
    let greatest = |values: &mut dyn Iterator<Item = f64>| values.fold(0.0, f64::max);
    greatest(&mut a.iter().zip(b).map(|(a, b)| (a - b).abs()))
        / greatest(&mut a.iter().map(|value| value.abs()))
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// Both in turns, once to warm up and then `repeats` times, as a row of the table.
fn compare(
    what: &str,
    pictures: i64,
    repeats: usize,
    mut theirs: impl FnMut() -> Result<Timed>,
    mut ours: impl FnMut() -> Result<Timed>,
) -> Result<()> {
    let (mut their_seconds, mut our_seconds, mut worst) = (Vec::new(), Vec::new(), 0.0_f64);
    for round in 0..=repeats {
        let (a, b) = (theirs()?, ours()?);
        ensure!(a.values.len() == b.values.len(), "{what}: {} values and {}", a.values.len(), b.values.len());
        ensure!(
            a.values.iter().chain(&b.values).all(|value| value.is_finite()),
            "{what}: values that are no numbers"
        );
        worst = worst.max(deviation(&a.values, &b.values));
        if round > 0 {
            their_seconds.push(a.seconds);
            our_seconds.push(b.seconds);
        }
    }
    let rate = |seconds: f64| pictures as f64 / seconds;
    let (a, b) = (median(their_seconds), median(our_seconds));
    println!("| {what} | {:.2} | {:.2} | {:.2} | {worst:.0e} |", rate(a), rate(b), a / b);
    ensure!(worst < TOLERANCE, "{what}: values differ by {worst} of the greatest");
    Ok(())
}

fn main() -> Result<()> {
    let arguments = arguments()?;
    tch::set_num_threads(arguments.threads as i32);
    rayon::ThreadPoolBuilder::new().num_threads(arguments.threads).build_global()?;
    memory::keep_freed();
    tch::manual_seed(1);
    let folder = tempfile::tempdir()?;
    let (weights, file) =
        (folder.path().join("dinov2_vits14.safetensors"), folder.path().join("given.safetensors"));
    let reading =
        Reading { deep: Deep::Last, scales: Shallow::Empty, ..Reading::of(Transformer::Dinov2Small) };
    let sight = Sight::Tokens(Transformer::Dinov2Small, reading);
    let teacher = Teacher::seeing(sight, &Origin::Random { seed: 1, cache: None }, None, Device::Cpu)?;
    teacher.save(&weights)?;
    let (supports, queries) = (pictures(N_SUPPORTS), pictures(N_QUERIES));
    write_for_reference(&weights, [&supports, &queries], &file)?;
    let mut reference = Reference::start(&arguments, &file)?;

    println!("medfsad {}, {} threads\n", medfsad::VERSION, arguments.threads);
    println!("| work | reference, pictures/s | medfsad, pictures/s | times faster | largest deviation |");
    println!("| --- | --: | --: | --: | --: |");
    for count in [1, N_QUERIES] {
        let what = format!("tokens of ViT-S/14 at 448, batch {count}");
        let theirs = || reference.ask(&format!("tokens {count}"));
        compare(&what, count, arguments.repeats, theirs, || tokens(&teacher, &queries, count))?;
    }
    let entry = method::find("anomalydino")?;
    let built = (entry.build)(toml::Table::new())?;
    let context = Context {
        device: Device::Cpu,
        precision: Precision::F32,
        seed: 1,
        shots: N_SUPPORTS as usize,
        teachers: Teachers { named: BTreeMap::new(), other: Some(Origin::file(weights)?) },
        calibration: None,
        task: TaskName::new("target"),
        label: "fitting".to_owned(),
        state_file: None,
        opened: OpenTeachers::default(),
    };
    ensure!(built.regime == Regime::Supports, "learns from supports alone");
    let model = built.method.fit(&[], &context, &mut Unobserved)?;
    let (supports, queries) = (unlabelled(&supports), unlabelled(&queries));
    let what = format!("AnomalyDINO, {N_SUPPORTS} supports in 8 views, {N_QUERIES} queries");
    let theirs = || reference.ask(&format!("anomalydino {N_SUPPORTS}"));
    compare(&what, N_QUERIES, arguments.repeats, theirs, || anomalydino(&*model, &supports, &queries))
}
