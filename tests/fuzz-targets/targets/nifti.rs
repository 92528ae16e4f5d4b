//! Fuzzes NIfTI headers.
#![no_main]

mod common;

use medfsad::fuzz::Family;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| common::file(Family::Nifti, "input.nii", bytes));
