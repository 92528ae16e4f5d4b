//! Which side of the benchmark a picture stands on, what it shows, and what its mask was made from.

use anyhow::{Context, Result, bail};
use serde::{Deserialize, Serialize};
use strum::{EnumString, IntoStaticStr, VariantArray};

use crate::table::{Columns, Datum, Described, Field, Kind, Table};
use crate::words::word;

/// Side of the benchmark a picture stands on.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, EnumString, IntoStaticStr, VariantArray,
)]
#[strum(serialize_all = "kebab-case")]
pub enum Split {
    /// Pictures to train on and to draw supports from.
    Train,
    /// Pictures set aside for validation, by the owner or by the spec.
    Val,
    /// Pictures that are scored.
    Test,
}

/// What a picture shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Label {
    /// Without the findings that the task looks for; 0 in tables.
    Normal,
    /// With at least one of them; 1 in tables.
    Anomalous,
    /// Not known to this machine yet: scores are to be sealed first. Null in tables.
    Unopened,
}

/// What a lesion mask was made from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, EnumString, IntoStaticStr, VariantArray)]
#[strum(serialize_all = "kebab-case")]
pub enum MaskKind {
    /// Drawn pixel by pixel.
    Pixels,
    /// Boxes round the lesions.
    Boxes,
}

word!(Split, "split");
word!(MaskKind, "kind of mask");

impl Label {
    /// 0 for normal, 1 for anomalous, `None` where it is not opened.
    pub fn number(self) -> Option<i64> {
        match self {
            Label::Normal => Some(0),
            Label::Anomalous => Some(1),
            Label::Unopened => None,
        }
    }

    /// The label that a number stands for: 0 is normal, 1 anomalous.
    ///
    /// # Errors
    /// Any other number.
    pub fn parse(number: i64) -> Result<Label> {
        match number {
            0 => Ok(Label::Normal),
            1 => Ok(Label::Anomalous),
            _ => bail!("label {number} is neither 0 (normal) nor 1 (anomalous)"),
        }
    }
}

/// A column of 0 and 1 that may be null.
impl Field for Label {
    fn describe(name: &str, about: &str) -> Vec<Described> {
        <Option<i64> as Field>::describe(name, about)
    }

    fn add<'a>(columns: Columns, name: &str, values: impl Iterator<Item = &'a Label> + Clone) -> Columns {
        columns.data(name, Kind::Integer, values.map(|label| label.number().map(Datum::Integer)))
    }

    fn of(table: &Table, name: &str) -> Result<Vec<Label>> {
        let numbers = <Option<i64> as Field>::of(table, name)?.into_iter().enumerate();
        let label = |(row, number): (usize, Option<i64>)| {
            number.map_or(Ok(Label::Unopened), Label::parse).with_context(|| table.place(name, row))
        };
        numbers.map(label).collect()
    }
}
