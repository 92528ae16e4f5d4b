//! AnomalyDINO against its authors' functions.

use medfsad::maps::MapStack;
use medfsad::method::anomalydino::mask::{Mask, first_component, standing_out};
use medfsad::method::anomalydino::{TokenBank, published, rotation};
use medfsad::method::part::scored::highest;
use medfsad::network::formula;
use medfsad::network::vit::dinov2::Dinov2;
use medfsad::network::vit::{Reading, Transformer};
use medfsad::network::{Extractor, Input, Network};
use medfsad::pixels::Pixels;
use serde_json::Value;
use tch::{Kind, Tensor};

use super::dinov2::{network, plan};
use super::{Compared, assert_near, numbers, reference, smooth, text, values};

fn worst(ours: &Tensor, golden: &Value) -> f64 {
    let golden = numbers(golden);
    let ours = values(ours);
    assert_eq!(ours.len(), golden.len());
    ours.iter().zip(golden).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max)
}

#[test]
fn distances_equal_the_published() {
    let golden = &reference("anomalydino.json")["distances"];
    let bank = TokenBank::new(&formula::tensor("anomalydino.ref", &[200, 64], -1.0, 1.0));
    let query = formula::tensor("anomalydino.query", &[120, 64], -1.0, 1.0);
    for (neighbours, key) in [(1, "l2_normalized_k1"), (3, "l2_normalized_k3_mean")] {
        let off = worst(&bank.distances(&query, neighbours), &golden[key]["values"]);
        println!("{key}: differs by {off:.1e} at most");
        assert!(off < 1e-6, "{key} is {off:.1e} off");
    }
}

#[test]
fn the_score_is_the_mean_of_the_highest_hundredth() {
    let golden = reference("anomalydino.json");
    let distances = numbers(&golden["distances"]["l2_normalized_k1"]["values"]);
    let score = |distances: &[f64]| {
        let grid = Tensor::from_slice(distances).view([1, 1, distances.len() as i64]);
        highest(&grid).double_value(&[0])
    };
    let golden = &golden["mean_top1p"];
    assert_near("120", score(&distances), &golden["n120_distances"], 1e-11);
    assert_near("99", score(&distances[..99]), &golden["n99_first_distances_is_max"], 1e-11);
    for (n, key) in [(1024, "n1024_uniform_anomalydino.dist"), (250, "n250_uniform_anomalydino.dist")] {
        let uniform = values(&formula::tensor("anomalydino.dist", &[n], 0.0, 1.0));
        assert_near(key, score(&uniform), &golden[key], 1e-11);
    }
}

/// A grid of distances as a smoothed map, as the harness makes one.
fn map(distances: &Tensor, [h, w]: [i64; 2]) -> (Tensor, Tensor) {
    let (rows, columns) = distances.size2().expect("a grid");
    let raw = distances.view([1, 1, rows, columns]).upsample_bilinear2d([h, w], false, None, None);
    let flat: Vec<f32> = Vec::try_from(raw.to_kind(Kind::Float).flatten(0, -1)).expect("floats");
    let smoothed = MapStack::new(1, h as usize, w as usize, flat).expect("a map").smoothed(4.0);
    (raw.view([h, w]), Tensor::from_slice(smoothed.values()).view([h, w]))
}

#[test]
fn maps_equal_the_published() {
    let golden = reference("anomalydino.json");
    let distances = numbers(&golden["distances"]["l2_normalized_k1"]["values"]);
    let grid = Tensor::from_slice(&distances).view([12, 10]);
    let mut compared = Compared::within(1e-4);
    let (raw, smoothed) = map(&grid, [84, 70]);
    compared.with("resized", &raw, &golden["dists2map"]["resized_only"]);
    compared.with("smoothed", &smoothed, &golden["dists2map"]);
    compared.with("larger", &map(&grid, [130, 100]).1, &golden["dists2map_130x100"]);
    compared.say("maps");
}

#[test]
fn turned_pictures_equal_the_published() {
    let golden = &reference("anomalydino.json")["rotate"];
    let planes = smooth("anomalydino.rotate", 40, 56).to_planes();
    for (angle, golden) in golden["values"].as_object().expect("angles") {
        let degrees: f64 = angle.parse().expect("degrees");
        let turned = rotation::turned(&planes, [40, 56], degrees);
        let turned = Pixels::from_planes(40, 56, 3, &turned).expect("a picture");
        let samples: Vec<(f64, f64)> = numbers(&golden["sample_index"])
            .into_iter()
            .map(|place| f64::from(turned.samples()[place as usize]))
            .zip(numbers(&golden["sample"]))
            .collect();
        let equal = samples.iter().filter(|(ours, theirs)| ours == theirs).count() as f64;
        let worst = samples.iter().map(|(ours, theirs)| (ours - theirs).abs()).fold(0.0, f64::max);
        let (share, is_right) = (equal / samples.len() as f64, degrees % 90.0 == 0.0);
        println!("{angle} degrees: {:.0} % equal, others by {worst} at most", 100.0 * share);
        assert!(worst <= if is_right { 0.0 } else { 1.0 }, "{angle} degrees: {worst} grey levels off");
        assert!(share >= 0.8, "{angle} degrees: {share} equal");
        let mean = turned.samples().iter().map(|&value| f64::from(value)).sum::<f64>() / 6720.0;
        assert_near("mean", mean, &golden["mean"], if is_right { 1e-9 } else { 0.2 });
    }
    let square = rotation::turned(&smooth("anomalydino.rotate", 40, 40).to_planes(), [40, 40], 90.0);
    let square = Pixels::from_planes(40, 40, 3, &square).expect("a picture");
    let row = golden["square_40x40_rot90_first_row_rgb"].as_array().expect("a row");
    for (column, colour) in row.iter().enumerate() {
        let ours: Vec<f64> = square.at(0, column).iter().map(|&value| f64::from(value)).collect();
        assert_eq!(ours, numbers(colour), "column {column}");
    }
}

/// Tokens with an object, as the golden file says.
fn tokens(case: char, [h, w]: [i64; 2], rows: [i64; 2], columns: [i64; 2], strength: f64) -> Tensor {
    let features = formula::tensor(&format!("anomalydino.mask.{case}"), &[h * w, 64], -1.0, 1.0);
    let direction = formula::tensor(&format!("anomalydino.maskdir.{case}"), &[64], -1.0, 1.0);
    let direction = direction.to_kind(Kind::Double);
    let direction = &direction / direction.norm();
    let tokens = features.to_kind(Kind::Double).view([h, w, 64]);
    let mut object =
        tokens.narrow(0, rows[0], rows[1] - rows[0]).narrow(1, columns[0], columns[1] - columns[0]);
    object += direction * strength;
    tokens.view([h * w, 64]).to_kind(Kind::Float)
}

fn rows_of(mask: &[bool], width: usize) -> Vec<String> {
    let digit = |&kept: &bool| if kept { '1' } else { '0' };
    mask.chunks(width).map(|row| row.iter().map(digit).collect()).collect()
}

#[test]
fn masks_equal_the_published() {
    let golden = &reference("anomalydino.json")["mask"];
    for (name, case, grid, rows, columns, strength) in [
        ("centre_object", 'a', [16, 16], [4, 12], [5, 12], 40.0),
        ("centre_object_negative", 'b', [16, 16], [4, 12], [5, 12], -40.0),
        ("border_object", 'c', [12, 10], [0, 3], [0, 10], 40.0),
    ] {
        let golden = &golden[name];
        let tokens = tokens(case, grid, rows, columns, strength);
        let component = values(&first_component(&tokens));
        let theirs = numbers(&golden["first_component_full_svd_f32"]);
        let worst =
            |sign: f64| component.iter().zip(&theirs).map(|(a, b)| (sign * a - b).abs()).fold(0.0, f64::max);
        let off = worst(1.0).min(worst(-1.0));
        println!("{name}: the component differs by {off:.1e} at most");
        assert!(off < 1e-3, "{name}: the component is {off} off");
        let (height, width) = (grid[0] as usize, grid[1] as usize);
        let (raw, _) = standing_out(&component, [height, width]);
        let strings = |key: &str| -> Vec<String> {
            golden[key].as_array().expect("rows").iter().map(|row| text(row).to_owned()).collect()
        };
        assert_eq!(rows_of(&raw, width), strings("raw_rows"), "{name}");
        for (mask, key) in [(Mask::Published, "mask_rows_published"), (Mask::Grid, "mask_rows_2d")] {
            let kept = values(&mask.kept(&tokens, grid).expect("a mask"));
            let kept: Vec<bool> = kept.into_iter().map(|value| value == 1.0).collect();
            assert_eq!(rows_of(&kept, width), strings(key), "{name}: {mask:?}");
        }
    }
}

/// The shorter edge at 84 pixels, cut right and below to whole patches, as the network sees it: `[1, 3, 14 h, 14 w]`.
fn prepared(picture: &Pixels) -> Tensor {
    let whole = published::prepared(picture, 84, 14);
    let size = [1, 3, whole.height() as i64, whole.width() as i64];
    let whole = Tensor::from_data_size(&whole.to_planes(), &size, Kind::Uint8);
    Input::ImageNet.prepare(Network::from(Extractor::Transformer(Transformer::Dinov2Tiny)), &whole)
}

/// Tokens of a picture, `[h * w, 64]`, and its grid.
fn seen(network: &Dinov2, pictures: &Tensor) -> (Tensor, [i64; 2]) {
    let deep = Reading::of(Transformer::Dinov2Tiny).features(network, pictures).deep;
    let grid = [deep.size()[2], deep.size()[3]];
    (deep.permute([0, 2, 3, 1]).reshape([-1, 64]), grid)
}

#[test]
fn the_small_network_equals_the_published_end_to_end() {
    let golden = &reference("anomalydino.json")["end_to_end_tiny"];
    let tiny = network(plan("tiny"), &reference("dinov2_tiny.json")["configs"]["tiny"], Kind::Float);
    let supports = [0, 1].map(|index| smooth(&format!("anomalydino.support{index}"), 100, 131));
    let mut compared = Compared::within(5e-5);
    for (key, angles) in [("no_rotation", 1), ("with_8_rotations", 8)] {
        let golden = &golden[key];
        let views = supports.iter().flat_map(|picture| published::eighths(picture).into_iter().take(angles));
        let rows: Vec<Tensor> = views.map(|view| seen(&tiny, &prepared(&view)).0).collect();
        let rows = Tensor::cat(&rows, 0);
        // Turned by odd eighths, pixels differ by a grey level here and there, which the tokens show.
        let is_exact = angles == 1;
        if is_exact {
            compared.with("bank", &rows, &golden["bank"]);
        }
        let bank = TokenBank::new(&rows);
        let bound = if is_exact { 1e-6 } else { 2e-4 };
        for (index, (size, golden)) in [[100, 131], [131, 100]]
            .into_iter()
            .zip(golden["queries"].as_array().expect("queries"))
            .enumerate()
        {
            let picture = smooth(&format!("anomalydino.query{index}"), size[0], size[1]);
            let prepared = prepared(&picture);
            compared.with("input", &prepared.squeeze_dim(0), &golden["input_tensor"]);
            let (tokens, grid) = seen(&tiny, &prepared);
            let distances = bank.distances(&tokens, 1);
            let off = worst(&distances, &golden["distances"]["values"]);
            println!("{key} {index}: distances differ by {off:.1e} at most");
            assert!(off < bound, "{key} {index}: {off:.1e}");
            let grids = distances.view([1, grid[0], grid[1]]);
            assert_near(key, highest(&grids).double_value(&[0]), &golden["score"], bound);
            if is_exact {
                let (_, smoothed) = map(&grids.squeeze_dim(0), size.map(|side| side as i64));
                let mut maps = Compared::within(1e-4);
                maps.with("map", &smoothed, &golden["map"]);
                maps.say(&format!("{key} {index} map"));
            }
        }
    }
    compared.say("bank and inputs");
}
