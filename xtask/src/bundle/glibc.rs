//! The least glibc that a program needs, by the names of the versions that it is linked to.

use std::fmt;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result};

/// What stands before each version in the file.
const NAME: &[u8] = b"GLIBC_";

/// A version of glibc, ordered by number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Glibc(pub u32, pub u32);

impl fmt::Display for Glibc {
    fn fmt(&self, out: &mut fmt::Formatter) -> fmt::Result {
        write!(out, "{}.{}", self.0, self.1)
    }
}

/// The least glibc that runs the program in that file.
pub(super) fn needed_by(program: &Path) -> Result<Glibc> {
    let bytes = fs::read(program).with_context(|| format!("cannot read {}", program.display()))?;
    let reason =
        || format!("{} names no version of glibc; bundles need one linked to glibc", program.display());
    largest(&bytes).with_context(reason)
}

fn largest(bytes: &[u8]) -> Option<Glibc> {
    let starts = bytes.windows(NAME.len()).enumerate().filter(|(_, window)| *window == NAME);
    starts.filter_map(|(start, _)| parse(&bytes[start + NAME.len()..])).max()
}

/// `2.36` of `2.36`, and `2.2` of `2.2.5`.
fn parse(bytes: &[u8]) -> Option<Glibc> {
    let (major, rest) = number(bytes)?;
    let (minor, _) = number(rest.strip_prefix(b".")?)?;
    Some(Glibc(major, minor))
}

fn number(bytes: &[u8]) -> Option<(u32, &[u8])> {
    let length = bytes.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let (digits, rest) = bytes.split_at(length);
    Some((std::str::from_utf8(digits).ok()?.parse().ok()?, rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_largest_version_counts_by_number() {
        let bytes = b"\0GLIBC_2.9\0\xffGLIBC_2.36\0GLIBC_2.4\0GLIBC_2.2.5\0";
        assert_eq!(largest(bytes), Some(Glibc(2, 36)));
        assert_eq!(largest(b"GLIBC_2.9\0GLIBC_2.2.5"), Some(Glibc(2, 9)));
        assert_eq!(Glibc(2, 36).to_string(), "2.36");
    }

    #[test]
    fn what_is_no_version_of_glibc_is_passed_over() {
        assert_eq!(largest(b"GLIBC_PRIVATE\0GLIBCXX_3.4.30\0GLIBC_2.\0GLIBC_"), None);
        assert_eq!(largest(b"GLIBC_GLIBC_2.17"), Some(Glibc(2, 17)));
    }

    #[test]
    fn a_program_without_glibc_is_refused_by_name() {
        let path = std::env::temp_dir().join(format!("xtask-glibc-{}", std::process::id()));
        fs::write(&path, "GLIBC_2.31").unwrap();
        assert_eq!(needed_by(&path).unwrap(), Glibc(2, 31));
        fs::write(&path, "static").unwrap();
        let error = needed_by(&path).unwrap_err().to_string();
        assert!(error.contains(&path.display().to_string()), "{error}");
        fs::remove_file(path).unwrap();
    }
}
