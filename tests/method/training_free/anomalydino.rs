//! AnomalyDINO's evidence: which support's place is most like the most anomalous one.

use medfsad::method::NearestPlace;
use medfsad::method::anomalydino::rotation::{eighths, origin};

use super::*;

/// Colours that tell rows and columns.
fn chart(side: i64) -> Tensor {
    let along = |length: i64| Tensor::arange(length, (Kind::Float, Device::Cpu)) * (255.0 / side as f64);
    let (rows, columns) = (along(side).unsqueeze(1), along(side).unsqueeze(0));
    let [rows, columns] = [rows, columns].map(|part| part.expand([side, side], false));
    Tensor::stack(&[rows.copy(), columns.copy(), rows - columns + 127.0], 0)
        .clamp(0.0, 255.0)
        .to_kind(Kind::Uint8)
        .unsqueeze(0)
}

#[test]
fn a_place_of_a_turned_picture_is_traced_to_where_it_comes_from() {
    let (side, middle) = (64, 32.0);
    let views = eighths(&chart(side)).to_kind(Kind::Double) / (255.0 / side as f64);
    let mut worst: f64 = 0.0;
    for step in 0..8 {
        for (row, column) in [(32i64, 32i64), (20, 40), (12, 30), (45, 25), (38, 50)] {
            let place = [row, column].map(|at| (at as f64 + 0.5) / side as f64);
            let found = origin(place, [side as f64; 2], step);
            for (channel, part) in found.into_iter().enumerate() {
                let expected = views.double_value(&[step as i64, channel as i64, row, column]);
                worst = worst.max((part * side as f64 - 0.5 - expected).abs());
            }
        }
    }
    assert!(worst < 0.6, "{worst} pixels off");
    // What a turn brings in from outside is reflected.
    let corner = origin([0.01, 0.01], [side as f64; 2], 1);
    assert!(corner.iter().all(|part| (0.0..=1.0).contains(part)), "{corner:?}");
    assert!((origin([0.5, 0.5], [middle; 2], 3)[0] - 0.5).abs() < 0.05);
}

#[test]
fn the_nearest_place_of_a_known_picture_is_its_own() {
    let folder = TempDir::new().expect("a folder");
    let context = context(&folder, 2);
    let supports = pictures("support", 3);
    let nearest = |queries: &Pictures, more: &str| -> Vec<NearestPlace> {
        let fitted = waiting("anomalydino", more, &context);
        let detector = fitted.adapt(&supports).expect("a detector");
        let encoded = fitted.encode(queries).expect("queries");
        let (prediction, places) = detector.score_with_nearest(&encoded).expect("places");
        let alone = own_scores(detector.score(&encoded).expect("scores"));
        assert_eq!(own_scores(prediction), alone, "scores differ where places are asked for");
        places.expect("the method compares places")
    };
    for (index, found) in nearest(&supports, "rotations = false").into_iter().enumerate() {
        assert_eq!((found.support, found.place), (index, found.peak), "{found:?}");
        assert!((found.cosine - 1.0).abs() < 1e-6, "{found:?}");
    }
    // Turned by three eighths, a support is still its own nearest, at the place where the turned one comes from.
    let turned = eighths(&supports.pixels).narrow(0, 3 * 3, 3);
    let turned = Pictures::new(turned, supports.acquisition.clone());
    for (index, found) in nearest(&turned, "rotations = true").into_iter().enumerate() {
        assert_eq!(found.support, index, "{found:?}");
        assert!((found.cosine - 1.0).abs() < 1e-6, "{found:?}");
        let expected = origin(found.peak, [2.0; 2], 3);
        assert_eq!(found.place, expected, "{found:?}");
    }
    // A method that compares no places with places says so.
    let fitted = waiting("dn2", "", &context);
    let detector = fitted.adapt(&supports).expect("a detector");
    let encoded = fitted.encode(&supports).expect("queries");
    assert_eq!(detector.score_with_nearest(&encoded).expect("scores").1, None);
}
