//! Typed columns in and out of parquet, with errors that name file and column.

use std::path::Path;

use anyhow::{Context, Result, bail};
use csv::QuoteStyle;
use polars::prelude::{Column, DataFrame, DataType, NamedFrom, Series};
use polars_io::SerReader;
use polars_io::parquet::read::ParquetReader;
use polars_io::parquet::write::{ParquetCompression, ParquetWriter};

use crate::files;

/// Rows stated once.
mod record;

pub(crate) use record::record;
pub use record::{Datum, Described, Field, Kind, Record, Scalar, text};

/// Columns of one table, filled by name.
#[derive(Default)]
pub struct Columns(Vec<Column>);

impl Columns {
    /// A text column; `None` is null.
    pub fn text<T: AsRef<str>>(mut self, name: &str, values: impl Iterator<Item = Option<T>>) -> Columns {
        let values: Vec<Option<T>> = values.collect();
        let views: Vec<Option<&str>> = values.iter().map(|v| v.as_ref().map(AsRef::as_ref)).collect();
        self.0.push(Series::new(name.into(), views).into());
        self
    }

    /// A 64-bit integer column; `None` is null.
    pub fn integer(mut self, name: &str, values: impl Iterator<Item = Option<i64>>) -> Columns {
        self.0.push(Series::new(name.into(), values.collect::<Vec<_>>()).into());
        self
    }

    /// A 64-bit float column; `None` is null.
    pub fn real(mut self, name: &str, values: impl Iterator<Item = Option<f64>>) -> Columns {
        self.0.push(Series::new(name.into(), values.collect::<Vec<_>>()).into());
        self
    }

    /// A column of that kind; `None` is null.
    ///
    /// # Panics
    /// An entry of another kind.
    fn data<'a>(self, name: &str, kind: Kind, values: impl Iterator<Item = Option<Datum<'a>>>) -> Columns {
        const OTHER: &str = "a type has entries of its own kind";
        match kind {
            Kind::Text => self.text(name, values.map(|datum| datum.map(|datum| text(datum).expect(OTHER)))),
            Kind::Integer => {
                self.integer(name, values.map(|datum| datum.map(|datum| i64::take(datum).expect(OTHER))))
            }
            Kind::Real => {
                self.real(name, values.map(|datum| datum.map(|datum| f64::take(datum).expect(OTHER))))
            }
        }
    }

    fn frame(self) -> Result<DataFrame> {
        let height = self.0.first().map_or(0, Column::len);
        Ok(DataFrame::new(height, self.0)?)
    }

    /// The table as CSV with a header line; null is empty, and a text without letters is `""`.
    ///
    /// # Errors
    /// Columns of unequal length.
    pub fn to_csv(self) -> Result<Vec<u8>> {
        Table { frame: self.frame()?, file: "a table in memory".to_owned() }.to_csv()
    }

    /// Writes the table to `path`, whole.
    pub fn write(self, path: &Path) -> Result<()> {
        let mut frame = self.frame().with_context(|| format!("columns of {}", path.display()))?;
        files::write_whole_with(path, |file| {
            ParquetWriter::new(file)
                .with_compression(ParquetCompression::Snappy)
                .set_parallel(false)
                .finish(&mut frame)?;
            Ok(())
        })
    }
}

/// A table read from a file, whose columns are asked for by name.
pub struct Table {
    frame: DataFrame,
    file: String,
}

impl Table {
    /// Reads a parquet file.
    pub fn read(path: &Path) -> Result<Table> {
        let open = std::fs::File::open(path).with_context(|| format!("opening {}", path.display()))?;
        let frame = ParquetReader::new(open)
            .finish()
            .with_context(|| format!("{} is not a readable parquet file; build it again", path.display()))?;
        Ok(Table { frame, file: path.display().to_string() })
    }

    /// The table without these columns; one that it does not have is no matter.
    pub fn without(self, names: &[&str]) -> Table {
        Table { frame: self.frame.drop_many(names.iter().copied()), file: self.file }
    }

    /// The table with a text column of nulls in place of one that it does not have.
    pub fn with_null(mut self, name: &str) -> Table {
        if !self.has(name) {
            let nulls = Series::full_null(name.into(), self.height(), &DataType::String);
            // Only a column of another height could be refused.
            self.frame.with_column(nulls.into()).expect("a column of the table's height");
        }
        self
    }

    /// The bytes of a parquet file.
    ///
    /// # Errors
    /// Columns that parquet cannot hold.
    pub fn to_parquet(&self) -> Result<Vec<u8>> {
        let mut bytes = Vec::new();
        ParquetWriter::new(&mut bytes)
            .with_compression(ParquetCompression::Snappy)
            .set_parallel(false)
            .finish(&mut self.frame.clone())
            .with_context(|| format!("writing columns of {}", self.file))?;
        Ok(bytes)
    }

    /// Rows.
    pub fn height(&self) -> usize {
        self.frame.height()
    }

    /// Names and kinds in their order.
    ///
    /// # Errors
    /// A column that holds something else than text and numbers.
    pub fn columns(&self) -> Result<Vec<(String, Kind)>> {
        let kind = |column: &Column| match column.dtype() {
            DataType::String => Ok(Kind::Text),
            kind if kind.is_integer() => Ok(Kind::Integer),
            kind if kind.is_float() => Ok(Kind::Real),
            kind => bail!("column `{}` of {} holds {kind}, no text or number", column.name(), self.file),
        };
        self.frame.columns().iter().map(|column| Ok((column.name().to_string(), kind(column)?))).collect()
    }

    /// Whether there is a column of that name.
    pub fn has(&self, name: &str) -> bool {
        self.frame.column(name).is_ok()
    }

    /// The table as CSV with a header line; null is empty.
    pub fn to_csv(&self) -> Result<Vec<u8>> {
        let columns = self.columns()?;
        let mut entries: Vec<Vec<Option<Datum>>> = Vec::new();
        for (name, kind) in &columns {
            entries.push(self.data(name, *kind)?);
        }
        let mut writer = csv::WriterBuilder::new().quote_style(QuoteStyle::Never).from_writer(Vec::new());
        writer.write_record(columns.iter().map(|(name, _)| quoted(name)))?;
        for row in 0..self.height() {
            writer.write_record(entries.iter().map(|column| match &column[row] {
                None => String::new(),
                Some(Datum::Text(text)) => quoted(text),
                Some(Datum::Integer(number)) => number.to_string(),
                Some(Datum::Real(number)) => number.to_string(),
            }))?;
        }
        writer.into_inner().context("finishing the CSV")
    }

    fn column(&self, name: &str, kind: &DataType) -> Result<Column> {
        let Ok(column) = self.frame.column(name) else {
            let known: Vec<&str> = self.frame.get_column_names().iter().map(|name| name.as_str()).collect();
            bail!("{} has no column `{name}` (it has: {})", self.file, known.join(", "));
        };
        column.strict_cast(kind).with_context(|| format!("column `{name}` of {} is not {kind}", self.file))
    }

    /// A column of that kind.
    fn data(&self, name: &str, kind: Kind) -> Result<Vec<Option<Datum<'static>>>> {
        Ok(match kind {
            Kind::Text => {
                let texts = self.text(name)?.into_iter();
                texts.map(|text| text.map(|text| Datum::Text(text.into()))).collect()
            }
            Kind::Integer => {
                self.integer(name)?.into_iter().map(|number| number.map(Datum::Integer)).collect()
            }
            Kind::Real => self.real(name)?.into_iter().map(|number| number.map(Datum::Real)).collect(),
        })
    }

    /// An entry, for errors.
    fn place(&self, column: &str, row: usize) -> String {
        format!("column `{column}` of {}, row {row}", self.file)
    }

    /// A text column.
    pub fn text(&self, name: &str) -> Result<Vec<Option<String>>> {
        let column = self.column(name, &DataType::String)?;
        Ok(column.str()?.iter().map(|value| value.map(str::to_owned)).collect())
    }

    /// An integer column.
    pub fn integer(&self, name: &str) -> Result<Vec<Option<i64>>> {
        Ok(self.column(name, &DataType::Int64)?.i64()?.iter().collect())
    }

    /// A float column.
    pub fn real(&self, name: &str) -> Result<Vec<Option<f64>>> {
        Ok(self.column(name, &DataType::Float64)?.f64()?.iter().collect())
    }

    /// A text column without nulls.
    pub fn text_given(&self, name: &str) -> Result<Vec<String>> {
        Field::of(self, name)
    }

    /// An integer column without nulls.
    pub fn integer_given(&self, name: &str) -> Result<Vec<i64>> {
        Field::of(self, name)
    }
}

/// A text as an entry of CSV: in quotes where it is empty, which would be null, or would break the line.
fn quoted(text: &str) -> String {
    if text.is_empty() || text.contains([',', '"', '\n', '\r']) {
        format!("\"{}\"", text.replace('"', "\"\""))
    } else {
        text.to_owned()
    }
}
