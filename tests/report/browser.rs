//! The page as a browser shows it: no overflow on a phone or a wide screen, in the dark or not, nothing that cannot be
//! named aloud, no text of a figure on another.

use super::out;
use crate::browser::{browser, is_accessible, measured, with_scripts};
use crate::shared::leave_out;

/// What the page is asked for, in a browser.
const MEASURE: &str = include_str!("measure.js");

#[test]
fn the_page_fits_every_screen_and_hides_nothing_from_anybody() {
    let Some(browser) = browser() else { return leave_out("Chromium") };
    let folder = tempfile::tempdir().expect("a folder");
    let page = folder.path().join("page.html");
    std::fs::copy(out().join("index.html"), &page).expect("a copy");
    is_accessible(&page);
    let page = with_scripts(&page, &[MEASURE]);
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
