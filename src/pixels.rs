//! One picture in memory: 8 bits a sample, never assumed square.

use anyhow::{Result, ensure};

/// `height x width x channels` samples of 0 to 255, row-major, channels interleaved.
///
/// ```
/// use medfsad::pixels::Pixels;
///
/// let picture = Pixels::new(1, 2, 3, vec![255, 0, 0, 10, 10, 10])?;
/// assert_eq!(picture.at(0, 1), [10, 10, 10]);
/// assert_eq!(picture.to_grey().samples(), [76, 10]);
/// # Ok::<(), anyhow::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pixels {
    height: usize,
    width: usize,
    channels: usize,
    samples: Vec<u8>,
}

impl Pixels {
    /// Takes `samples` of shape `[height, width, channels]`, with 1 (grey) or 3 (RGB) channels.
    ///
    /// # Errors
    /// An empty picture, another channel count, or a length that does not fit the shape.
    pub fn new(height: usize, width: usize, channels: usize, samples: Vec<u8>) -> Result<Pixels> {
        ensure!(height > 0 && width > 0, "the picture is empty ({height} x {width})");
        ensure!(channels == 1 || channels == 3, "{channels} channels; 1 or 3 are supported");
        ensure!(
            samples.len() == height * width * channels,
            "{} samples do not fill {height} x {width} x {channels}",
            samples.len()
        );
        Ok(Pixels { height, width, channels, samples })
    }

    /// Rows.
    pub fn height(&self) -> usize {
        self.height
    }

    /// Columns.
    pub fn width(&self) -> usize {
        self.width
    }

    /// 1 for grey, 3 for RGB.
    pub fn channels(&self) -> usize {
        self.channels
    }

    /// All samples, `[height, width, channels]`.
    pub fn samples(&self) -> &[u8] {
        &self.samples
    }

    /// The samples at `row`, `column`.
    pub fn at(&self, row: usize, column: usize) -> &[u8] {
        let start = (row * self.width + column) * self.channels;
        &self.samples[start..start + self.channels]
    }

    /// The same picture with three channels; grey is repeated.
    pub fn to_rgb(&self) -> Pixels {
        if self.channels == 3 {
            return self.clone();
        }
        let samples = self.samples.iter().flat_map(|&grey| [grey; 3]).collect();
        Pixels { channels: 3, samples, ..*self }
    }

    /// The same picture with one channel: ITU-R 601-2 luma, rounded as Pillow's mode `L`.
    pub fn to_grey(&self) -> Pixels {
        if self.channels == 1 {
            return self.clone();
        }
        let samples = self.samples.chunks_exact(3).map(luma).collect();
        Pixels { channels: 1, samples, ..*self }
    }

    /// Takes samples of shape `[channels, height, width]`, as [`Pixels::to_planes`] gives them.
    ///
    /// # Errors
    /// As [`Pixels::new`].
    pub fn from_planes(height: usize, width: usize, channels: usize, planes: &[u8]) -> Result<Pixels> {
        let plane = height * width;
        ensure!(planes.len() == plane * channels, "{} samples do not fill the planes", planes.len());
        let samples =
            (0..plane).flat_map(|at| (0..channels).map(move |channel| planes[channel * plane + at]));
        Pixels::new(height, width, channels, samples.collect())
    }

    /// The same picture with one channel of 255 where its grey is 128 or brighter, else 0.
    pub fn to_mask(&self) -> Pixels {
        let mut mask = self.to_grey();
        mask.samples.iter_mut().for_each(|sample| *sample = if *sample < 128 { 0 } else { 255 });
        mask
    }

    /// Samples as `[channels, height, width]`, the layout of networks.
    pub fn to_planes(&self) -> Vec<u8> {
        (0..self.channels)
            .flat_map(|channel| self.samples.iter().skip(channel).step_by(self.channels).copied())
            .collect()
    }

    /// Content hash over shape and samples; equal for equal pictures whatever file held them.
    pub fn hash(&self) -> String {
        let mut hasher = blake3::Hasher::new();
        for side in [self.height, self.width, self.channels] {
            hasher.update(&(side as u64).to_le_bytes());
        }
        hasher.update(&self.samples);
        hasher.finalize().to_hex()[..32].to_owned()
    }
}

fn luma(rgb: &[u8]) -> u8 {
    let weighted = 19595 * u32::from(rgb[0]) + 38470 * u32::from(rgb[1]) + 7471 * u32::from(rgb[2]);
    ((weighted + 0x8000) >> 16) as u8
}
