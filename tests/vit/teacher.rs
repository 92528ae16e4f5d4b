//! A transformer as a frozen teacher.

use medfsad::decode::resize::bicubic;
use medfsad::network::origin::Origin;
use medfsad::network::precision::Precision;
use medfsad::network::teacher::Teacher;
use medfsad::network::vit::{Deep, Reading, Transformer};
use medfsad::network::{Extractor, Features, Network, Sight};
use tch::{Device, Kind, Tensor};

use super::smooth;

const TINY: Transformer = Transformer::Dinov2Tiny;

fn teacher(reading: Reading) -> Teacher {
    let origin = Origin::Random { seed: 3, cache: None };
    Teacher::seeing(Sight::Tokens(TINY, reading), &origin, None, Device::Cpu).expect("a teacher")
}

/// Pictures of `side` pixels, bytes.
fn pictures(side: i64) -> Tensor {
    let planes = ["a", "b"].map(|name| smooth(name, side as usize, side as usize).to_planes()).concat();
    Tensor::from_data_size(&planes, &[2, 3, side, side], Kind::Uint8)
}

fn all(features: &Features) -> [&Tensor; 4] {
    let [first, second, third] = &features.scales;
    [first, second, third, &features.deep]
}

#[test]
fn a_random_one_is_labelled_and_needs_no_calibration() {
    let origin = Origin::Random { seed: 3, cache: None };
    let network = Network::from(Extractor::Transformer(TINY));
    assert_eq!(origin.label(network), "dinov2_tiny14, random teacher (seed 3)");
    let features = teacher(Reading::of(TINY)).features(&pictures(56));
    for grid in all(&features) {
        assert_eq!(grid.size(), [2, 64, 4, 4]);
        let deviation = grid.std(false).double_value(&[]);
        assert!(0.5 < deviation && deviation < 2.0, "features after a norm have deviation {deviation}");
    }
    assert!(!features.scales[0].allclose(&features.deep, 1e-3, 1e-3, false), "all blocks give the same");
}

#[test]
fn bfloat16_is_near_single_precision() {
    let exact = teacher(Reading::of(TINY)).features(&pictures(56));
    let coarse = teacher(Reading::of(TINY)).computing_in(Precision::Bf16).features(&pictures(56));
    for (exact, coarse) in all(&exact).into_iter().zip(all(&coarse)) {
        assert_eq!((coarse.kind(), coarse.is_contiguous()), (Kind::Float, true));
        let off = ((exact - coarse).square().mean(Kind::Float).sqrt() / exact.std(false)).double_value(&[]);
        println!("bfloat16 is {off:.1e} deviations off");
        assert!(off < 2e-2, "bfloat16 is {off:.1e} deviations off");
        assert!(off > 1e-5, "bfloat16 gave single precision");
    }
}

#[test]
fn pictures_are_resized_as_pillow_does() {
    let reading = Reading { side: Some(42), ..Reading::of(TINY) };
    let whole = teacher(reading).features(&pictures(50));
    let planes = ["a", "b"].map(|name| bicubic(&smooth(name, 50, 50), 42, 42).to_planes()).concat();
    let small = Tensor::from_data_size(&planes, &[2, 3, 42, 42], Kind::Uint8);
    let resized = teacher(Reading::of(TINY)).features(&small);
    assert!(whole.deep.equal(&resized.deep), "other pixels");
    // Views come as floating point.
    assert!(teacher(reading).features(&pictures(50).to_kind(Kind::Float)).deep.equal(&whole.deep));
}

#[test]
fn the_mean_of_blocks_is_that_of_each() {
    let of = |deep: Deep| teacher(Reading { deep, ..Reading::of(TINY) }).features(&pictures(56));
    let one = |block: usize| of(Deep::Mean { first: block, last: block }).deep;
    let mean = of(Deep::Mean { first: 1, last: 2 });
    assert!(mean.deep.allclose(&((one(1) + one(2)) / 2.0), 1e-5, 1e-5, false));
    // Stages are the same, whatever is read beside them.
    assert!(mean.scales[2].equal(&of(Deep::Last).scales[2]));
}
