//! Typed columns in and out of parquet, with errors that name file and column.

use std::io::Write;
use std::path::Path;

use anyhow::{Context, Result, anyhow, bail, ensure};
use csv::QuoteStyle;
use polars::prelude::{
    Column, DataFrame, DataType, Float64Chunked, Int64Chunked, IntoColumn, NewChunkedArray, Series,
    StringChunked,
};
use polars_io::SerReader;
use polars_io::parquet::read::{ParallelStrategy, ParquetReader};
use polars_io::parquet::write::{ParquetCompression, ParquetWriter};

use crate::{files, panics};

/// Rows stated once.
mod record;
/// Hashes of tables' files.
mod seal;

pub(crate) use record::record;
pub use record::{Datum, Described, Field, Kind, Record, Scalar, text};
pub use seal::Seals;

/// Columns of one table, filled by name.
#[derive(Default)]
pub struct Columns(Vec<Column>);

impl Columns {
    /// A text column; `None` is null.
    pub fn text<T: AsRef<str>>(mut self, name: &str, values: impl Iterator<Item = Option<T>>) -> Columns {
        self.0.push(StringChunked::from_iter_options(name.into(), values).into_column());
        self
    }

    /// A 64-bit integer column; `None` is null.
    pub fn integer(mut self, name: &str, values: impl Iterator<Item = Option<i64>>) -> Columns {
        self.0.push(Int64Chunked::from_iter_options(name.into(), values).into_column());
        self
    }

    /// A 64-bit float column; `None` is null.
    pub fn real(mut self, name: &str, values: impl Iterator<Item = Option<f64>>) -> Columns {
        self.0.push(Float64Chunked::from_iter_options(name.into(), values).into_column());
        self
    }

    /// A column of that kind; `None` is null.
    ///
    /// # Panics
    /// An entry of another kind.
    pub(crate) fn data<'a>(
        self,
        name: &str,
        kind: Kind,
        values: impl Iterator<Item = Option<Datum<'a>>>,
    ) -> Columns {
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
        Table { frame: self.frame()?, file: "a table in memory".to_owned(), start: 0 }.to_csv()
    }

    /// Writes the table to `path`, whole.
    ///
    /// # Errors
    /// Columns of unequal length, or a file that cannot be written.
    pub fn write(self, path: &Path) -> Result<()> {
        let mut frame = self.frame().with_context(|| format!("columns of {}", path.display()))?;
        files::write_whole_with(path, |file| {
            parquet(file).finish(&mut frame)?;
            Ok(())
        })
    }

    /// Writes a table of `rows` to `path`, whole, without holding all its columns in memory: `columns` makes them of a
    /// piece of the rows.
    ///
    /// # Errors
    /// As [`Columns::write`], or that of a row.
    pub fn write_pieces<T>(
        path: &Path,
        mut rows: impl Iterator<Item = Result<T>>,
        columns: impl Fn(&[T]) -> Columns,
    ) -> Result<()> {
        let mut next = || columns(&rows.by_ref().take(GROUP).collect::<Result<Vec<T>>>()?).frame();
        files::write_whole_with(path, |file| {
            let mut frame = next()?;
            let mut writer = parquet(file).batched(frame.schema())?;
            loop {
                writer.write_batch(&frame)?;
                frame = next()?;
                if frame.height() == 0 {
                    break;
                }
            }
            writer.finish()?;
            Ok(())
        })
    }
}

/// Writes parquet as every table of ours is.
fn parquet<W: Write>(to: W) -> ParquetWriter<W> {
    ParquetWriter::new(to).with_compression(ParquetCompression::Snappy).set_parallel(false)
}

/// Rows of a piece that is read.
const PIECE: usize = 1 << 16;
/// Rows of a group that is written.
const GROUP: usize = 1 << 18;

/// Whether CSV begins with the names of its columns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Heads {
    /// In a first line.
    Named,
    /// As in what follows an earlier piece.
    LeftOut,
}

/// The bytes of a parquet file like the one at `path`, of which `change` makes every piece another.
///
/// # Errors
/// As [`Table::visit`], or pieces whose columns differ.
pub fn copy(path: &Path, mut change: impl FnMut(Table) -> Result<Table>) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let (mut to, mut writer) = (Some(&mut bytes), None);
    Table::visit(path, |piece| {
        let Table { frame, file, .. } = change(piece)?;
        let mut write = || -> Result<()> {
            if let Some(bytes) = to.take() {
                writer = Some(parquet(bytes).batched(frame.schema())?);
            }
            Ok(writer.as_mut().expect("made with the first piece").write_batch(&frame)?)
        };
        write().with_context(|| format!("writing columns of {file}"))
    })?;
    writer.context("there is at least one piece")?.finish()?;
    Ok(bytes)
}

/// A table read from a file, whose columns are asked for by name.
pub struct Table {
    frame: DataFrame,
    file: String,
    /// The file's row that is the first one here.
    start: usize,
}

impl Table {
    /// Reads a parquet file.
    ///
    /// # Errors
    /// A file that is missing or is not parquet.
    pub fn read(path: &Path) -> Result<Table> {
        Table::open(path, None)
    }

    /// Reads a parquet file piece by piece, each of at most 2^16 rows, so that columns and what is made of them
    /// need not be in memory together. There is at least one piece.
    ///
    /// # Errors
    /// As [`Table::read`], or what `visit` returns.
    pub fn visit(path: &Path, mut visit: impl FnMut(Table) -> Result<()>) -> Result<()> {
        for piece in 0.. {
            let table = Table::open(path, Some(piece * PIECE))?;
            let height = table.height();
            if piece == 0 || height > 0 {
                visit(table)?;
            }
            if height < PIECE {
                break;
            }
        }
        Ok(())
    }

    /// The whole file, or a piece of it.
    fn open(path: &Path, start: Option<usize>) -> Result<Table> {
        let open = std::fs::File::open(path).with_context(|| format!("opening {}", path.display()))?;
        // On this thread, where a panic of the reader is caught and quiet.
        let read = || {
            let reader = ParquetReader::new(open).with_slice(start.map(|start| (start, PIECE)));
            reader.read_parallel(ParallelStrategy::None).finish()
        };
        let whole = || -> Result<DataFrame> {
            let frame = panics::caught(read).map_err(|panic| anyhow!("its reader gave up ({panic})"))??;
            let is_whole = frame.columns().iter().all(|column| column.len() == frame.height());
            ensure!(is_whole, "its columns are not of one length");
            Ok(frame)
        };
        let frame = whole()
            .with_context(|| format!("{} is not a readable parquet file; build it again", path.display()))?;
        Ok(Table { frame, file: path.display().to_string(), start: start.unwrap_or(0) })
    }

    /// The table without these columns; one that it does not have is no matter.
    pub fn without(self, names: &[&str]) -> Table {
        Table { frame: self.frame.drop_many(names.iter().copied()), ..self }
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
    ///
    /// # Errors
    /// A column that holds neither text nor numbers.
    pub fn to_csv(&self) -> Result<Vec<u8>> {
        let mut csv = Vec::new();
        self.write_csv(Heads::Named, &mut csv)?;
        Ok(csv)
    }

    /// Writes the table as CSV; null is empty.
    ///
    /// # Errors
    /// As [`Table::to_csv`], or what cannot be written to.
    pub fn write_csv(&self, heads: Heads, to: &mut impl Write) -> Result<()> {
        let named = self.columns()?;
        let of = |(name, kind): &(String, Kind)| Ok((self.column(name, &kind.data_type())?, *kind));
        let columns: Vec<(Column, Kind)> = named.iter().map(of).collect::<Result<_>>()?;
        let mut entries: Vec<_> =
            columns.iter().map(|(column, kind)| words(column, *kind)).collect::<Result<_>>()?;
        let mut writer = csv::WriterBuilder::new().quote_style(QuoteStyle::Never).from_writer(to);
        if heads == Heads::Named {
            writer.write_record(named.iter().map(|(name, _)| quoted(name)))?;
        }
        for _ in 0..self.height() {
            writer
                .write_record(entries.iter_mut().map(|column| column.next().flatten().unwrap_or_default()))?;
        }
        writer.flush().context("finishing the CSV")
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
    pub(crate) fn place(&self, column: &str, row: usize) -> String {
        format!("column `{column}` of {}, row {}", self.file, self.start + row)
    }

    /// A text column.
    ///
    /// # Errors
    /// A column that is missing or of another type.
    pub fn text(&self, name: &str) -> Result<Vec<Option<String>>> {
        let column = self.column(name, &DataType::String)?;
        Ok(column.str()?.iter().map(|value| value.map(str::to_owned)).collect())
    }

    /// An integer column.
    ///
    /// # Errors
    /// As [`Table::text`].
    pub fn integer(&self, name: &str) -> Result<Vec<Option<i64>>> {
        Ok(self.column(name, &DataType::Int64)?.i64()?.iter().collect())
    }

    /// A float column.
    ///
    /// # Errors
    /// As [`Table::text`].
    pub fn real(&self, name: &str) -> Result<Vec<Option<f64>>> {
        Ok(self.column(name, &DataType::Float64)?.f64()?.iter().collect())
    }

    /// A text column without nulls.
    ///
    /// # Errors
    /// As [`Table::text`], or an entry that is null.
    pub fn text_given(&self, name: &str) -> Result<Vec<String>> {
        Field::of(self, name)
    }

    /// An integer column without nulls.
    ///
    /// # Errors
    /// As [`Table::text_given`].
    pub fn integer_given(&self, name: &str) -> Result<Vec<i64>> {
        Field::of(self, name)
    }
}

/// The entries of a column as CSV has them, one after the other.
fn words(column: &Column, kind: Kind) -> Result<Box<dyn Iterator<Item = Option<String>> + '_>> {
    Ok(match kind {
        Kind::Text => Box::new(column.str()?.iter().map(|text| text.map(quoted))),
        Kind::Integer => Box::new(column.i64()?.iter().map(|number| number.map(|number| number.to_string()))),
        Kind::Real => Box::new(column.f64()?.iter().map(|number| number.map(|number| number.to_string()))),
    })
}

/// A text as an entry of CSV: in quotes where it is empty, which would be null, or would break the line.
fn quoted(text: &str) -> String {
    if text.is_empty() || text.contains([',', '"', '\n', '\r']) {
        format!("\"{}\"", text.replace('"', "\"\""))
    } else {
        text.to_owned()
    }
}
