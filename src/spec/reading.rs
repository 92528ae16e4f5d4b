//! How a source's files become 8-bit pictures: the table `[task.reading]` of a spec.

use anyhow::{Result, ensure};
use serde::{Deserialize, Serialize};

/// Intensities and slicing of a source's files.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Reading {
    /// Which values become 0 and 255.
    pub intensity: Intensity,
    /// Along which axis volumes are cut.
    pub axis: Axis,
}

/// Which values become 0 and 255; what lies between is linear, what lies outside is clipped.
///
/// The range of a colour picture is one for its three channels.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum Intensity {
    /// What the file itself states. DICOM: the first VOI table or window; without one, unsigned samples of at
    /// most 8 bits keep their full range and others go from minimum to maximum of the frame. NIfTI states
    /// none that can be relied on, so it is the percentiles 0.5 and 99.5. Others: the full range.
    #[default]
    Stated,
    /// The full range of the bits that are stored.
    FullRange,
    /// From the least to the greatest value of the frame, or of the volume for NIfTI.
    MinMax,
    /// `center - width / 2` to `center + width / 2`, after any rescale of the file (Hounsfield units in CT).
    Window {
        /// The value that becomes the middle grey.
        center: f64,
        /// Span of values from black to white.
        width: f64,
    },
    /// Percentiles, 0 to 100: of the frame, or of the volume's voxels other than 0 for NIfTI.
    Percentiles {
        /// The percentile that becomes 0.
        low: f64,
        /// The percentile that becomes 255.
        high: f64,
    },
}

/// Along which axis a volume is cut into slices; only volumes have one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Axis {
    /// From the patient's left to right.
    Sagittal,
    /// From posterior to anterior.
    Coronal,
    /// From inferior to superior.
    #[default]
    Axial,
}

impl Reading {
    /// Refuses windows and percentiles that span nothing.
    ///
    /// # Errors
    /// A window whose width is not above 0, or percentiles that do not rise within 0 to 100.
    pub fn check(&self) -> Result<()> {
        match self.intensity {
            Intensity::Window { center, width } => ensure!(
                center.is_finite() && width.is_finite() && width > 0.0,
                "a window of centre {center} and width {width}; the width must be above 0"
            ),
            Intensity::Percentiles { low, high } => ensure!(
                0.0 <= low && low < high && high <= 100.0,
                "percentiles {low} to {high}; they must rise within 0 to 100"
            ),
            Intensity::Stated | Intensity::FullRange | Intensity::MinMax => {}
        }
        Ok(())
    }
}

impl Axis {
    /// The axis among right, anterior and superior: 0, 1 or 2.
    pub fn index(self) -> usize {
        match self {
            Axis::Sagittal => 0,
            Axis::Coronal => 1,
            Axis::Axial => 2,
        }
    }

    /// As it is written in a spec.
    pub fn name(self) -> &'static str {
        ["sagittal", "coronal", "axial"][self.index()]
    }
}
