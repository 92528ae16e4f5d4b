//! `doctor`: what this program finds.

use anyhow::Result;

use super::home;
use crate::files;

/// Prints versions, devices and folders.
pub fn run() -> Result<()> {
    println!("medfsad    {} (git {}, code {})", crate::VERSION, crate::GIT_REVISION, crate::CODE_HASH);
    println!("cores      {}", std::thread::available_parallelism().map_or(0, usize::from));
    println!("cache      {}", files::cache_folder()?.display());
    println!("manifests  {}", home("manifests").display());
    println!("reports    {}", home("reports").display());
    libtorch();
    Ok(())
}

#[cfg(feature = "torch")]
fn libtorch() {
    use crate::evaluate::{LIBTORCH_VERSION, device};
    let folder =
        device::libtorch_folder().map_or_else(|| "in the program".to_owned(), |f| f.display().to_string());
    println!("libtorch   {LIBTORCH_VERSION} from {folder}, {} threads", tch::get_num_threads());
    match device::usable_cuda() {
        Ok(count) => println!("cuda       usable, {count} devices"),
        Err(error) => println!("cuda       {error:#}"),
    }
}

#[cfg(not(feature = "torch"))]
fn libtorch() {
    println!(
        "libtorch   not in this build (feature `torch` is off): build-dataset, report and episodes work, bench does not"
    );
}
