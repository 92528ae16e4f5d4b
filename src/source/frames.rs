//! Files of several frames or slices: one candidate for each that the spec chooses.

use std::path::Path;

use rayon::prelude::*;

use super::contract::{Candidate, Listing};
use super::tree;
use crate::decode;
use crate::spec::{Slices, Task};

/// Replaces every file of several frames by its frames, which stay together as one group.
///
/// A file whose header cannot be read stays as it is: it is refused with its reason when it is decoded.
pub(super) fn expand(root: &Path, listing: &mut Listing, task: &Task) {
    let candidates = std::mem::take(&mut listing.candidates);
    let expand = |candidate: Candidate| match count(root, &candidate, task) {
        Some(count) if count > 1 => chosen(task, count).map(|frame| one(&candidate, frame)).collect(),
        _ => vec![candidate],
    };
    listing.candidates = candidates.into_par_iter().flat_map_iter(expand).collect();
}

/// The frames of a file of `count` that the spec chooses.
pub(super) fn chosen(task: &Task, count: u32) -> impl Iterator<Item = u32> + use<> {
    task.slices.unwrap_or(Slices { from: 0, to: None, stride: 1 }).of(count)
}

fn count(root: &Path, candidate: &Candidate, task: &Task) -> Option<u32> {
    let several = tree::may_hold_several(&candidate.path);
    several.then(|| decode::n_frames(&root.join(&candidate.path), &task.reading).ok()).flatten()
}

fn one(file: &Candidate, frame: u32) -> Candidate {
    Candidate {
        frame,
        slice_index: Some(frame),
        group: file.group.clone().or_else(|| Some(file.path.clone())),
        ..file.clone()
    }
}
