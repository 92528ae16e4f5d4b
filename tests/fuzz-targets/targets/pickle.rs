//! Fuzzes PyTorch's pickles.
#![no_main]

mod common;

use medfsad::fuzz::Family;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| common::file(Family::Weights, "input.pth", bytes));
