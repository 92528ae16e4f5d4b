//! PatchCore: its bank, coreset, scores and memory.

use medfsad::ids::TaskName;
use medfsad::method::batches::predict;
use medfsad::method::patchcore::bank::BankBuilder;
use medfsad::method::patchcore::coreset::greedy;
use medfsad::method::patchcore::memory::{BankSize, Plan};
use medfsad::method::patchcore::reweighted;

use super::*;

fn load(channels: usize, positions: usize, pictures: usize) -> BankSize {
    BankSize { channels, positions, pictures, neighbours: 1, side: 64, queries: 16 }
}

/// Takes up `parts` with room for `capacity` rows.
fn filled(parts: &[Tensor], capacity: usize, ratio: f64) -> Tensor {
    let (positions, channels) = (parts[0].size()[0] as usize, parts[0].size()[1] as usize);
    let plan = Plan { capacity, room: MAX_BYTES, bytes: 0 };
    let mut filling = BankBuilder::new(load(channels, positions, parts.len()), plan, 3, Device::Cpu);
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
    assert!(
        worst(&Bank::new(rows).nearest(&queries, 1, MAX_BYTES).distances.squeeze_dim(1), &expected) < 1e-4
    );
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
        let scores = bank.nearest(&patches, 1, MAX_BYTES).distances.squeeze_dim(1);
        // Beside another picture, whose patches are the same in another order.
        let both = [patches.shallow_clone(), patches.flip([0])];
        let of_both = [scores.shallow_clone(), scores.flip([0])];
        let all = reweighted(&bank, &Tensor::cat(&both, 0), &Tensor::stack(&of_both, 0), MAX_BYTES);
        let [found, flipped] = all.expect("scores")[..] else { panic!("two scores") };
        assert_eq!(found, flipped);

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
        let maps = maps_of(predict(&*fitted, &*detector, &supports).expect("a prediction"));
        let highest = maps.values().iter().copied().fold(f32::MIN, f32::max);
        assert!(highest <= 1e-3, "{name}: the map of a support rises to {highest}");
        let other = maps_of(predict(&*fitted, &*detector, &pictures("query", 3)).expect("a prediction"));
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
            let detector = fitted.adapt(&supports).expect("a detector");
            maps_of(predict(&*fitted, &*detector, &queries).expect("a prediction"))
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
                    let load = BankSize { neighbours, ..load(channels, positions, pictures) };
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
    let tasks = [TrainTask {
        name: TaskName::new("target"),
        pictures: normals,
        pairs: Vec::new(),
        anomalies: None,
        pool: None,
    }];
    let run = |memory_mib: usize| -> Result<Vec<f64>, String> {
        let text = format!(
            "backbone = 'resnet18'\ntrain_on = 'normals'\ncoreset_ratio = 1.0\nmemory_mib = {memory_mib}"
        );
        let settings = toml::from_str(&text).expect("TOML");
        let built = (find("patchcore").expect("known").build)(settings).expect("good settings");
        let fitted = built
            .method
            .fit(&tasks, &context, &mut medfsad::method::Unobserved)
            .map_err(|error| format!("{error:#}"))?;
        let detector = fitted.adapt(&pictures("support", 2)).expect("a detector");
        let queries = pictures("query", 5);
        Ok(scores((&*fitted, &*detector), &queries, &all(&queries), 5))
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
