//! Smoothing as published, and the same maps scored under every protocol.
//!
//! The numbers were computed with scipy's `gaussian_filter` in double precision.

use medfsad::maps::{MapStack, gaussian};
use medfsad::protocol::Protocol::{Clean, CleanMean, CleanTop1, Published, Published2d};
use medfsad::protocol::{LastBatch, Protocol, Reduction, Role, SIGMA, Smoothing, pass_scores, score_maps};
use medfsad::random::Stream;

const HEIGHT: usize = 9;
const WIDTH: usize = 7;

/// One constant map per value, 9 x 7.
fn constant_maps(values: &[f32]) -> MapStack {
    let samples = values.iter().flat_map(|&value| [value; HEIGHT * WIDTH]).collect();
    MapStack::new(values.len(), HEIGHT, WIDTH, samples).unwrap()
}

/// `count` maps of noise, 9 x 7, whose level rises in the second half.
fn noisy_maps(count: usize) -> MapStack {
    let mut stream = Stream::new(4, "noisy maps", 0);
    let level = |index: usize| if index < count / 2 { 0.0 } else { 1.0 };
    let values = (0..count).flat_map(|index| [level(index); HEIGHT * WIDTH]).collect::<Vec<f64>>();
    let values = values.into_iter().map(|level| (level + stream.unit()) as f32).collect();
    MapStack::new(count, HEIGHT, WIDTH, values).unwrap()
}

fn reordered(maps: &MapStack, order: &[usize]) -> MapStack {
    let values = order.iter().flat_map(|&index| maps.map(index)).copied().collect();
    MapStack::new(order.len(), maps.height(), maps.width(), values).unwrap()
}

fn assert_close(found: &[f64], expected: &[f64], tolerance: f64) {
    assert_eq!(found.len(), expected.len());
    for (place, (found, expected)) in found.iter().zip(expected).enumerate() {
        assert!((found - expected).abs() <= tolerance, "{place}: {found} is not {expected}");
    }
}

fn given(scores: &[Option<f64>]) -> Vec<f64> {
    scores.iter().map(|score| score.expect("a full batch has scores")).collect()
}

/// The value of every map, each of which must be constant.
fn levels(maps: &MapStack) -> Vec<f64> {
    let level = |index: usize| {
        let map = maps.map(index);
        assert!(map.iter().all(|value| (value - map[0]).abs() < 1e-6), "map {index} is not constant");
        f64::from(map[0])
    };
    (0..maps.count()).map(level).collect()
}

const STEP: [f64; 16] = [
    0.9534, 0.9398, 0.9118, 0.8684, 0.8090, 0.7342, 0.6464, 0.5498, 0.4502, 0.3536, 0.2658, 0.1910, 0.1316,
    0.0882, 0.0602, 0.0466,
];

#[test]
fn weights_of_sigma_4_are_the_known_ones() {
    let expected = [
        0.099739, 0.096670, 0.088019, 0.075287, 0.060495, 0.045664, 0.032381, 0.021570, 0.013498, 0.007935,
        0.004382, 0.002273, 0.001108, 0.000507, 0.000218, 0.000088, 0.000033,
    ];
    let weights = gaussian(SIGMA);
    assert_close(&weights, &expected, 5.1e-7);
    let total = weights[0] + 2.0 * weights[1..].iter().sum::<f64>();
    assert!((total - 1.0).abs() < 1e-14, "{total}");
}

#[test]
fn an_impulse_spreads_as_known_within_its_map_and_across_the_stack() {
    let (count, height, width) = (16, 100, 120);
    let (row, column) = (50, 60);
    let mut values = vec![0.0; count * height * width];
    values[(8 * height + row) * width + column] = 1.0;
    let maps = MapStack::new(count, height, width, values).unwrap();
    let at = |maps: &MapStack, index: usize| f64::from(maps.map(index)[row * width + column]);
    let own = maps.smoothed(SIGMA);
    assert_close(&[at(&own, 8), at(&own, 7)], &[0.00994789, 0.0], 5.1e-9);
    let across = maps.smoothed_across(SIGMA);
    let found = [at(&across, 8), at(&across, 0), at(&across, 15)];
    assert_close(&found, &[0.00099307, 0.00021322, 0.00034886], 5.1e-9);
    let total: f64 = across.values().iter().map(|&value| f64::from(value)).sum();
    assert!((total - 1.0).abs() < 1e-5, "{total}");
}

#[test]
fn a_map_smoothed_by_itself_keeps_its_constant_and_one_beside_it_changes_nothing() {
    let maps = noisy_maps(5);
    let together = maps.smoothed(SIGMA);
    for index in 0..5 {
        assert_eq!(maps.at(&[index]).smoothed(SIGMA).values(), together.map(index));
    }
    assert_close(&levels(&constant_maps(&[0.25, 3.0]).smoothed(SIGMA)), &[0.25, 3.0], 1e-6);
}

#[test]
fn rows_and_columns_are_smoothed_alike() {
    let maps = noisy_maps(1);
    let turn = |map: &[f32], height: usize, width: usize| -> Vec<f32> {
        (0..width * height).map(|place| map[place % height * width + place / height]).collect()
    };
    let turned = MapStack::new(1, WIDTH, HEIGHT, turn(maps.map(0), HEIGHT, WIDTH)).unwrap();
    let back = turn(turned.smoothed(SIGMA).map(0), WIDTH, HEIGHT);
    for (one, other) in maps.smoothed(SIGMA).values().iter().zip(&back) {
        assert!((one - other).abs() < 1e-6);
    }
}

#[test]
fn one_bright_picture_leaks_into_its_batch_as_known() {
    let mut values = [0.0; 16];
    values[0] = 1.0;
    let expected = [
        0.19641, 0.18469, 0.163306, 0.135782, 0.106159, 0.078044, 0.053951, 0.035068, 0.021433, 0.012317,
        0.006656, 0.003381, 0.001615, 0.000725, 0.000306, 0.000155,
    ];
    assert_close(&levels(&constant_maps(&values).smoothed_across(SIGMA)), &expected, 5.1e-6);
}

#[test]
fn neighbours_leak_under_published_and_never_under_the_others() {
    let values: Vec<f32> = (0..16).map(|index| if index < 8 { 1.0 } else { 0.0 }).collect();
    let scores = score_maps(&constant_maps(&values));
    let own: Vec<f64> = values.iter().map(|&value| f64::from(value)).collect();
    assert_close(&given(&scores[Published]), &STEP, 5.1e-5);
    assert_close(&given(&scores[Published2d]), &own, 1e-6);
    assert_close(&given(&scores[Clean]), &own, 1e-6);
    assert_close(&given(&scores[CleanMean]), &own, 1e-6);
    assert_close(&given(&scores[CleanTop1]), &own, 1e-6);
}

#[test]
fn batches_leak_inside_themselves_only() {
    let step = |index: usize| if index % 16 < 8 { 1.0 } else { 0.0 };
    let scores = score_maps(&constant_maps(&(0..32).map(step).collect::<Vec<_>>()));
    assert_close(&given(&scores[Published]), &[STEP, STEP].concat(), 5.1e-5);
}

#[test]
fn an_incomplete_last_batch_has_no_published_score_and_every_clean_one() {
    for (count, kept) in [(15, 0), (16, 16), (37, 32)] {
        let scores = score_maps(&noisy_maps(count));
        assert_eq!(scores[Clean].len(), count);
        assert!(scores[Clean].iter().all(|score| score.is_some_and(f64::is_finite)));
        for published in [&scores[Published], &scores[Published2d]] {
            let expected: Vec<bool> = (0..count).map(|index| index < kept).collect();
            assert_eq!(published.iter().map(Option::is_some).collect::<Vec<_>>(), expected);
        }
    }
}

#[test]
fn an_incomplete_last_batch_changes_no_score_before_it() {
    let (few, many) = (noisy_maps(40).at(&(0..32).collect::<Vec<_>>()), noisy_maps(40));
    assert_eq!(score_maps(&few)[Published], score_maps(&many)[Published][..32]);
    assert_eq!(score_maps(&few)[Clean], score_maps(&many)[Clean][..32]);
}

#[test]
fn shuffling_changes_published_scores_and_no_clean_one() {
    let maps = noisy_maps(32);
    let mut order: Vec<usize> = (0..32).collect();
    Stream::new(9, "test order", 0).shuffle(&mut order);
    let (sorted, shuffled) = (score_maps(&maps), score_maps(&reordered(&maps, &order)));
    let (own, published) =
        (order.iter().map(|&i| sorted[Clean][i]), order.iter().map(|&i| sorted[Published][i]));
    assert_eq!(shuffled[Clean], own.collect::<Vec<_>>());
    let same_2d: Vec<Option<f64>> = order.iter().map(|&index| sorted[Published2d][index]).collect();
    assert_eq!(shuffled[Published2d], same_2d);
    let moved = published.zip(&shuffled[Published]).filter(|(a, b)| (a.unwrap() - b.unwrap()).abs() > 0.05);
    assert!(moved.count() > 16);
}

#[test]
fn scores_are_the_maximum_the_mean_and_the_top_hundredth_of_the_smoothed_map() {
    let (height, width) = (25, 13);
    let mut stream = Stream::new(2, "one map", 0);
    let values: Vec<f32> = (0..height * width).map(|_| stream.unit() as f32).collect();
    let maps = MapStack::new(1, height, width, values).unwrap();
    let mut smoothed: Vec<f64> =
        maps.smoothed(SIGMA).values().iter().map(|&value| f64::from(value)).collect();
    smoothed.sort_by(|a, b| b.total_cmp(a));
    let mean = |values: &[f64]| values.iter().sum::<f64>() / values.len() as f64;
    let scores = score_maps(&maps);
    assert_close(&given(&scores[Clean]), &smoothed[..1], 1e-12);
    assert_close(&given(&scores[CleanMean]), &[mean(&smoothed)], 1e-12);
    // 1 % of 325 values, rounded down.
    assert_close(&given(&scores[CleanTop1]), &[mean(&smoothed[..3])], 1e-12);
}

#[test]
fn a_method_without_maps_loses_the_incomplete_last_batch_and_nothing_else() {
    let own: Vec<f64> = (0..19).map(f64::from).collect();
    let scores = pass_scores(&own);
    assert_eq!(scores.ranked(), own);
    assert_eq!((scores.get(CleanMean), scores.get(CleanTop1)), (None, None));
    assert_eq!(scores[Published], scores[Published2d]);
    let expected: Vec<Option<f64>> = own.iter().map(|&score| (score < 16.0).then_some(score)).collect();
    assert_eq!(scores[Published], expected);
}

#[test]
fn one_protocol_ranks_and_it_looks_at_one_picture_at_a_time() {
    let ranks: Vec<Protocol> = Protocol::all().filter(|p| p.rule().role == Role::Ranks).collect();
    assert_eq!(ranks, [Protocol::RANKED]);
    assert!(Protocol::RANKED.is_of_one_picture());
    let gap: Vec<&str> = Protocol::with_gap().into_iter().map(Protocol::name).collect();
    assert_eq!(gap, ["published-2d", "published-shuffled", "published"]);
}

#[test]
fn stacks_are_complete_and_give_maxima() {
    for rule in Protocol::all().map(Protocol::rule).filter(|rule| rule.smoothing == Smoothing::Stacked) {
        assert_eq!((rule.last_batch, rule.reduction), (LastBatch::Dropped, Reduction::Maximum));
    }
}

#[test]
fn a_protocol_is_read_and_written_by_one_name() {
    for protocol in Protocol::all() {
        assert_eq!(Protocol::parse(protocol.name()).unwrap(), protocol);
        let json = serde_json::to_string(&protocol).unwrap();
        assert_eq!(json, format!("\"{protocol}\""));
        assert_eq!(serde_json::from_str::<Protocol>(&json).unwrap(), protocol);
    }
    let error = Protocol::parse("publishd").unwrap_err().to_string();
    assert!(
        error.contains("unknown protocol `publishd`; did you mean `published`? (known: clean, clean-mean,"),
        "{error}"
    );
}

#[test]
fn scores_do_not_depend_on_the_number_of_threads() {
    let maps = noisy_maps(33);
    let under =
        |n| rayon::ThreadPoolBuilder::new().num_threads(n).build().unwrap().install(|| score_maps(&maps));
    assert_eq!(under(1), under(3));
}

#[test]
fn values_that_do_not_fill_their_shape_are_refused() {
    let error = MapStack::new(2, HEIGHT, WIDTH, vec![0.0; 125]).unwrap_err().to_string();
    assert!(error.contains("125 values do not fill 2 maps of 9 x 7"), "{error}");
}
