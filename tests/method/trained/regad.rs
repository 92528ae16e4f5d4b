//! Registration: transformers, training, one Gaussian per position.

use medfsad::method::part::gaussian::Regular;
use medfsad::method::part::positionwise::Fitting;
use medfsad::network::spatial_transformer::{SpatialTransformer, inverse, warp};

use super::*;

fn transformer(side: i64) -> (SpatialTransformer, VarStore) {
    let store = VarStore::new(Device::Cpu);
    let mut transformer = SpatialTransformer::new(&store.root(), 8, side);
    initial::initialise_plain(&store, 1);
    transformer.reset();
    (transformer, store)
}

#[test]
fn a_fresh_spatial_transformer_changes_nothing() {
    for side in [2, 7, 14] {
        let (transformer, store) = transformer(side);
        assert!(store.variables().keys().all(|name| !name.contains("__")));
        let features = uniform("features", &[3, 8, side, side]);
        let (warped, transforms) = transformer.forward(&features, Norm::Batch);
        let identity = Tensor::from_slice(&[1.0f32, 0.0, 0.0, 0.0, 1.0, 0.0]).view([1, 2, 3]);
        assert_eq!(largest(&(transforms - identity)), 0.0);
        let moved = largest(&(warped - features));
        assert!(moved < 1e-6 * side as f64, "features move by {moved}");
    }
}

#[test]
fn an_inverse_warp_undoes_a_warp_away_from_the_border() {
    // Smooth, so that interpolating twice changes little.
    let line = Tensor::arange(32, (Kind::Float, Device::Cpu)) / 5.0;
    let features = (line.sin().unsqueeze(0) + line.cos().unsqueeze(1)).expand([2, 1, 32, 32], false);
    let transforms = Tensor::from_slice(
        &[
            [1.1f32 * 0.2f32.cos(), -0.2f32.sin(), 0.0, 0.2f32.sin(), 0.9 * 0.2f32.cos(), 0.0],
            [0.9 * 0.3f32.cos(), 0.3f32.sin(), 0.0, -0.3f32.sin(), 1.2 * 0.3f32.cos(), 0.0],
        ]
        .concat(),
    )
    .view([2, 2, 3]);
    let warped = warp(&features, &transforms);
    let back = warp(&warped, &inverse(&transforms));
    let inside = |tensor: Tensor| tensor.narrow(2, 10, 12).narrow(3, 10, 12);
    let (changed, left) = (largest(&inside(&warped - &features)), largest(&inside(&back - &features)));
    assert!(changed > 0.3 && left < 0.03, "warping moves by {changed}, {left} of it is left");
}

#[test]
fn regad_learns_to_register() {
    let entry = find("regad").expect("known");
    let settings = "epochs = 6\nbatch = 4\nlearning_rate = 1e-2";
    let built = (entry.build)(toml::from_str(settings).expect("TOML")).expect("good settings");
    let mut losses = Vec::new();
    let mut observer = |_: u64, figures: &EpochFigures, _: &dyn Fitted| {
        losses.push(figures[0].1);
        Ok(())
    };
    let tasks = [super::super::task("first"), super::super::task("second")];
    built.method.fit(&tasks, &calibrated(), &mut observer).expect("a fitted method");
    assert_eq!(losses.len(), 6);
    assert!(losses.iter().all(|loss| (-1.0..=1.0).contains(loss)), "losses are {losses:?}");
    assert!(losses[5] < losses[0] - 0.2, "losses are {losses:?}");
}

#[test]
fn permuted_supports_leave_regad_scores_unchanged_and_other_supports_do_not() {
    let folder = tempfile::TempDir::new().expect("a folder");
    let fitted = fit("regad", &folder);
    let (queries, supports) = (pictures("query", 5), pictures("support", 3));
    let natural: Vec<usize> = (0..5).collect();
    let with = |order: &[usize]| {
        let detector = fitted.adapt(&supports.at(order)).expect("a detector");
        scores((&*fitted, &*detector), &queries, &natural, 5)
    };
    let base = with(&[0, 1, 2]);
    assert_close("permuted", &base, &with(&[2, 0, 1]));
    let other = with(&[0, 1]);
    assert!(base.iter().zip(&other).all(|(a, b)| (a - b).abs() > 1e-3));
}

#[test]
fn positionwise_distances_are_mahalanobis_and_no_batch_moves_them() {
    let features = uniform("fit", &[30, 6, 7, 5]);
    let mut fitting = Fitting::default();
    features.split(12, 0).iter().for_each(|part| fitting.add(part));
    let gaussians = fitting.finish(Regular { shrink: false, ridge: 0.01 }).expect("regular covariances");
    let queries = uniform("queries", &[4, 6, 7, 5]);
    let all = gaussians.distance(&queries);
    assert_eq!(all.size(), [4, 6, 7]);
    for index in 0..4 {
        let alone = gaussians.distance(&queries.narrow(0, index, 1));
        let moved = largest(&((alone - all.narrow(0, index, 1)) / &all.narrow(0, index, 1)));
        assert!(moved < 1e-5, "a distance moves by {moved} of itself");
    }
    // By hand at row 4, column 3.
    let at = |tensor: &Tensor| tensor.select(2, 3).select(1, 4).to_kind(Kind::Double);
    let samples = at(&features);
    let offsets = &samples - samples.mean_dim(0, true, None::<Kind>);
    let covariance =
        offsets.tr().matmul(&offsets) / 29.0 + Tensor::eye(5, (Kind::Double, Device::Cpu)) * 0.01;
    let offset = at(&queries) - samples.mean_dim(0, true, None::<Kind>);
    let squares = (offset.matmul(&covariance.inverse()) * &offset).sum_dim_intlist(1, false, None::<Kind>);
    let expected = squares.sqrt();
    let got = all.select(2, 3).select(1, 4);
    assert!(largest(&((got - &expected) / &expected)) < 1e-4);
}
