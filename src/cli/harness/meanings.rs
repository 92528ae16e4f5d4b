//! What each setting of each method means: the first sentence of the comment on it, gathered by `build.rs`.

/// A setting's name and its meaning.
pub(super) type Meaning = (&'static str, &'static str);

const MEANINGS: &[(&str, &[Meaning])] = include!(concat!(env!("OUT_DIR"), "/meanings.rs"));

/// The settings of a method; none for one that takes none.
pub(super) fn of(method: &str) -> &'static [Meaning] {
    MEANINGS.iter().find(|(name, _)| *name == method).map_or(&[], |(_, settings)| settings)
}

/// What a setting of a method means.
pub(super) fn of_setting(method: &str, setting: &str) -> Option<&'static str> {
    of(method).iter().find(|(name, _)| *name == setting).map(|(_, meaning)| *meaning)
}
