//! The page as a browser shows it: no overflow on a phone or a wide screen, in the dark or not, nothing that cannot be
//! named aloud, no text of a figure on another.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use super::out;
use crate::shared::leave_out;

/// Names under which Chromium is installed.
const BROWSERS: [&str; 4] = ["chromium", "chromium-browser", "google-chrome", "google-chrome-stable"];

/// What the page is asked for, in a browser.
const MEASURE: &str = include_str!("measure.js");

/// One that opens a page of ours: a name may be that of a stub, and some may not read where tests write.
fn browser() -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    let folders: Vec<PathBuf> = std::env::split_paths(&path).collect();
    BROWSERS
        .iter()
        .flat_map(|name| folders.iter().map(move |folder| folder.join(name)))
        .find(|path| path.is_file() && opens_pages(path))
}

fn opens_pages(browser: &Path) -> bool {
    let folder = tempfile::tempdir().expect("a folder");
    let page = folder.path().join("probe.html");
    std::fs::write(&page, "<p>it opens</p>").expect("a page");
    dom(browser, &page, 800, &[]).is_ok_and(|dom| dom.contains("it opens"))
}

/// The page as the browser has it, or what the browser said instead.
fn dom(browser: &Path, page: &Path, width: u32, more: &[&str]) -> Result<String, String> {
    let profile = tempfile::tempdir().expect("a folder");
    let mut command = Command::new(browser);
    command.args([
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        "--hide-scrollbars",
        "--virtual-time-budget=20000",
        "--timeout=60000",
    ]);
    command.arg(format!("--user-data-dir={}", profile.path().display())).args(more);
    command
        .arg(format!("--window-size={width},900"))
        .arg("--dump-dom")
        .arg(format!("file://{}", page.display()));
    let output = command.output().map_err(|error| error.to_string())?;
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    if output.status.success() { Ok(text(&output.stdout)) } else { Err(text(&output.stderr)) }
}

fn measured(browser: &Path, page: &Path, width: u32, more: &[&str]) -> Value {
    let dom = dom(browser, page, width, more).expect("a browser runs");
    let said =
        dom.rsplit_once("id=\"measured\">").map(|(_, rest)| rest.split("</pre>").next().unwrap_or_default());
    let said = said.unwrap_or_else(|| panic!("nothing measured: {dom}"));
    let plain = said.replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&");
    serde_json::from_str(&plain).expect("what was measured")
}

#[test]
fn the_page_fits_every_screen_and_hides_nothing_from_anybody() {
    let Some(browser) = browser() else { return leave_out("Chromium") };
    let folder = tempfile::tempdir().expect("a folder");
    let page = folder.path().join("page.html");
    let html = std::fs::read_to_string(out().join("index.html")).expect("a page");
    std::fs::write(&page, html.replacen("</body>", &format!("<script>{MEASURE}</script></body>"), 1))
        .expect("a copy");
    let dark = ["--blink-settings=preferredColorScheme=0"];
    for (width, more) in [(360, &[][..]), (768, &[]), (1400, &[]), (1400, &dark)] {
        let found = measured(&browser, &page, width, more);
        let number = |name: &str| found[name].as_f64().expect("a number");
        assert!(number("overflow") <= 0.0 && number("overflow_unfolded") <= 0.0, "at {width}: {found}");
        assert_eq!((number("nameless"), number("dead")), (0.0, 0.0), "at {width}: {found}");
        assert_eq!(found["doubled"].as_array().map(Vec::len), Some(0), "at {width}: {found}");
        // WCAG AA for text of this size.
        assert!(number("contrast") >= 4.5, "at {width}: {found}");
        assert!(number("figures") >= 8.0, "at {width}: {found}");
        assert_eq!(found["texts_on_texts"].as_array().map(Vec::len), Some(0), "at {width}: {found}");
        assert!(
            width < 1400 || number("height") <= 6000.0,
            "before anything is unfolded, at {width}: {found}"
        );
    }
}
