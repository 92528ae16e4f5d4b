//! One integration binary; every file covers one area.

#[cfg(feature = "torch")]
mod golden;
mod phantom;
mod report;
mod shared;
