//! A folder with `include` and `lib`: is it libtorch, and which?

use std::env::consts::DLL_SUFFIX;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};

use super::VERSION;

/// A library of libtorch, whether it is there or not.
pub(super) fn library(home: &Path, name: &str) -> PathBuf {
    home.join("lib").join(format!("lib{name}{DLL_SUFFIX}"))
}

/// Whether the half that runs on NVIDIA GPUs is there too.
pub(crate) fn has_cuda(home: &Path) -> bool {
    library(home, "torch_cuda").exists()
}

/// Fails unless the folder holds headers and libraries of the one version that fits.
pub(super) fn check(home: &Path) -> Result<()> {
    for needed in [library(home, "torch_cpu"), library(home, "c10"), home.join("include/torch")] {
        ensure!(needed.exists(), "{} is not there", needed.display());
    }
    let version = version(home).with_context(|| {
        format!("{} does not tell its version (build-version, version.py or version.h)", home.display())
    })?;
    if plain(&version) != VERSION {
        bail!("{} is torch {version}, and this program needs exactly {VERSION}", home.display());
    }
    Ok(())
}

/// A version without its build: `2.11.0` of `2.11.0+cu130`.
pub(super) fn plain(version: &str) -> &str {
    version.split('+').next().unwrap_or(version).trim()
}

/// From whichever of the files that tell it comes first.
fn version(home: &Path) -> Option<String> {
    let read = |path: &str| fs::read_to_string(home.join(path)).ok();
    let stated = read("build-version").map(|text| text.trim().to_owned());
    let python = || from_python(&read("version.py")?);
    let header = || from_header(&read("include/torch/headeronly/version.h")?);
    let older = || from_header(&read("include/torch/csrc/api/include/torch/version.h")?);
    stated.filter(|text| !text.is_empty()).or_else(python).or_else(header).or_else(older)
}

fn from_python(text: &str) -> Option<String> {
    let line = text.lines().find(|line| line.starts_with("__version__"))?;
    let version = line.split_once('=')?.1.trim().trim_matches(['\'', '"']);
    Some(version.to_owned())
}

fn from_header(text: &str) -> Option<String> {
    let part = |name: &str| {
        let line =
            text.lines().find_map(|line| line.strip_prefix("#define TORCH_VERSION_")?.strip_prefix(name))?;
        line.trim().parse::<u32>().ok()
    };
    Some(format!("{}.{}.{}", part("MAJOR")?, part("MINOR")?, part("PATCH")?))
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// A libtorch-like folder of a version, below the system's folder for such things.
    pub(crate) fn pretend(name: &str, version: &str) -> PathBuf {
        let home = std::env::temp_dir().join(format!("xtask-{name}-{}", std::process::id()));
        fs::create_dir_all(home.join("include/torch")).unwrap();
        fs::create_dir_all(home.join("lib")).unwrap();
        fs::write(library(&home, "torch_cpu"), version).unwrap();
        fs::write(library(&home, "c10"), "").unwrap();
        fs::write(home.join("version.py"), format!("__version__ = '{version}'\n")).unwrap();
        home
    }

    #[test]
    fn every_file_that_tells_the_version_is_understood() {
        let python = "debug = False\n__version__ = '2.11.0+cu130'\n";
        assert_eq!(from_python(python).as_deref(), Some("2.11.0+cu130"));
        let header =
            "#define TORCH_VERSION_MAJOR 2\n#define TORCH_VERSION_MINOR 11\n#define TORCH_VERSION_PATCH 0\n";
        assert_eq!(from_header(header).as_deref(), Some("2.11.0"));
        assert_eq!(from_header("#define TORCH_VERSION_MAJOR 2\n"), None);
        assert_eq!(plain("2.11.0+cpu"), "2.11.0");
    }

    #[test]
    fn another_version_is_refused_by_name() {
        let home = pretend("old", "2.4.1+cpu");
        let error = check(&home).unwrap_err().to_string();
        assert!(error.contains("2.4.1+cpu") && error.contains("2.11.0"), "{error}");
        fs::remove_dir_all(home).unwrap();
    }

    #[test]
    fn a_folder_without_libraries_is_refused() {
        let error = check(Path::new("/no/such/folder")).unwrap_err().to_string();
        assert!(error.contains("libtorch_cpu"), "{error}");
    }
}
