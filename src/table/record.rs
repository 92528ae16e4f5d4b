//! Rows whose struct is their contract: [`record!`](crate::table::record) makes columns, writer and reader of its
//! fields, and the columns' description of their documentation.

use std::borrow::Cow;
use std::fmt;
use std::path::Path;

use anyhow::{Context, Result};
use polars::prelude::DataType;

use super::{Columns, Table};
use crate::ids::{CellId, ImageId, TaskName};
use crate::words::{self, Word};

/// What a column holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// UTF-8.
    Text,
    /// 64 bits, signed.
    Integer,
    /// 64 bits.
    Real,
}

impl Kind {
    /// As polars names it.
    pub(super) fn data_type(self) -> DataType {
        match self {
            Kind::Text => DataType::String,
            Kind::Integer => DataType::Int64,
            Kind::Real => DataType::Float64,
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str(match self {
            Kind::Text => "text",
            Kind::Integer => "integer",
            Kind::Real => "real",
        })
    }
}

/// One entry of a column.
pub enum Datum<'a> {
    /// UTF-8.
    Text(Cow<'a, str>),
    /// 64 bits, signed.
    Integer(i64),
    /// 64 bits.
    Real(f64),
}

/// A column as its contract states it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Described {
    /// Its name in the file.
    pub name: String,
    /// The type of its entries.
    pub kind: Kind,
    /// Whether entries may be null.
    pub nullable: bool,
    /// What it holds, in a sentence or two.
    pub about: String,
}

/// Rows of one table, stated by a struct.
pub trait Record: Sized {
    /// The columns in their order.
    fn columns() -> Vec<Described>;

    /// Adds the columns of `rows`.
    fn add<'a>(columns: Columns, rows: impl Iterator<Item = &'a Self> + Clone) -> Columns
    where
        Self: 'a;

    /// All rows of a table, which may have further columns.
    ///
    /// # Errors
    /// A column that is missing, of another kind or null where it may not be.
    fn of(table: &Table) -> Result<Vec<Self>>;

    /// Writes a table of `rows` to `path`, whole.
    ///
    /// # Errors
    /// A file that cannot be written.
    fn write(path: &Path, rows: &[Self]) -> Result<()> {
        Self::add(Columns::default(), rows.iter()).write(path)
    }

    /// Reads what [`Record::write`] wrote.
    ///
    /// # Errors
    /// As [`Table::read`] and [`Record::of`].
    fn read(path: &Path) -> Result<Vec<Self>> {
        let mut rows = Vec::new();
        Table::visit(path, |piece| {
            rows.extend(Self::of(&piece)?);
            Ok(())
        })?;
        Ok(rows)
    }
}

/// A type of field, which fills one column or several.
pub trait Field: Sized {
    /// The columns of a field called `name`.
    fn describe(name: &str, about: &str) -> Vec<Described>;

    /// Adds its columns.
    fn add<'a>(columns: Columns, name: &str, values: impl Iterator<Item = &'a Self> + Clone) -> Columns
    where
        Self: 'a;

    /// One value for each row.
    ///
    /// # Errors
    /// As [`Record::of`].
    fn of(table: &Table, name: &str) -> Result<Vec<Self>>;
}

/// A value that fills one entry.
pub trait Scalar: Sized {
    /// The type of the column that it fills.
    const KIND: Kind;

    /// The value as an entry of its column.
    fn put(&self) -> Datum<'_>;

    /// # Errors
    /// An entry that stands for no value of this type.
    fn take(datum: Datum) -> Result<Self>;
}

impl<T: Scalar> Field for T {
    fn describe(name: &str, about: &str) -> Vec<Described> {
        let (name, about) = (name.to_owned(), about.to_owned());
        vec![Described { name, kind: T::KIND, nullable: false, about }]
    }

    fn add<'a>(columns: Columns, name: &str, values: impl Iterator<Item = &'a T> + Clone) -> Columns
    where
        T: 'a,
    {
        columns.data(name, T::KIND, values.map(|value| Some(value.put())))
    }

    fn of(table: &Table, name: &str) -> Result<Vec<T>> {
        let value = |(row, datum): (usize, Option<Datum>)| {
            let datum =
                datum.with_context(|| format!("{} is null and may not be", table.place(name, row)))?;
            T::take(datum).with_context(|| table.place(name, row))
        };
        table.data(name, T::KIND)?.into_iter().enumerate().map(value).collect()
    }
}

impl<T: Scalar> Field for Option<T> {
    fn describe(name: &str, about: &str) -> Vec<Described> {
        T::describe(name, about).into_iter().map(|column| Described { nullable: true, ..column }).collect()
    }

    fn add<'a>(columns: Columns, name: &str, values: impl Iterator<Item = &'a Option<T>> + Clone) -> Columns
    where
        T: 'a,
    {
        columns.data(name, T::KIND, values.map(|value| value.as_ref().map(Scalar::put)))
    }

    fn of(table: &Table, name: &str) -> Result<Vec<Option<T>>> {
        let value = |(row, datum): (usize, Option<Datum>)| {
            datum.map(T::take).transpose().with_context(|| table.place(name, row))
        };
        table.data(name, T::KIND)?.into_iter().enumerate().map(value).collect()
    }
}

/// The text of an entry.
///
/// # Errors
/// A number.
pub fn text(datum: Datum) -> Result<Cow<str>> {
    match datum {
        Datum::Text(text) => Ok(text),
        Datum::Integer(_) | Datum::Real(_) => anyhow::bail!("a number where a text belongs"),
    }
}

impl Scalar for String {
    const KIND: Kind = Kind::Text;

    fn put(&self) -> Datum<'_> {
        Datum::Text(Cow::Borrowed(self))
    }

    fn take(datum: Datum) -> Result<String> {
        Ok(text(datum)?.into_owned())
    }
}

impl<T: Word> Scalar for T {
    const KIND: Kind = Kind::Text;

    fn put(&self) -> Datum<'_> {
        Datum::Text(Cow::Borrowed((*self).into()))
    }

    fn take(datum: Datum) -> Result<T> {
        words::parse(&text(datum)?)
    }
}

/// Ids are texts.
macro_rules! id {
    ($($name:ident),*) => {$(
        impl Scalar for $name {
            const KIND: Kind = Kind::Text;

            fn put(&self) -> Datum<'_> {
                Datum::Text(Cow::Borrowed(self))
            }

            fn take(datum: Datum) -> Result<$name> {
                Ok($name::new(text(datum)?))
            }
        }
    )*};
}

id!(TaskName, ImageId, CellId);

impl Scalar for i64 {
    const KIND: Kind = Kind::Integer;

    fn put(&self) -> Datum<'_> {
        Datum::Integer(*self)
    }

    fn take(datum: Datum) -> Result<i64> {
        match datum {
            Datum::Integer(number) => Ok(number),
            Datum::Text(_) | Datum::Real(_) => anyhow::bail!("no integer where one belongs"),
        }
    }
}

impl Scalar for f64 {
    const KIND: Kind = Kind::Real;

    fn put(&self) -> Datum<'_> {
        Datum::Real(*self)
    }

    fn take(datum: Datum) -> Result<f64> {
        match datum {
            Datum::Real(number) => Ok(number),
            Datum::Text(_) | Datum::Integer(_) => anyhow::bail!("no real number where one belongs"),
        }
    }
}

/// 0 or 1.
impl Scalar for bool {
    const KIND: Kind = Kind::Integer;

    fn put(&self) -> Datum<'_> {
        Datum::Integer(i64::from(*self))
    }

    fn take(datum: Datum) -> Result<bool> {
        match i64::take(datum)? {
            0 => Ok(false),
            1 => Ok(true),
            number => anyhow::bail!("{number} is neither 0 (no) nor 1 (yes)"),
        }
    }
}

macro_rules! count {
    ($($type:ty),*) => {$(
        impl Scalar for $type {
            const KIND: Kind = Kind::Integer;

            fn put(&self) -> Datum<'_> {
                Datum::Integer(i64::try_from(*self).expect("counts and sizes stay below 2^63"))
            }

            fn take(datum: Datum) -> Result<$type> {
                Ok(<$type>::try_from(i64::take(datum)?)?)
            }
        }
    )*};
}

count!(u16, u32, u64, usize);

/// States a table: the struct of its rows, whose fields are its columns and whose documentation describes them.
macro_rules! record {
    (
        $(#[$meta:meta])*
        $vis:vis struct $name:ident {
            $($(#[doc = $about:literal])* $(#[serde($($serde:tt)*)])? pub $field:ident: $type:ty,)*
        }
    ) => {
        $(#[$meta])*
        $vis struct $name {
            $($(#[doc = $about])* $(#[serde($($serde)*)])? pub $field: $type,)*
        }

        impl $crate::table::Record for $name {
            fn columns() -> Vec<$crate::table::Described> {
                let mut columns = Vec::new();
                $(columns.extend(<$type as $crate::table::Field>::describe(
                    stringify!($field),
                    concat!($($about),*).trim(),
                ));)*
                columns
            }

            fn add<'a>(
                columns: $crate::table::Columns,
                rows: impl Iterator<Item = &'a Self> + Clone,
            ) -> $crate::table::Columns {
                $(let columns = <$type as $crate::table::Field>::add(
                    columns,
                    stringify!($field),
                    rows.clone().map(|row| &row.$field),
                );)*
                columns
            }

            fn of(table: &$crate::table::Table) -> anyhow::Result<Vec<Self>> {
                $(let mut $field = <$type as $crate::table::Field>::of(table, stringify!($field))?.into_iter();)*
                let row = |_| $name { $($field: $field.next().expect("one value for each row")),* };
                Ok((0..table.height()).map(row).collect())
            }
        }
    };
}

pub(crate) use record;
