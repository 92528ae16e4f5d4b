//! A regular expression in a spec.

use std::fmt;
use std::str::FromStr;

use anyhow::{Result, anyhow, ensure};
use regex::Regex;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};

/// A regular expression with at least one group.
#[derive(Clone, Debug)]
pub struct Pattern(pub Regex);

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl FromStr for Pattern {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> Result<Pattern> {
        let regex =
            Regex::new(text).map_err(|error| anyhow!("`{text}` is no regular expression: {error}"))?;
        ensure!(regex.captures_len() > 1, "`{text}` has no group; put what names the patient in brackets");
        Ok(Pattern(regex))
    }
}

impl Serialize for Pattern {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.0.as_str())
    }
}

impl<'de> Deserialize<'de> for Pattern {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Pattern, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(|error| D::Error::custom(format!("{error:#}")))
    }
}
