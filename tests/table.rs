//! Tables keep what they were given and name what is wrong with a file; files are written whole.

use std::path::Path;

use medfsad::files;
use medfsad::manifest::Rejected;
use medfsad::table::{Columns, Record, Table};

fn columns() -> Columns {
    Columns::default()
        .text("name", [Some("a"), None, Some("")].into_iter())
        .integer("count", [None, Some(i64::MIN), Some(7)].into_iter())
        .real("score", [Some(0.1), Some(f64::INFINITY), None].into_iter())
}

fn stored(folder: &Path) -> Table {
    let path = folder.join("table.parquet");
    columns().write(&path).unwrap();
    Table::read(&path).unwrap()
}

fn names(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).unwrap();
    let mut names: Vec<String> =
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort_unstable();
    names
}

#[test]
fn nulls_and_values_survive_parquet() {
    let folder = tempfile::tempdir().unwrap();
    let table = stored(folder.path());
    assert_eq!(table.height(), 3);
    assert_eq!(table.text("name").unwrap(), [Some("a".to_owned()), None, Some(String::new())]);
    assert_eq!(table.integer("count").unwrap(), [None, Some(i64::MIN), Some(7)]);
    assert_eq!(table.real("score").unwrap(), [Some(0.1), Some(f64::INFINITY), None]);
}

#[test]
fn a_table_becomes_csv_as_it_stands() {
    let csv = String::from_utf8(columns().to_csv().unwrap()).unwrap();
    assert_eq!(csv, "name,count,score\na,,0.1\n,-9223372036854775808,inf\n\"\",7,\n");
}

#[test]
fn an_entry_that_no_value_stands_for_names_file_column_and_row() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("rejected.parquet");
    let columns = Columns::default()
        .text("task", [Some("skin")].into_iter())
        .text("source_path", [Some("a.png")].into_iter())
        .integer("frame", [Some(-1)].into_iter())
        .text("finding", [None::<&str>].into_iter())
        .text("kind", [Some("unreadable")].into_iter())
        .text("reason", [Some("it is cut short")].into_iter());
    columns.write(&path).unwrap();
    let error = format!("{:#}", Rejected::read(&path).unwrap_err());
    assert!(error.contains("column `frame`") && error.contains("rejected.parquet, row 0"), "{error}");
}

#[test]
fn a_table_without_rows_survives_parquet() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("empty.parquet");
    let none = std::iter::empty::<Option<&str>>();
    Columns::default().text("name", none).integer("count", std::iter::empty()).write(&path).unwrap();
    let table = Table::read(&path).unwrap();
    assert_eq!((table.height(), table.text_given("name").unwrap().len()), (0, 0));
    assert_eq!(table.integer("count").unwrap(), []);
}

#[test]
fn an_unknown_column_is_answered_with_those_there_are() {
    let folder = tempfile::tempdir().unwrap();
    let error = format!("{:#}", stored(folder.path()).integer("cuont").unwrap_err());
    assert!(error.contains("table.parquet has no column `cuont`"), "{error}");
    assert!(error.contains("name, count, score"), "{error}");
}

#[test]
fn a_null_where_a_value_is_needed_names_file_column_and_row() {
    let folder = tempfile::tempdir().unwrap();
    let table = stored(folder.path());
    let error = format!("{:#}", table.text_given("name").unwrap_err());
    assert!(error.contains("`name`") && error.contains("table.parquet, row 1 is null"), "{error}");
    let error = format!("{:#}", table.integer_given("count").unwrap_err());
    assert!(error.contains("row 0 is null"), "{error}");
}

#[test]
fn a_column_of_another_kind_is_refused_and_never_turned_into_nulls() {
    let folder = tempfile::tempdir().unwrap();
    let error = format!("{:#}", stored(folder.path()).integer("name").unwrap_err());
    assert!(error.contains("column `name`") && error.contains("table.parquet"), "{error}");
}

#[test]
fn columns_of_unequal_length_are_refused_by_the_file_s_name() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("uneven.parquet");
    let uneven = columns().integer("short", [Some(1)].into_iter());
    let error = format!("{:#}", uneven.write(&path).unwrap_err());
    assert!(error.contains("uneven.parquet"), "{error}");
    assert_eq!(names(folder.path()), Vec::<String>::new());
}

#[test]
fn a_broken_or_missing_file_names_itself() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("cut.parquet");
    let whole = {
        columns().write(&path).unwrap();
        std::fs::read(&path).unwrap()
    };
    for broken in [&b""[..], b"not parquet at all", &whole[..whole.len() / 2], &whole[1..]] {
        std::fs::write(&path, broken).unwrap();
        let error = format!("{:#}", Table::read(&path).err().expect("a broken file is refused"));
        assert!(error.contains("cut.parquet is not a readable parquet file"), "{error}");
    }
    let error = format!("{:#}", Table::read(&folder.path().join("gone.parquet")).err().unwrap());
    assert!(error.contains("gone.parquet"), "{error}");
}

#[test]
fn the_same_table_gives_the_same_bytes() {
    let folder = tempfile::tempdir().unwrap();
    let written = |name: &str| {
        let path = folder.path().join(name);
        columns().write(&path).unwrap();
        std::fs::read(path).unwrap()
    };
    assert_eq!(written("one.parquet"), written("two.parquet"));
}

#[test]
fn a_file_is_replaced_whole_and_leaves_no_draft_behind() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("on/the/way/note.txt");
    files::write_whole(&path, b"a long first text").unwrap();
    files::write_whole(&path, b"short").unwrap();
    assert_eq!(std::fs::read(&path).unwrap(), b"short");
    assert_eq!(names(path.parent().unwrap()), ["note.txt"]);
}

#[test]
fn a_write_that_fails_half_way_leaves_the_old_file_and_no_draft() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("note.txt");
    files::write_whole(&path, b"old").unwrap();
    let error = files::write_whole_with(&path, |file| {
        std::io::Write::write_all(file, b"half")?;
        anyhow::bail!("the disk is full")
    });
    let error = format!("{:#}", error.unwrap_err());
    assert!(error.contains("note.txt") && error.contains("the disk is full"), "{error}");
    assert_eq!(std::fs::read(&path).unwrap(), b"old");
    assert_eq!(names(folder.path()), ["note.txt"]);
}

#[test]
fn a_reader_never_sees_part_of_a_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("note.txt");
    files::write_whole(&path, b"old").unwrap();
    files::write_whole_with(&path, |file| {
        std::io::Write::write_all(file, b"half")?;
        assert_eq!(std::fs::read(&path)?, b"old");
        Ok(std::io::Write::write_all(file, b" and half")?)
    })
    .unwrap();
    assert_eq!(std::fs::read(&path).unwrap(), b"half and half");
}

#[test]
fn threads_that_write_one_file_at_once_leave_one_of_their_versions() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("shared.bin");
    std::thread::scope(|scope| {
        for writer in 0..8u8 {
            let path = &path;
            scope.spawn(move || {
                for _ in 0..50 {
                    medfsad::files::write_whole(path, &[writer; 4096]).unwrap();
                }
            });
        }
    });
    let bytes = std::fs::read(&path).unwrap();
    assert!(bytes.len() == 4096 && bytes.iter().all(|byte| *byte == bytes[0]));
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1, "a draft was left behind");
}

#[test]
fn a_table_is_read_piece_by_piece_in_its_order() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("long.parquet");
    let n = (1 << 16) + 5;
    Columns::default().integer("number", (0..n).map(Some)).write(&path).unwrap();
    let (mut heights, mut numbers) = (Vec::new(), Vec::new());
    Table::visit(&path, |piece| {
        heights.push(piece.height());
        numbers.extend(piece.integer_given("number")?);
        Ok(())
    })
    .unwrap();
    assert_eq!(heights, [1 << 16, 5]);
    assert!(numbers.into_iter().eq(0..n));
    let empty = folder.path().join("empty.parquet");
    Columns::default().integer("number", std::iter::empty()).write(&empty).unwrap();
    let mut pieces = 0;
    Table::visit(&empty, |piece| {
        pieces += 1;
        assert_eq!((piece.height(), piece.has("number")), (0, true));
        Ok(())
    })
    .unwrap();
    assert_eq!(pieces, 1);
}

#[test]
fn a_table_written_in_pieces_is_the_one_written_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let [whole, pieces] = ["whole", "pieces"].map(|name| folder.path().join(name));
    for n in [0, 1, 1000] {
        Columns::default().integer("number", (0..n).map(Some)).write(&whole).unwrap();
        let column =
            |numbers: &[i64]| Columns::default().integer("number", numbers.iter().copied().map(Some));
        Columns::write_pieces(&pieces, (0..n).map(Ok), column).unwrap();
        assert_eq!(std::fs::read(&whole).unwrap(), std::fs::read(&pieces).unwrap(), "{n}");
    }
    // Two groups.
    let n = (1 << 18) + 5;
    Columns::write_pieces(&pieces, (0..n).map(Ok), |numbers: &[i64]| {
        Columns::default().integer("number", numbers.iter().copied().map(Some))
    })
    .unwrap();
    assert!(Table::read(&pieces).unwrap().integer_given("number").unwrap().into_iter().eq(0..n));
}
