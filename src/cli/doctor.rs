//! `doctor`: what this program finds.

use anyhow::Result;

use super::common::home;
use super::harness;
use crate::files;

/// Prints versions, devices and folders.
pub(super) fn run() -> Result<()> {
    println!("medfsad    {} (git {}, code {})", crate::VERSION, crate::GIT_REVISION, crate::CODE_HASH);
    println!("cores      {}", std::thread::available_parallelism().map_or(0, usize::from));
    println!("cache      {}", files::cache_folder()?.display());
    println!("manifests  {}", home("manifests").display());
    println!("reports    {}", home("reports").display());
    harness::print_libtorch();
    Ok(())
}
