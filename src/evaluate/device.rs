//! Which device to run on; the CUDA half of libtorch is loaded only when it is wanted.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use anyhow::{Context as _, Result, bail};
use serde::{Deserialize, Serialize};
use tch::{Cuda, Device};

use crate::network::context;
use crate::network::precision::Precision;

/// What `--device` says: a statement, true on machines without that device too.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Wanted {
    /// The first CUDA device, if one is usable here, else the CPU.
    #[default]
    Auto,
    /// The CPU.
    Cpu,
    /// By its number; 0 is what `cuda` alone says.
    Cuda(usize),
}

impl FromStr for Wanted {
    type Err = anyhow::Error;

    fn from_str(name: &str) -> Result<Wanted> {
        let numbered = |name: &str| name.strip_prefix("cuda:")?.parse().ok();
        match name {
            "auto" => Ok(Wanted::Auto),
            "cpu" => Ok(Wanted::Cpu),
            "cuda" => Ok(Wanted::Cuda(0)),
            _ => match numbered(name) {
                Some(index) => Ok(Wanted::Cuda(index)),
                None => bail!("unknown device `{name}` (known: auto, cpu, cuda, cuda:N)"),
            },
        }
    }
}

impl TryFrom<String> for Wanted {
    type Error = anyhow::Error;

    fn try_from(name: String) -> Result<Wanted> {
        name.parse()
    }
}

impl fmt::Display for Wanted {
    fn fmt(&self, out: &mut fmt::Formatter) -> fmt::Result {
        match self {
            Wanted::Auto => write!(out, "auto"),
            Wanted::Cpu => write!(out, "cpu"),
            Wanted::Cuda(0) => write!(out, "cuda"),
            Wanted::Cuda(index) => write!(out, "cuda:{index}"),
        }
    }
}

impl From<Wanted> for String {
    fn from(wanted: Wanted) -> String {
        wanted.to_string()
    }
}

impl Wanted {
    /// The same, with `auto` decided by what this machine has.
    pub fn settled(self) -> Wanted {
        match self {
            Wanted::Auto if usable_cuda().is_ok() => Wanted::Cuda(0),
            Wanted::Auto => Wanted::Cpu,
            stated => stated,
        }
    }

    fn is_cuda(self) -> bool {
        matches!(self, Wanted::Cuda(_))
    }

    /// What scores may depend on: `cpu` or `cuda`, and the precision where it is not f32, as in `cuda-bf16`. Looks at
    /// the machine only to decide `auto`.
    ///
    /// # Errors
    /// A precision that the device has not.
    pub fn class(self, precision: Precision) -> Result<String> {
        let is_cuda = self.settled().is_cuda();
        precision.check(is_cuda)?;
        let kind = if is_cuda { "cuda" } else { "cpu" };
        Ok(match precision {
            Precision::F32 => kind.to_owned(),
            _ => format!("{kind}-{}", precision.name()),
        })
    }

    /// The device, ready for use in this precision.
    ///
    /// # Errors
    /// CUDA where it cannot be used, with the reason, or a precision that the device has not.
    pub fn open(self, precision: Precision) -> Result<Device> {
        let device = match self.settled() {
            Wanted::Cuda(index) => {
                let count = usable_cuda()?;
                if index >= count {
                    let last = count - 1;
                    bail!(
                        "there is no cuda:{index}; {count} CUDA devices are usable (cuda:0 to cuda:{last})"
                    );
                }
                Device::Cuda(index)
            }
            _ => Device::Cpu,
        };
        set_up(device, precision)?;
        Ok(device)
    }
}

/// Tells libtorch how a device shall compute; may be called again for another precision.
///
/// # Errors
/// A precision that the device has not, or a libtorch that cannot be told.
pub fn set_up(device: Device, precision: Precision) -> Result<()> {
    precision.check(device.is_cuda())?;
    if device.is_cuda() {
        context::be_deterministic()?;
        context::allow_tf32(precision == Precision::Tf32)?;
    }
    Ok(())
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
    // cuBLAS gives the same bits each time only with a workspace of its own, and reads this when it is loaded.
    const WORKSPACE: &str = "CUBLAS_WORKSPACE_CONFIG";
    if std::env::var_os(WORKSPACE).is_none() {
        // SAFETY: commands come here before they start a thread that reads the environment.
        unsafe { std::env::set_var(WORKSPACE, ":4096:8") };
    }
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

/// For a plan that states `planned`: the device that computes it here, `given` on the command line or as planned.
///
/// # Errors
/// A device of another kind, whose cells would be others, or one that is not here.
pub fn for_plan(planned: Wanted, given: Option<Wanted>, precision: Precision) -> Result<Device> {
    let wanted = given.unwrap_or(planned).settled();
    let class = planned.class(precision)?;
    if wanted.is_cuda() != planned.settled().is_cuda() {
        bail!(
            "the plan is for {class}, and {wanted} would give other cells: compute it on a machine with that device, \
             or plan anew with --device {wanted}"
        );
    }
    wanted.open(precision).with_context(|| {
        format!(
            "the plan is for {class}: compute it on a machine that has it, or plan anew with --device cpu"
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn devices_are_read_and_said_alike() {
        for name in ["auto", "cpu", "cuda", "cuda:1"] {
            assert_eq!(name.parse::<Wanted>().unwrap().to_string(), name);
        }
        assert_eq!("cuda:0".parse::<Wanted>().unwrap(), Wanted::Cuda(0));
        for name in ["gpu", "cuda:", "cuda:x", "CUDA"] {
            assert!(name.parse::<Wanted>().unwrap_err().to_string().contains("cuda:N"), "{name}");
        }
    }

    #[test]
    fn a_class_is_stated_without_looking() {
        assert_eq!(Wanted::Cuda(3).class(Precision::F32).unwrap(), "cuda");
        assert_eq!(Wanted::Cuda(0).class(Precision::Tf32).unwrap(), "cuda-tf32");
        assert_eq!(Wanted::Cpu.class(Precision::Bf16).unwrap(), "cpu-bf16");
        assert!(Wanted::Cpu.class(Precision::Tf32).is_err());
    }

    #[test]
    fn a_plan_for_cuda_is_not_computed_by_a_cpu() {
        for precision in [Precision::F32, Precision::Tf32] {
            let error = for_plan(Wanted::Cuda(0), Some(Wanted::Cpu), precision).unwrap_err().to_string();
            assert!(error.contains("for cuda") && error.contains("--device cpu"), "{error}");
        }
        assert!(for_plan(Wanted::Cpu, Some(Wanted::Cuda(0)), Precision::F32).is_err());
    }
}
