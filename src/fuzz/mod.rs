//! Files are damaged by chance and read: each must end decoded or refused with a reason, in time and in little memory.
//!
//! A campaign is a process of its own, so that what would end or stop the program is counted too. The same seed
//! damages the same files in the same way.

use strum::{Display, EnumString, IntoStaticStr, VariantArray};

use crate::words::word;

/// Counting what became of inputs, in another process.
pub mod campaign;
/// Damage to bytes.
mod damage;
/// Small DICOM files.
mod films;
/// Whole files, of which damaged ones are made.
mod originals;
/// Reading as the program reads.
mod reading;

pub use damage::damage;
pub use originals::{Original, originals};
pub use reading::read;

/// A kind of file that the program reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Display, EnumString, IntoStaticStr, VariantArray)]
#[strum(serialize_all = "kebab-case")]
pub enum Family {
    /// Pictures in PNG.
    Png,
    /// Pictures in JPEG.
    Jpeg,
    /// Pictures in BMP.
    Bmp,
    /// Pictures in TIFF.
    Tiff,
    /// DICOM films.
    Dicom,
    /// NIfTI volumes.
    Nifti,
    /// A curated folder's manifest.
    Manifest,
    /// A spec in TOML.
    Spec,
    /// Standardised pixels.
    Store,
    /// Stored episodes and their header.
    Episodes,
    /// Stored cells of a run.
    Results,
    /// Networks' parameters: safetensors, and PyTorch's zip files and pickles.
    Weights,
}

word!(Family, "family of files");

impl Family {
    /// Whether this program can read it at all: networks need libtorch.
    pub fn is_read(self) -> bool {
        cfg!(feature = "torch") || self != Family::Weights
    }
}
