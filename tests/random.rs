//! Random streams are frozen: a split must never change because a library did.
//!
//! The vectors below were written down from this program on the day the first manifests were made. If one
//! of them fails, the program would draw other pictures than those that manifests, episodes and published
//! tables name: mend the sampling, do not write new numbers here.

use medfsad::random::{Stream, rank};

fn stream(purpose: &str) -> Stream {
    Stream::new(7, purpose, 3)
}

#[test]
fn bits_are_frozen() {
    let mut stream = stream("golden bits");
    let bits: Vec<u64> = (0..4).map(|_| stream.bits()).collect();
    assert_eq!(
        bits,
        [17077277984681085563, 16266058908481874010, 14383955879677350786, 14498196479152460269]
    );
}

#[test]
fn below_is_frozen() {
    let mut stream = stream("golden below");
    let bounds = [2, 10, 1000, 13_084, 3_000_000_000, usize::MAX, 1, 7];
    assert_eq!(
        bounds.map(|bound| stream.below(bound)),
        [0, 3, 586, 2413, 2839664492, 919244931182105498, 0, 6]
    );
}

#[test]
fn unit_is_frozen() {
    let mut stream = stream("golden unit");
    // Compared bit by bit: the value is an integer over 2^53, no rounding is involved.
    assert_eq!([0; 3].map(|_| stream.unit()), [0.06573883663268631, 0.3754970725201847, 0.9809792751499369]);
}

#[test]
fn shuffle_is_frozen() {
    let mut order: Vec<u32> = (0..12).collect();
    stream("golden shuffle").shuffle(&mut order);
    assert_eq!(order, [10, 9, 8, 1, 7, 6, 5, 2, 4, 0, 11, 3]);
}

#[test]
fn normal_is_frozen_up_to_the_machine_s_logarithm() {
    let mut stream = stream("golden normal");
    let found = [0; 3].map(|_| stream.normal());
    let expected = [-0.012266077159205342, 0.6545459838782473, -0.35444703318163656];
    for (found_one, expected) in found.iter().zip(expected) {
        assert!((found_one - expected).abs() < 1e-12, "{found:?}");
    }
}

#[test]
fn rank_is_frozen() {
    let hexadecimal = |rank: [u8; 16]| rank.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    assert_eq!(hexadecimal(rank(1, "curate his", "train/good/7.png#0")), "6febde328cfcb28888921b77257b45f7");
    assert_eq!(hexadecimal(rank(2, "", "é")), "1da6e6e9039285511507b0ce220aee5b");
}

#[test]
fn seed_purpose_and_index_each_name_another_stream() {
    let first = |seed, purpose: &str, index| Stream::new(seed, purpose, index).bits();
    let all = [first(1, "a", 0), first(2, "a", 0), first(1, "b", 0), first(1, "a", 1), first(0, "a", 1)];
    for (place, bits) in all.iter().enumerate() {
        assert!(!all[..place].contains(bits), "stream {place} repeats another");
    }
    assert_eq!(first(1, "a", 0), all[0]);
}

#[test]
fn rank_keeps_purpose_and_key_apart() {
    assert_ne!(rank(1, "ab", "c"), rank(1, "a", "bc"));
    assert_ne!(rank(1, "a", "b"), rank(2, "a", "b"));
}

/// Chi-square of `counts` against equal shares, less its expectation, in its standard deviations.
fn excess(counts: &[u32]) -> f64 {
    let total: u32 = counts.iter().sum();
    let share = f64::from(total) / counts.len() as f64;
    let chi_square: f64 = counts.iter().map(|&n| (f64::from(n) - share).powi(2) / share).sum();
    let freedom = (counts.len() - 1) as f64;
    (chi_square - freedom) / (2.0 * freedom).sqrt()
}

#[test]
fn below_stays_in_range_and_fills_it_evenly() {
    let mut stream = stream("even");
    for bound in [1, 2, 3, 10, 97] {
        let mut counts = vec![0; bound];
        for _ in 0..bound * 2000 {
            counts[stream.below(bound)] += 1;
        }
        assert!(bound == 1 || excess(&counts) < 5.0, "{bound}: {counts:?}");
    }
    // A bound of three quarters: a plain remainder favours the lowest third, a plain product every third value.
    let bound = (1 << 63) + (1 << 62);
    let (mut thirds, mut remainders) = ([0; 3], [0; 3]);
    for _ in 0..30_000 {
        let value = stream.below(bound);
        assert!(value < bound);
        thirds[value / (1 << 62)] += 1;
        remainders[value % 3] += 1;
    }
    assert!(excess(&thirds) < 5.0 && excess(&remainders) < 5.0, "{thirds:?} {remainders:?}");
}

#[test]
fn unit_and_between_stay_in_range_and_fill_it_evenly() {
    let mut stream = stream("unit");
    let mut counts = [0; 50];
    for _ in 0..50_000 {
        let value = stream.unit();
        assert!((0.0..1.0).contains(&value), "{value}");
        counts[(value * 50.0) as usize] += 1;
        let value = stream.between(-3.0, -2.0);
        assert!((-3.0..-2.0).contains(&value), "{value}");
    }
    assert!(excess(&counts) < 5.0, "{counts:?}");
}

#[test]
fn shuffle_permutes_and_gives_every_order_its_share() {
    let mut stream = stream("orders");
    let mut counts = [0; 24];
    for _ in 0..24_000 {
        let mut items = [0, 1, 2, 3];
        stream.shuffle(&mut items);
        let mut sorted = items;
        sorted.sort_unstable();
        assert_eq!(sorted, [0, 1, 2, 3]);
        // The order's number in factorial base.
        let smaller = |place: usize| items[place + 1..].iter().filter(|&&item| item < items[place]).count();
        counts[smaller(0) * 6 + smaller(1) * 2 + smaller(2)] += 1;
    }
    assert!(excess(&counts) < 5.0, "{counts:?}");
}

#[test]
fn normal_has_mean_0_and_deviation_1() {
    let mut stream = stream("bell");
    let values: Vec<f64> = (0..40_000).map(|_| stream.normal()).collect();
    let mean = values.iter().sum::<f64>() / 40_000.0;
    let variance = values.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / 40_000.0;
    let beyond_two = values.iter().filter(|value| value.abs() > 2.0).count() as f64 / 40_000.0;
    assert!(mean.abs() < 0.025 && (variance - 1.0).abs() < 0.04, "mean {mean}, variance {variance}");
    assert!((beyond_two - 0.0455).abs() < 0.006, "{beyond_two} beyond two deviations");
}
