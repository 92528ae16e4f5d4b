//! `FoundAD`: what pieces do to pictures, what training does to errors, and few pictures.

use medfsad::method::foundad::corruption::{CutPaste, augmented, corrupted};

use super::*;

const SIDE: usize = 112;

/// Noise of 0 to 255 in three channels.
fn noise(name: &str) -> Vec<f32> {
    let mut stream = Stream::new(4, name, 0);
    (0..3 * SIDE * SIDE).map(|_| stream.between(0.0, 255.0) as f32).collect()
}

/// Values that pieces of one kind changed, of many pictures.
fn changed(how: CutPaste) -> Vec<f32> {
    let picture = noise("picture");
    let one = |index: u64| {
        let piece = || corrupted(&picture, SIDE, how, &mut Stream::new(1, "pieces", index));
        let corrupted = piece();
        assert_eq!(corrupted, piece(), "the same stream, another piece");
        corrupted.into_iter().zip(&picture).filter(|(new, old)| new != *old).map(|(new, _)| new).collect()
    };
    (0..40).map(one).collect::<Vec<Vec<f32>>>().concat()
}

fn range(values: &[f32]) -> (f32, f32) {
    values.iter().fold((f32::MAX, f32::MIN), |(low, high), &value| (low.min(value), high.max(value)))
}

/// ImageNet's means are 0.406 to 0.485 and its deviations 0.224 to 0.229: 0 to 1 of a normalised picture are 103 to 182
/// grey levels.
#[test]
fn published_pieces_are_pale_and_corrected_ones_are_not() {
    let (low, high) = range(&changed(CutPaste::Published));
    println!("published pieces have values of {low} to {high}");
    assert!((103.0..110.0).contains(&low) && (150.0..182.3).contains(&high), "{low} to {high}");
    let (low, high) = range(&changed(CutPaste::Corrected));
    println!("corrected pieces have values of {low} to {high}");
    assert!(low < 5.0 && high > 250.0, "{low} to {high}");
}

/// Whether the changed pixels of a picture fill the box round them.
fn is_a_whole_box(picture: &[f32], how: CutPaste, index: u64) -> bool {
    let corrupted = corrupted(picture, SIDE, how, &mut Stream::new(2, "boxes", index));
    let area = SIDE * SIDE;
    let is_changed =
        |at: &usize| [0, 1, 2].iter().any(|plane| corrupted[plane * area + at] != picture[plane * area + at]);
    let changed: Vec<usize> = (0..area).filter(is_changed).collect();
    let extent = |of: fn(&usize) -> usize| {
        let places = || changed.iter().map(of);
        places().max().expect("changed pixels") + 1 - places().min().expect("changed pixels")
    };
    changed.len() == extent(|at| at / SIDE) * extent(|at| at % SIDE)
}

/// Of black, pieces and corners both get the mean colour.
#[test]
fn published_scars_bring_their_box_along_and_corrected_ones_do_not() {
    let (black, noise) = (vec![0.0f32; 3 * SIDE * SIDE], noise("picture"));
    assert!((0..40).all(|index| is_a_whole_box(&black, CutPaste::Published, index)));
    let n_whole = (0..40).filter(|&index| is_a_whole_box(&noise, CutPaste::Corrected, index)).count();
    println!("{n_whole} of 40 corrected pieces are whole boxes");
    // Rectangles are, turned scars are not: half of each.
    assert!((10..30).contains(&n_whole), "{n_whole} of 40 corrected pieces are whole boxes");
}

#[test]
fn light_changes_leave_most_normals_alone_and_are_repeatable() {
    let picture = Tensor::from_slice(&noise("normal")).view([3, SIDE as i64, SIDE as i64]);
    let of = |index: u64| augmented(&picture, 11, &mut Stream::new(3, "normals", index));
    let n_same = (0..400).filter(|&index| of(index).equal(&picture)).count() as f64 / 400.0;
    // 0.7 times 0.7.
    assert!((n_same - 0.49).abs() < 0.08, "{n_same} are as they were");
    for index in 0..40 {
        let changed = of(index);
        assert_eq!(changed.size(), picture.size());
        assert!(changed.equal(&of(index)));
        assert!(largest(&changed) < 255.5 && changed.isfinite().all().int64_value(&[]) == 1);
    }
}

#[test]
fn foundad_learns_two_pictures_and_errors_rise_under_a_square() {
    tch::set_num_threads(1);
    let settings = "backbone = 'dinov2_tiny14'\nside = 112\nwidth = 48\nblocks = 2\nsteps = 200\nbatch = 2\n\
                    augmented = false";
    let normals = stripes("train", 2, 112);
    let (fitted, looks) = train("foundad", settings, normals.at(&[0, 1]), &calibrated());
    let (first, last) = (looks[0][0].1, looks[9][0].1);
    println!("loss from {first} to {last}");
    assert!(looks.len() == 10 && last < 0.5 * first, "the loss goes from {first} to {last}");
    let detector = fitted.adapt(&pictures("support", 1)).expect("a detector");
    let ill = Pictures::new(normals.pixels.copy(), normals.acquisition.clone());
    let _ = ill.pixels.narrow(2, 28, 28).narrow(3, 42, 28).fill_(20);
    let maps = |queries: &Pictures| match predict(&*fitted, &*detector, queries).expect("a prediction") {
        Prediction::Both(maps, _) => maps,
        _ => panic!("maps and scores"),
    };
    let (clean, ill) = (maps(&normals), maps(&ill));
    for index in 0..2 {
        let inside = |map: &[f32]| {
            let rows = (32..52).flat_map(|row| (46..66).map(move |column| row * 112 + column));
            rows.map(|at| f64::from(map[at])).sum::<f64>()
        };
        let ratio = inside(ill.map(index)) / inside(clean.map(index));
        println!("errors under the square are {ratio} times as large");
        assert!(ratio > 2.0, "errors under the square are {ratio} times as large");
    }
}

#[test]
fn foundad_learns_from_one_support() {
    let settings = "backbone = 'dinov2_tiny14'\nside = 28\nwidth = 48\nblocks = 1\nsteps = 4\nplaces = true\n\
                    unit_tokens = true\nmeasure = 'smooth-l1'\ncut_paste = 'corrected'";
    let built =
        (find("foundad").expect("known").build)(toml::from_str(settings).expect("TOML")).expect("built");
    let context = calibrated();
    let fitted = built.method.fit(&[], &context, &mut medfsad::method::Unobserved).expect("fitted");
    let detector = fitted.adapt(&stripes("support", 1, 32)).expect("a detector");
    let score = scores((&*fitted, &*detector), &stripes("query", 2, 32), &[0, 1], 1);
    assert!(score.iter().all(|score| score.is_finite()), "{score:?}");
    let error = |settings: &str| {
        let table = toml::from_str(settings).expect("TOML");
        format!("{:#}", (find("foundad").expect("known").build)(table).err().expect("an error"))
    };
    assert!(error("side = 500").contains("multiple of 14"));
    assert!(error("width = 100").contains("multiple of heads, 12"));
    assert!(error("dropout = 1.0").contains("below 1"));
    assert!(error("cut_paste = 'plain'").contains("corrected"));
}
