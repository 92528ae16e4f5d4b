//! What a source is: a function that lists a folder, and what it says of each file.

use std::path::Path;

use anyhow::Result;

use crate::spec::Task;

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
    /// Series of a study.
    pub series: Option<String>,
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
    /// For training.
    Train,
    /// For validation.
    Val,
    /// For testing.
    Test,
}

/// A file that was found and cannot be offered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// Path below the source's folder.
    pub path: String,
    /// Why not, for people.
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
    /// Whether it is no data set but a layout, in which lies whatever a user puts there.
    pub is_own_layout: bool,
    /// Lists a source's folder; the task says how files are read and which slices count.
    pub list: fn(&Path, &Task) -> Result<Listing>,
}
