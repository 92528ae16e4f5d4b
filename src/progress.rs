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
