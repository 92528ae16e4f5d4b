//! Where each data set keeps its files, labels and patients, in its owner's own layout.
//!
//! A source is one file here and one entry in [`SOURCES`]. An adapter lists everything it finds and
//! what the owner says about it; which findings count, and how many, is the spec's business.

use std::path::Path;

use anyhow::{Result, bail};

use crate::spec::Task;

pub mod aptos;
pub mod brain_tumor_mri;
pub mod brats;
pub mod camelyon16;
pub mod ddad;
pub mod folders;
pub mod lag;
pub mod mvtec;
pub mod rsna;

mod frames;
mod labels;
/// Masks by the names of their pictures.
pub mod masks;
mod tree;

/// A picture that the source offers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Candidate {
    /// Path below the source's folder, `/` between folders.
    pub path: String,
    /// Frame within the file, 0 for single pictures.
    pub frame: u32,
    /// The owner's label, in the owner's words: grade, tumour type, class folder.
    pub finding: String,
    /// The owner's division, where there is one.
    pub owner_split: Option<Side>,
    /// Patient as the owner names him, where the source tells.
    pub patient: Option<String>,
    /// Whatever else must stay on one side: slide, eye, volume.
    pub group: Option<String>,
    /// Study or examination.
    pub study: Option<String>,
    /// Slice within a volume.
    pub slice_index: Option<u32>,
    /// Place in the owner's own order, such as the row of a label table, where there is one.
    pub owner_order: Option<u32>,
    /// Where the lesions are, if the source tells.
    pub mask: Option<Lesions>,
}

/// Where the lesions of a picture are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Lesions {
    /// A file of masks, as a path below the source's folder; its frame is the picture's.
    Masks(String),
    /// Boxes in pixels of the picture: left, top, width, height. Coarse: they hold healthy pixels too.
    Boxes(Vec<[u32; 4]>),
}

/// A side of the owner's division.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    Train,
    Val,
    Test,
}

/// A file that was found and cannot be offered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// Path below the source's folder.
    pub path: String,
    pub reason: String,
}

/// Everything found below a source's folder.
#[derive(Clone, Debug, Default)]
pub struct Listing {
    /// Sorted by path and frame.
    pub candidates: Vec<Candidate>,
    /// Files that are there but no picture of this source, each with its reason; and rows of label
    /// tables without a file.
    pub refused: Vec<Refusal>,
    /// Differences from the totals the owner publishes, as sentences for the user.
    pub differences: Vec<String>,
}

/// One adapter.
pub struct Source {
    /// Its name in specs.
    pub name: &'static str,
    /// One line: what it is and how it is laid out.
    pub about: &'static str,
    /// Lists a source's folder; the task says how files are read and which slices count.
    pub list: fn(&Path, &Task) -> Result<Listing>,
}

/// Every adapter.
pub const SOURCES: &[Source] = &[
    camelyon16::SOURCE,
    lag::SOURCE,
    aptos::SOURCE,
    rsna::SOURCE,
    brain_tumor_mri::SOURCE,
    brats::SOURCE,
    ddad::SOURCE,
    mvtec::SOURCE,
    folders::SOURCE,
];

/// The adapter of that name; the error lists the known ones.
pub fn find(name: &str) -> Result<&'static Source> {
    let Some(source) = SOURCES.iter().find(|source| source.name == name) else {
        let known: Vec<&str> = SOURCES.iter().map(|source| source.name).collect();
        bail!("unknown source `{name}` (known: {})", known.join(", "));
    };
    Ok(source)
}
