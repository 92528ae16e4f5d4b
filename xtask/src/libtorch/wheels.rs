//! The pinned wheels, and which files of them a flavour needs.

use std::path::Path;

use anyhow::{Context, Result, ensure};

use super::{Flavour, VERSION};
use crate::programs;

/// One line for each wheel: machine, flavour, file, SHA-256.
const PINS: &str = include_str!("wheels.txt");

/// Libraries of the torch wheel that only Python or a GPU needs; `libtorch.so` links both halves together.
const BEYOND_CPU: &[&str] = &["cuda", "nvrtc", "nvshmem", "python", "libshm", "global_deps", "libtorch.so"];

/// Libraries of the `nvidia` wheels that the CPU half is linked to.
const ALSO_FOR_CPU: &[&str] = &["libcudart.so.13", "libcupti.so.13"];

/// A file on PyPI that never changes.
#[derive(Clone, Debug)]
pub(super) struct Wheel {
    pub file: &'static str,
    pub sha256: &'static str,
}

impl Wheel {
    /// The project, its version and the first platform that the wheel is for.
    pub(super) fn parts(&self) -> Option<(String, &'static str, &'static str)> {
        let stem = self.file.strip_suffix(".whl")?;
        let mut parts = stem.split('-');
        let (name, version) = (parts.next()?, parts.next()?);
        let platform = parts.next_back()?.split('.').next()?;
        Some((name.replace('_', "-"), version, platform))
    }

    /// The line of a requirements file that makes pip insist on this very file.
    pub(super) fn requirement(&self) -> Result<String> {
        let (name, version, _) = self.parts().with_context(|| format!("odd wheel name {}", self.file))?;
        Ok(format!("{name}=={version} --hash=sha256:{}\n", self.sha256))
    }

    /// Whether a file of that path is this wheel, whole and unharmed.
    pub(super) fn is_intact(&self, path: &Path) -> bool {
        let told = |program, args: &[&str]| {
            let args = args.iter().map(std::convert::AsRef::as_ref).chain([path.as_os_str()]);
            programs::answer(program, &args.collect::<Vec<_>>())
        };
        let line = told("sha256sum", &[]).or_else(|| told("shasum", &["-a", "256"]));
        line.is_some_and(|line| line.trim_start_matches('\\').starts_with(self.sha256))
    }
}

/// The wheels of a flavour for this machine.
pub(super) fn pinned(flavour: Flavour) -> Result<Vec<Wheel>> {
    let machine = if cfg!(target_os = "linux") { std::env::consts::ARCH } else { std::env::consts::OS };
    let wheels = pinned_for(machine, flavour);
    ensure!(
        !wheels.is_empty(),
        "libtorch {VERSION} cannot be fetched for {machine}; get it by hand and set LIBTORCH to its folder \
         (with include and lib)"
    );
    Ok(wheels)
}

fn pinned_for(machine: &str, flavour: Flavour) -> Vec<Wheel> {
    let parse = |line: &'static str| {
        let mut words = line.split(' ');
        let fits = words.next()? == machine;
        let needed = words.next()? == Flavour::Cpu.name() || flavour == Flavour::Cuda;
        let wheel = Wheel { file: words.next()?, sha256: words.next()? };
        (fits && needed).then_some(wheel)
    };
    PINS.lines().filter_map(parse).collect()
}

/// Whether a file of a wheel, named by its path there, is unpacked.
pub(super) fn is_needed(path: &str, flavour: Flavour) -> bool {
    if path == "torch/version.py" || path.starts_with("torch/include/") {
        return true;
    }
    match (flavour, path.strip_prefix("torch/lib/")) {
        (Flavour::Cuda, Some(_)) => true,
        (Flavour::Cuda, None) => path.starts_with("nvidia/"),
        (Flavour::Cpu, Some(library)) => !BEYOND_CPU.iter().any(|part| library.contains(part)),
        (Flavour::Cpu, None) => ALSO_FOR_CPU.iter().any(|library| path.ends_with(&format!("/{library}"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_pin_is_well_formed() {
        for machine in ["x86_64", "aarch64"] {
            assert_eq!(pinned_for(machine, Flavour::Cpu).len(), 3);
            for wheel in pinned_for(machine, Flavour::Cuda) {
                assert!(wheel.sha256.len() == 64 && wheel.sha256.bytes().all(|b| b.is_ascii_hexdigit()));
                assert!(wheel.parts().unwrap().2.ends_with(machine), "{}", wheel.file);
            }
        }
        assert_eq!(pinned_for("sparc", Flavour::Cuda).len(), 0);
    }

    #[test]
    fn a_wheel_name_gives_project_version_and_platform() {
        let file = "nvidia_cuda_runtime-13.0.96-py3-none-manylinux2014_x86_64.manylinux_2_17_x86_64.whl";
        let wheel = Wheel { file, sha256: "ab" };
        assert_eq!(wheel.parts(), Some(("nvidia-cuda-runtime".into(), "13.0.96", "manylinux2014_x86_64")));
        assert_eq!(wheel.requirement().unwrap(), "nvidia-cuda-runtime==13.0.96 --hash=sha256:ab\n");
    }

    #[test]
    fn the_cpu_flavour_leaves_the_gpu_half_in_the_wheel() {
        for path in ["torch/lib/libtorch_cpu.so", "torch/lib/libc10.so", "nvidia/cu13/lib/libcudart.so.13"] {
            assert!(is_needed(path, Flavour::Cpu), "{path}");
        }
        for path in ["torch/lib/libtorch_cuda.so", "torch/lib/libtorch.so", "nvidia/cu13/include/cuda.h"] {
            assert!(!is_needed(path, Flavour::Cpu), "{path}");
            assert!(is_needed(path, Flavour::Cuda), "{path}");
        }
        assert!(!is_needed("torch/nn/__init__.py", Flavour::Cuda));
    }

    #[test]
    fn a_damaged_wheel_is_noticed() {
        let path = std::env::temp_dir().join(format!("xtask-wheel-{}", std::process::id()));
        let sha256 = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        std::fs::write(&path, "abc").unwrap();
        assert!(Wheel { file: "a", sha256 }.is_intact(&path));
        std::fs::write(&path, "abd").unwrap();
        assert!(!Wheel { file: "a", sha256 }.is_intact(&path));
        std::fs::remove_file(path).unwrap();
    }
}
