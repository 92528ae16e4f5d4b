//! The denoising auto-encoder, its U-Net and its noise.

use medfsad::episode::batch::Acquisition;
use medfsad::method::batches::predict;
use medfsad::method::dae::coarse_noise;
use medfsad::method::{Detector, Prediction};
use medfsad::metric::auroc::auroc;

use super::*;

#[test]
fn a_unet_keeps_every_size() {
    tch::no_grad(|| {
        for depth in [1, 3, 4, 5] {
            let store = VarStore::new(Device::Cpu);
            let network = UNet::new(&store.root(), unet::Shape { channels: 3, width: 2, depth });
            initial::initialise_plain(&store, 1);
            for side in [33, 50, 64, 96, 128, 224] {
                let x = normal("sizes", &[1, 3, side, side]);
                let y = network.forward(&x);
                assert_eq!(y.size(), x.size(), "depth {depth}");
                assert!(y.isfinite().all().int64_value(&[]) == 1);
            }
        }
    });
}

/// Correlation of neighbours `lag` apart along rows.
fn correlation(noise: &Tensor, lag: i64) -> f64 {
    let side = noise.size()[3];
    let (a, b) = (noise.narrow(3, 0, side - lag), noise.narrow(3, lag, side - lag));
    ((&a * &b).mean(None::<Kind>) / (a.std(false) * b.std(false))).double_value(&[])
}

#[test]
fn coarse_noise_is_as_coarse_and_as_strong_as_asked() {
    for resolution in [8, 16, 32] {
        let noise =
            coarse_noise(&[32, 1, 128, 128], resolution, 0.2, &mut Stream::new(3, "n", 0), Device::Cpu);
        let deviation = noise.std(false).double_value(&[]);
        assert!((0.12..0.2).contains(&deviation), "deviation {deviation} at {resolution}");
        // Neighbours on the grid are independent, and stand so far apart.
        let apart = 128 / resolution;
        assert!(correlation(&noise, apart / 4) > 0.7, "{resolution}: {}", correlation(&noise, apart / 4));
        assert!(correlation(&noise, apart / 2) > 0.3, "{resolution}");
        assert!(correlation(&noise, 2 * apart).abs() < 0.1, "{resolution}");
    }
    let pixels = coarse_noise(&[32, 1, 128, 128], 128, 0.2, &mut Stream::new(3, "n", 0), Device::Cpu);
    assert!(correlation(&pixels, 1).abs() < 0.02);
    assert!((pixels.std(false).double_value(&[]) - 0.2).abs() < 0.002);
}

const DISC_SIDE: i64 = 48;

/// A softly shaded disc on black; `blob` adds a bright one to it. Returns pixels and where the blob is.
fn disc(purpose: &str, index: usize, blob: bool) -> (Vec<u8>, Vec<bool>) {
    let mut stream = Stream::new(5, purpose, index as u64);
    let middle = [stream.between(22.0, 26.0), stream.between(22.0, 26.0)];
    let (radius, light) = (stream.between(18.0, 20.0), stream.between(90.0, 130.0));
    let turn = stream.between(0.0, std::f64::consts::TAU);
    let spot = [middle[0] + 9.0 * turn.sin(), middle[1] + 9.0 * turn.cos()];
    let [along, across] = [0, 1].map(|_| stream.between(0.0, std::f64::consts::TAU));
    let shade = |place: i64, phase: f64| 20.0 * (place as f64 * std::f64::consts::TAU / 32.0 + phase).sin();
    let (mut values, mut inside) = (Vec::new(), Vec::new());
    for y in 0..DISC_SIDE {
        for x in 0..DISC_SIDE {
            let from =
                |place: [f64; 2]| ((y as f64 - place[0]).powi(2) + (x as f64 - place[1]).powi(2)).sqrt();
            let in_spot = blob && from(spot) < 6.0;
            let value = match from(middle) < radius {
                true => {
                    light
                        + shade(x, along)
                        + shade(y, across)
                        + 40.0 * f64::from(u8::from(in_spot))
                        + stream.between(-4.0, 4.0)
                }
                false => 0.0,
            };
            values.push(value as u8);
            inside.push(in_spot);
        }
    }
    (values, inside)
}

fn discs(purpose: &str, n: usize, blob: bool) -> (Pictures, Vec<bool>) {
    let (mut bytes, mut inside) = (Vec::new(), Vec::new());
    for index in 0..n {
        let (values, is_inside) = disc(purpose, index, blob);
        (0..3).for_each(|_| bytes.extend_from_slice(&values));
        inside.extend(is_inside);
    }
    let pixels = Tensor::from_data_size(&bytes, &[n as i64, 3, DISC_SIDE, DISC_SIDE], Kind::Uint8);
    let acquisition = vec![Acquisition { width: 32, height: 32, file_bytes: 1000 }; n];
    (Pictures::new(pixels, acquisition), inside)
}

fn maps(fitted: &dyn Fitted, detector: &dyn Detector, queries: &Pictures) -> Vec<f64> {
    match predict(fitted, detector, queries).expect("a prediction") {
        Prediction::Maps(maps) | Prediction::Both(maps, _) => {
            maps.values().iter().map(|&v| v.into()).collect()
        }
        Prediction::Scores(_) => panic!("no maps"),
    }
}

#[test]
fn a_pasted_blob_is_erased_by_coarse_noise_and_less_by_pixel_noise() {
    // Beside other tests more threads only wait for each other.
    tch::set_num_threads(1);
    let folder = TempDir::new().expect("a folder");
    let map_auroc = |resolution: i64| {
        let settings = format!(
            "width = 6\ndepth = 3\nsteps = 400\nbatch = 4\nlearning_rate = 3e-3\ncosine_epochs = 10\nresolution = {resolution}"
        );
        let fitted = fit("dae", &settings, discs("normal disc", 32, false).0, &context(&folder, 2));
        let (queries, inside) = discs("ill disc", 16, true);
        let detector = fitted.adapt(&queries).expect("a detector");
        let maps = maps(&*fitted, &*detector, &queries);
        let of = |blob: bool| -> Vec<f64> {
            maps.iter().zip(&inside).filter(|(_, is)| **is == blob).map(|(value, _)| *value).collect()
        };
        auroc(&of(false), &of(true)).expect("both classes")
    };
    let (coarse, pixel) = (map_auroc(6), map_auroc(DISC_SIDE));
    assert!(coarse > 0.9, "AUROC of maps is {coarse}");
    assert!(coarse > pixel + 0.1, "coarse noise gives {coarse}, noise by the pixel {pixel}");
}

#[test]
fn nothing_outside_the_foreground_is_anomalous() {
    let folder = TempDir::new().expect("a folder");
    let fitted = fit(
        "dae",
        "width = 4\ndepth = 2\nsteps = 3\nbatch = 4\nresolution = 4",
        discs("normal disc", 8, false).0,
        &context(&folder, 2),
    );
    let (queries, _) = discs("ill disc", 4, true);
    let detector = fitted.adapt(&queries).expect("a detector");
    let maps = maps(&*fitted, &*detector, &queries);
    let grey = queries.pixels.narrow(1, 0, 1).contiguous().flatten(0, -1);
    let grey: Vec<u8> = Vec::try_from(grey).expect("bytes");
    let side = DISC_SIDE as usize;
    // A median over 5 x 5 of an eroded mask reaches no pixel of the background.
    let background = (0..maps.len()).filter(|&at| grey[at] == 0);
    let highest = background.map(|at| maps[at]).fold(0.0, f64::max);
    assert_eq!(highest, 0.0);
    assert!(maps[side * (side / 2) + side / 2] > 0.0);
}
