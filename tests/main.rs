//! One integration binary; every file covers one area.

#![allow(unreachable_pub, reason = "what modules of one test binary share is seen by nobody else")]

mod architecture;
#[cfg(feature = "torch")]
mod arguments;
mod audit;
mod browser;
#[cfg(feature = "torch")]
mod cells;
mod cli;
#[cfg(feature = "torch")]
mod commands;
mod contributing;
mod curate;
mod decode;
mod documents;
#[cfg(feature = "torch")]
mod efficientnet;
mod episodes;
mod export;
mod folders;
mod fuzz;
#[cfg(feature = "torch")]
mod golden;
mod imported;
mod init;
mod locks;
mod made_up;
#[cfg(feature = "torch")]
mod masked;
#[cfg(feature = "torch")]
mod method;
mod metric;
#[cfg(feature = "torch")]
mod metric_teacher;
mod names;
mod nifti;
#[cfg(unix)]
mod not_utf8;
mod panics;
mod phantom;
mod program;
mod protocol;
mod random;
mod report;
mod resize;
#[cfg(feature = "torch")]
mod samil;
#[cfg(feature = "torch")]
mod score;
#[cfg(feature = "torch")]
mod selftest;
mod shared;
mod source;
mod spec;
mod study;
mod table;
#[cfg(feature = "torch")]
mod vit;
#[cfg(feature = "torch")]
mod weights;
