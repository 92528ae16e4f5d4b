//! Methods without training against brute force and their own acceptance tests.

use medfsad::method::dn2::{Distance, Neighbours};
use medfsad::method::part::gaussian::{Moments, Regular};
use medfsad::method::part::nearest::{Bank, ROOM, least_room};
use medfsad::method::part::views;
use medfsad::method::patchcore::bank::Filling;
use medfsad::method::patchcore::coreset::greedy;
use medfsad::method::patchcore::memory::{Load, Plan};
use medfsad::method::patchcore::{patch_scores, reweighted};
use medfsad::method::subspacead::{Subspace, image_scores};
use medfsad::metric::auroc::auroc;

use super::*;

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
    built.method.fit(&[], context, &mut |_, _, _| Ok(())).expect("a fitted method")
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
    Pictures { pixels, acquisition: pictures.acquisition.clone() }
}

fn joined(a: &Pictures, b: &Pictures) -> Pictures {
    let acquisition = a.acquisition.iter().chain(&b.acquisition).copied().collect();
    Pictures { pixels: Tensor::cat(&[&a.pixels, &b.pixels], 0), acquisition }
}

#[test]
fn nearest_neighbours_are_those_of_brute_force_in_any_amount_of_memory() {
    let rows = noise("bank", &[700, 40]);
    let queries = Tensor::cat(&[noise("queries", &[50, 40]), rows.narrow(0, 300, 20)], 0);
    let (expected, order) = brute(&queries, &rows).sort(1, false);
    let bank = Bank::new(rows);
    for room in [least_room(40, 3), 1 << 20, ROOM] {
        let found = bank.nearest(&queries, 3, room);
        assert!(worst(&found.distances, &expected.narrow(1, 0, 3)) < 1e-5);
        assert!(found.rows.equal(&order.narrow(1, 0, 3)), "other rows with {room} bytes");
    }
    assert_eq!(bank.nearest(&queries, 1000, ROOM).rows.size(), [70, 700]);
}

/// Far from the bank's centre a product in single precision cannot tell close rows apart.
#[test]
fn nearest_neighbours_survive_cancellation() {
    let (near, far) = (noise("near", &[400, 64]) * 0.01 + 300.0, noise("far", &[400, 64]) * 0.01 - 300.0);
    let rows = Tensor::cat(&[near, far], 0);
    let queries = Tensor::cat(&[&rows, &(rows.narrow(0, 0, 50) + 0.002)], 0);
    let (expected, order) = brute(&queries, &rows).min_dim(1, false);
    let found = Bank::new(rows).nearest(&queries, 1, ROOM);
    assert!(worst(&found.distances.squeeze_dim(1), &expected) < 1e-6);
    assert!(found.rows.squeeze_dim(1).equal(&order));
    assert_eq!(found.distances.narrow(0, 0, 800).max().double_value(&[]), 0.0);
}

#[test]
fn the_first_of_equal_rows_is_the_nearest() {
    let rows = noise("rows", &[3, 5]).repeat([2, 1]);
    let found = Bank::new(rows.shallow_clone()).nearest(&rows, 2, ROOM);
    let first: Vec<i64> = Vec::try_from(found.rows.flatten(0, -1)).expect("numbers");
    assert_eq!(first, [0, 3, 1, 4, 2, 5, 0, 3, 1, 4, 2, 5]);
}

fn load(channels: usize, positions: usize, pictures: usize) -> Load {
    Load { channels, positions, pictures, neighbours: 1, side: 64, queries: 16 }
}

/// Takes up `parts` with room for `capacity` rows.
fn filled(parts: &[Tensor], capacity: usize, ratio: f64) -> Tensor {
    let (positions, channels) = (parts[0].size()[0] as usize, parts[0].size()[1] as usize);
    let plan = Plan { capacity, room: ROOM, bytes: 0 };
    let mut filling = Filling::new(load(channels, positions, parts.len()), plan, 3, Device::Cpu);
    parts.iter().for_each(|part| filling.add(part));
    filling.finish(ratio)
}

#[test]
fn patchcore_with_the_whole_bank_is_exact_nearest_neighbours() {
    let parts = [0, 1, 2].map(|part| noise(&format!("normal {part}"), &[36, 200]));
    let rows = filled(&parts, 3 * 36, 1.0);
    assert!(rows.equal(&Tensor::cat(&parts, 0)), "at ratio 1 the bank is all rows");
    let queries = noise("queries", &[36, 200]);
    let expected = brute(&queries, &rows).min_dim(1, false).0;
    assert!(worst(&patch_scores(&Bank::new(rows), &queries, ROOM), &expected) < 1e-4);
}

#[test]
fn a_bank_beyond_its_memory_is_reduced_on_the_way_and_stays_near_all_rows() {
    let parts: Vec<Tensor> = (0..20).map(|part| noise(&format!("normal {part}"), &[25, 150])).collect();
    let everything = Tensor::cat(&parts, 0);
    let rows = filled(&parts, 120, 1.0);
    let n_rows = rows.size()[0];
    assert!((60..=120).contains(&n_rows), "{n_rows} rows");
    // Every row of the bank is one of the rows taken up, unharmed by moving.
    assert_eq!(brute(&rows, &everything).min_dim(1, false).0.max().double_value(&[]), 0.0);
    assert_eq!(brute(&rows, &rows).eq(0.0).sum(Kind::Int64).int64_value(&[]), n_rows, "no row twice");
    assert_eq!(filled(&parts, 500, 0.1).size()[0], 50);
}

/// Largest distance of any point to the nearest of `taken`.
fn radius(distances: &Tensor, taken: &[i64]) -> f64 {
    distances.index_select(1, &Tensor::from_slice(taken)).min_dim(1, false).0.max().double_value(&[])
}

#[test]
fn a_greedy_coreset_is_within_twice_the_best_radius_and_never_grows_it() {
    for trial in 0..20 {
        let points = noise(&format!("plane {trial}"), &[12, 2]);
        let distances = brute(&points, &points);
        let mut last = f64::INFINITY;
        for count in 1..=5usize {
            let taken = greedy(points.copy(), count, &mut Stream::new(trial, "coreset", 0));
            assert_eq!(taken.len(), count);
            let found = radius(&distances, &taken);
            let subsets = (0u32..1 << 12).filter(|subset| subset.count_ones() as usize == count);
            let members =
                |subset: u32| (0..12i64).filter(move |bit| subset >> bit & 1 == 1).collect::<Vec<_>>();
            let best =
                subsets.map(|subset| radius(&distances, &members(subset))).fold(f64::INFINITY, f64::min);
            assert!(found <= 2.0 * best + 1e-5, "{count} points: {found} against {best}");
            assert!(found <= last, "the radius grew from {last} to {found}");
            last = found;
        }
    }
}

#[test]
fn a_greedy_coreset_takes_no_point_twice_even_among_copies() {
    let points = noise("few", &[3, 2]).repeat([4, 1]);
    let taken = greedy(points, 12, &mut Stream::new(1, "coreset", 0));
    assert_eq!(taken, (0..12).collect::<Vec<i64>>());
}

#[test]
fn a_reweighted_score_is_the_papers_formula() {
    for (n_rows, scale) in [(40i64, 1.0), (5, 1.0), (40, 300.0)] {
        let rows = noise("bank", &[n_rows, 8]) * scale;
        let patches = noise("patches", &[16, 8]) * (2.0 * scale);
        let bank = Bank::new(rows.shallow_clone());
        let scores = patch_scores(&bank, &patches, ROOM);
        let found = reweighted(&bank, &patches, &scores, ROOM);

        let (nearest, places) = brute(&patches, &rows).min_dim(1, false);
        let patch = nearest.argmax(0, false).int64_value(&[]);
        let (score, place) = (nearest.double_value(&[patch]), places.int64_value(&[patch]));
        let around =
            brute(&rows.narrow(0, place, 1), &rows).topk(9.min(n_rows), 1, false, true).1.squeeze_dim(0);
        let distances = doubles(&brute(&patches.narrow(0, patch, 1), &rows.index_select(0, &around)));
        // Shifted, or the exponentials overflow at the large scale.
        let largest = distances.iter().copied().fold(0.0, f64::max);
        let sum: f64 = distances.iter().map(|distance| (distance - largest).exp()).sum();
        let expected = (1.0 - (score - largest).exp() / sum) * score;
        assert!((found - expected).abs() < 1e-4 * expected.max(1.0), "{found} against {expected}");
        assert!(found <= score);
    }
}

#[test]
fn a_query_in_the_bank_has_no_anomaly() {
    let folder = TempDir::new().expect("a folder");
    let context = context(&folder, 2);
    let supports = pictures("support", 3);
    for name in ["patchcore", "spade"] {
        let fitted = waiting(name, "", &context);
        let detector = fitted.adapt(&supports).expect("a detector");
        let maps = maps_of(detector.score(&supports).expect("a prediction"));
        let highest = maps.values().iter().copied().fold(f32::MIN, f32::max);
        assert!(highest <= 1e-3, "{name}: the map of a support rises to {highest}");
        let other = maps_of(detector.score(&pictures("query", 3)).expect("a prediction"));
        let lowest = other.values().iter().copied().fold(f32::MAX, f32::min);
        assert!(lowest > 0.01, "{name}: the map of another picture falls to {lowest}");
    }
}

#[test]
fn more_supports_never_raise_a_patch_score() {
    let folder = TempDir::new().expect("a folder");
    let context = context(&folder, 2);
    let (supports, queries) = (pictures("support", 4), pictures("query", 4));
    for name in ["patchcore", "spade"] {
        let fitted = waiting(name, "", &context);
        let maps = |count: usize| {
            let supports = supports.at(&(0..count).collect::<Vec<_>>());
            maps_of(fitted.adapt(&supports).expect("a detector").score(&queries).expect("a prediction"))
        };
        let (few, many) = (maps(2), maps(4));
        let raised = |(few, many): (&f32, &f32)| many - few;
        let most = few.values().iter().zip(many.values()).map(raised).fold(f32::MIN, f32::max);
        assert!(most <= 1e-4, "{name}: a score rose by {most}");
        assert_ne!(few, many);
    }
}

#[test]
fn planned_memory_stays_within_the_flag_and_a_small_flag_means_a_small_bank() {
    let mut n_planned = 0;
    for channels in [384, 1536] {
        for positions in [16, 256, 784] {
            for pictures in [1, 8, 3000] {
                for neighbours in [1, 9] {
                    let load = Load { neighbours, ..load(channels, positions, pictures) };
                    let mut last = 0;
                    for mib in [1, 4, 16, 64, 200, 512, 2048, 16384] {
                        let Ok(plan) = load.plan(mib << 20) else {
                            assert!(mib <= 64 && last == 0, "{mib} MiB are refused for {load:?}");
                            continue;
                        };
                        n_planned += 1;
                        assert!(plan.bytes <= mib << 20, "{plan:?} within {mib} MiB");
                        let rows = 4 * channels * plan.capacity;
                        assert!(rows + plan.room <= plan.bytes);
                        assert!(plan.capacity <= positions * pictures);
                        assert!(plan.capacity >= positions * pictures.min(2));
                        assert!(plan.room >= least_room(channels, neighbours));
                        assert!(plan.capacity >= last, "more memory holds no fewer rows");
                        last = plan.capacity;
                    }
                    assert!(last == positions * pictures || pictures == 3000);
                }
            }
        }
    }
    assert!(n_planned > 150);
}

#[test]
fn too_little_memory_for_patchcore_is_refused_and_little_changes_only_the_bank() {
    tch::set_num_threads(1);
    let folder = TempDir::new().expect("a folder");
    let context = context(&folder, 2);
    let normals = pictures("normal", 100);
    let tasks = [TrainTask { name: "target".to_owned(), pictures: normals, pairs: Vec::new() }];
    let run = |memory_mib: usize| -> Result<Vec<f64>, String> {
        let text = format!(
            "backbone = 'resnet18'\ntrain_on = 'normals'\ncoreset_ratio = 1.0\nmemory_mib = {memory_mib}"
        );
        let settings = toml::from_str(&text).expect("TOML");
        let built = (find("patchcore").expect("known").build)(settings).expect("good settings");
        let fitted = built
            .method
            .fit(&tasks, &context, &mut |_, _, _| Ok(()))
            .map_err(|error| format!("{error:#}"))?;
        let detector = fitted.adapt(&pictures("support", 2)).expect("a detector");
        let queries = pictures("query", 5);
        Ok(scores(&*detector, &queries, &all(&queries), 5))
    };
    let error = run(1).expect_err("1 MiB is too little");
    assert!(error.contains("memory_mib = 1 ") && error.contains("at least"), "{error}");
    let least: usize = error
        .split("at least ")
        .nth(1)
        .and_then(|rest| rest.split(' ').next())
        .expect("a number")
        .parse()
        .expect("a number");
    assert!(run(least - 1).is_err());
    let (least, ample) = (run(least).expect("the least"), run(64).expect("ample"));
    // Fewer rows are further away, never nearer.
    assert!(least.iter().zip(&ample).all(|(least, ample)| *least >= ample - 1e-5), "{least:?} {ample:?}");
    assert_ne!(least, ample);
}

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
            scores(&*detector, &queries, &all(&queries), 16)
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
        own_scores(fitted.adapt(supports).expect("a detector").score(supports).expect("scores"))
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
        match fitted.adapt(supports).expect("a detector").score(&queries).expect("a prediction") {
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

/// Vectors in a subspace of 4 of 20 dimensions, off the origin.
fn flat(purpose: &str, n: i64) -> Tensor {
    noise(purpose, &[n, 4]).matmul(&noise("directions", &[4, 20])) + 2.0
}

fn subspace(tokens: &Tensor) -> Subspace {
    Subspace::new(&Moments::new(&tokens.unsqueeze(0)), 0.99).expect("a subspace")
}

#[test]
fn a_subspace_holds_what_lies_in_it_and_nothing_else() {
    let found = subspace(&flat("normal", 200));
    assert_eq!(found.components(), 4);
    assert!(found.residuals(&flat("query", 50)).max().double_value(&[]) < 1e-8);
    // A foreign cluster pasted among them.
    let foreign = noise("foreign", &[50, 20]) + 2.0;
    let (inside, outside) =
        (doubles(&found.residuals(&flat("query", 50))), doubles(&found.residuals(&foreign)));
    assert_eq!(auroc(&inside, &outside), Some(1.0));
}

#[test]
fn as_many_components_are_kept_as_the_variance_asks_for() {
    // Standard deviations 10, 3, 1 and 0.1: shares of variance .909, .082, .0091 and .0001.
    let deviations = Tensor::from_slice(&[10.0f32, 3.0, 1.0, 0.1]);
    let tokens = noise("tokens", &[5000, 4]) * deviations;
    let components = |explained: f64| {
        Subspace::new(&Moments::new(&tokens.unsqueeze(0)), explained).expect("a subspace").components()
    };
    assert_eq!([0.5, 0.95, 0.995, 0.99999].map(components), [1, 2, 3, 4]);
    let alike = Moments::new(&Tensor::ones([1, 9, 4], (Kind::Float, Device::Cpu)));
    assert_eq!(Subspace::new(&alike, 0.99).expect("a subspace").components(), 0);
}

#[test]
fn a_rotation_of_all_features_leaves_residuals() {
    let normal = flat("normal", 200) + noise("off", &[200, 20]) * 0.1;
    let queries = noise("queries", &[50, 20]) * 3.0;
    let (rotation, _) = Tensor::linalg_qr(&noise("rotation", &[20, 20]).to_kind(Kind::Double), "reduced");
    let turn = |tokens: &Tensor| tokens.to_kind(Kind::Double).matmul(&rotation);
    let (plain, turned) = (subspace(&normal), subspace(&turn(&normal)));
    assert_eq!(plain.components(), turned.components());
    assert!(worst(&plain.residuals(&queries), &turned.residuals(&turn(&queries))) < 1e-8);
}

#[test]
fn subspaceads_score_is_the_mean_of_the_highest_share() {
    let flat = Tensor::ones([1, 20, 20], (Kind::Double, Device::Cpu)) * 3.0;
    assert!((image_scores(&flat).double_value(&[0]) - 3.0).abs() < 1e-12);
    // Of 400 pixels the highest 4: a lone peak is spread over 9, the centre and three sides lead.
    let peak = Tensor::zeros([1, 20, 20], (Kind::Double, Device::Cpu));
    let _ = peak.get(0).get(10).get(10).fill_(1.0);
    let edge = (-1.0f64 / 32.0).exp();
    let (edge, centre) = (edge / (1.0 + 2.0 * edge), 1.0 / (1.0 + 2.0 * edge));
    let expected = (centre * centre + 3.0 * centre * edge) / 4.0;
    assert!((image_scores(&peak).double_value(&[0]) - expected).abs() < 1e-12);
}

#[test]
fn twenty_two_views_hold_the_picture_its_mirror_and_its_quarter_turns() {
    let picture = pictures("support", 2).pixels;
    let found = views::twenty_two(&picture);
    assert_eq!(found.size(), [44, 3, SIDE, SIDE]);
    assert_eq!(found.kind(), Kind::Uint8);
    let view = |index: i64| found.narrow(0, 2 * index, 2);
    assert!(view(0).equal(&picture));
    assert!(view(17).equal(&picture.flip([3])));
    assert!((1..=3).all(|quarters| view(18 + quarters).equal(&picture.rot90(quarters, [2, 3]))));
    let grey = view(18);
    assert!(grey.select(1, 0).equal(&grey.select(1, 1)) && grey.select(1, 0).equal(&grey.select(1, 2)));
    for a in 0..22 {
        for b in 0..a {
            assert!(!view(a).equal(&view(b)), "views {a} and {b} are the same");
        }
    }
}

#[test]
fn turns_and_shifts_move_an_off_centre_bar_where_they_should() {
    // A bar off the centre, longer than wide, whose turns stay inside.
    let bar = Tensor::zeros([1, 3, 40, 40], (Kind::Float, Device::Cpu));
    let _ = bar.narrow(2, 10, 4).narrow(3, 14, 14).fill_(200.0);
    let centre = |picture: &Tensor| {
        let weight = picture.get(0).get(0);
        let total = weight.sum(None::<Kind>).double_value(&[]);
        let along = |dim: [i64; 1]| {
            let places = Tensor::arange(40, (Kind::Float, Device::Cpu));
            (weight.sum_dim_intlist(dim.as_slice(), false, None::<Kind>) * places)
                .sum(None::<Kind>)
                .double_value(&[])
                / total
        };
        (along([1]) - 19.5, along([0]) - 19.5)
    };
    let (row, column) = centre(&bar);
    // A turn is about the middle and keeps the distance from it.
    let turned = views::turned(&bar, std::f64::consts::PI / 8.0);
    let (turned_row, turned_column) = centre(&turned);
    assert!((turned_row.hypot(turned_column) / row.hypot(column) - 1.0).abs() < 0.03);
    let angle = (turned_row * column - turned_column * row).atan2(turned_row * row + turned_column * column);
    assert!((angle.abs() - std::f64::consts::PI / 8.0).abs() < 0.03, "turned by {angle}");
    assert!(worst(&views::turned(&bar, 0.0), &bar) < 1e-3);
    let quarter = views::turned(&bar, std::f64::consts::FRAC_PI_2);
    let off = [1, 3].map(|quarters| worst(&quarter, &bar.rot90(quarters, [2, 3])));
    assert!(off[0].min(off[1]) < 0.05, "a quarter turn is off by {off:?}");
    // Shifts by a tenth of the side: four pixels either way.
    let found = views::twenty_two(&bar);
    let shifts: Vec<(f64, f64)> =
        (9..13).map(|view| centre(&found.narrow(0, view, 1))).map(|(r, c)| (r - row, c - column)).collect();
    assert!(shifts.iter().all(|(_, c)| (c.abs() - 4.0).abs() < 0.2), "{shifts:?}");
    assert!(shifts.iter().any(|(r, c)| *r > 3.8 && *c > 3.8), "{shifts:?}");
}
