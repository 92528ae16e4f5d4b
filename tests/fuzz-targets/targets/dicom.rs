//! Fuzzes the walk over a DICOM file's lengths.
#![no_main]

mod common;

use medfsad::fuzz::Family;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| common::file(Family::Dicom, "input.dcm", bytes));
