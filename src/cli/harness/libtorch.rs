//! The libtorch that this program runs with, for `doctor`.

use crate::evaluate::{LIBTORCH_VERSION, device};
use crate::network::kernels::Kernels;
use crate::network::subnormals::Subnormals;

/// Prints version, place and devices.
pub(crate) fn print_libtorch() {
    let folder =
        device::libtorch_folder().map_or_else(|| "in the program".to_owned(), |f| f.display().to_string());
    println!("libtorch   {LIBTORCH_VERSION} from {folder}, {} threads", tch::get_num_threads());
    let workers = rayon::broadcast(|_| Subnormals::here());
    let flushed = workers.iter().filter(|worker| **worker == Subnormals::Flushed).count();
    println!("subnormals {}, in {flushed} of {} workers flushed", Subnormals::here(), workers.len());
    println!("kernels    {} for the decoders of D2-4FAD and RD4AD on the CPU", Kernels::here());
    match device::usable_cuda() {
        Ok(count) => println!("cuda       usable, {count} devices"),
        Err(error) => println!("cuda       {error:#}"),
    }
}
