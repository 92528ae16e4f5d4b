//! Typed columns in and out of parquet, with errors that name file and column.

use std::path::Path;

use anyhow::{Context, Result, bail};
use polars::prelude::{Column, DataFrame, DataType, NamedFrom, Series};
use polars_io::SerReader;
use polars_io::parquet::read::ParquetReader;
use polars_io::parquet::write::{ParquetCompression, ParquetWriter};

use crate::files;

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

    /// Writes the table to `path`, whole.
    pub fn write(self, path: &Path) -> Result<()> {
        let height = self.0.first().map_or(0, Column::len);
        let mut frame =
            DataFrame::new(height, self.0).with_context(|| format!("columns of {}", path.display()))?;
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

    /// Rows.
    pub fn height(&self) -> usize {
        self.frame.height()
    }

    /// Names in their order, and whether each holds numbers.
    pub fn columns(&self) -> Vec<(String, bool)> {
        let columns = self.frame.columns().iter();
        columns.map(|column| (column.name().to_string(), column.dtype().is_numeric())).collect()
    }

    /// The table as CSV with a header line; null is empty.
    pub fn to_csv(&self) -> Result<Vec<u8>> {
        let mut columns = Vec::new();
        for (name, is_number) in self.columns() {
            columns.push(if is_number {
                self.integer(&name)?.into_iter().map(|n| n.map(|n| n.to_string())).collect()
            } else {
                self.text(&name)?
            });
        }
        let mut writer = csv::Writer::from_writer(Vec::new());
        writer.write_record(self.columns().iter().map(|(name, _)| name))?;
        for row in 0..self.height() {
            writer.write_record(columns.iter().map(|column| column[row].as_deref().unwrap_or_default()))?;
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
        given(self.text(name)?, name, &self.file)
    }

    /// An integer column without nulls.
    pub fn integer_given(&self, name: &str) -> Result<Vec<i64>> {
        given(self.integer(name)?, name, &self.file)
    }
}

fn given<T>(values: Vec<Option<T>>, column: &str, file: &str) -> Result<Vec<T>> {
    let fill = |(row, value): (usize, Option<T>)| {
        value.with_context(|| format!("column `{column}` of {file} is null in row {row}"))
    };
    values.into_iter().enumerate().map(fill).collect()
}
