//! One integration binary; every file covers one area.

mod architecture;
mod curate;
mod decode;
#[cfg(feature = "torch")]
mod golden;
mod phantom;
mod random;
mod report;
mod resize;
mod shared;
mod source;
mod spec;
