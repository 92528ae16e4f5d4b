//! Cutting and pasting, and telling it apart.

use medfsad::method::part::cut_paste::{Cut, paste};

use super::*;

/// Every pixel has a colour of its own: red is its row, green its column.
fn addressed(side: usize) -> Vec<f32> {
    let plane =
        |value: fn(usize, usize) -> usize| (0..side * side).map(move |at| value(at / side, at % side) as f32);
    plane(|row, _| row).chain(plane(|_, column| column)).chain(plane(|_, _| 0)).collect()
}

#[test]
fn pasted_pixels_come_from_the_picture_and_the_mask_says_where_they_lie() {
    for (cut, side) in [(Cut::Patch, 64), (Cut::Scar, 64), (Cut::Scar, 256), (Cut::Patch, 32)] {
        let (picture, area) = (addressed(side), side * side);
        for index in 0..50 {
            let pasted = paste(&picture, side, cut, 0.0, &mut Stream::new(1, "paste", index));
            let n_pasted = pasted.mask.iter().filter(|&&is| is).count();
            let mut sources = Vec::new();
            for at in 0..area {
                let values = [0, 1, 2].map(|channel| pasted.pixels[channel * area + at]);
                if pasted.mask[at] {
                    assert!(values.iter().all(|value| value.fract() == 0.0) && values[2] == 0.0);
                    sources.push((values[0] as usize, values[1] as usize));
                } else {
                    assert_eq!(values, [0, 1, 2].map(|channel| picture[channel * area + at]));
                }
            }
            let extent = |of: fn(&(usize, usize)) -> usize| {
                let values = || sources.iter().map(of);
                values().max().expect("pixels") - values().min().expect("pixels") + 1
            };
            let (height, width) = (extent(|source| source.0), extent(|source| source.1));
            let share = n_pasted as f64 / area as f64;
            match cut {
                Cut::Patch => {
                    assert_eq!(height * width, n_pasted, "an upright patch is pasted whole");
                    assert!((0.015..0.16).contains(&share), "{share} of the picture is pasted");
                }
                Cut::Scar => {
                    let scaled = |pixels: f64| (pixels * side as f64 / 256.0).round() as usize;
                    assert!(n_pasted > 0 && width <= scaled(16.0) && height <= scaled(25.0));
                }
            }
        }
    }
}

#[test]
fn jitter_moves_colours_a_little_and_is_repeatable() {
    let picture: Vec<f32> = (0..3 * 64 * 64).map(|at| 60.0 + (at % 97) as f32).collect();
    let run = |jitter: f64| paste(&picture, 64, Cut::Patch, jitter, &mut Stream::new(1, "paste", 3));
    let (plain, jittered) = (run(0.0), run(0.1));
    assert_eq!(jittered.pixels, run(0.1).pixels);
    let moved = plain.pixels.iter().zip(&jittered.pixels).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
    // A tenth of 156 each by brightness, contrast and saturation, at most.
    assert!(0.1 < moved && moved < 48.0, "colours move by {moved}");
}

#[test]
fn cutpaste_learns_to_tell_three_ways_apart() {
    tch::set_num_threads(1);
    // Rounding decides which way the training takes; after 300 steps some instruction sets are still at 0.78.
    let settings = "steps = 400\nfrozen_steps = 5\nbatch = 8";
    let (_, looks) = train("cutpaste", settings, stripes("train", 32, SIDE), &calibrated());
    let last = &looks.last().expect("looks")[1];
    assert_eq!(last.0, "accuracy");
    // Mean of the last steps; chance is a third, and two thirds is the most for telling pasted from whole alone.
    println!("accuracy {}", last.1);
    assert!(last.1 > 0.8, "the accuracy is {}", last.1);
}
