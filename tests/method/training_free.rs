//! Methods without training against brute force and their own acceptance tests.

use medfsad::method::batches::predict;
use medfsad::method::dn2::{Distance, Neighbours};
use medfsad::method::part::nearest::Bank;
use medfsad::method::part::search_cost::{MAX_BYTES, least_room};
use medfsad::metric::auroc::auroc;

use super::*;

mod anomalydino;
mod gaussian;
mod nearest;
mod patchcore;
mod rad;
mod subspacead;
mod views;

/// Normal numbers of the given shape.
fn noise(purpose: &str, shape: &[i64]) -> Tensor {
    let mut stream = Stream::new(11, purpose, 0);
    let values: Vec<f32> = (0..shape.iter().product()).map(|_: i64| stream.normal() as f32).collect();
    Tensor::from_slice(&values).view(shape)
}

fn doubles(tensor: &Tensor) -> Vec<f64> {
    Vec::try_from(tensor.to_kind(Kind::Double).contiguous().flatten(0, -1)).expect("numbers")
}

fn worst(a: &Tensor, b: &Tensor) -> f64 {
    assert_eq!(a.size(), b.size());
    (a.to_kind(Kind::Double) - b.to_kind(Kind::Double)).abs().max().double_value(&[])
}

/// All distances `[m, n]`, one by one in double precision.
fn brute(queries: &Tensor, bank: &Tensor) -> Tensor {
    let (queries, bank) = (queries.to_kind(Kind::Double), bank.to_kind(Kind::Double));
    (queries.unsqueeze(1) - bank.unsqueeze(0)).square().sum_dim_intlist(2, false, None::<Kind>).sqrt()
}

/// `name` under its trial settings and `more`, waiting for supports. As in the harness, it computes on one thread.
fn waiting(name: &str, more: &str, context: &Context) -> Box<dyn Fitted> {
    tch::set_num_threads(1);
    let entry = find(name).expect("a known method");
    let mut settings: toml::Table = toml::from_str(entry.trial).expect("TOML");
    settings.extend(toml::from_str::<toml::Table>(more).expect("TOML"));
    let built = (entry.build)(settings).expect("good settings");
    built.method.fit(&[], context, &mut medfsad::method::Unobserved).expect("a fitted method")
}

fn maps_of(prediction: Prediction) -> MapStack {
    match prediction {
        Prediction::Maps(maps) | Prediction::Both(maps, _) => maps,
        Prediction::Scores(_) => panic!("no maps"),
    }
}

fn own_scores(prediction: Prediction) -> Vec<f64> {
    match prediction {
        Prediction::Scores(scores) | Prediction::Both(_, scores) => scores,
        Prediction::Maps(_) => panic!("no scores"),
    }
}

fn all(pictures: &Pictures) -> Vec<usize> {
    (0..pictures.len()).collect()
}

/// The same discs dark on light: another class.
fn inverted(pictures: &Pictures) -> Pictures {
    let pixels = (pictures.pixels.to_kind(Kind::Float) * -1.0 + 255.0).to_kind(Kind::Uint8);
    Pictures::new(pixels, pictures.acquisition.clone())
}

fn joined(a: &Pictures, b: &Pictures) -> Pictures {
    let acquisition = a.acquisition.iter().chain(&b.acquisition).copied().collect();
    Pictures::new(Tensor::cat(&[&a.pixels, &b.pixels], 0), acquisition)
}

#[test]
fn dn2_averages_the_nearest_and_a_support_is_at_no_distance() {
    let normals = noise("normals", &[6, 30]);
    let queries = noise("queries", &[5, 30]);
    let expected = brute(&queries, &normals).topk(2, 1, false, true).0.mean_dim(1, false, None::<Kind>);
    let scores = |count: usize, distance, queries: &Tensor| {
        Neighbours::new(normals.copy(), count, distance).scores(queries)
    };
    assert!(worst(&scores(2, Distance::Euclidean, &queries), &expected) < 1e-5);
    assert_eq!(scores(1, Distance::Euclidean, &normals).abs().max().double_value(&[]), 0.0);
    let cosine = scores(1, Distance::Cosine, &queries);
    let similar = Tensor::cosine_similarity(&queries.unsqueeze(1), &normals.unsqueeze(0), 2, 1e-8);
    assert!(worst(&cosine, &(1.0 - similar.max_dim(1, false).0)) < 1e-5);
    assert!(
        worst(
            &scores(1, Distance::Cosine, &(&normals * 3.0)),
            &Tensor::zeros([6], (Kind::Double, Device::Cpu))
        ) < 1e-6
    );
}

/// Scores of pictures like the supports, and of inverted ones, are apart; the supports' order does not count.
#[test]
fn two_classes_are_apart_and_the_order_of_supports_does_not_count() {
    let folder = TempDir::new().expect("a folder");
    let context = context(&folder, 2);
    let supports = pictures("support", 4);
    let (normal, other) = (pictures("query", 12), inverted(&pictures("query", 12)));
    let queries = joined(&normal, &other);
    for name in ["dn2", "gde", "spade", "patchcore", "padim", "subspacead"] {
        let fitted = waiting(name, "", &context);
        let run = |supports: &Pictures| {
            let detector = fitted.adapt(supports).expect("a detector");
            scores((&*fitted, &*detector), &queries, &all(&queries), 16)
        };
        let found = run(&supports);
        assert_eq!(auroc(&found[..12], &found[12..]), Some(1.0), "{name}: {found:?}");
        let again = run(&supports.at(&[2, 0, 3, 1]));
        assert_close(name, &found, &again);
    }
}

#[test]
fn a_support_has_score_zero_by_its_nearest_neighbour() {
    let folder = TempDir::new().expect("a folder");
    let context = context(&folder, 2);
    let supports = pictures("support", 3);
    let own = |name: &str, more: &str, supports: &Pictures| {
        let fitted = waiting(name, more, &context);
        let detector = fitted.adapt(supports).expect("a detector");
        own_scores(predict(&*fitted, &*detector, supports).expect("scores"))
    };
    for (name, more, supports) in [
        ("dn2", "neighbours = 1", &supports),
        ("dn2", "", &supports.at(&[0])),
        ("spade", "", &supports.at(&[0])),
    ] {
        let scores = own(name, more, supports);
        assert!(scores.iter().all(|score| *score < 1e-3), "{name}: {scores:?}");
    }
}

/// Where more normals are given than are retrieved, positions are computed anew for every query.
#[test]
fn spade_maps_come_from_the_retrieved_normals_alone() {
    let folder = TempDir::new().expect("a folder");
    let context = context(&folder, 2);
    let (supports, queries) = (pictures("support", 5), pictures("query", 3));
    let run = |more: &str, supports: &Pictures| {
        let fitted = waiting("spade", more, &context);
        let detector = fitted.adapt(supports).expect("a detector");
        match predict(&*fitted, &*detector, &queries).expect("a prediction") {
            Prediction::Both(maps, scores) => (maps, scores),
            _ => panic!("spade gives maps and scores"),
        }
    };
    let alone: Vec<(MapStack, Vec<f64>)> = (0..5).map(|index| run("", &supports.at(&[index]))).collect();
    let ((one, one_scores), (two, two_scores)) =
        (run("neighbours = 1", &supports), run("neighbours = 2", &supports));
    for query in 0..3 {
        let mut order: Vec<&(MapStack, Vec<f64>)> = alone.iter().collect();
        order.sort_by(|a, b| a.1[query].total_cmp(&b.1[query]));
        let (first, second) = (order[0], order[1]);
        assert!((one_scores[query] - first.1[query]).abs() < 1e-5);
        assert!((two_scores[query] - (first.1[query] + second.1[query]) / 2.0).abs() < 1e-5);
        let apart = |(a, b): (&f32, &f32)| (a - b).abs();
        let most = one.map(query).iter().zip(first.0.map(query)).map(apart).fold(0.0, f32::max);
        assert!(most < 1e-4, "the map of the nearest normal is off by {most}");
        // At the corners interpolation takes one position alone, so the map of two is the lesser of both.
        for corner in [0, 31, 31 * 32, 32 * 32 - 1] {
            let lesser = first.0.map(query)[corner].min(second.0.map(query)[corner]);
            assert!((two.map(query)[corner] - lesser).abs() < 1e-4);
        }
    }
}

#[test]
fn few_normals_without_views_are_refused_by_gde_and_taken_by_padim() {
    let folder = TempDir::new().expect("a folder");
    let context = context(&folder, 2);
    let adapt = |name: &str, n: usize| {
        let fitted = waiting(name, "views = false", &context);
        fitted.adapt(&pictures("support", n)).map(|_| ()).map_err(|error| format!("{error:#}"))
    };
    let error = adapt("gde", 2).expect_err("two normals");
    assert!(error.contains("views = true"), "{error}");
    assert_eq!(adapt("gde", 4), Ok(()));
    assert_eq!(adapt("padim", 1), Ok(()));
}

#[test]
fn padim_reads_the_channels_that_it_learnt() {
    // A single vector is its own mean.
    let folder = TempDir::new().expect("a folder");
    let fitted = waiting("padim", "views = false", &context(&folder, 1));
    let support = pictures("support", 1);
    let detector = fitted.adapt(&support).expect("a detector");
    let largest = |queries: &Pictures| {
        let maps = maps_of(predict(&*fitted, &*detector, queries).expect("maps"));
        maps.values().iter().copied().fold(0.0f32, f32::max)
    };
    assert_eq!(largest(&support), 0.0);
    assert!(largest(&pictures("query", 1)) > 1.0);
}

#[test]
fn settings_out_of_range_are_refused() {
    let refused = |name: &str, text: &str, part: &str| {
        let settings = toml::from_str(text).expect("TOML");
        let error = format!("{:#}", (find(name).expect("known").build)(settings).err().expect("an error"));
        assert!(error.contains(name) && error.contains(part), "{error}");
    };
    refused("padim", "channels = 449", "448");
    refused("padim", "ridge = 0.0", "ridge");
    refused("patchcore", "coreset_ratio = 0.0", "coreset_ratio");
    refused("patchcore", "memory_mib = 0", "memory_mib");
    refused("subspacead", "explained = 1.0", "explained");
    refused("dn2", "neighbours = 0", "neighbours");
    refused("spade", "neighbours = 0", "neighbours");
    refused("gde", "neighbours = 1", "views");
}

#[test]
fn settings_that_depend_on_the_regime_are_resolved() {
    let resolved = |name: &str, text: &str| {
        (find(name).expect("known").build)(toml::from_str(text).expect("TOML"))
            .expect("good settings")
            .settings
    };
    assert!(resolved("patchcore", "").contains("\"coreset_ratio\":1.0"));
    assert!(resolved("patchcore", "train_on = 'normals'").contains("\"coreset_ratio\":0.1"));
    assert!(
        resolved("padim", "").contains("\"channels\":100")
            && resolved("padim", "").contains("\"views\":true")
    );
    assert!(resolved("padim", "backbone = 'wide_resnet50_2'").contains("\"channels\":550"));
    assert!(resolved("gde", "train_on = 'normals'").contains("\"views\":false"));
}
