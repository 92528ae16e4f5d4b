//! The run path that the build puts into a program: it would be searched before all that the bundle's script finds.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, ensure};

/// Where a bundled program looks first instead: beside itself, where no library is.
const INSTEAD: &[u8] = b"$ORIGIN";

/// Makes a program forget the folder of libtorch that it was built with.
///
/// # Errors
/// A program without that run path, or a folder whose name is too short to write over.
pub(super) fn forget(program: &Path, libtorch: &Path) -> Result<()> {
    let mut bytes = fs::read(program).with_context(|| format!("cannot read {}", program.display()))?;
    let count = replace(&mut bytes, libtorch.as_os_str().as_encoded_bytes());
    ensure!(
        count > 0,
        "{} has no run path to {}, so what it would load elsewhere is not known; run `cargo xtask libtorch`, build \
         again, and bundle then",
        program.display(),
        libtorch.display()
    );
    fs::write(program, bytes).with_context(|| format!("cannot write {}", program.display()))
}

/// Writes over every string that is the path and nothing else; returns how many there were.
fn replace(bytes: &mut [u8], path: &[u8]) -> usize {
    if path.len() < INSTEAD.len() {
        return 0;
    }
    let is_whole = |at: usize, bytes: &[u8]| {
        bytes[at..].starts_with(path)
            && bytes.get(at + path.len()) == Some(&0)
            && (at == 0 || bytes[at - 1] == 0)
    };
    let places: Vec<usize> =
        (0..bytes.len().saturating_sub(path.len())).filter(|&at| is_whole(at, bytes)).collect();
    for &at in &places {
        let place = &mut bytes[at..at + path.len()];
        place.fill(0);
        place[..INSTEAD.len()].copy_from_slice(INSTEAD);
    }
    places.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_path_is_written_over_and_nothing_else() {
        let mut bytes = b"\0/torch/lib\0keep /torch/lib\0/torch/libs\0".to_vec();
        assert_eq!(replace(&mut bytes, b"/torch/lib"), 1);
        assert_eq!(bytes, b"\0$ORIGIN\0\0\0\0keep /torch/lib\0/torch/libs\0");
        assert_eq!(replace(&mut bytes, b"/lib"), 0);
    }

    #[test]
    fn a_program_without_one_is_refused_by_name() {
        let program = std::env::temp_dir().join(format!("xtask-run-path-{}", std::process::id()));
        fs::write(&program, b"\0nothing\0").unwrap();
        let error = forget(&program, Path::new("/some/where/torch/lib")).unwrap_err().to_string();
        assert!(error.contains("/some/where/torch/lib") && error.contains("cargo xtask libtorch"), "{error}");
        fs::remove_file(program).unwrap();
    }
}
