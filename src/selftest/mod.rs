//! Does this device compute what it should? Weights and pictures follow a formula and what they must give stands in the
//! program, so nothing is needed beside it.

use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::Result;
use serde::Serialize;
use tch::{Device, Kind, Tensor};

use crate::evaluate::{LIBTORCH_VERSION, device};
use crate::network::card::{self, Card};
use crate::network::precision::Precision;
use crate::{files, panics};

/// A card whose memory is full.
mod full;
/// Every method against stored scores of a CPU.
mod methods;
/// Layers against double precision.
mod operators;
/// D2-4FAD against its published implementation.
mod published;
/// How fast this device is.
pub mod speed;
/// The same work twice, and work that was broken off.
mod twice;

/// What is to be looked at.
pub struct Options {
    /// The device to be checked.
    pub device: Device,
    /// Half of the checks in a tenth of the time.
    pub quick: bool,
    /// Something that is wrong on purpose, to see that it is found.
    pub fault: Option<Fault>,
    /// Where the record goes, written anew after each part.
    pub out: Option<PathBuf>,
    /// Only these parts, all when empty.
    pub parts: Vec<Part>,
}

/// A part of the test, in the order in which they run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum Part {
    /// Losses, gradients, features and maps of D2-4FAD against the published implementation
    Published,
    /// Times of multiplications, training steps and scoring
    Speed,
    /// Convolutions, norms, weighting, smoothing and neighbours against double precision
    Operators,
    /// Every method against scores of a CPU
    Methods,
    /// The same twice; a training broken off and taken up; a card whose memory is full
    Twice,
}

/// Something that is wrong on purpose.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Fault {
    /// One weight of the student's first norm is a tenth larger
    Weight,
    /// Anomaly maps are moved by one pixel
    Shift,
}

/// What numbers are made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Numbers {
    /// Double precision, to find errors that rounding would hide.
    F64,
    /// Single precision.
    F32,
    /// Single precision, convolutions and transformers multiplied as TensorFloat-32.
    Tf32,
    /// Bfloat16.
    Bf16,
}

impl Numbers {
    /// All that a device offers.
    fn on(device: Device) -> &'static [Numbers] {
        match device.is_cuda() {
            true => &[Numbers::F64, Numbers::F32, Numbers::Tf32, Numbers::Bf16],
            false => &[Numbers::F64, Numbers::F32, Numbers::Bf16],
        }
    }

    fn kind(self) -> Kind {
        if self == Numbers::F64 { Kind::Double } else { Kind::Float }
    }

    fn precision(self) -> Precision {
        match self {
            Numbers::F64 | Numbers::F32 => Precision::F32,
            Numbers::Tf32 => Precision::Tf32,
            Numbers::Bf16 => Precision::Bf16,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Numbers::F64 => "f64",
            Numbers::F32 => "f32",
            Numbers::Tf32 => "tf32",
            Numbers::Bf16 => "bf16",
        }
    }
}

/// One thing that was looked at.
#[derive(Clone, Debug, Serialize)]
pub struct Check {
    /// The part of the self-test that it belongs to.
    pub part: Part,
    /// What was compared, in words.
    pub what: String,
    /// The precision it was computed in.
    pub numbers: Numbers,
    /// How far off it is, by the measure that `what` names; `None` if there was nothing to measure.
    pub deviation: Option<f64>,
    /// How far off it may be; `None` where that is only told.
    pub tolerance: Option<f64>,
    /// Whether the deviation is finite and within the tolerance; false where there was nothing to measure.
    pub passed: bool,
    /// Why there is nothing to measure.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

impl fmt::Display for Check {
    fn fmt(&self, out: &mut fmt::Formatter) -> fmt::Result {
        let verdict = match (self.passed, self.tolerance) {
            (false, _) => "FAILED",
            (true, None) => "told",
            (true, Some(_)) => "ok",
        };
        let number = |value: Option<f64>| value.map_or("-".to_owned(), |value| format!("{value:.1e}"));
        let (deviation, tolerance) = (number(self.deviation), number(self.tolerance));
        write!(
            out,
            "{verdict:<6} {:<4} {deviation:>8} of {tolerance:>8}  {}",
            self.numbers.name(),
            self.what
        )?;
        self.error.as_ref().map_or(Ok(()), |error| write!(out, ": {error}"))
    }
}

/// Everything found, as written to a file.
#[derive(Serialize)]
pub struct Record {
    /// Version of medfsad.
    pub medfsad: &'static str,
    /// Commit that medfsad was built from.
    pub git_revision: &'static str,
    /// Hash over medfsad's source.
    pub code_hash: &'static str,
    /// Version of libtorch.
    pub libtorch: &'static str,
    /// The device, as libtorch names it, in small letters.
    pub device: String,
    /// What the CUDA device is; `None` on a CPU.
    pub card: Option<Card>,
    /// Threads that libtorch computes on.
    pub threads: i32,
    /// Whether it was the quick run, of half of the checks.
    pub quick: bool,
    /// Whether every check passed.
    pub passed: bool,
    /// How long it all took.
    pub seconds: f64,
    /// One for each thing that was looked at.
    pub checks: Vec<Check>,
    /// One for each kind of work that was timed.
    pub speed: Vec<speed::Timing>,
    #[serde(skip)]
    out: Option<PathBuf>,
    #[serde(skip)]
    started: Instant,
}

impl Record {
    fn new(options: &Options) -> Record {
        Record {
            medfsad: crate::VERSION,
            git_revision: crate::GIT_REVISION,
            code_hash: crate::CODE_HASH,
            libtorch: LIBTORCH_VERSION,
            device: format!("{:?}", options.device).to_lowercase(),
            card: Card::of(options.device),
            threads: tch::get_num_threads(),
            quick: options.quick,
            passed: true,
            seconds: 0.0,
            checks: Vec::new(),
            speed: Vec::new(),
            out: options.out.clone(),
            started: Instant::now(),
        }
    }

    /// Notes how far off something is, and says so.
    fn check(&mut self, part: Part, what: &str, numbers: Numbers, deviation: f64, tolerance: Option<f64>) {
        let passed = deviation.is_finite() && tolerance.is_none_or(|tolerance| deviation <= tolerance);
        let deviation = Some(deviation);
        self.note(Check { part, what: what.to_owned(), numbers, deviation, tolerance, passed, error: None });
    }

    /// Notes that something could not be measured, which is a failure.
    fn failed(&mut self, part: Part, what: &str, numbers: Numbers, error: String) {
        let (deviation, tolerance) = (None, None);
        let error = Some(error);
        self.note(Check { part, what: what.to_owned(), numbers, deviation, tolerance, passed: false, error });
    }

    fn note(&mut self, check: Check) {
        println!("{check}");
        self.passed &= check.passed;
        self.checks.push(check);
    }

    fn write(&mut self) -> Result<()> {
        self.seconds = self.started.elapsed().as_secs_f64();
        self.out.as_deref().map_or(Ok(()), |out: &Path| {
            files::write_whole(out, serde_json::to_string_pretty(&self)?.as_bytes())
        })
    }
}

pub use methods::stored as stored_scores;

/// What looks at a part.
type Run = fn(&Options, &mut Record) -> Result<()>;

/// Runs all parts. What fails inside one is a failed check, and the others go on.
///
/// # Errors
/// A record that cannot be written.
pub fn run(options: &Options) -> Result<Record> {
    let mut record = Record::new(options);
    let all: [(Part, Run); 5] = [
        (Part::Published, published::run),
        (Part::Speed, speed::run),
        (Part::Operators, operators::run),
        (Part::Methods, methods::run),
        (Part::Twice, twice::run),
    ];
    for (part, work) in
        all.into_iter().filter(|(part, _)| options.parts.is_empty() || options.parts.contains(part))
    {
        println!("\n{part:?}, at {:.0} s", record.started.elapsed().as_secs_f64());
        if let Err(error) = guarded(|| work(options, &mut record)) {
            record.failed(part, "the part as a whole", Numbers::F32, format!("{error:#}"));
        }
        record.write()?;
    }
    if record.checks.is_empty() && record.speed.is_empty() {
        record.passed = false;
    }
    record.write()?;
    Ok(record)
}

/// What `work` gives; libtorch tells of much by a panic.
fn guarded<T>(work: impl FnOnce() -> Result<T>) -> Result<T> {
    use std::panic::{AssertUnwindSafe, catch_unwind};
    catch_unwind(AssertUnwindSafe(work))
        .unwrap_or_else(|panic| Err(anyhow::anyhow!("{}", panics::message(&*panic))))
}

/// Values in double precision on the host.
fn values(x: &Tensor) -> Vec<f64> {
    let flat = x.detach().to_device(Device::Cpu).to_kind(Kind::Double).contiguous().flatten(0, -1);
    Vec::try_from(flat).expect("numbers")
}

/// Length of the difference over the length of what is expected.
fn apart(found: &[f64], expected: &[f64]) -> f64 {
    if found.len() != expected.len() {
        return f64::NAN;
    }
    let square = |values: &mut dyn Iterator<Item = f64>| values.map(|value| value * value).sum::<f64>();
    let off = square(&mut found.iter().zip(expected).map(|(a, b)| a - b));
    (off / square(&mut expected.iter().copied()).max(f64::MIN_POSITIVE)).sqrt()
}

/// Tells libtorch and, on a card, waits for what came before.
fn prepare(device: Device, numbers: Numbers) -> Result<()> {
    card::wait_for(device);
    device::set_up(device, numbers.precision())
}

#[cfg(test)]
mod tests {
    use tch::Device;

    use crate::selftest::{Numbers, Options, Part, Record, apart};

    #[test]
    fn a_deviation_that_is_no_number_fails() {
        let options =
            Options { device: Device::Cpu, quick: true, fault: None, out: None, parts: vec![Part::Twice] };
        for (deviation, passed) in [(0.0, true), (1.0, false), (f64::NAN, false), (f64::INFINITY, false)] {
            let mut record = Record::new(&options);
            record.check(Part::Twice, "a number", Numbers::F32, deviation, Some(0.5));
            assert_eq!(record.passed, passed, "{deviation}");
            let mut told = Record::new(&options);
            told.check(Part::Twice, "a number", Numbers::F32, deviation, None);
            assert_eq!(told.passed, deviation.is_finite(), "{deviation}");
        }
    }

    #[test]
    fn distance_is_relative() {
        assert_eq!(apart(&[3.0, 4.0], &[3.0, 4.0]), 0.0);
        assert!((apart(&[3.0, 5.0], &[3.0, 4.0]) - 0.2).abs() < 1e-15);
        assert!(apart(&[1.0], &[1.0, 2.0]).is_nan());
    }
}
