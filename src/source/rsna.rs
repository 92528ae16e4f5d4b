//! RSNA Pneumonia Detection Challenge 2018, stage 2: chest films in DICOM, labels in two tables.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use anyhow::{Context, Result};
use rayon::prelude::*;

use super::contract::{Candidate, Lesions, Listing, Source};
use super::{labels, tree};
use crate::decode;
use crate::spec::Task;

/// `stage_2_train_images/<patientId>.dcm`, `stage_2_detailed_class_info.csv` and `stage_2_train_labels.csv`.
///
/// The boxes of the second table are coarse lesion masks. The finding is the class of the detailed table: `Normal`, `No Lung Opacity / Not Normal` or `Lung Opacity`.
/// The owner's `patientId` is an id per film. Where the films' own `PatientID` differs from it and recurs, that
/// one is the patient.
pub const SOURCE: Source = Source {
    name: "rsna",
    about: "chest films: stage_2_train_images/<patientId>.dcm, stage_2_detailed_class_info.csv and _train_labels.csv",
    is_own_layout: false,
    list,
};

const FOLDER: &str = "stage_2_train_images";
const CLASSES: &str = "stage_2_detailed_class_info.csv";
const BOXES: &str = "stage_2_train_labels.csv";
const REMEDY: &str = "give the folder of the Kaggle download that holds stage_2_train_images and both tables";
const OPACITY: &str = "Lung Opacity";

const PUBLISHED: &[(&str, usize)] =
    &[("Normal", 8851), ("No Lung Opacity / Not Normal", 11821), (OPACITY, 6012)];

fn list(root: &Path, _: &Task) -> Result<Listing> {
    tree::require(root, &[FOLDER, CLASSES, BOXES], REMEDY)?;
    let films = Films::read(root)?;
    let mut listing = tree::list(root, REMEDY, |parts| judge(parts, &films))?;
    tree::refuse_missing(&mut listing, FOLDER, "dcm", films.0.keys(), CLASSES);
    report_conflicts(&mut listing, &films);
    name_patients(root, &mut listing);
    tree::compare(&mut listing, |candidate| candidate.finding.clone(), PUBLISHED, "RSNA 2018, stage 2");
    Ok(listing)
}

/// What both tables say of each film, rows of several boxes taken together.
struct Films(BTreeMap<String, Film>);

#[derive(Default)]
struct Film {
    classes: BTreeSet<String>,
    targets: BTreeSet<String>,
    /// Left, top, width, height, in pixels of the film.
    boxes: Vec<[u32; 4]>,
}

impl Films {
    fn read(root: &Path) -> Result<Films> {
        let mut films: BTreeMap<String, Film> = BTreeMap::new();
        for [id, class] in labels::read(&root.join(CLASSES), ["patientId", "class"])? {
            films.entry(id).or_default().classes.insert(class);
        }
        let table = root.join(BOXES);
        for [id, target, sides @ ..] in
            labels::read(&table, ["patientId", "Target", "x", "y", "width", "height"])?
        {
            let film = films.entry(id.clone()).or_default();
            film.targets.insert(target);
            if sides.iter().any(|side| !side.is_empty()) {
                film.boxes.push(read_box(&sides).with_context(|| {
                    format!("the box of {id} in {} is `{}`", table.display(), sides.join(","))
                })?);
            }
        }
        Ok(Films(films))
    }
}

/// Whole pixels from four numbers that the table writes with a decimal point.
fn read_box(sides: &[String; 4]) -> Result<[u32; 4]> {
    let mut pixels = [0; 4];
    for (pixel, side) in pixels.iter_mut().zip(sides) {
        let number: f64 = side
            .parse()
            .ok()
            .filter(|number| (0.0..1e6).contains(number))
            .context("not four numbers of pixels; use the file as its owner published it")?;
        *pixel = number.round() as u32;
    }
    Ok(pixels)
}

impl Film {
    /// The class both tables agree on, or why there is none. Target 1 stands for `Lung Opacity`.
    fn class(&self) -> Result<&str, String> {
        let classes: Vec<&str> = self.classes.iter().map(String::as_str).collect();
        let targets: Vec<&str> = self.targets.iter().map(String::as_str).collect();
        match (classes.as_slice(), targets.as_slice()) {
            ([], _) => Err(format!("{CLASSES} has no row for it")),
            (_, []) => Err(format!("{BOXES} has no row for it")),
            ([class], [target @ ("0" | "1")]) if (*class == OPACITY) == (*target == "1") => Ok(*class),
            (classes, targets) => {
                Err(format!("{DISAGREE}: class {}, Target {}", classes.join(" and "), targets.join(" and ")))
            }
        }
    }
}

const DISAGREE: &str = "the label tables disagree";

fn judge(parts: &[&str], films: &Films) -> Result<Candidate, String> {
    let [FOLDER, file] = *parts else {
        return Err(match parts[0] {
            "stage_2_test_images" => "a test film, whose label is not published".to_owned(),
            _ => format!("outside {FOLDER}"),
        });
    };
    let id = tree::stem(file);
    let film = films.0.get(id).ok_or_else(|| format!("{CLASSES} has no row for it"))?;
    let mask = (!film.boxes.is_empty()).then(|| Lesions::Boxes(film.boxes.clone()));
    Ok(Candidate { patient: Some(id.to_owned()), mask, ..tree::found(film.class()?, None) })
}

fn report_conflicts(listing: &mut Listing, films: &Films) {
    let disagree = |film: &&Film| film.class().is_err_and(|reason| reason.starts_with(DISAGREE));
    let conflicts = films.0.values().filter(disagree).count();
    if conflicts > 0 {
        listing.differences.push(format!("{conflicts} films are left out because {DISAGREE} on them"));
    }
}

/// Takes the films' own patient ids where they show that a patient recurs; one id on all films is a placeholder.
fn name_patients(root: &Path, listing: &mut Listing) {
    let read = |candidate: &Candidate| decode::dicom::belongs(&root.join(&candidate.path)).ok()?.patient;
    let stated: Vec<Option<String>> = listing.candidates.par_iter().map(read).collect();
    let named = stated.iter().flatten().count();
    let patients = stated.iter().flatten().collect::<BTreeSet<&String>>().len();
    if patients == named || patients == 1 {
        return;
    }
    listing.differences.push(format!(
        "the films' own PatientID names {patients} patients on {named} films and is used as the patient"
    ));
    for (candidate, patient) in listing.candidates.iter_mut().zip(stated) {
        candidate.patient = patient.or(candidate.patient.take());
    }
}
