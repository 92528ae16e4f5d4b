//! Closed sets of words, such as `train`, `val` and `test`: each is one type, whose names stand once.
//!
//! `strum` derives the names from the variants; this adds what every such type needs beside them: an error that lists
//! the known words, and serde.

use std::str::FromStr;

use anyhow::Result;
use strum::VariantArray;

/// A value of a closed set, written as one word in files and on the command line.
pub trait Word: Copy + Into<&'static str> + FromStr + VariantArray {
    /// What the words of this set are called in an error.
    const WHAT: &'static str;

    /// Its word.
    fn name(self) -> &'static str {
        self.into()
    }

    /// Every value of the set, in the order of declaration.
    fn all() -> impl Iterator<Item = Self> {
        Self::VARIANTS.iter().copied()
    }

    /// The value that a word stands for.
    ///
    /// # Errors
    /// A word outside the set; the error lists those inside.
    fn parse(text: &str) -> Result<Self> {
        text.parse()
            .map_err(|_| anyhow::anyhow!("unknown {} `{text}` (known: {})", Self::WHAT, list(Self::all())))
    }
}

/// Words with commas between.
pub fn list<T: Word>(values: impl IntoIterator<Item = T>) -> String {
    values.into_iter().map(Word::name).collect::<Vec<_>>().join(", ")
}

/// Makes a type that derives `strum`'s names a [`Word`], which serde writes and reads as such.
macro_rules! word {
    ($type:ty, $what:literal) => {
        impl $crate::words::Word for $type {
            const WHAT: &'static str = $what;
        }

        impl serde::Serialize for $type {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str($crate::words::Word::name(*self))
            }
        }

        impl<'de> serde::Deserialize<'de> for $type {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = String::deserialize(deserializer)?;
                $crate::words::Word::parse(&text).map_err(serde::de::Error::custom)
            }
        }
    };
}

pub(crate) use word;
