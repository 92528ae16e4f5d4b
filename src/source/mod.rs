//! Where each data set keeps its files, labels and patients, in its owner's own layout.
//!
//! A source is one file here and one entry in `SOURCES`. An adapter lists everything it finds and
//! what the owner says about it; which findings count, and how many, is the spec's business.

mod contract;
mod frames;
mod labels;
mod tree;

pub mod aptos;
pub mod brain_tumor_mri;
pub mod brats;
pub mod camelyon16;
pub mod ddad;
pub mod folders;
pub mod lag;
pub mod mvtec;
pub mod rsna;

/// Masks by the names of their pictures.
pub mod masks;
mod registry;
/// What a folder tree of somebody's own seems to hold.
pub mod survey;

pub use contract::{Candidate, Lesions, Listing, Refusal, Side, Source};
pub use registry::{SOURCES, find};
