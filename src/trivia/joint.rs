//! How much trivia tell: each number alone, and together by a regression that has not seen the picture it judges; and how
//! alike they make pictures, by one that has seen all of them.

use strum::{Display, EnumString, IntoStaticStr, VariantArray};

use super::{Trivia, sample};
use crate::metric::auroc::auroc;
use crate::metric::auroc_interval;
use crate::metric::logistic::{N_FOLDS, in_sample, out_of_fold};
use crate::metric::two_level::Sample;
use crate::random::Stream;
use crate::words::word;

/// Permutations of the labels, over whose AUROC the mean is taken: one alone is off by chance.
const N_PERMUTED: u64 = 20;

/// A trivial number of a picture.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Display, EnumString, IntoStaticStr, VariantArray,
)]
pub enum Number {
    /// Bytes of the file.
    #[strum(serialize = "file bytes")]
    FileBytes,
    /// Width times height of the file's picture.
    #[strum(serialize = "size")]
    Size,
    /// Width over height of the file's picture.
    #[strum(serialize = "aspect")]
    Aspect,
    /// Bytes of the file over its pixels: how strongly it was compressed.
    #[strum(serialize = "bytes per pixel")]
    BytesPerPixel,
    /// Bits a sample in the file.
    #[strum(serialize = "bits")]
    Bits,
    /// Mean of all values.
    #[strum(serialize = "mean")]
    Mean,
    /// Standard deviation of all values.
    #[strum(serialize = "contrast")]
    Contrast,
    /// Mean of the outermost sixteenth on each side.
    #[strum(serialize = "border")]
    Border,
}

word!(Number, "trivial number");

impl Number {
    /// Of a picture.
    pub fn of(self, row: &Trivia) -> f64 {
        let (width, height) = (f64::from(row.width), f64::from(row.height));
        match self {
            Number::FileBytes => row.file_bytes as f64,
            Number::Size => width * height,
            Number::Aspect => width / height,
            Number::BytesPerPixel => row.file_bytes as f64 / (width * height),
            Number::Bits => f64::from(row.bits),
            Number::Mean => row.mean,
            Number::Contrast => row.contrast,
            Number::Border => row.border,
        }
    }

    /// Whether it stands in the file's header, so that no pixel need be decoded.
    pub fn is_of_header(self) -> bool {
        !matches!(self, Number::Mean | Number::Contrast | Number::Border)
    }
}

/// Numbers that are taken together.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Display, EnumString, IntoStaticStr, VariantArray,
)]
#[strum(serialize_all = "kebab-case")]
pub enum Numbers {
    /// Those of the file's header.
    Header,
    /// Those of intensities.
    Intensity,
    /// All of them.
    All,
}

word!(Numbers, "set of trivial numbers");

impl Numbers {
    /// Which they are.
    pub fn list(self) -> impl Iterator<Item = Number> {
        Number::all().filter(move |number| match self {
            Numbers::Header => number.is_of_header(),
            Numbers::Intensity => !number.is_of_header(),
            Numbers::All => true,
        })
    }

    /// Of a picture. Numbers of the header are sizes and ratios, so their logarithms are there too.
    fn of(self, row: &Trivia) -> Vec<f64> {
        let values = self.list().map(|number| number.of(row));
        let logarithms = self.list().filter(|number| number.is_of_header()).map(|number| number.of(row).ln());
        values.chain(logarithms).collect()
    }
}

/// What numbers tell.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Told {
    /// `None` if undefined.
    pub auroc: Option<f64>,
    /// 95 % over pictures (patients where known); `None` if undefined, as where a class comes from one patient.
    pub interval: Option<(f64, f64)>,
    /// Whether pictures of a patient were divided, since a class comes from too few patients to keep them whole.
    pub patients_divided: bool,
}

/// What one number tells alone: more of it is taken for anomalous, so below 0.5 less of it would be the better guess.
pub fn alone(number: Number, rows: &[&Trivia]) -> Told {
    told(&sample(rows), &rows.iter().map(|row| number.of(row)).collect::<Vec<_>>())
}

/// For each picture, the logit that it is anomalous, by a regression on the trivia of pictures in other folds. `None`
/// where a class has too few pictures.
fn logits(numbers: Numbers, rows: &[&Trivia]) -> Option<Vec<f64>> {
    out_of_fold(&table(numbers, rows), &foldable(rows).0, FOLDS)
}

/// For each picture, the logit that it is anomalous, by a regression on the trivia of all these pictures: what
/// [`crate::metric::adjusted`] weighs pairs by. `None` where a class has no picture, or a number is not finite.
pub fn propensity(rows: &[&Trivia]) -> Option<Vec<f64>> {
    in_sample(&table(Numbers::All, rows), sample(rows).is_anomalous())
}

/// What the numbers tell together.
pub fn together(numbers: Numbers, rows: &[&Trivia]) -> Told {
    let patients_divided = foldable(rows).1;
    let told = |logits: Vec<f64>| Told { patients_divided, ..told(&sample(rows), &logits) };
    logits(numbers, rows).map_or(Told { patients_divided, ..Told::default() }, told)
}

/// Names the stream that divides pictures into folds.
const FOLDS: &str = "folds of the joint control";

/// Pictures that can be divided into folds, and whether patients are divided for it.
fn foldable(rows: &[&Trivia]) -> (Sample, bool) {
    let whole = sample(rows);
    match whole.folds(N_FOLDS, FOLDS) {
        Some(_) => (whole, false),
        None => (Sample::new(whole.is_anomalous().to_vec(), &vec![None; rows.len()]), true),
    }
}

/// The same with labels that were permuted among the pictures, mean over permutations: 0.5 but for chance, or
/// the procedure itself sees labels that it should not.
pub fn permuted(numbers: Numbers, rows: &[&Trivia]) -> Option<f64> {
    let table = table(numbers, rows);
    let patients_divided = foldable(rows).1;
    let group = |row: &&Trivia| row.group.clone().filter(|_| !patients_divided);
    let groups: Vec<Option<String>> = rows.iter().map(group).collect();
    let one = |index: u64| {
        let mut classes = sample(rows).is_anomalous().to_vec();
        Stream::new(0, "labels of the joint control", index).shuffle(&mut classes);
        let sample = Sample::new(classes, &groups);
        let logits = out_of_fold(&table, &sample, FOLDS)?;
        of_classes(&sample, &logits)
    };
    let all: Vec<f64> = (0..N_PERMUTED).map(one).collect::<Option<_>>()?;
    Some(all.iter().sum::<f64>() / N_PERMUTED as f64)
}

fn table(numbers: Numbers, rows: &[&Trivia]) -> Vec<Vec<f64>> {
    rows.iter().map(|row| numbers.of(row)).collect()
}

fn told(sample: &Sample, scores: &[f64]) -> Told {
    let interval = auroc_interval::interval(sample, &[scores.to_vec()]);
    Told { auroc: of_classes(sample, scores), interval, patients_divided: false }
}

fn of_classes(sample: &Sample, scores: &[f64]) -> Option<f64> {
    let of = |class: bool| -> Vec<f64> {
        let pairs = scores.iter().zip(sample.is_anomalous());
        pairs.filter(|(_, is)| **is == class).map(|(score, _)| *score).collect()
    };
    auroc(&of(false), &of(true))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::{ImageId, TaskName};
    use crate::manifest::Label;

    /// Anomalous pictures are wider and, by `darker`, darker; neither alone decides.
    fn rows(n: usize, darker: f64) -> Vec<Trivia> {
        let mut stream = Stream::new(5, "trivia", 0);
        let row = |index: usize| {
            let label = if index.is_multiple_of(2) { Label::Normal } else { Label::Anomalous };
            let shift = f64::from(u8::from(label == Label::Anomalous));
            Trivia {
                image_id: ImageId::new(format!("{index}")),
                task: TaskName::new("t"),
                label,
                group: None,
                file_bytes: 1000,
                width: (1000.0 + 100.0 * (stream.normal() + shift)) as u32,
                height: 1000,
                bits: 8,
                mean: 100.0 + 10.0 * (stream.normal() - darker * shift),
                contrast: 30.0 + stream.normal(),
                border: 20.0 + stream.normal(),
                view: None,
                scanner: None,
                site: None,
            }
        };
        (0..n).map(row).collect()
    }

    #[test]
    fn together_they_tell_more_than_alone_and_nothing_of_permuted_labels() {
        let rows = rows(600, 1.0);
        let rows: Vec<&Trivia> = rows.iter().collect();
        let value = |told: Told| told.auroc.expect("defined");
        // Phi(1 / sqrt 2) = 0.760, of both together Phi(sqrt 2 / sqrt 2) = 0.841.
        assert!((value(alone(Number::Aspect, &rows)) - 0.76).abs() < 0.04);
        assert!((value(alone(Number::Mean, &rows)) - 0.24).abs() < 0.04, "darker is less of it");
        assert!((value(together(Numbers::Header, &rows)) - 0.76).abs() < 0.04);
        assert!((value(together(Numbers::Intensity, &rows)) - 0.76).abs() < 0.04);
        let Told { auroc, interval, patients_divided } = together(Numbers::All, &rows);
        let (all, (low, high)) = (auroc.expect("defined"), interval.expect("many pictures"));
        assert!(!patients_divided);
        assert!((all - 0.841).abs() < 0.04 && low < all && all < high, "{low} {all} {high}");
        assert!((permuted(Numbers::All, &rows).expect("defined") - 0.5).abs() < 0.02);
    }

    #[test]
    fn of_few_patients_pictures_are_divided_and_that_is_said() {
        let mut rows = rows(400, 1.0);
        rows.iter_mut().for_each(|row| row.group = Some("one patient".to_owned()));
        let rows: Vec<&Trivia> = rows.iter().collect();
        let found = together(Numbers::All, &rows);
        assert!(found.auroc.is_some_and(|auroc| (auroc - 0.841).abs() < 0.05));
        assert_eq!((found.interval, found.patients_divided), (None, true));
        assert_eq!(together(Numbers::All, &rows[..8]), Told { patients_divided: true, ..Told::default() });
        assert_eq!(permuted(Numbers::All, &rows[..8]), None);
    }
}
