//! One integration binary; every file covers one area.

mod cli;
mod decode;
#[cfg(feature = "torch")]
mod golden;
#[cfg(feature = "torch")]
mod method;
mod phantom;
mod report;
mod resize;
mod shared;
mod source;
