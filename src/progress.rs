//! Progress on the terminal: rate and time left; nothing where there is no terminal.

use std::sync::LazyLock;
use std::time::Duration;

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};

/// Draws the bars of all threads below each other.
static BARS: LazyLock<MultiProgress> = LazyLock::new(MultiProgress::new);

/// A bar for `total` steps, shown only if the work lasts longer than a blink.
pub fn bar(total: usize, what: &str) -> ProgressBar {
    let style = "{msg:26} {bar:32} {human_pos}/{human_len} {per_sec} {eta} left";
    let bar = BARS.add(ProgressBar::new(total as u64)).with_message(what.to_owned());
    bar.set_style(ProgressStyle::with_template(style).expect("a fixed template"));
    bar.enable_steady_tick(Duration::from_millis(200));
    bar
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
