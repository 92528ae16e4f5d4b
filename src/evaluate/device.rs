//! Which device to run on; the CUDA half of libtorch is loaded only when it is wanted.

use std::path::PathBuf;

use anyhow::{Result, bail};
use tch::{Cuda, Device};

use crate::network::precision::Precision;

/// Resolves `auto`, `cpu`, `cuda` or `cuda:N`, and tells CUDA's libraries how finely they shall multiply.
///
/// # Errors
/// An unknown name, CUDA asked for where it cannot be used, with the reason, or a precision that the device has not.
pub fn resolve(name: &str, precision: Precision) -> Result<Device> {
    allow_tf32(precision == Precision::Tf32);
    let device = find(name)?;
    precision.check(device)?;
    Ok(device)
}

/// cuDNN multiplies single precision as TensorFloat-32 unless it is told not to, cuBLAS only if it is told to; both
/// read these variables when they are loaded, which is later than this.
fn allow_tf32(allowed: bool) {
    let name = if allowed { "TORCH_ALLOW_TF32_CUBLAS_OVERRIDE" } else { "NVIDIA_TF32_OVERRIDE" };
    // SAFETY: commands call this before they start a thread that reads the environment.
    unsafe { std::env::set_var(name, if allowed { "1" } else { "0" }) };
}

fn find(name: &str) -> Result<Device> {
    let index = match name {
        "cpu" => return Ok(Device::Cpu),
        "auto" => return Ok(if usable_cuda().is_ok() { Device::Cuda(0) } else { Device::Cpu }),
        "cuda" => 0,
        _ => match name.strip_prefix("cuda:").map(str::parse::<usize>) {
            Some(Ok(index)) => index,
            _ => bail!("unknown device `{name}` (known: auto, cpu, cuda, cuda:N)"),
        },
    };
    let count = usable_cuda()?;
    if index >= count {
        bail!("there is no cuda:{index}; {count} CUDA devices are usable (cuda:0 to cuda:{})", count - 1);
    }
    Ok(Device::Cuda(index))
}

/// The number of usable CUDA devices, at least one.
///
/// # Errors
/// Why there is none.
pub fn usable_cuda() -> Result<usize> {
    if !std::path::Path::new("/proc/driver/nvidia/version").exists() {
        bail!("CUDA is not usable: no NVIDIA driver is loaded on this machine; use --device cpu");
    }
    load_cuda()?;
    match usize::try_from(Cuda::device_count()) {
        Ok(count) if count > 0 && Cuda::is_available() => Ok(count),
        _ => bail!("CUDA is not usable: libtorch's CUDA half is loaded but sees no device; use --device cpu"),
    }
}

/// Loads `libtorch_cuda.so` into the process, globally and for good, so that the one CPU-linked binary
/// gains the CUDA backend.
fn load_cuda() -> Result<()> {
    use libloading::os::unix::{Library, RTLD_GLOBAL, RTLD_NOW};
    const NAME: &str = "libtorch_cuda.so";
    let mut candidates = vec![PathBuf::from(NAME)];
    candidates.extend(libtorch_folder().map(|folder| folder.join(NAME)));
    let mut reasons = Vec::new();
    for candidate in candidates {
        // SAFETY: loading runs libtorch's own initialisers, which is what linking it would do.
        match unsafe { Library::open(Some(&candidate), RTLD_NOW | RTLD_GLOBAL) } {
            Ok(library) => {
                std::mem::forget(library);
                return Ok(());
            }
            Err(error) => reasons.push(error.to_string()),
        }
    }
    bail!(
        "CUDA is not usable: {NAME} could not be loaded ({}); run `cargo xtask libtorch --flavour cuda`, \
         or set LD_LIBRARY_PATH to the torch/lib of a Python with torch 2.11.0",
        reasons.join("; ")
    )
}

/// Where this process found libtorch.
pub fn libtorch_folder() -> Option<PathBuf> {
    let maps = std::fs::read_to_string("/proc/self/maps").ok()?;
    let line = maps.lines().find(|line| line.ends_with("/libtorch_cpu.so"))?;
    let path = PathBuf::from(&line[line.find('/')?..]);
    path.parent().map(PathBuf::from)
}

/// What scores may depend on: `cpu` or `cuda`, and the precision where it is not f32, as in `cuda-bf16`.
pub fn class(device: Device, precision: Precision) -> String {
    let kind = if device.is_cuda() { "cuda" } else { "cpu" };
    match precision {
        Precision::F32 => kind.to_owned(),
        _ => format!("{kind}-{}", precision.name()),
    }
}
