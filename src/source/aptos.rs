//! APTOS 2019: fundus pictures graded 0 to 4 in a table.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use anyhow::Result;

use super::{Candidate, Listing, Source, labels, tree};

/// `train.csv` (`id_code,diagnosis`) and `train_images/<id_code>.png`; the finding is the grade, `0` to `4`.
pub const SOURCE: Source = Source {
    name: "aptos",
    about: "fundus pictures: train.csv (id_code, diagnosis) and train_images/<id_code>.png",
    list,
};

const TABLE: &str = "train.csv";
const REMEDY: &str = "give the folder of the Kaggle download that holds train.csv and train_images";
const PUBLISHED: &[(&str, usize)] =
    &[("grade 0", 1805), ("grade 1", 370), ("grade 2", 999), ("grade 3", 193), ("grade 4", 295)];

fn list(root: &Path) -> Result<Listing> {
    tree::require(root, &[TABLE, "train_images"], REMEDY)?;
    let grades = grades(root)?;
    let mut listing = tree::list(root, REMEDY, |parts| judge(parts, &grades))?;
    tree::refuse_missing(&mut listing, "train_images", "png", grades.keys(), TABLE);
    let class = |candidate: &Candidate| format!("grade {}", candidate.finding);
    tree::compare(&mut listing, class, PUBLISHED, "APTOS 2019, train part");
    Ok(listing)
}

/// Every grade that rows give to a picture; more than one if they disagree.
type Grades = BTreeMap<String, BTreeSet<String>>;

fn grades(root: &Path) -> Result<Grades> {
    let mut grades = Grades::new();
    for [id, grade] in labels::read(&root.join(TABLE), ["id_code", "diagnosis"])? {
        grades.entry(id).or_default().insert(grade);
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
    let given: Vec<&str> = given.iter().map(String::as_str).collect();
    match given.as_slice() {
        [grade @ ("0" | "1" | "2" | "3" | "4")] => Ok(tree::found(grade, None)),
        [other] => Err(format!("{TABLE} gives the grade `{other}`, not 0 to 4")),
        several => Err(format!("rows of {TABLE} disagree on its grade: {}", several.join(", "))),
    }
}
