//! Vision transformers, value for value, on weights and pictures that follow a formula (`tests/reference/README.md`).

use std::path::Path;

use serde_json::Value;
use tch::{Kind, Tensor};

mod dinov2;
mod loading;
mod positions;

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
