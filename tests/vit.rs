//! Vision transformers, value for value, on weights and pictures that follow a formula (`tests/reference/README.md`).

use std::path::Path;

use medfsad::network::formula;
use medfsad::pixels::Pixels;
use serde_json::Value;
use tch::{Kind, Tensor};

mod anomalydino;
mod clip;
mod dinomaly;
mod dinov2;
mod foundad;
mod inctrl;
mod inp_former;
mod loading;
mod mediclip;
mod mvfa;
mod positions;
mod preprocess;
mod prompts;
mod rad;
mod sagan;
mod samil;
mod subspacead;
mod teacher;
mod tokenizer;
mod winclip;

/// A file of the repository's own reference values.
fn reference(file: &str) -> Value {
    json(&Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/reference/vit").join(file))
}

fn json(path: &Path) -> Value {
    serde_json::from_str(&std::fs::read_to_string(path).expect("readable")).expect("JSON")
}

fn numbers(value: &Value) -> Vec<f64> {
    value.as_array().expect("an array").iter().map(|value| value.as_f64().expect("a number")).collect()
}

fn shape(value: &Value) -> Vec<i64> {
    numbers(value).into_iter().map(|side| side as i64).collect()
}

fn text(value: &Value) -> &str {
    value.as_str().expect("text")
}

/// A number that must lie within `bound` of the golden one.
fn assert_near(what: &str, ours: f64, golden: &Value, bound: f64) {
    let golden = golden.as_f64().expect("a number");
    assert!((ours - golden).abs() < bound, "{what}: {ours} against {golden}");
}

/// A picture that changes slowly: 8 x 8 colours of that name, bilinearly between them, rounded.
fn smooth(name: &str, height: usize, width: usize) -> Pixels {
    let colours = formula::uniform(name, 8 * 8 * 3);
    let place = |at: usize, n: usize| {
        let position = (at * 7) as f64 / (n - 1) as f64;
        let cell = position.floor().min(6.0);
        (cell as usize, position - cell)
    };
    let mut samples = Vec::with_capacity(height * width * 3);
    for y in 0..height {
        for x in 0..width {
            let ((row, down), (column, right)) = (place(y, height), place(x, width));
            samples.extend((0..3).map(|channel| {
                let at = |row: usize, column: usize| colours[(row * 8 + column) * 3 + channel];
                let along = |row: usize| at(row, column) * (1.0 - right) + at(row, column + 1) * right;
                (255.0 * (along(row) * (1.0 - down) + along(row + 1) * down) + 0.5).floor() as u8
            }));
        }
    }
    Pixels::new(height, width, 3, samples).expect("a picture")
}

fn values(tensor: &Tensor) -> Vec<f64> {
    Vec::try_from(tensor.detach().to_kind(Kind::Double).contiguous().flatten(0, -1)).expect("floats")
}

/// The largest difference of samples and mean from the golden ones, in golden deviations; shapes must be the same.
fn distance(what: &str, tensor: &Tensor, golden: &Value) -> f64 {
    assert_eq!(tensor.size(), shape(&golden["shape"]), "shape of {what}");
    let flat = values(tensor);
    if golden["values"].is_array() {
        let golden = numbers(&golden["values"]);
        let n = golden.len() as f64;
        let mean = golden.iter().sum::<f64>() / n;
        let deviation = (golden.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / n).sqrt();
        return flat.iter().zip(golden).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max) / deviation;
    }
    let samples = numbers(&golden["sample_index"]).into_iter().zip(numbers(&golden["sample"]));
    let worst = samples.map(|(place, expected)| (flat[place as usize] - expected).abs()).fold(0.0, f64::max);
    let mean = flat.iter().sum::<f64>() / flat.len() as f64;
    let number = |key: &str| golden[key].as_f64().expect("a number");
    worst.max((mean - number("mean")).abs()) / number("std")
}

/// The largest distance of all that were compared, against one bound.
struct Compared {
    bound: f64,
    worst: f64,
}

impl Compared {
    fn within(bound: f64) -> Compared {
        Compared { bound, worst: 0.0 }
    }

    fn with(&mut self, what: &str, tensor: &Tensor, golden: &Value) {
        let off = distance(what, tensor, golden);
        assert!(off < self.bound, "{what} is {off:.1e} deviations off, allowed {:.1e}", self.bound);
        self.worst = self.worst.max(off);
    }

    fn say(&self, what: &str) {
        println!("{what}: differs by {:.1e} deviations at most, allowed {:.1e}", self.worst, self.bound);
    }
}
