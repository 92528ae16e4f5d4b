//! APTOS 2019: fundus pictures graded 0 to 4 in a table.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use anyhow::Result;

use super::contract::{Candidate, Listing, Source};
use super::{labels, tree};
use crate::spec::Task;

/// `train.csv` (`id_code,diagnosis`) and `train_images/<id_code>.png`; the finding is the grade, `0` to `4`.
pub const SOURCE: Source = Source {
    name: "aptos",
    about: "fundus pictures: train.csv (id_code, diagnosis) and train_images/<id_code>.png",
    is_own_layout: false,
    list,
};

const TABLE: &str = "train.csv";
const REMEDY: &str = "give the folder of the Kaggle download that holds train.csv and train_images";
const PUBLISHED: &[(&str, usize)] =
    &[("grade 0", 1805), ("grade 1", 370), ("grade 2", 999), ("grade 3", 193), ("grade 4", 295)];

fn list(root: &Path, _: &Task) -> Result<Listing> {
    tree::require(root, &[TABLE, "train_images"], REMEDY)?;
    let grades = grades(root)?;
    let mut listing = tree::list(root, REMEDY, |parts| judge(parts, &grades))?;
    tree::refuse_missing(&mut listing, "train_images", "png", grades.keys(), TABLE);
    let class = |candidate: &Candidate| format!("grade {}", candidate.finding);
    tree::compare(&mut listing, class, PUBLISHED, "APTOS 2019, train part");
    Ok(listing)
}

/// What the table says of each picture.
type Grades = BTreeMap<String, Given>;

#[derive(Default)]
struct Given {
    /// Every grade that rows give; more than one if they disagree.
    grades: BTreeSet<String>,
    /// The first of its rows, counted from 0.
    row: u32,
}

fn grades(root: &Path) -> Result<Grades> {
    let mut grades = Grades::new();
    for (row, [id, grade]) in (0..).zip(labels::read(&root.join(TABLE), ["id_code", "diagnosis"])?) {
        let given = grades.entry(id).or_insert_with(|| Given { row, ..Given::default() });
        given.grades.insert(grade);
    }
    Ok(grades)
}

fn judge(parts: &[&str], grades: &Grades) -> Result<Candidate, String> {
    let ["train_images", file] = *parts else {
        return Err(match parts[0] {
            "test_images" => "a test picture, whose grade is not published".to_owned(),
            _ => "outside train_images".to_owned(),
        });
    };
    let given = grades.get(tree::stem(file)).ok_or_else(|| format!("{TABLE} has no row for it"))?;
    let grades: Vec<&str> = given.grades.iter().map(String::as_str).collect();
    match grades.as_slice() {
        [grade @ ("0" | "1" | "2" | "3" | "4")] => {
            Ok(Candidate { owner_order: Some(given.row), ..tree::found(grade, None) })
        }
        [other] => Err(format!("{TABLE} gives the grade `{other}`, not 0 to 4")),
        several => Err(format!("rows of {TABLE} disagree on its grade: {}", several.join(", "))),
    }
}
