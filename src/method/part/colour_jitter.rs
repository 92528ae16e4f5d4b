//! Brightness, contrast, saturation and hue changed at random, in a random order, as torchvision's `ColorJitter` does with
//! floating-point pictures: they are taken to be 0 to 1, and what leaves that range is cut off.

use crate::random::Stream;

/// Largest changes, as shares; of the hue, of its whole circle.
#[derive(Clone, Copy, Debug)]
pub struct Strengths {
    /// Factor of all values.
    pub brightness: f64,
    /// Factor of distances from the picture's mean grey.
    pub contrast: f64,
    /// Factor of distances from each pixel's grey.
    pub saturation: f64,
    /// Turn of the circle of colours.
    pub hue: f64,
}

/// Changes planes of red, green and blue.
pub fn jitter(pixels: &mut [f32], strengths: Strengths, stream: &mut Stream) {
    let Strengths { brightness, contrast, saturation, hue } = strengths;
    let mut order = [0, 1, 2, 3];
    stream.shuffle(&mut order);
    let mut factor = |strength: f64| stream.between(1.0 - strength, 1.0 + strength) as f32;
    let factors = [factor(brightness), factor(contrast), factor(saturation)];
    let turn = stream.between(-hue, hue) as f32;
    for step in order {
        match step {
            0 => pixels.iter_mut().for_each(|value| *value = (*value * factors[0]).clamp(0.0, 1.0)),
            1 => change_contrast(pixels, factors[1]),
            2 => change_saturation(pixels, factors[2]),
            _ => turn_hue(pixels, turn),
        }
    }
}

/// All channels the pixel's luma.
pub fn grey_out(pixels: &mut [f32]) {
    for place in 0..pixels.len() / 3 {
        let grey = grey(pixels, place);
        (0..3).for_each(|channel| pixels[channel * (pixels.len() / 3) + place] = grey);
    }
}

fn grey(pixels: &[f32], place: usize) -> f32 {
    let area = pixels.len() / 3;
    0.2989 * pixels[place] + 0.587 * pixels[area + place] + 0.114 * pixels[2 * area + place]
}

fn change_contrast(pixels: &mut [f32], factor: f32) {
    let area = pixels.len() / 3;
    let mean = (0..area).map(|place| f64::from(grey(pixels, place))).sum::<f64>() / area as f64;
    let mean = mean as f32;
    pixels.iter_mut().for_each(|value| *value = (mean + (*value - mean) * factor).clamp(0.0, 1.0));
}

fn change_saturation(pixels: &mut [f32], factor: f32) {
    let area = pixels.len() / 3;
    for place in 0..area {
        let grey = grey(pixels, place);
        for channel in 0..3 {
            let value = &mut pixels[channel * area + place];
            *value = (grey + (*value - grey) * factor).clamp(0.0, 1.0);
        }
    }
}

/// Turns the hue by a share of its circle.
fn turn_hue(pixels: &mut [f32], turn: f32) {
    let area = pixels.len() / 3;
    for place in 0..area {
        let colour = [pixels[place], pixels[area + place], pixels[2 * area + place]];
        let [hue, saturation, value] = to_hsv(colour);
        let turned = to_rgb([(hue + turn).rem_euclid(1.0), saturation, value]);
        (0..3).for_each(|channel| pixels[channel * area + place] = turned[channel]);
    }
}

/// Hue, saturation and value of red, green and blue.
fn to_hsv([r, g, b]: [f32; 3]) -> [f32; 3] {
    let (most, least) = (r.max(g).max(b), r.min(g).min(b));
    let range = most - least;
    if range == 0.0 {
        return [0.0, 0.0, most];
    }
    let [red, green, blue] = [r, g, b].map(|value| (most - value) / range);
    let sixths = if most == r {
        blue - green
    } else if most == g {
        2.0 + red - blue
    } else {
        4.0 + green - red
    };
    [(sixths / 6.0 + 1.0).rem_euclid(1.0), range / most, most]
}

/// The way back, values that are mixed cut to 0 to 1.
fn to_rgb([hue, saturation, value]: [f32; 3]) -> [f32; 3] {
    let sixth = (hue * 6.0).floor();
    let part = hue * 6.0 - sixth;
    let mixed = |share: f32| (value * (1.0 - saturation * share)).clamp(0.0, 1.0);
    let (least, falling, rising) = (mixed(1.0), mixed(part), mixed(1.0 - part));
    match sixth as i64 % 6 {
        0 => [value, rising, least],
        1 => [falling, value, least],
        2 => [least, value, rising],
        3 => [least, falling, value],
        4 => [rising, least, value],
        _ => [value, least, falling],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn assert_near(ours: [f32; 3], expected: [f32; 3]) {
        let off = ours.iter().zip(expected).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
        assert!(off < 1e-6, "{ours:?} against {expected:?}");
    }

    #[test]
    fn hues_are_those_of_the_colours_and_lead_back() {
        assert_near(to_hsv([1.0, 0.0, 0.0]), [0.0, 1.0, 1.0]);
        assert_near(to_hsv([0.0, 0.5, 0.0]), [1.0 / 3.0, 1.0, 0.5]);
        assert_near(to_hsv([0.25, 0.25, 0.5]), [2.0 / 3.0, 0.5, 0.5]);
        assert_near(to_hsv([0.3, 0.3, 0.3]), [0.0, 0.0, 0.3]);
        for colour in [[0.1, 0.9, 0.4], [0.8, 0.2, 0.7], [0.5, 0.4, 0.1], [0.2, 0.6, 0.9], [0.9, 0.3, 0.2]] {
            assert_near(to_rgb(to_hsv(colour)), colour);
        }
        let mut pixels = [0.9f32, 0.1, 0.1];
        turn_hue(&mut pixels, 1.0 / 3.0);
        assert_near(pixels, [0.1, 0.9, 0.1]);
    }

    /// Normalised pictures are no 0 to 1: torchvision squeezes them into it.
    #[test]
    fn whatever_enters_leaves_between_zero_and_one() {
        let strengths = Strengths { brightness: 0.5, contrast: 0.5, saturation: 0.5, hue: 0.5 };
        for index in 0..200 {
            let mut stream = Stream::new(1, "jitter", index);
            let mut pixels: Vec<f32> = (0..300).map(|_| stream.between(-6.0, 6.0) as f32).collect();
            jitter(&mut pixels, strengths, &mut stream);
            let is_inside = |value: &f32| (0.0..=1.0).contains(value);
            assert!(pixels.iter().all(is_inside), "{pixels:?}");
            assert!(pixels.iter().any(|value| *value > 0.0));
        }
    }

    #[test]
    fn no_strength_changes_nothing_inside_the_range() {
        let none = Strengths { brightness: 0.0, contrast: 0.0, saturation: 0.0, hue: 0.0 };
        let mut stream = Stream::new(1, "jitter", 0);
        let pixels: Vec<f32> = (0..300).map(|_| stream.unit() as f32).collect();
        let mut same = pixels.clone();
        jitter(&mut same, none, &mut stream);
        let off = same.iter().zip(&pixels).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
        assert!(off < 1e-6, "values move by {off}");
        grey_out(&mut same);
        assert_eq!(same[..100], same[100..200]);
    }
}
