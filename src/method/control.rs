//! Trivial controls: what can be told from a picture without looking at what it shows.
//!
//! If one of these beats chance, the data have a shortcut. Their direction is fixed beforehand (more,
//! brighter, larger is more anomalous), so an AUROC far below 0.5 tells as much as one far above.

use anyhow::Result;
use tch::{Kind, Tensor};

use super::{Built, Context, Detector, Entry, Fitted, Method, Observer, Prediction, TrainTask};
use crate::episode::batch::{Acquisition, Pictures};
use crate::files;
use crate::random::Stream;

/// One score from one picture `[3, h, w]` of 0 to 255 and its acquisition.
type Rule = fn(&Tensor, &Acquisition, u64) -> f64;

struct Control {
    rule: Rule,
    seed: u64,
}

macro_rules! control {
    ($constant:ident, $name:literal, $about:literal, $rule:expr) => {
        #[doc = $about]
        pub const $constant: Entry = Entry {
            name: $name,
            about: $about,
            paper: "control",
            regime: "R0",
            trains: false,
            build: |settings| build($rule, settings),
        };
    };
}

control!(RANDOM, "control-random", "a number drawn from the picture's content hash and the seed", random);
control!(MEAN_INTENSITY, "control-mean-intensity", "mean of all pixels", |pixels, _, _| mean(pixels));
control!(CONTRAST, "control-contrast", "standard deviation of all pixels", |pixels, _, _| {
    pixels.to_kind(Kind::Double).std(false).double_value(&[])
});
control!(SIZE, "control-size", "width times height of the file's picture", |_, file, _| {
    f64::from(file.width) * f64::from(file.height)
});
control!(ASPECT, "control-aspect", "width over height of the file's picture", |_, file, _| {
    f64::from(file.width) / f64::from(file.height)
});
control!(BORDER, "control-border", "mean of the outermost sixteenth on each side", |pixels, _, _| border(
    pixels
));
control!(FILE_SIZE, "control-file-size", "bytes of the file", |_, file, _| file.file_bytes as f64);

/// Controls take no settings.
#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct NoSettings {}

fn build(rule: Rule, settings: toml::Table) -> Result<Built> {
    let NoSettings {} = settings.try_into()?;
    Ok(Built { method: Box::new(Control { rule, seed: 0 }), settings: "{}".to_owned(), backbone: None })
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

fn random(pixels: &Tensor, _: &Acquisition, seed: u64) -> f64 {
    let bytes: Vec<u8> = Vec::try_from(pixels.contiguous().flatten(0, -1)).unwrap_or_default();
    Stream::new(seed, &format!("control {}", files::fingerprint(&bytes)), 0).unit()
}

impl Method for Control {
    fn fit(&self, _: &[TrainTask], context: &Context, _: &mut Observer) -> Result<Box<dyn Fitted>> {
        Ok(Box::new(Control { rule: self.rule, seed: context.seed }))
    }
}

impl Fitted for Control {
    fn adapt<'a>(&'a self, _: &Pictures) -> Result<Box<dyn Detector + 'a>> {
        Ok(Box::new(Control { rule: self.rule, seed: self.seed }))
    }
}

impl Detector for Control {
    fn score(&self, queries: &Pictures) -> Result<Prediction> {
        let score = |(index, file): (usize, &Acquisition)| {
            (self.rule)(&queries.pixels.get(index as i64), file, self.seed)
        };
        Ok(Prediction::Scores(queries.acquisition.iter().enumerate().map(score).collect()))
    }
}
