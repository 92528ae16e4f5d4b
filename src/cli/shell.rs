//! Commands as a shell reads them, for scripts and for people to copy.

use std::path::Path;

use anyhow::{Context, Result};

/// A path as one word of a shell.
///
/// # Errors
/// A path that is not UTF-8 or that no shell can be told.
pub(super) fn quoted(path: &Path) -> Result<String> {
    let given = || format!("{} cannot be told to a shell; choose another path", path.display());
    let text = path.to_str().with_context(given)?;
    Ok(shlex::try_quote(text).with_context(given)?.into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shell_reads_what_was_meant() {
        for path in ["reports/o'b $x", "a b", "plain", "\"`\\"] {
            let quoted = quoted(Path::new(path)).unwrap();
            assert_eq!(shlex::split(&quoted).unwrap(), [path], "{quoted}");
        }
    }
}
