//! A file while it is written.

use std::fs::File;
use std::io::{self, ErrorKind, Write};

use anyhow::Result;

/// A file that is being filled. It keeps the system's error where a writer of some format would put it into words.
#[derive(Debug)]
pub struct Draft {
    file: File,
    failure: Option<io::Error>,
}

impl Draft {
    pub(super) fn new(file: File) -> Draft {
        Draft { file, failure: None }
    }

    /// The file, filled. Where writing to it failed, that is the error.
    pub(super) fn filled(mut self, fill: impl FnOnce(&mut Draft) -> Result<()>) -> Result<File> {
        let filled = fill(&mut self);
        match self.failure {
            // Also where the writer made nothing of it.
            Some(failure) => Err(failure.into()),
            None => filled.map(|()| self.file),
        }
    }

    fn noted<T>(&mut self, outcome: io::Result<T>) -> io::Result<T> {
        outcome.inspect_err(|error| {
            if error.kind() != ErrorKind::Interrupted {
                // An error of the system is its number, which can be had twice.
                let copy = error.raw_os_error().map(io::Error::from_raw_os_error);
                self.failure = Some(copy.unwrap_or_else(|| error.kind().into()));
            }
        })
    }
}

impl Write for Draft {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let outcome = self.file.write(bytes);
        self.noted(outcome)
    }

    fn flush(&mut self) -> io::Result<()> {
        let outcome = self.file.flush();
        self.noted(outcome)
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use anyhow::bail;

    use super::*;
    use crate::files;

    fn full() -> Draft {
        Draft::new(File::options().write(true).open("/dev/full").unwrap())
    }

    #[test]
    fn a_full_disk_is_told_by_what_the_system_says_however_a_writer_words_it() {
        let error = full().filled(|file| Ok(file.write_all(b"x")?)).unwrap_err().context("writing x");
        assert!(files::lacks_room(&error), "{error:#}");
        let reworded = |file: &mut Draft| match file.write_all(b"x") {
            Err(error) => bail!("kein Platz: {error}"),
            Ok(()) => Ok(()),
        };
        let error = full().filled(reworded).unwrap_err();
        assert!(files::lacks_room(&error), "{error:#}");
        let other = full().filled(|_| bail!("No space left on device")).unwrap_err();
        assert!(!files::lacks_room(&other), "{other:#}");
    }
}
