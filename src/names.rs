//! Names that are not known, and what was probably meant.

use anyhow::{Error, anyhow};

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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_is_answered_with_the_name_that_was_meant() {
        let known = ["patchcore", "padim", "d24fad", "resnet18"];
        for (given, meant) in [
            ("patchcorr", Some("patchcore")),
            ("PaDiM", Some("padim")),
            ("d24fda", Some("d24fad")),
            ("restnet18", Some("resnet18")),
            ("liver", None),
            ("", None),
        ] {
            assert_eq!(nearest(given, known), meant, "{given}");
        }
        let error = unknown("method", "padin", known).to_string();
        assert_eq!(
            error,
            "unknown method `padin`; did you mean `padim`? (known: patchcore, padim, d24fad, resnet18)"
        );
    }
}
