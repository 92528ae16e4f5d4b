//! Switches of libtorch that hold for the whole process and that `tch` does not reach: found by name in the one
//! version of libtorch that this program runs with.

use std::ffi::c_void;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use anyhow::{Context as _, Result};
use libloading::os::unix::Library;

/// `at::globalContext()`.
const CONTEXT: &str = "_ZN2at13globalContextEv";
/// `at::Context::setAllowTF32CuDNN(bool)`.
const TF32: &str = "_ZN2at7Context17setAllowTF32CuDNNEb";
/// `at::Context::setAllowTF32CuBLAS(bool)`.
const TF32_PRODUCTS: &str = "_ZN2at7Context18setAllowTF32CuBLASEb";
/// `at::Context::setDeterministicCuDNN(bool)`.
const DETERMINISTIC: &str = "_ZN2at7Context21setDeterministicCuDNNEb";

/// What [`allow_tf32`] said last.
static ALLOWED: AtomicBool = AtomicBool::new(false);
/// Guards of [`Products`] that live.
static N_PRODUCTS: AtomicUsize = AtomicUsize::new(0);

/// Whether convolutions of single precision may multiply as TensorFloat-32 on CUDA; libtorch's own default is that they
/// may. Matrix products stay in single precision, whatever this says: distances and covariances need it. A transformer's may
/// be TensorFloat-32 while a [`Products`] lives.
///
/// # Errors
/// A libtorch without the switches.
pub fn allow_tf32(allowed: bool) -> Result<()> {
    ALLOWED.store(allowed, Ordering::SeqCst);
    set(TF32, allowed).and_then(|()| set(TF32_PRODUCTS, false)).context("TensorFloat-32 cannot be switched")
}

/// Computes with convolutions in single precision, such as a blur of distances, whatever [`allow_tf32`] said.
///
/// # Panics
/// As [`Products::in_tf32`].
pub fn in_single<T>(compute: impl FnOnce() -> T) -> T {
    let _again = ALLOWED.load(Ordering::SeqCst).then(|| {
        set(TF32, false).expect("the switch was there");
        AllowedAgain
    });
    compute()
}

/// Dropped where a card's memory runs out, too.
struct AllowedAgain;

impl Drop for AllowedAgain {
    fn drop(&mut self) {
        set(TF32, true).expect("the switch was there");
    }
}

/// Matrix products of single precision are multiplied as TensorFloat-32 on CUDA, in the whole process: cells on a card run one
/// after another.
pub struct Products(());

impl Products {
    /// From now on, until the last of them is dropped.
    ///
    /// # Panics
    /// A libtorch without the switch, which [`allow_tf32`] would have refused.
    pub fn in_tf32() -> Products {
        if N_PRODUCTS.fetch_add(1, Ordering::SeqCst) == 0 {
            set(TF32_PRODUCTS, true).expect("the switch was there");
        }
        Products(())
    }
}

impl Drop for Products {
    fn drop(&mut self) {
        if N_PRODUCTS.fetch_sub(1, Ordering::SeqCst) == 1 {
            set(TF32_PRODUCTS, false).expect("the switch was there");
        }
    }
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
    fn all_switches_are_there() {
        // Without a card none changes anything.
        allow_tf32(false).unwrap();
        be_deterministic().unwrap();
        let [outer, inner] = [Products::in_tf32(), Products::in_tf32()];
        drop(inner);
        assert_eq!(N_PRODUCTS.load(Ordering::SeqCst), 1, "an inner scope ended the outer one");
        drop(outer);
        assert_eq!(N_PRODUCTS.load(Ordering::SeqCst), 0);
        assert_eq!(in_single(|| 3), 3);
        assert!(set("no_such_switch", true).is_err());
    }
}
