//! The same work twice gives the same bits; a training that is broken off and taken up ends as one that is not; a full
//! card scores in smaller batches.

use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};

use super::methods::{Given, scores};
use super::published::Rig;
use super::{Numbers, Options, Part, Record, apart, full, prepare, values};
use crate::evaluate::workload::Workload;
use crate::method::batches::predict;
use crate::method::{EpochFigures, Fitted, Observer, StateFile, Unobserved, find};
use crate::network::precision::Precision;
use crate::network::{Backbone, graph};

pub(super) fn run(options: &Options, record: &mut Record) -> Result<()> {
    let is_meant = |numbers: &Numbers| match numbers {
        Numbers::F64 => false,
        Numbers::Bf16 => !options.quick,
        _ => true,
    };
    for numbers in Numbers::on(options.device).iter().copied().filter(is_meant) {
        again(options, numbers, record)?;
    }
    prepare(options.device, Numbers::F32)?;
    taken_up(options, record)?;
    if options.device.is_cuda() {
        match graph::is_wanted() {
            true => recorded(options, record)?,
            false => println!("steps are not recorded, as MEDFSAD_CUDA_GRAPHS says: nothing to compare"),
        }
        full::run(options, record)?;
    }
    Ok(())
}

/// Three steps and the maps after them, twice from the start.
fn again(options: &Options, numbers: Numbers, record: &mut Record) -> Result<()> {
    let backbone = if options.quick { Backbone::Resnet18 } else { Backbone::WideResnet50x2 };
    let once = || -> Result<Vec<f64>> {
        let rig = Rig::new(backbone, numbers, options)?;
        let losses = rig.train(3, &mut |_| ());
        Ok(losses.into_iter().flatten().chain(values(&rig.maps())).collect())
    };
    let (first, second) = (once()?, once()?);
    let off = first.iter().zip(&second).filter(|(a, b)| a.to_bits() != b.to_bits()).count();
    let what =
        format!("{} trained and scored twice: numbers of {} that differ", backbone.name(), first.len());
    record.check(Part::Twice, &what, numbers, off as f64, Some(0.0));
    Ok(())
}

/// Steps that a card records and replays against the same as they are written.
fn recorded(options: &Options, record: &mut Record) -> Result<()> {
    let folder = tempfile::tempdir().context("a folder for weights")?;
    for precision in [Precision::F32, Precision::Bf16] {
        let work = Workload::new(Backbone::Resnet18, 128, options.device, precision, folder.path())?;
        let [replayed, written] = [false, true].map(|as_written| work.outcome(2, 4, 12, as_written));
        let (replayed, written) = (replayed?, written?);
        let off = replayed.iter().zip(&written).filter(|(a, b)| a.to_bits() != b.to_bits()).count();
        let numbers = if precision == Precision::F32 { Numbers::F32 } else { Numbers::Bf16 };
        let what = format!("recorded steps against written ones: numbers of {} that differ", written.len());
        record.check(Part::Twice, &what, numbers, off as f64, Some(0.0));
    }
    prepare(options.device, Numbers::F32)
}

/// Breaks a training off after its first epoch.
struct BreaksOff;

impl Observer for BreaksOff {
    fn after_epoch(&mut self, epoch: u64, _: &EpochFigures, _: &dyn Fitted) -> Result<()> {
        ensure!(epoch > 1 || epoch == 0, "broken off");
        Ok(())
    }
}

const SETTINGS: &str = "backbone = 'resnet18'\nepochs = 2\nbatch = 4\nlearning_rate = 1e-3";

fn taken_up(options: &Options, record: &mut Record) -> Result<()> {
    let given = Given::new()?;
    let folder = tempfile::tempdir().context("a folder for a training's state")?;
    let state_file = StateFile { path: folder.path().join("state.safetensors"), every: Duration::ZERO };
    let fit = |state_file: Option<StateFile>, observer: &mut dyn Observer| -> Result<Vec<f64>> {
        let context = crate::method::Context { state_file, ..given.context(options.device, Numbers::F32) };
        let built = (find("d24fad")?.build)(toml::from_str(SETTINGS)?)?;
        let fitted = built.method.fit(given.tasks(), &context, observer)?;
        let detector = fitted.adapt(&given.supports)?;
        scores(predict(&*fitted, &*detector, &given.queries)?, None)
    };
    let whole = fit(None, &mut Unobserved)?;
    if fit(Some(state_file.clone()), &mut BreaksOff).is_ok() {
        bail!("the training was not broken off");
    }
    ensure!(state_file.path.exists(), "a training that was broken off left no state");
    let resumed = fit(Some(state_file), &mut Unobserved)?;
    let what = "a training broken off and taken up: scores, relative";
    record.check(Part::Twice, what, Numbers::F32, apart(&resumed, &whole), Some(0.0));
    Ok(())
}
