//! RAD's distances against anomalib's class, and its image scores against the authors' arithmetic.

use medfsad::method::part::scored::image_scores;
use medfsad::method::rad::bank::{Banks, Reach};
use medfsad::network::formula;
use medfsad::network::vit::dinov2::Dinov2;
use medfsad::network::vit::{Deep, Reading, Shallow, Transformer};
use tch::nn::VarStore;
use tch::{Device, Kind, Tensor};

use super::{assert_near, numbers, reference, values};

const SIDE: i64 = 6;

/// Patches of each layer as grids, and the class tokens of the last.
fn seen(what: &str, n: i64) -> (Tensor, [Tensor; 4]) {
    let grid = |layer: usize| {
        let name = format!("rad.{what}.patches{layer}");
        let tokens = formula::tensor(&name, &[n, SIDE * SIDE, 16], -1.0, 1.0) + 0.5;
        tokens.transpose(1, 2).reshape([n, 16, SIDE, SIDE])
    };
    let class = formula::tensor(&format!("rad.{what}.class3"), &[n, 16], -1.0, 1.0) + 0.5;
    (class, [0, 1, 2, 3].map(grid))
}

fn distances(neighbours: usize, reach: Reach) -> Tensor {
    let ((class, grids), (of_queries, patches)) = (seen("normals", 3), seen("queries", 2));
    let mut banks =
        Banks::with_room(3, &class.narrow(0, 0, 2), &grids.each_ref().map(|grid| grid.narrow(0, 0, 2)));
    banks.put(2, &class.narrow(0, 2, 1), &grids.map(|grid| grid.narrow(0, 2, 1)));
    let one = |query: i64| {
        let patches = patches.each_ref().map(|grid| grid.narrow(0, query, 1));
        banks.distances(&of_queries.narrow(0, query, 1), &patches, neighbours, reach)
    };
    Tensor::stack(&[one(0), one(1)], 0)
}

#[test]
fn rad_finds_the_published_distances() {
    let golden = reference("rad.json");
    let mut worst: f64 = 0.0;
    let cases = golden["cases"].as_array().expect("cases");
    assert_eq!(cases.len(), 5);
    for case in cases {
        let neighbours = case["neighbours"].as_u64().expect("a number") as usize;
        let reach = match case["everywhere"].as_bool().expect("a truth") {
            true => Reach::Everywhere,
            false => Reach::Radius(case["radius"].as_i64().expect("a number")),
        };
        let found = values(&distances(neighbours, reach));
        let golden = numbers(&case["distances"]);
        assert_eq!((found.len(), golden.len()), (72, 72));
        for (ours, golden) in found.iter().zip(golden) {
            let off = (ours - golden).abs();
            assert!(off < 1e-6, "{ours} against {golden} with {case}");
            worst = worst.max(off);
        }
    }
    println!("RAD's distances differ by {worst:.1e} at most, allowed 1e-6");
    let scores = image_scores(&distances(3, Reach::Radius(1)), 1.0);
    assert_eq!(scores.size(), [2]);
    for (ours, golden) in values(&scores).into_iter().zip(golden["scores"].as_array().expect("scores")) {
        assert_near("score", ours, golden, 1e-6);
    }
}

#[test]
fn rad_reads_four_blocks_after_the_final_norm_and_the_class_token_of_the_last() {
    let plan = Transformer::Dinov2Tiny.plan();
    let store = VarStore::new(Device::Cpu);
    let encoder = Dinov2::new(&store.root(), plan);
    formula::fill(&store, "rad.encoder.");
    let pictures = formula::tensor("rad.image", &[2, 3, 42, 42], -2.0, 2.0);
    let reading = Reading {
        deep: Deep::Four([1, 2, 3, 3]),
        scales: Shallow::Prefix,
        ..Reading::of(Transformer::Dinov2Tiny)
    };
    let features = tch::no_grad(|| reading.features(&encoder, &pictures));
    let width = plan.width;
    assert_eq!(features.deep.size(), [2, 4 * width, 3, 3]);
    assert_eq!(features.scales[0].size(), [2, 4 * width, 1 + plan.registers, 1]);
    let mut tokens = tch::no_grad(|| encoder.embed(&pictures, reading.interpolation));
    for block in 0..3 {
        tokens = tch::no_grad(|| encoder.block(block, &tokens));
        let normed = tch::no_grad(|| encoder.norm(&tokens));
        let places = if block == 2 { vec![2, 3] } else { vec![block] };
        for place in places {
            let found = |part: &Tensor| part.narrow(1, place as i64 * width, width);
            assert!(found(&features.deep).equal(&encoder.grid(&normed, [3, 3])), "patches {place}");
            assert!(found(&features.scales[0]).equal(&encoder.prefix(&normed)), "class token {place}");
        }
    }
    assert_eq!(features.deep.kind(), Kind::Float);
}
