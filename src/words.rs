//! Closed sets of words, such as `train`, `val` and `test`: each is one type, whose names stand once.
//!
//! `strum` derives the names from the variants; this adds what every such type needs beside them: an error that lists
//! the known words, and serde.

use std::str::FromStr;

use anyhow::Result;
use strum::VariantArray;

use crate::names;

/// A value of a closed set, written as one word in files and on the command line; the macro `word!` makes
/// a type one, with these functions as its own.
pub trait Word: Copy + Into<&'static str> + FromStr + VariantArray {
    /// What the words of this set are called in an error.
    const WHAT: &'static str;
}

/// The value that a word stands for.
///
/// # Errors
/// A word outside the set; the error lists those inside.
pub fn parse<T: Word>(text: &str) -> Result<T> {
    let known = || T::VARIANTS.iter().map(|&value| value.into());
    text.parse().map_err(|_| names::unknown(T::WHAT, text, known()))
}

/// Words with commas between.
pub fn list<T: Word>(values: impl IntoIterator<Item = T>) -> String {
    values.into_iter().map(Into::into).collect::<Vec<&'static str>>().join(", ")
}

/// Makes a type that derives `strum`'s names a [`Word`], which serde writes and reads as such.
macro_rules! word {
    ($type:ty, $what:literal) => {
        impl $crate::words::Word for $type {
            const WHAT: &'static str = $what;
        }

        impl $type {
            /// Every value, in the order of declaration.
            pub fn all() -> impl Iterator<Item = $type> {
                <$type as strum::VariantArray>::VARIANTS.iter().copied()
            }

            /// Its word.
            pub fn name(self) -> &'static str {
                self.into()
            }

            /// The value that a word stands for.
            ///
            /// # Errors
            /// A word outside the set; the error lists those inside.
            pub fn parse(text: &str) -> anyhow::Result<$type> {
                $crate::words::parse(text)
            }
        }

        impl serde::Serialize for $type {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(self.name())
            }
        }

        impl<'de> serde::Deserialize<'de> for $type {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = String::deserialize(deserializer)?;
                <$type>::parse(&text).map_err(serde::de::Error::custom)
            }
        }
    };
}

pub(crate) use word;
