//! Controls: what each looks at, and that labels permuted tell nothing.

use medfsad::episode::batch::{Acquisition, Pictures};
use medfsad::method::Prediction;
use medfsad::method::batches::predict;
use tch::{Kind, Tensor};
use tempfile::TempDir;

use super::{fit, pictures};

fn scores(name: &str, supports: &Pictures, queries: &Pictures) -> Vec<f64> {
    let folder = TempDir::new().expect("a folder");
    let fitted = fit(name, &folder);
    let detector = fitted.adapt(supports).expect("a detector");
    let Prediction::Scores(scores) = predict(&*fitted, &*detector, queries).expect("scores") else {
        panic!("no maps")
    };
    scores
}

/// Flat pictures of these grey values, of 10 x 20, 30 x 20 ... pixels and 100, 200 ... bytes.
fn flat(values: &[u8]) -> Pictures {
    let parts: Vec<Tensor> = values
        .iter()
        .map(|&v| Tensor::full([1, 3, 32, 32], i64::from(v), (Kind::Uint8, tch::Device::Cpu)))
        .collect();
    let file = |(index, _)| Acquisition {
        width: 10 + 20 * index as u32,
        height: 20,
        file_bytes: 100 * (index as u64 + 1),
    };
    Pictures::new(Tensor::cat(&parts, 0), values.iter().enumerate().map(file).collect())
}

#[test]
fn controls_measure_what_they_say() {
    let (supports, queries) = (flat(&[100, 140]), flat(&[120, 110, 200]));
    for (name, expected) in [
        ("control-mean-intensity", [120.0, 110.0, 200.0]),
        ("control-contrast", [0.0, 0.0, 0.0]),
        ("control-size", [200.0, 600.0, 1000.0]),
        ("control-aspect", [0.5, 1.5, 2.5]),
        ("control-border", [120.0, 110.0, 200.0]),
        ("control-file-size", [100.0, 200.0, 300.0]),
        ("control-pixel-mean", [0.0, 10.0, 80.0]),
        ("control-label-shuffle", [0.0, 10.0, 80.0]),
    ] {
        let found = scores(name, &supports, &queries);
        let worst = found.iter().zip(expected).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max);
        assert!(worst < 1e-9, "{name}: {found:?}");
    }
}

#[test]
fn the_order_of_supports_is_nothing_to_the_pixel_mean() {
    let (supports, queries) = (pictures("support", 4), pictures("query", 5));
    let (there, back) = (
        scores("control-pixel-mean", &supports, &queries),
        scores("control-pixel-mean", &supports.at(&[3, 1, 2, 0]), &queries),
    );
    let worst = there.iter().zip(&back).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max);
    assert!(worst < 1e-9, "{there:?} {back:?}");
}
