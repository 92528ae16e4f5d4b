//! What a CUDA card says of itself. Everything is `None` where there is none.

use std::ffi::{CStr, c_char, c_int};

use libloading::os::unix::Library;
use serde::{Deserialize, Serialize};
use tch::{Device, Kind, Tensor};

/// A card and its software.
#[allow(clippy::unsafe_derive_deserialize, reason = "unsafe code asks the driver and rests on no field")]
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Card {
    /// As its maker calls it.
    pub name: String,
    /// Compute capability, such as 9.0.
    pub capability: String,
    /// Number of streaming multiprocessors.
    pub multiprocessors: i32,
    /// Bytes.
    pub memory: u64,
    /// Version of CUDA that the driver serves, such as 13.0.
    pub driver: String,
    /// Version of cuDNN, as libtorch reports it.
    pub cudnn: String,
}

/// Bytes of a card's memory, of all processes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Memory {
    /// Not held by any process.
    pub free: u64,
    /// All that the card has.
    pub total: u64,
}

const MULTIPROCESSORS: c_int = 16;
const CAPABILITY: [c_int; 2] = [75, 76];

impl Card {
    /// The card that `device` is, once CUDA is loaded.
    pub fn of(device: Device) -> Option<Card> {
        let Device::Cuda(index) = device else { return None };
        let memory = memory(device)?;
        // SAFETY: the driver's own interface, in the types that it has had since its first version.
        unsafe {
            let driver = Library::new("libcuda.so.1").ok()?;
            let get = driver.get::<unsafe extern "C" fn(*mut c_int, c_int) -> c_int>(b"cuDeviceGet").ok()?;
            let name_of = driver
                .get::<unsafe extern "C" fn(*mut c_char, c_int, c_int) -> c_int>(b"cuDeviceGetName")
                .ok()?;
            let attribute = driver
                .get::<unsafe extern "C" fn(*mut c_int, c_int, c_int) -> c_int>(b"cuDeviceGetAttribute")
                .ok()?;
            let version =
                driver.get::<unsafe extern "C" fn(*mut c_int) -> c_int>(b"cuDriverGetVersion").ok()?;
            let mut handle = 0;
            (get(&raw mut handle, c_int::try_from(index).ok()?) == 0).then_some(())?;
            let mut name = [0 as c_char; 128];
            (name_of(name.as_mut_ptr(), name.len() as c_int, handle) == 0).then_some(())?;
            let number = |which: c_int| {
                let mut value = 0;
                (attribute(&raw mut value, which, handle) == 0).then_some(value)
            };
            let mut cuda = 0;
            (version(&raw mut cuda) == 0).then_some(())?;
            Some(Card {
                name: CStr::from_ptr(name.as_ptr()).to_string_lossy().into_owned(),
                capability: format!("{}.{}", number(CAPABILITY[0])?, number(CAPABILITY[1])?),
                multiprocessors: number(MULTIPROCESSORS)?,
                memory: memory.total,
                driver: format!("{}.{}", cuda / 1000, cuda % 1000 / 10),
                cudnn: tch::utils::version_cudnn().to_string(),
            })
        }
    }
}

/// How much of a card's memory is free and how much there is; libtorch keeps what it has once taken, so what is not free
/// at the end is the most that it has held.
pub fn memory(device: Device) -> Option<Memory> {
    let Device::Cuda(index) = device else { return None };
    let this = Library::this();
    // SAFETY: CUDA's runtime is in the process since libtorch is; both functions keep their types for a major version.
    unsafe {
        let choose = this.get::<unsafe extern "C" fn(c_int) -> c_int>(b"cudaSetDevice").ok()?;
        let ask =
            this.get::<unsafe extern "C" fn(*mut usize, *mut usize) -> c_int>(b"cudaMemGetInfo").ok()?;
        let (mut free, mut total) = (0usize, 0usize);
        (choose(c_int::try_from(index).ok()?) == 0).then_some(())?;
        (ask(&raw mut free, &raw mut total) == 0).then_some(Memory { free: free as u64, total: total as u64 })
    }
}

/// Has libtorch give back to a card what it keeps of freed memory. Recorded work has memory of its own, which libtorch
/// would give back only when memory runs out, and not while something is recorded; so more is asked for than there is.
pub fn give_back_memory(device: Device) {
    let Some(Memory { total, .. }) = memory(device) else { return };
    let more = i64::try_from(total).unwrap_or(i64::MAX / 2) * 2;
    let refused = Tensor::f_empty([more], (Kind::Uint8, device));
    debug_assert!(refused.is_err(), "a card of {total} bytes held {more}");
}

/// Waits until a card has done what it was given; nothing on a CPU.
pub fn wait_for(device: Device) {
    if let Device::Cuda(index) = device {
        tch::Cuda::synchronize(index as i64);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cpu_is_no_card() {
        assert_eq!(Card::of(Device::Cpu), None);
        assert_eq!(memory(Device::Cpu), None);
        wait_for(Device::Cpu);
    }
}
