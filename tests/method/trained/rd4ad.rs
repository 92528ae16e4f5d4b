//! Reverse distillation and its bottleneck.

use medfsad::metric::auroc::auroc;
use medfsad::network::bottleneck::Bottleneck;

use super::*;

/// Side of what is pasted into pictures.
const BOX: i64 = 20;

/// Black and white checks pasted into each picture; where, as row and column.
fn with_checks(normals: &Pictures) -> (Pictures, Vec<(i64, i64)>) {
    let pixels = normals.pixels.copy();
    let side = normals.size();
    let places: Vec<(i64, i64)> = (0..normals.len() as u64)
        .map(|index| {
            let mut stream = Stream::new(3, "checks", index);
            let mut place = || stream.below((side - BOX + 1) as usize) as i64;
            (place(), place())
        })
        .collect();
    let line = Tensor::arange(BOX, (Kind::Int64, Device::Cpu)).divide_scalar_mode(4, "floor");
    let checks = (line.unsqueeze(0) + line.unsqueeze(1)).remainder(2) * 255;
    for (index, &(row, column)) in places.iter().enumerate() {
        let mut part = pixels.get(index as i64).narrow(1, row, BOX).narrow(2, column, BOX);
        part.copy_(&checks.expand([3, BOX, BOX], false));
    }
    (Pictures::new(pixels, normals.acquisition.clone()), places)
}

/// Mean of a map inside the box at `row` and `column`, less its mean outside.
fn contrast(map: &[f32], side: i64, (row, column): (i64, i64)) -> f64 {
    let (mut sums, mut counts) = ([0.0; 2], [0.0; 2]);
    for (at, &value) in map.iter().enumerate() {
        let (y, x) = (at as i64 / side, at as i64 % side);
        let is_inside = (row..row + BOX).contains(&y) && (column..column + BOX).contains(&x);
        sums[usize::from(is_inside)] += f64::from(value);
        counts[usize::from(is_inside)] += 1.0;
    }
    sums[1] / counts[1] - sums[0] / counts[0]
}

/// With a random teacher and seconds of training, what is foreign to a picture disturbs all of its map, since the
/// bottleneck is 2 x 2 here: so the map's mean is asked for, not its maximum.
#[test]
fn rd4ad_learns_normals_finds_a_foreign_texture_and_calls_no_normal_ill() {
    tch::set_num_threads(1);
    let side = 64;
    let settings = "backbone = 'resnet18'\nsteps = 30\nbatch = 8\nlearning_rate = 2e-3";
    let (fitted, looks) = train("rd4ad", settings, stripes("train", 8, side), &calibrated());
    let (first, last) = (looks[0][0].1, looks[9][0].1);
    assert!(looks.len() == 10 && last < 0.3 * first, "the loss goes from {first} to {last}");
    let detector = fitted.adapt(&pictures("support", 1)).expect("a detector");
    let clean = stripes("ill", 20, side);
    let (ill, places) = with_checks(&clean);
    let n_found = |maps: MapStack| {
        let is_found = |(index, &place)| contrast(maps.map(index), side, place) > 0.0;
        places.iter().enumerate().filter(|&place| is_found(place)).count()
    };
    let (found, found_in_clean) =
        (n_found(maps(&*fitted, &*detector, &ill)), n_found(maps(&*fitted, &*detector, &clean)));
    assert!(
        found >= 18 && found_in_clean <= 15,
        "{found} of 20 textures, {found_in_clean} in clean pictures"
    );
    let score = |queries: &Pictures| {
        let order: Vec<usize> = (0..queries.pixels.size()[0] as usize).collect();
        scores((&*fitted, &*detector), queries, &order, 20)
    };
    // Chance alone moves it by 0.05 with so many.
    let [held_out, also] = ["held out", "also held out"].map(|name| score(&stripes(name, 60, side)));
    let chance = auroc(&held_out, &also).expect("scores");
    assert!((chance - 0.5).abs() < 0.2, "normals against normals give {chance}");
    assert!(auroc(&also, &score(&ill)).expect("scores") > 0.95);
}

#[test]
fn rd4ad_fits_eight_pictures_in_a_hundred_steps() {
    tch::set_num_threads(1);
    let settings = "backbone = 'resnet18'\nsteps = 100\nbatch = 8\nlearning_rate = 2e-3";
    let (_, looks) = train("rd4ad", settings, stripes("train", 8, SIDE), &calibrated());
    let last = looks.last().expect("looks")[0].1;
    assert!(last < 0.1, "the loss is {last}");
}

#[test]
fn the_wide_bottleneck_has_the_published_parameters_less_the_dead_ones() {
    let store = VarStore::new(Device::Cpu);
    Bottleneck::new(&store.root(), Backbone::WideResnet50x2);
    let dead = 4096 * 2048 + 2 * 2048;
    assert_eq!(weights::n_trainable(&store), 67_277_824 - dead);
    assert!(store.variables().keys().all(|name| !name.contains("__")));
}

#[test]
fn the_bottleneck_brings_three_scales_to_a_fourth() {
    for backbone in [Backbone::Resnet18, Backbone::Resnet34, Backbone::Resnet50] {
        let store = VarStore::new(Device::Cpu);
        let bottleneck = Bottleneck::new(&store.root(), backbone);
        initial::initialise(&store, 1);
        let [c1, c2, c3, c4] = backbone.channels();
        let scales = [(c1, 16), (c2, 8), (c3, 4)].map(|(c, side)| uniform("scales", &[2, c, side, side]));
        assert_eq!(bottleneck.forward(&scales, Norm::Stored).size(), [2, c4, 2, 2]);
    }
}
