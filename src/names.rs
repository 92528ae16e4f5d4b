//! Names: one spelling of each, and what was probably meant by one that is not known.

use anyhow::{Error, anyhow};
use unicode_normalization::UnicodeNormalization as _;

/// The name with its accents composed (NFC). macOS decomposes them in file names, so that `Ödem` of a folder and
/// `Ödem` of a table may differ in bytes; names from two places are compared in this form.
pub fn composed(name: &str) -> String {
    name.nfc().collect()
}

/// The known name that is most like `given`, if one is like it: at most one letter in three differs.
pub fn nearest<'a>(given: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let given = given.to_lowercase();
    let distance = |name: &str| strsim::osa_distance(&given, &name.to_lowercase());
    let (distance, name) =
        known.into_iter().map(|name| (distance(name), name)).min_by_key(|(distance, _)| *distance)?;
    (3 * distance <= given.chars().count()).then_some(name)
}

/// `; did you mean ...?`, or nothing.
pub fn did_you_mean<'a>(given: &str, known: impl IntoIterator<Item = &'a str>) -> String {
    nearest(given, known).map_or(String::new(), |name| format!("; did you mean `{name}`?"))
}

/// An error for a name that is not among the `known` ones, of which it lists all.
pub fn unknown<'a>(what: &str, given: &str, known: impl IntoIterator<Item = &'a str>) -> Error {
    let known: Vec<&str> = known.into_iter().collect();
    let meant = did_you_mean(given, known.iter().copied());
    anyhow!("unknown {what} `{given}`{meant} (known: {})", known.join(", "))
}
