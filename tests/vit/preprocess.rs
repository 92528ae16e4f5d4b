//! Pictures as the methods' authors resize and cut them, against Pillow and torchvision.

use medfsad::decode::resize::{bicubic, bilinear};
use medfsad::network::formula;
use medfsad::pixels::Pixels;

use super::{numbers, reference, smooth};

/// One of the golden file's pictures.
fn picture(name: &str) -> Pixels {
    match name {
        "smooth" => smooth("prep.smooth", 100, 131),
        "tall" => smooth("prep.tall", 131, 97),
        _ => {
            let values = formula::uniform("prep.noise", 100 * 131 * 3);
            let samples = values.into_iter().map(|u| (256.0 * u).floor() as u8).collect();
            Pixels::new(100, 131, 3, samples).expect("a picture")
        }
    }
}

/// The shorter edge becomes `to`, the other in proportion, rounded down.
fn by_shorter_edge(picture: &Pixels, to: usize) -> Pixels {
    let (h, w) = (picture.height(), picture.width());
    bicubic(picture, to * h / h.min(w), to * w / h.min(w))
}

/// A piece of a picture.
fn cut(picture: &Pixels, [top, left]: [usize; 2], [h, w]: [usize; 2]) -> Pixels {
    let rows =
        (top..top + h).flat_map(|row| (left..left + w).flat_map(move |column| picture.at(row, column)));
    Pixels::new(h, w, 3, rows.copied().collect()).expect("a piece")
}

fn centre(picture: &Pixels, side: usize) -> Pixels {
    let offset = |n: usize| ((n - side) as f64 / 2.0).round_ties_even() as usize;
    cut(picture, [offset(picture.height()), offset(picture.width())], [side, side])
}

fn chain(name: &str, picture: &Pixels) -> Pixels {
    match name {
        "anomalydino_84" => {
            let resized = by_shorter_edge(picture, 84);
            cut(&resized, [0, 0], [resized.height() / 14 * 14, resized.width() / 14 * 14])
        }
        "foundad_70" => bilinear(picture, 70, 70),
        "clip_64" => centre(&by_shorter_edge(picture, 64), 64),
        "inpformer_80_70" => centre(&bilinear(picture, 80, 80), 70),
        _ => bicubic(picture, 60, 60),
    }
}

/// Within one grey level, and nearly all equal: Pillow 13 goes down columns first where that is less work, as for pictures
/// that are taller than wide and shrink; here rows come first always, as in earlier versions.
#[test]
fn resized_pictures_equal_pillows() {
    let golden = reference("preprocess.json");
    let (mut n_compared, mut n_equal) = (0, 0);
    for name in ["anomalydino_84", "foundad_70", "clip_64", "inpformer_80_70", "mvfa_60"] {
        for kind in ["smooth", "noise", "tall"] {
            let golden = &golden["chains"][name][kind];
            let ours = chain(name, &picture(kind));
            assert_eq!(
                [ours.height() as f64, ours.width() as f64, 3.0],
                numbers(&golden["shape"])[..],
                "{name} {kind}"
            );
            for (place, expected) in
                numbers(&golden["sample_index"]).into_iter().zip(numbers(&golden["sample"]))
            {
                let off = (f64::from(ours.samples()[place as usize]) - expected).abs();
                assert!(off <= 1.0, "{name} {kind} at {place}: {off} grey levels off");
                (n_compared, n_equal) = (n_compared + 1, n_equal + u32::from(off == 0.0));
            }
            let mean = ours.samples().iter().map(|&value| f64::from(value)).sum::<f64>()
                / ours.samples().len() as f64;
            assert!(
                (mean - golden["mean"].as_f64().expect("a mean")).abs() < 1e-2,
                "{name} {kind}: mean {mean}"
            );
        }
    }
    println!("{n_equal} of {n_compared} samples are equal, others by one grey level");
    assert!(f64::from(n_equal) >= 0.99 * f64::from(n_compared));
}
