//! A table of scores as another program wrote it: CSV or parquet, its columns by name.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};

use crate::table::Table;
use crate::{files, names};

/// Columns that are read, and what each holds.
pub const COLUMNS: [(&str, &str); 11] = [
    ("image_id", "the picture's id in the manifest; this or `path` must be there"),
    ("path", "the owner's file, below the raw folder; `FILE#3` for frame 3 of a file"),
    ("score", "higher is more anomalous; this or `map` must be there"),
    ("task", "needed only where two tasks share a file"),
    ("method", "where a file holds several"),
    ("shots", "number of supports"),
    ("draw", "which support set, from 0"),
    ("seed", "of the training"),
    ("label", "0 normal, 1 anomalous; held against the manifest"),
    ("map", "file of the anomaly map, from the table's folder: .npy, floats, as large as the run's pictures"),
    ("frame", "which frame of the file that `path` names, from 0, as `FILE#3` does"),
];

/// One score.
#[derive(Clone, Debug, PartialEq)]
pub struct Line {
    /// Where it stands, for errors: `line 3` or `row 2`.
    pub place: String,
    /// By its id.
    pub image_id: Option<String>,
    /// By its file.
    pub path: Option<String>,
    /// NaN where the text is no number; `None` without such a column.
    pub score: Option<f64>,
    /// Empty columns and those that are not there.
    pub task: Option<String>,
    /// As above.
    pub method: Option<String>,
    /// As above.
    pub shots: Option<usize>,
    /// As above.
    pub draw: Option<usize>,
    /// As above.
    pub seed: Option<u64>,
    /// As above.
    pub label: Option<i64>,
    /// As above.
    pub frame: Option<u32>,
    /// The file of its map.
    pub map: Option<PathBuf>,
}

impl Line {
    /// What its picture is called there.
    pub fn picture(&self) -> &str {
        self.image_id.as_deref().or(self.path.as_deref()).unwrap_or_default()
    }
}

/// Reads a table of scores; what ends in `.parquet` is parquet, all else CSV.
///
/// # Errors
/// A file that cannot be read, a column that is missing, not known or partly empty where it says which cell a score
/// belongs to, or an entry that is no number where one belongs.
pub fn read(path: &Path) -> Result<Vec<Line>> {
    let is_parquet = path.extension().is_some_and(|ending| ending.eq_ignore_ascii_case("parquet"));
    let csv = if is_parquet { Table::read(path)?.to_csv()? } else { files::read(path)? };
    let text =
        String::from_utf8(csv).with_context(|| format!("{} is no text; write UTF-8", path.display()))?;
    let unit = if is_parquet { "row" } else { "line" };
    let mut lines = lines(&text, unit).with_context(|| format!("in {}", path.display()))?;
    let folder = path.parent().unwrap_or(Path::new(""));
    for line in &mut lines {
        line.map = line.map.take().map(|map| folder.join(map));
    }
    Ok(lines)
}

fn lines(text: &str, unit: &str) -> Result<Vec<Line>> {
    let text = text.trim_start_matches('\u{feff}');
    let mut reader = csv::ReaderBuilder::new().trim(csv::Trim::All).from_reader(text.as_bytes());
    let head = reader.headers().context("it is not sound CSV")?.clone();
    let heads: Vec<&str> = head.iter().collect();
    check(&heads)?;
    let place = |name: &str| heads.iter().position(|head| *head == name);
    let places = COLUMNS.map(|(name, _)| place(name));
    let mut lines = Vec::new();
    for (index, record) in reader.records().enumerate() {
        let record = record.context("it is not sound CSV")?;
        let entry = |column: usize| {
            let text = record.get(places[column]?).unwrap_or_default();
            (!text.is_empty()).then(|| names::composed(text))
        };
        let at = format!("{unit} {}", if unit == "row" { index as u64 } else { line_of(&record, text) });
        let number = |column: usize| -> Result<Option<u64>> {
            let Some(text) = entry(column) else { return Ok(None) };
            let is_whole = |value: &f64| value.fract() == 0.0 && (0.0..9e15).contains(value);
            // Other programs write whole numbers as 3.0 where a column has gaps.
            let value =
                text.parse().ok().or_else(|| text.parse().ok().filter(is_whole).map(|v: f64| v as u64));
            let name = COLUMNS[column].0;
            value.map(Some).with_context(|| format!("{at}: {name} `{text}` is no whole number from 0"))
        };
        lines.push(Line {
            image_id: entry(0),
            path: entry(1),
            score: places[2].map(|_| entry(2).and_then(|text| text.parse().ok()).unwrap_or(f64::NAN)),
            task: entry(3),
            method: entry(4),
            shots: number(5)?.map(usize::try_from).transpose()?,
            draw: number(6)?.map(usize::try_from).transpose()?,
            seed: number(7)?,
            label: number(8)?.map(i64::try_from).transpose()?,
            frame: number(10)?
                .map(u32::try_from)
                .transpose()
                .with_context(|| format!("{at}: no file has so many frames"))?,
            map: entry(9).map(PathBuf::from),
            place: at,
        });
    }
    ensure!(!lines.is_empty(), "it has no scores below its header");
    check_gaps(&lines)?;
    Ok(lines)
}

/// The line on which a record begins, counted from 1. The reader counts from where the last one ended, and passes by
/// empty lines then.
fn line_of(record: &csv::StringRecord, text: &str) -> u64 {
    let Some(position) = record.position() else { return 0 };
    let rest = text.as_bytes().iter().skip(position.byte() as usize);
    let passed = rest.take_while(|byte| b"\r\n".contains(byte)).filter(|byte| **byte == b'\n').count();
    position.line() + passed as u64
}

/// Whether the columns that say which cell a score belongs to have an entry on every line or on none, as a score without one
/// may belong to any; and whether all pictures have maps or none.
fn check_gaps(lines: &[Line]) -> Result<()> {
    let says = |line: &Line| {
        let Line { method, shots, draw, seed, map, .. } = line;
        [
            ("method", method.is_some()),
            ("shots", shots.is_some()),
            ("draw", draw.is_some()),
            ("seed", seed.is_some()),
            ("map", map.is_some()),
        ]
    };
    for column in 0..5 {
        let has = |line: &&Line| says(line)[column].1;
        if let (true, Some(gap)) = (lines.iter().any(|line| has(&line)), lines.iter().find(|line| !has(line)))
        {
            let name = says(gap)[column].0;
            bail!("column `{name}` is partly empty, first on {}; fill it or remove it", gap.place);
        }
    }
    Ok(())
}

/// Whether the columns can be read.
fn check(heads: &[&str]) -> Result<()> {
    let known = || COLUMNS.iter().map(|(name, _)| *name);
    ensure!(
        ["score", "map"].iter().any(|head| heads.contains(head))
            && ["image_id", "path"].iter().any(|head| heads.contains(head)),
        "it needs a column `score` or `map` and one of `image_id` and `path`; it has: {}",
        heads.join(", ")
    );
    for (index, head) in heads.iter().enumerate() {
        ensure!(!heads[..index].contains(head), "column `{head}` is there twice");
        if !known().any(|name| name == *head) {
            bail!(
                "column `{head}` is not known{}; rename or remove it (known: {})",
                names::did_you_mean(head, known()),
                known().collect::<Vec<_>>().join(", ")
            );
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::lines;

    #[test]
    fn columns_are_found_by_name_and_gaps_are_none() {
        let text = "\u{feff}path, score,draw,label\na/b.png,0.5,1.0,0\nc.png,nan,2,\n";
        let read = lines(text, "line").expect("lines");
        assert_eq!((read[0].picture(), read[0].score, read[0].draw), ("a/b.png", Some(0.5), Some(1)));
        assert_eq!((read[0].label, read[0].seed, read[0].place.as_str()), (Some(0), None, "line 2"));
        assert!(read[1].score.is_some_and(f64::is_nan) && read[1].draw == Some(2) && read[1].label.is_none());
    }

    #[test]
    fn lines_are_counted_as_an_editor_does() {
        for end in ["\n", "\r\n"] {
            let text = "path,score\n\na,1\n\n\n\"b\nb\",2\nc,3\n".replace('\n', end);
            let read = lines(&text, "line").expect("lines");
            let places: Vec<&str> = read.iter().map(|line| line.place.as_str()).collect();
            assert_eq!(places, ["line 3", "line 6", "line 8"], "{text:?}");
        }
    }

    #[test]
    fn what_cannot_be_read_is_named() {
        let says = |text: &str, words: &str| {
            let error = format!("{:#}", lines(text, "line").expect_err(text));
            assert!(error.contains(words), "{error}");
        };
        says("path;score\na;1\n", "it has: path;score");
        says("path,score,Draw\n", "did you mean `draw`?");
        says("path,score,heat\n", "column `heat` is not known");
        says("path,map\n", "it has no scores below its header");
        says("path,score,score\n", "there twice");
        says("path,score,draw\na,1,first\n", "line 2: draw `first`");
        says("path,score,draw\na,1,-1\n", "line 2: draw `-1`");
        says("path,score,draw\na,1,0\nb,1,\n", "column `draw` is partly empty, first on line 3");
        says("path,score,seed\na,1,\nb,1,2\n", "column `seed` is partly empty, first on line 2");
        says("path,score,frame\na,1,4294967296\n", "no file has so many frames");
        says("path,score\n", "no scores below its header");
    }
}
