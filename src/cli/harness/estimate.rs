//! Prints how long the cells of a plan will take.

use std::io::IsTerminal as _;
use std::path::{Path, PathBuf};

use anyhow::{Result, bail};
use serde_json::{Value, json};
use tch::Device;

use super::compute::Compute;
use crate::evaluate::estimate::{Estimate, Known, MethodEstimate};
use crate::evaluate::planned::Opened;
use crate::evaluate::rates::Speed;
use crate::progress::STEPS;
use crate::results::Stopped;

/// Where rates come from.
#[derive(clap::Args)]
pub(super) struct Args {
    /// What `selftest` measured on the target machine; estimates cells for which no comparable cell has run
    #[arg(long, value_name = "FILE")]
    pub speed: Option<PathBuf>,
}

impl Args {
    /// The rates of the device that is asked for, if they are given.
    ///
    /// # Errors
    /// As [`Speed::read`].
    pub(super) fn read(&self, compute: &Compute) -> Result<Option<Speed>> {
        let read = |path: &PathBuf| Speed::read(path, compute.device.settled(), compute.precision);
        self.speed.as_ref().map(read).transpose()
    }
}

/// Whether long work may start.
#[derive(clap::Args)]
pub(super) struct Consent {
    /// Start even if it will take more than two hours, which is refused on a terminal without this
    #[arg(long, short)]
    yes: bool,
}

/// Seconds beyond which work on a terminal needs a yes.
const LONG: f64 = 2.0 * 3600.0;

/// Says before work how long it will take: as cells like them took, else by a few layers that are timed. Returns the seconds
/// of each job, in their order, unless some cells are of unknown length.
///
/// # Errors
/// Work of hours on a terminal, unless the user has said yes; as [`Estimate::new`].
pub(super) fn before(
    opened: &Opened,
    (folder, stopped): (&Path, &[Stopped]),
    device: Device,
    consent: &Consent,
) -> Result<Option<Vec<f64>>> {
    let known = Estimate::new(opened, folder, stopped, None)?;
    let to_do = known.known.measured + known.known.unknown;
    if to_do == 0 {
        return Ok(None);
    }
    let (estimate, how) = match known.known.unknown {
        0 => (at_once(known, device), "as cells like them took"),
        _ => {
            let speed = Speed::measured(device, opened.planned.definition.size as i64);
            (
                Estimate::new(opened, folder, stopped, Some(&speed))?,
                "rough: by a few layers timed on this device",
            )
        }
    };
    let open = match estimate.known.unknown {
        0 => String::new(),
        n => format!(", and {n} cells of unknown length"),
    };
    for one in &estimate.methods {
        log::debug!(target: STEPS, "estimate: {} {}", one.method, duration(one.seconds));
    }
    log::info!("about {}{open} ({how}); a stopped run goes on where it was", duration(estimate.seconds));
    if needs_a_yes(estimate.seconds, std::io::stderr().is_terminal()) && !consent.yes {
        let one = |one: &MethodEstimate| format!("{} {}", one.method, duration(one.seconds));
        let longest: Vec<String> = estimate.methods.iter().take(3).map(one).collect();
        bail!(
            "that is long: {}. Add --yes to start it; fewer --draws, --shots, --seed or --method, or --set epochs=..., make \
             it shorter, and a GPU (--device cuda) faster",
            longest.join(", ")
        );
    }
    Ok((estimate.known.unknown == 0).then_some(estimate.jobs))
}

/// Where nobody sits at a terminal, as in a script, work is meant.
fn needs_a_yes(seconds: f64, is_terminal: bool) -> bool {
    seconds > LONG && is_terminal
}

/// Cells of a CPU run several at once, and took their time so.
fn at_once(estimate: Estimate, device: Device) -> Estimate {
    let workers = if device == Device::Cpu { rayon::current_num_threads() as f64 } else { 1.0 };
    let share = |one: MethodEstimate| MethodEstimate { seconds: one.seconds / workers, ..one };
    let methods = estimate.methods.into_iter().map(share).collect();
    // No run is shorter than its longest job.
    let seconds = (estimate.seconds / workers).max(estimate.longest.seconds);
    Estimate { seconds, methods, ..estimate }
}

/// Prints the estimate of [`tell`] for programs: one object, in seconds, hours and bytes.
///
/// # Errors
/// As [`Estimate::new`].
pub(super) fn print_json(
    opened: &Opened,
    (folder, stopped): (&Path, &[Stopped]),
    speed: Option<&Speed>,
) -> Result<()> {
    let mut all = as_json(&Estimate::new(opened, folder, stopped, speed)?, speed);
    all["folder"] = json!(folder);
    all["jobs"] = json!(opened.jobs.len());
    println!("{}", serde_json::to_string_pretty(&all)?);
    Ok(())
}

/// What nothing is known of is null; where no cell is to do, it takes no time.
fn as_json(estimate: &Estimate, speed: Option<&Speed>) -> Value {
    let Known { measured, counted, unknown } = estimate.known;
    let if_known = |value: Value| if estimate.known.is_some() { value } else { Value::Null };
    let method = |one: &MethodEstimate| {
        let hours = one.known.is_some().then_some(one.seconds / 3600.0);
        json!({ "method": one.method, "cells_to_do": one.known.cells(), "unknown_cells": one.known.unknown, "hours": hours })
    };
    let longest = &estimate.longest;
    let longest =
        json!({ "method": longest.method, "task": longest.task, "hours": longest.seconds / 3600.0 });
    let of_counted = speed.filter(|_| counted > 0);
    json!({
        "cells_to_do": estimate.known.cells(),
        "cells_by_source": { "comparable_cells": measured, "speed": counted, "unknown": unknown },
        "speed": speed.map(|speed| &speed.source),
        "cells_at_once": speed.map_or(1.0, |speed| speed.at_once),
        "hours_on_one_device": if_known(json!(estimate.seconds / 3600.0)),
        "methods": estimate.methods.iter().map(method).collect::<Vec<_>>(),
        "longest_job": if measured + counted > 0 { longest } else { Value::Null },
        "memory_bytes_beside_networks": of_counted.map(|_| estimate.memory),
        "device_memory_bytes": of_counted.filter(|s| s.held > 0.0).map(|s| s.held + estimate.memory),
        "disk_bytes": if_known(json!(estimate.disk)),
    })
}

/// Prints the estimated time, memory and disk space of the cells that are to do.
///
/// # Errors
/// As [`Estimate::new`].
pub(super) fn tell(
    opened: &Opened,
    (folder, stopped): (&Path, &[Stopped]),
    speed: Option<&Speed>,
) -> Result<()> {
    let estimate = Estimate::new(opened, folder, stopped, speed)?;
    let Known { measured, counted, unknown } = estimate.known;
    let source = speed.map_or("comparable cells".to_owned(), |speed| speed.source.clone());
    println!("{} cells to do; {measured} estimated from comparable cells", measured + counted + unknown);
    if speed.is_some() {
        println!("  {counted} estimated from {source}");
    }
    if unknown > 0 {
        let remedy =
            if speed.is_some() { "" } else { "; estimate them with --speed FILE, written by `selftest`" };
        println!("  no estimate for {unknown} cells: no comparable cell has run{remedy}");
    }
    if measured + counted == 0 {
        return Ok(());
    }
    println!("| method | cells to do | hours |\n| --- | --: | --: |");
    for MethodEstimate { method, known, seconds } in &estimate.methods {
        let hours = if known.is_some() { format!("{:.2}", seconds / 3600.0) } else { "–".to_owned() };
        println!("| {method} | {} | {hours} |", known.cells());
    }
    let longest = &estimate.longest;
    let share = speed.map_or(1.0, |speed| speed.at_once);
    let at_once = if share > 1.0 { format!(", {share:.0} cells at once") } else { String::new() };
    println!("time on one device{at_once}: {}, estimated from {source}", duration(estimate.seconds));
    println!(
        "longest job: {} ({} on {}), estimated from {source}",
        duration(longest.seconds),
        longest.method,
        longest.task
    );
    if let Some(speed) = speed.filter(|_| counted > 0) {
        let kept = gigabytes(estimate.memory);
        match speed.held > 0.0 {
            true => println!(
                "device memory: about {}, {kept} of it features, banks, covariances and steps of transformers, estimated from {source}",
                gigabytes(speed.held + estimate.memory)
            ),
            false => println!(
                "memory of a job: about {kept} beside its networks and steps of convolutional ones, estimated from {source}"
            ),
        }
    }
    println!("disk for results: {}, estimated from the pictures of each test set", gigabytes(estimate.disk));
    Ok(())
}

fn duration(seconds: f64) -> String {
    match seconds {
        s if s >= 3600.0 => format!("{:.1} hours", s / 3600.0),
        s if s >= 180.0 => format!("{:.0} minutes", s / 60.0),
        s => format!("{s:.0} seconds"),
    }
}

fn gigabytes(bytes: f64) -> String {
    format!("{:.1} GB", bytes / 1e9)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::{as_json, needs_a_yes};
    use crate::evaluate::estimate::{Estimate, Known, MethodEstimate};

    #[test]
    fn only_long_work_at_a_terminal_needs_a_yes() {
        assert!(needs_a_yes(3.0 * 3600.0, true));
        assert!(!needs_a_yes(3.0 * 3600.0, false) && !needs_a_yes(3600.0, true));
    }

    #[test]
    fn what_nothing_is_known_of_is_null_in_json() {
        let known = Known { measured: 0, counted: 0, unknown: 3 };
        let one = |method: &str, known, seconds| MethodEstimate { method: method.to_owned(), known, seconds };
        let estimate = Estimate { known, methods: vec![one("dn2", known, 0.0)], ..Estimate::default() };
        let all = as_json(&estimate, None);
        assert_eq!(all["cells_to_do"], 3);
        assert_eq!(all["cells_by_source"], json!({ "comparable_cells": 0, "speed": 0, "unknown": 3 }));
        assert_eq!(
            all["methods"],
            json!([{ "method": "dn2", "cells_to_do": 3, "unknown_cells": 3, "hours": null }])
        );
        for key in ["hours_on_one_device", "longest_job", "disk_bytes", "device_memory_bytes"] {
            assert_eq!(all[key], Value::Null, "{key}");
        }
        let known = Known { measured: 2, counted: 0, unknown: 1 };
        let all_known = Known { unknown: 0, ..known };
        let methods = vec![one("gde", all_known, 1800.0), one("dn2", Known { measured: 0, ..known }, 0.0)];
        let estimate = Estimate { known, methods, seconds: 1800.0, disk: 5.0, ..estimate };
        let all = as_json(&estimate, None);
        assert_eq!((&all["hours_on_one_device"], &all["disk_bytes"]), (&json!(0.5), &json!(5.0)));
        assert_eq!((&all["methods"][0]["hours"], &all["methods"][1]["hours"]), (&json!(0.5), &Value::Null));
        assert_eq!(all["memory_bytes_beside_networks"], Value::Null, "only cells that are counted tell");
        let all = as_json(&Estimate::default(), None);
        assert_eq!((&all["hours_on_one_device"], &all["disk_bytes"]), (&json!(0.0), &json!(0.0)));
        assert_eq!(all["longest_job"], Value::Null, "no job is to do");
    }
}
