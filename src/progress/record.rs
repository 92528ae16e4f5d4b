//! What a run says beside its results: notes and warnings on the terminal, and a log of all of it in a file.
//!
//! Whatever says something calls the macros of `log`; their levels and the two targets here decide where it is read.

use std::fmt::Arguments;
use std::fs::OpenOptions;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime};

use anyhow::{Context as _, Result};
use fern::{Dispatch, FormatCallback, Output};
use log::{Level, LevelFilter, Record};

use super::{BARS, be_quiet};

/// Steps of the work as they start and end: in the log, and on the terminal with `--verbose`.
pub const STEPS: &str = "medfsad::steps";

/// What the log alone holds.
pub const LOG_ALONE: &str = "medfsad::log";

/// How much is said, and where.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct Saying {
    /// Show no progress and no notes; warnings and errors remain
    #[arg(long, short, global = true, conflicts_with = "verbose")]
    quiet: bool,
    /// Print a line as each job or step starts and ends, and in full why cells failed
    #[arg(long, short, global = true)]
    verbose: bool,
    /// Append what the run says to FILE, each line with its time (UTC): command, steps, notes, errors, end; also with --quiet
    #[arg(long, global = true, value_name = "FILE")]
    log: Option<PathBuf>,
}

impl Saying {
    /// Says things so from now on.
    ///
    /// # Errors
    /// A log that cannot be written, before anything is done.
    pub fn begin(&self) -> Result<()> {
        if self.quiet {
            be_quiet();
        }
        let mut all = Dispatch::new().level(LevelFilter::Off).level_for("medfsad", LevelFilter::Debug);
        all = all.chain(self.on_terminal());
        if let Some(path) = &self.log {
            all = all.chain(to_file(path)?);
        }
        all.apply().context("starting the log")
    }

    fn on_terminal(&self) -> Dispatch {
        let notes = if self.quiet { LevelFilter::Warn } else { LevelFilter::Info };
        let steps = if self.verbose { LevelFilter::Debug } else { LevelFilter::Off };
        let print = |record: &Record| BARS.suspend(|| eprintln!("{}", record.args()));
        Dispatch::new()
            .level(notes)
            .level_for(STEPS, steps)
            .level_for(LOG_ALONE, LevelFilter::Off)
            .chain(Output::call(print))
    }
}

fn to_file(path: &Path) -> Result<Dispatch> {
    let file = OpenOptions::new().append(true).create(true).open(path).with_context(|| {
        format!(
            "--log {}: it cannot be written; name a file that you may write, in a folder that is there",
            path.display()
        )
    })?;
    Ok(Dispatch::new().format(stamped).chain(file))
}

/// Each line with its time and what it is.
fn stamped(out: FormatCallback, message: &Arguments, record: &Record) {
    let time = humantime::format_rfc3339_seconds(SystemTime::now());
    let word = match record.level() {
        Level::Error => "error",
        Level::Warn => "warning",
        Level::Info => "note",
        Level::Debug | Level::Trace => "step",
    };
    let lines: Vec<String> =
        message.to_string().split('\n').map(|line| format!("{time} {word:<7} {line}")).collect();
    out.finish(format_args!("{}", lines.join("\n")));
}

/// Seconds, as steps state them.
pub fn seconds(time: Duration) -> String {
    format!("{:.1} s", time.as_secs_f64())
}

/// Says in the log that a command ended by a panic, since when it ran.
struct CutShort(Instant);

impl Drop for CutShort {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let took = seconds(self.0.elapsed());
            log::error!(target: LOG_ALONE, "ends after {took} by a panic, with exit code 101");
        }
    }
}

/// Writes into the log what is called and, once `work` has ended, how.
///
/// # Errors
/// Those of `work`.
pub fn recorded(command: &str, work: impl FnOnce() -> Result<()>) -> Result<()> {
    let (version, revision, code) = (crate::VERSION, crate::GIT_REVISION, crate::CODE_HASH);
    log::info!(target: LOG_ALONE, "medfsad {version} (git {revision}, code {code}) starts: {command}");
    let start = Instant::now();
    let _cut_short = CutShort(start);
    let done = work();
    if let Err(error) = &done {
        log::error!(target: LOG_ALONE, "{error:#}");
    }
    let took = seconds(start.elapsed());
    log::info!(target: LOG_ALONE, "ends after {took} with exit code {}", u8::from(done.is_err()));
    done
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;

    static SAID: Mutex<Vec<String>> = Mutex::new(Vec::new());

    struct Keeps;

    impl log::Log for Keeps {
        fn enabled(&self, _: &log::Metadata) -> bool {
            true
        }

        fn log(&self, record: &Record) {
            if record.target() == LOG_ALONE {
                SAID.lock().expect("a list").push(record.args().to_string());
            }
        }

        fn flush(&self) {}
    }

    #[test]
    fn a_command_that_panics_has_an_end_in_the_log_too() {
        log::set_logger(&Keeps).expect("no other logger in these tests");
        log::set_max_level(LevelFilter::Info);
        let done = std::panic::catch_unwind(|| recorded("phantom", || panic!("a fault")));
        assert!(done.is_err());
        let said = SAID.lock().expect("a list");
        let ends: Vec<&String> = said.iter().filter(|line| line.starts_with("ends after")).collect();
        assert!(ends.len() == 1 && ends[0].ends_with("by a panic, with exit code 101"), "{said:?}");
    }
}
