//! Switches of libtorch that hold for the whole process and that `tch` does not reach: found by name in the one
//! version of libtorch that this program runs with.

use std::ffi::c_void;

use anyhow::{Context as _, Result};
use libloading::os::unix::Library;

/// `at::globalContext()`.
const CONTEXT: &str = "_ZN2at13globalContextEv";
/// `at::Context::setAllowTF32CuDNN(bool)`.
const TF32: &str = "_ZN2at7Context17setAllowTF32CuDNNEb";
/// `at::Context::setDeterministicCuDNN(bool)`.
const DETERMINISTIC: &str = "_ZN2at7Context21setDeterministicCuDNNEb";

/// Whether convolutions of single precision may multiply as TensorFloat-32 on CUDA; libtorch's own default is that they
/// may. Matrix products stay in single precision, whatever this says: distances and covariances need it.
///
/// # Errors
/// A libtorch without the switch.
pub fn allow_tf32(allowed: bool) -> Result<()> {
    set(TF32, allowed).context("TensorFloat-32 cannot be switched")
}

/// Only kernels of cuDNN that give the same bits each time.
///
/// # Errors
/// A libtorch without the switch.
pub fn be_deterministic() -> Result<()> {
    set(DETERMINISTIC, true).context("cuDNN cannot be made deterministic")
}

fn set(name: &str, value: bool) -> Result<()> {
    let this = Library::this();
    // SAFETY: both are exported by libtorch_cpu, whose version the build has checked; on this platform a member function
    // takes its object as its first argument, and the global context lives as long as the process.
    unsafe {
        let context = this.get::<unsafe extern "C" fn() -> *mut c_void>(CONTEXT.as_bytes());
        let setter = this.get::<unsafe extern "C" fn(*mut c_void, bool)>(name.as_bytes());
        let missing = "this libtorch is not the one that medfsad was made for";
        setter.context(missing)?(context.context(missing)?(), value);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_switches_are_there() {
        // Without a card neither changes anything.
        allow_tf32(false).unwrap();
        be_deterministic().unwrap();
        assert!(set("no_such_switch", true).is_err());
    }
}
