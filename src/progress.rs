//! Progress on the terminal: rate and time left; without a terminal, a line now and then for the cells of a run alone.
//! What else a run says is in `record`.

use std::io::IsTerminal as _;
use std::ops::Deref;
use std::sync::{LazyLock, Mutex, PoisonError};
use std::time::{Duration, Instant};

use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};

pub use record::{LOG_ALONE, STEPS, Saying, recorded, seconds};

mod record;

/// Draws the bars of all threads below each other.
static BARS: LazyLock<MultiProgress> = LazyLock::new(MultiProgress::new);

/// Least time between two lines where there is no terminal.
const BETWEEN_LINES: Duration = Duration::from_secs(30);

/// Shows no bars from now on.
fn be_quiet() {
    BARS.set_draw_target(ProgressDrawTarget::hidden());
}

/// Progress over the cells of a run: a bar on a terminal, elsewhere a line at most every half minute. The time left is
/// judged by what was finished in this process.
pub struct Cells {
    bar: ProgressBar,
    what: String,
    work: f64,
    state: Mutex<Done>,
    start: Instant,
}

struct Done {
    cells: usize,
    work: f64,
    told: Instant,
}

impl Cells {
    /// Of `total` cells, `done` are there already; the others take `work` in all, in whatever unit.
    pub fn new(total: usize, done: usize, work: f64, what: &str) -> Cells {
        let bar = drawn(total, what, "{prefix}");
        bar.set_position(done as u64);
        let now = Instant::now();
        let state = Mutex::new(Done { cells: done, work: 0.0, told: now });
        Cells { bar, what: what.to_owned(), work, state, start: now }
    }

    /// `n` more are there, which took `work`.
    pub fn finished(&self, n: usize, work: f64) {
        self.bar.inc(n as u64);
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.cells += n;
        state.work += work;
        if state.work == 0.0 {
            return;
        }
        let left = left(state.work / self.work, self.start.elapsed());
        self.bar.set_prefix(left.clone());
        let total = self.bar.length().unwrap_or(0);
        if state.told.elapsed() < BETWEEN_LINES || state.cells as u64 >= total {
            return;
        }
        state.told = Instant::now();
        // A terminal has the bar.
        let target = if std::io::stderr().is_terminal() { LOG_ALONE } else { module_path!() };
        log::info!(target: target, "{}: {} of {total}, {left}", self.what, state.cells);
    }

    /// Takes the bar away.
    pub fn end(&self) {
        self.bar.finish_and_clear();
    }
}

/// The time that is left, where a `share` of the work took `elapsed`.
fn left(share: f64, elapsed: Duration) -> String {
    let minutes = (elapsed.as_secs_f64() * (1.0 - share).max(0.0) / share / 60.0).ceil();
    format!("about {minutes:.0} {} left", if minutes == 1.0 { "minute" } else { "minutes" })
}

/// A bar for `total` steps, shown only if the work lasts longer than a blink.
pub fn bar(total: usize, what: &str) -> Bar {
    log::debug!(target: STEPS, "{what}: starts, {total} in all");
    let bar = drawn(total, what, "{per_sec} {eta} left");
    Bar { bar, what: what.to_owned(), start: Instant::now() }
}

/// `end` is what the bar ends with.
fn drawn(total: usize, what: &str, end: &str) -> ProgressBar {
    let style = format!("{{msg:26}} {{bar:32}} {{human_pos}}/{{human_len}} {end}");
    let bar = BARS.add(ProgressBar::new(total as u64)).with_message(what.to_owned());
    bar.set_style(ProgressStyle::with_template(&style).expect("a fixed template"));
    bar.enable_steady_tick(Duration::from_millis(200));
    bar
}

/// A step of the work: a bar on the terminal, a line in the log when it starts and one when it is dropped.
pub struct Bar {
    bar: ProgressBar,
    what: String,
    start: Instant,
}

impl Deref for Bar {
    type Target = ProgressBar;

    fn deref(&self) -> &ProgressBar {
        &self.bar
    }
}

impl Drop for Bar {
    fn drop(&mut self) {
        log::debug!(target: STEPS, "{}: ends after {}", self.what, seconds(self.start.elapsed()));
    }
}

/// A bar for bytes, `from` of which are there already; without an end where `total` is not known.
pub fn bytes(total: Option<u64>, from: u64, what: &str) -> ProgressBar {
    let style = match total {
        Some(_) => "{msg:26} {bar:32} {binary_bytes}/{binary_total_bytes} {binary_bytes_per_sec} {eta} left",
        None => "{msg:26} {binary_bytes} {binary_bytes_per_sec}",
    };
    let bar = BARS.add(ProgressBar::new(total.unwrap_or(u64::MAX))).with_message(what.to_owned());
    bar.set_style(ProgressStyle::with_template(style).expect("a fixed template"));
    bar.set_position(from);
    bar.reset_eta();
    bar
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use crate::progress::left;

    #[test]
    fn what_is_left_is_judged_by_the_work_that_is_done() {
        assert_eq!(left(0.2, Duration::from_secs(30)), "about 2 minutes left");
        assert_eq!(left(0.99, Duration::from_secs(990)), "about 1 minute left");
        assert_eq!(left(1.0, Duration::from_secs(9)), "about 0 minutes left");
        // Rounding may leave a little more than all.
        assert_eq!(left(1.0 + 1e-12, Duration::from_secs(9)), "about 0 minutes left");
    }
}
