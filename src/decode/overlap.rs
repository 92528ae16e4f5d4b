//! Masks in another size.

use crate::pixels::Pixels;

/// A mask of 0 and 255 in another size: a target pixel is set where any set source pixel lies under it, so that no
/// lesion is lost, however small.
///
/// # Panics
/// If `height` or `width` is 0, or the mask has several channels.
pub fn resize(mask: &Pixels, height: usize, width: usize) -> Pixels {
    assert!(mask.channels() == 1, "a mask has one channel");
    // Source samples under a target sample; one at least, also when going up.
    let under = |target: usize, source: usize, index: usize| {
        index * source / target..((index + 1) * source).div_ceil(target)
    };
    let columns: Vec<_> = (0..width).map(|column| under(width, mask.width(), column)).collect();
    let mut samples = Vec::with_capacity(height * width);
    for row in 0..height {
        let mut any = vec![0; mask.width()];
        for source in under(height, mask.height(), row) {
            let line = &mask.samples()[source * mask.width()..][..mask.width()];
            any.iter_mut().zip(line).for_each(|(any, &sample)| *any |= sample);
        }
        samples.extend(
            columns.iter().map(|range| any[range.clone()].iter().fold(0, |any, &sample| any | sample)),
        );
    }
    Pixels::new(height, width, 1, samples).expect("as many samples as pixels")
}
