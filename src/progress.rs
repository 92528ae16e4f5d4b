//! Progress on the terminal: rate and time left; nothing where there is no terminal.

use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};

/// A bar for `total` steps, shown only if the work lasts longer than a blink.
pub fn bar(total: usize, what: &str) -> ProgressBar {
    let style = "{msg:26} {bar:32} {human_pos}/{human_len} {per_sec} {eta} left";
    let bar = ProgressBar::new(total as u64).with_message(what.to_owned());
    bar.set_style(ProgressStyle::with_template(style).expect("a fixed template"));
    bar.enable_steady_tick(Duration::from_millis(200));
    bar
}
