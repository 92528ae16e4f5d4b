//! Covariances and Mahalanobis distances against direct formulas.

use medfsad::method::part::few_vectors::FewVectors;
use medfsad::method::part::gaussian::{Moments, Regular};
use medfsad::method::part::grid;
use medfsad::method::part::positionwise::Fitting;

use super::*;

const PLAIN: Regular = Regular { shrink: false, ridge: 0.01 };

#[test]
fn mahalanobis_by_cholesky_is_that_by_the_inverse() {
    let vectors = noise("vectors", &[4, 9, 12]);
    let queries = noise("queries", &[4, 6, 12]) * 2.0;
    for (regular, kept) in
        [(PLAIN, Kind::Double), (PLAIN, Kind::Float), (Regular { shrink: true, ..PLAIN }, Kind::Double)]
    {
        let moments = Moments::new(&vectors);
        let found = moments.gaussian(regular, kept).expect("a Gaussian").distances(&queries);
        let x = vectors.to_kind(Kind::Double);
        let mean = x.mean_dim(1, true, None::<Kind>);
        let covariance = if regular.shrink {
            moments.shrunk().0
        } else {
            (&x - &mean).transpose(1, 2).bmm(&(&x - &mean)) / 8.0
        };
        let inverse = Tensor::linalg_inv(&(covariance + Tensor::eye(12, (Kind::Double, Device::Cpu)) * 0.01));
        let away = queries.to_kind(Kind::Double) - mean;
        let squares = (away.bmm(&inverse) * &away).sum_dim_intlist(2, false, None::<Kind>);
        let relative = worst(&found, &squares.sqrt()) / squares.sqrt().max().double_value(&[]);
        assert!(relative < 1e-4, "off by {relative}");
    }
}

#[test]
fn distances_from_few_vectors_are_those_from_their_covariance() {
    let vectors = noise("few", &[3, 9, 40]) + 50.0;
    let queries = Tensor::cat(&[noise("queries", &[3, 6, 40]) * 2.0 + 50.0, vectors.narrow(1, 0, 2)], 1);
    for shrink in [false, true] {
        let regular = Regular { shrink, ridge: 0.01 };
        let moments = Moments::new(&vectors).gaussian(regular, Kind::Double).expect("a Gaussian");
        let expected = moments.distances(&queries);
        let found = FewVectors::new(&vectors, regular).expect("a Gaussian").distances(&queries);
        let relative = ((found - &expected) / &expected).abs().max().double_value(&[]);
        assert!(relative < 1e-9, "off by {relative}");
    }
    // Shrinkage alone makes a covariance regular; nothing does where all vectors are alike.
    let shrunk = Regular { shrink: true, ridge: 0.0 };
    let moments = Moments::new(&vectors).gaussian(shrunk, Kind::Double).expect("a Gaussian");
    let found = FewVectors::new(&vectors, shrunk).expect("a Gaussian").distances(&queries);
    assert!(worst(&found, &moments.distances(&queries)) < 1e-9);
    let alike = Tensor::ones([1, 4, 9], (Kind::Float, Device::Cpu));
    for (vectors, regular) in [(&vectors, Regular { shrink: false, ridge: 0.0 }), (&alike, shrunk)] {
        let error = FewVectors::new(vectors, regular).err().expect("no Gaussian").to_string();
        assert!(error.contains("singular"), "{error}");
    }
    // A single vector is its own mean: distances are lengths over the root of what is added.
    let one = FewVectors::new(&vectors.narrow(1, 0, 1), PLAIN).expect("a Gaussian").distances(&queries);
    let lengths = (&queries - vectors.narrow(1, 0, 1)).to_kind(Kind::Double).square();
    let expected = lengths.sum_dim_intlist(2, false, None::<Kind>).sqrt() / 0.1;
    assert!(worst(&one, &expected) < 1e-9);
}

#[test]
fn one_vector_more_than_few_changes_the_way_and_not_the_distances() {
    // Of 20 values: 10 vectors are few, 11 are not. The eleventh is the mean of the others.
    let features = noise("features", &[10, 3, 4, 20]);
    let mean = features.mean_dim(0, true, None::<Kind>);
    let queries = noise("queries", &[5, 3, 4, 20]);
    let fitted = |batches: &[&Tensor]| {
        let mut fitting = Fitting::default();
        batches.iter().for_each(|batch| fitting.add(batch));
        fitting.finish(PLAIN).expect("regular covariances")
    };
    let (few, many) = (fitted(&[&features]), fitted(&[&features, &mean]));
    assert_eq!(few.bytes(), 12 * (4 * 10 * 20 + 8 * (20 + 10 * 10 + 2)));
    assert_eq!(many.bytes(), 12 * (4 * 20 * 20 + 8 * 20));
    // By the definition: the mean adds nothing to the scatter, but a vector to the count.
    let at = |tensor: &Tensor| tensor.select(2, 1).select(1, 2).to_kind(Kind::Double);
    for (positionwise, degrees) in [(few, 9.0), (many, 10.0)] {
        let about = at(&features) - at(&mean);
        let covariance =
            about.tr().matmul(&about) / degrees + Tensor::eye(20, (Kind::Double, Device::Cpu)) * PLAIN.ridge;
        let away = at(&queries) - at(&mean);
        let squares = (away.matmul(&covariance.inverse()) * &away).sum_dim_intlist(1, false, None::<Kind>);
        let found = positionwise.distance(&queries).select(2, 1).select(1, 2);
        assert!(worst(&(found / squares.sqrt()), &Tensor::ones([5], (Kind::Double, Device::Cpu))) < 1e-5);
    }
}

#[test]
fn every_block_of_positions_has_its_own_gaussians() {
    // Of 448 channels, 41 positions are worked on at once.
    let (features, queries) = (noise("features", &[4, 10, 9, 448]), noise("queries", &[2, 10, 9, 448]));
    let mut fitting = Fitting::default();
    fitting.add(&features);
    let found = fitting.finish(PLAIN).expect("regular covariances").distance(&queries);
    for position in [0, 40, 41, 89] {
        let at = |tensor: &Tensor| tensor.flatten(1, 2).select(1, position).to_kind(Kind::Double);
        let about = at(&features) - at(&features).mean_dim(0, true, None::<Kind>);
        let covariance =
            about.tr().matmul(&about) / 3.0 + Tensor::eye(448, (Kind::Double, Device::Cpu)) * PLAIN.ridge;
        let away = at(&queries) - at(&features).mean_dim(0, true, None::<Kind>);
        let squares = (away.matmul(&covariance.inverse()) * &away).sum_dim_intlist(1, false, None::<Kind>);
        let relative = worst(
            &(found.flatten(1, 2).select(1, position) / squares.sqrt()),
            &Tensor::ones([2], (Kind::Double, Device::Cpu)),
        );
        assert!(relative < 1e-9, "position {position} is off by {relative}");
    }
}

#[test]
fn grids_with_channels_last_hold_the_same() {
    // Tiles are of 60 by 60.
    let features = noise("features", &[2, 61, 8, 9]);
    let turned = grid::channels_last(&features);
    assert!(turned.is_contiguous());
    assert_eq!(worst(&turned, &features.permute([0, 2, 3, 1])), 0.0);
}

#[test]
fn moments_taken_up_in_batches_are_those_of_all() {
    let vectors = noise("vectors", &[3, 50, 6]) + 5.0;
    let once = Moments::new(&vectors);
    let mut parts = Moments::new(&vectors.narrow(1, 0, 7));
    parts.add(&vectors.narrow(1, 7, 20));
    parts.add(&vectors.narrow(1, 27, 23));
    assert_eq!((once.count(), parts.count()), (50, 50));
    assert!(worst(&once.mean(), &parts.mean()) < 1e-9);
    assert!(worst(&once.covariance(), &parts.covariance()) < 1e-9);
    assert!(worst(&once.shrunk().1, &parts.shrunk().1) < 1e-9);
}

#[test]
fn a_gaussians_mean_square_is_its_dimension_and_a_constant_changes_nothing() {
    // Correlated and unequal: white noise mixed by a fixed matrix.
    let mix = noise("mix", &[10, 10]);
    let sample = |purpose: &str| noise(purpose, &[4, 3000, 10]).matmul(&mix);
    let (train, test) = (sample("train"), sample("test"));
    let bare = Regular { shrink: false, ridge: 1e-6 };
    let distances = Moments::new(&train).gaussian(bare, Kind::Double).expect("a Gaussian").distances(&test);
    let mean_square = distances.square().mean(None::<Kind>).double_value(&[]);
    assert!((mean_square / 10.0 - 1.0).abs() < 0.03, "{mean_square} of 10");
    let (train, test) = (train.to_kind(Kind::Double) + 1000.0, test.to_kind(Kind::Double) + 1000.0);
    let moved = Moments::new(&train).gaussian(bare, Kind::Double).expect("a Gaussian").distances(&test);
    assert!(worst(&moved, &distances) < 1e-6);
}

#[test]
fn ledoit_wolf_shrinks_by_its_formula() {
    // By hand (fractions): biased covariance [[2, 4.2], [4.2, 9.2]], mean variance 5.6.
    let x = Tensor::from_slice(&[0.0, 0.0, 1.0, 2.0, 2.0, 3.0, 3.0, 7.0, 4.0, 8.0]).view([1, 5, 2]);
    let (shrunk, weight) = Moments::new(&x).shrunk();
    assert!((weight.double_value(&[0]) - GOLDEN_WEIGHT).abs() < 1e-9, "{weight:?}");
    let expected = [2.0, 4.2, 4.2, 9.2].map(|value| value * (1.0 - GOLDEN_WEIGHT));
    let identity = [1.0, 0.0, 0.0, 1.0].map(|value| value * 5.6 * GOLDEN_WEIGHT);
    for ((found, expected), identity) in doubles(&shrunk).iter().zip(expected).zip(identity) {
        assert!((found - expected - identity).abs() < 1e-9);
    }

    // By the definition: mean squared deviation of single outer products from their mean, over the squared
    // deviation of that mean from a multiple of the identity.
    let x = noise("sample", &[1, 30, 8]) * Tensor::arange(8, (Kind::Float, Device::Cpu)) + 3.0;
    let weight = Moments::new(&x).shrunk().1.double_value(&[0]);
    let x = x.squeeze_dim(0).to_kind(Kind::Double);
    let x = &x - x.mean_dim(0, true, None::<Kind>);
    let biased = x.tr().matmul(&x) / 30.0;
    let square = |tensor: &Tensor| tensor.square().sum(None::<Kind>).double_value(&[]);
    let error: f64 = (0..30).map(|k| square(&(x.get(k).outer(&x.get(k)) - &biased)) / 900.0).sum();
    let scale = biased.trace().double_value(&[]) / 8.0;
    let spread = square(&(biased - Tensor::eye(8, (Kind::Double, Device::Cpu)) * scale));
    assert!((weight - error / spread).abs() < 1e-9, "{weight} against {}", error / spread);
    assert!(weight > 0.01 && weight < 0.99);
    // Without spread or with one vector alone the weight is a number, and the covariance too.
    let alike = Moments::new(&Tensor::ones([1, 4, 3], (Kind::Float, Device::Cpu)));
    assert!(alike.shrunk().0.isfinite().all().int64_value(&[]) == 1);
    assert!(alike.gaussian(Regular { shrink: true, ridge: 0.0 }, Kind::Double).is_err());
}

/// In fractions, of the formula.
const GOLDEN_WEIGHT: f64 = 766.0 / 3825.0;
