//! Trivial controls: what can be told from a picture without looking at what it shows.
//!
//! If one of these beats chance, the data have a shortcut. Their direction is fixed beforehand (more,
//! brighter, larger is more anomalous), so an AUROC far below 0.5 tells as much as one far above.

use anyhow::{Context as _, Result, ensure};
use tch::{Kind, Tensor};

use super::contract::{
    Built, Context, Detector, Encoded, Entry, Fitted, Method, Observer, Output, Prediction, TrainTask,
};
use super::work::Work;
use crate::episode::batch::{Acquisition, Pictures};
use crate::random::Stream;
use crate::regime::Regime;
use crate::{files, ids};

/// What a rule may look at beside the picture.
struct Known<'a> {
    file: &'a Acquisition,
    seed: u64,
    /// Mean of the supports, `[3, h, w]`; for rules that see supports.
    normal: Option<&'a Tensor>,
}

/// One score from one picture `[3, h, w]` of 0 to 255.
type Rule = fn(&Tensor, &Known) -> f64;

struct Control {
    rule: Rule,
    sees: Regime,
}

/// A control with its seed; once it has seen supports, their mean.
struct Seeded {
    rule: Rule,
    sees: Regime,
    seed: u64,
    normal: Option<Tensor>,
}

macro_rules! control {
    ($constant:ident, $name:literal, $about:literal, $sees:ident, $rule:expr) => {
        #[doc = $about]
        pub const $constant: Entry = Entry {
            name: $name,
            about: $about,
            paper: "control",
            regime: if matches!(Regime::$sees, Regime::Nothing) { "R0" } else { "R1" },
            needs: "nothing",
            cost: "none",
            trial: "",
            build: |settings| build($rule, Regime::$sees, settings),
            work: Some(|_, _| Ok(Work::default())),
        };
    };
}

control!(
    RANDOM,
    "control-random",
    "a number drawn from the picture's content hash and the seed",
    Nothing,
    random
);
control!(MEAN_INTENSITY, "control-mean-intensity", "mean of all pixels", Nothing, |pixels, _| mean(pixels));
control!(CONTRAST, "control-contrast", "standard deviation of all pixels", Nothing, |pixels, _| {
    pixels.to_kind(Kind::Double).std(false).double_value(&[])
});
control!(SIZE, "control-size", "width times height of the file's picture", Nothing, |_, known| {
    f64::from(known.file.width) * f64::from(known.file.height)
});
control!(ASPECT, "control-aspect", "width over height of the file's picture", Nothing, |_, known| {
    f64::from(known.file.width) / f64::from(known.file.height)
});
control!(BORDER, "control-border", "mean of the outermost sixteenth on each side", Nothing, |pixels, _| {
    border(pixels)
});
control!(FILE_SIZE, "control-file-size", "bytes of the file", Nothing, |_, known| {
    known.file.file_bytes as f64
});
control!(
    PIXEL_MEAN,
    "control-pixel-mean",
    "root mean square distance to the supports' mean picture",
    Supports,
    pixel_mean
);

/// `control-pixel-mean` measured against permuted labels: whatever a score may know, this must give 0.5,
/// or the harness itself tells methods about labels.
pub const LABEL_SHUFFLE: Entry = Entry {
    name: ids::PERMUTED,
    about: "control-pixel-mean against labels permuted by the seed: 0.5 but for chance, or the harness leaks",
    build: |settings| {
        Ok(Built { against_shuffled_labels: true, ..build(pixel_mean, Regime::Supports, settings)? })
    },
    ..PIXEL_MEAN
};

/// Controls take no settings.
#[derive(serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct NoSettings {}

fn build(rule: Rule, sees: Regime, settings: toml::Table) -> Result<Built> {
    let settings: NoSettings = settings.try_into().context("controls take no settings")?;
    let built = Built::new(Control { rule, sees }, &settings, sees, None)?;
    Ok(built.giving(Output::Scores))
}

fn pixel_mean(pixels: &Tensor, known: &Known) -> f64 {
    let normal = known.normal.expect("rules of regime R1 are given supports");
    (pixels.to_kind(Kind::Double) - normal).square().mean(None::<Kind>).sqrt().double_value(&[])
}

fn mean(pixels: &Tensor) -> f64 {
    pixels.to_kind(Kind::Double).mean(None::<Kind>).double_value(&[])
}

fn border(pixels: &Tensor) -> f64 {
    let (height, width) = (pixels.size()[1], pixels.size()[2]);
    let (rows, columns) = ((height / 16).max(1), (width / 16).max(1));
    let sum = |part: &Tensor| part.to_kind(Kind::Double).sum(None::<Kind>).double_value(&[]);
    let inner = pixels.narrow(1, rows, height - 2 * rows).narrow(2, columns, width - 2 * columns);
    let n_border = (height * width - (height - 2 * rows) * (width - 2 * columns)) * pixels.size()[0];
    (sum(pixels) - sum(&inner)) / n_border as f64
}

fn random(pixels: &Tensor, known: &Known) -> f64 {
    let bytes: Vec<u8> = Vec::try_from(pixels.contiguous().flatten(0, -1)).unwrap_or_default();
    Stream::new(known.seed, &format!("control {}", files::fingerprint(&bytes)), 0).unit()
}

impl Method for Control {
    fn fit(&self, _: &[TrainTask], context: &Context, _: &mut dyn Observer) -> Result<Box<dyn Fitted>> {
        Ok(Box::new(Seeded { rule: self.rule, sees: self.sees, seed: context.seed, normal: None }))
    }
}

impl Fitted for Seeded {
    fn adapt<'a>(&'a self, supports: &Pictures) -> Result<Box<dyn Detector + 'a>> {
        let normal = match self.sees {
            Regime::Nothing => None,
            _ => {
                ensure!(!supports.is_empty(), "this control needs at least one support");
                Some(supports.pixels.to_kind(Kind::Double).mean_dim(0, false, None::<Kind>))
            }
        };
        Ok(Box::new(Seeded { rule: self.rule, sees: self.sees, seed: self.seed, normal }))
    }
}

impl Detector for Seeded {
    fn score(&self, queries: &Encoded) -> Result<Prediction> {
        let queries = queries.pictures();
        let score = |(index, file): (usize, &Acquisition)| {
            let known = Known { file, seed: self.seed, normal: self.normal.as_ref() };
            (self.rule)(&queries.pixels.get(index as i64), &known)
        };
        Ok(Prediction::Scores(queries.acquisition.iter().enumerate().map(score).collect()))
    }
}
