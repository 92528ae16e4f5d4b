//! One integration binary; every file covers one area.

mod decode;
mod resize;
mod shared;
mod source;
