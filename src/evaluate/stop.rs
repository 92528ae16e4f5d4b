//! SIGTERM and Ctrl-C: what is being written is finished, locks are given back, then the process ends.

use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use anyhow::{Context, Result};
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

use crate::files;

static WRITING: Mutex<()> = Mutex::new(());

/// Files that say that this process is at work.
static LOCKS: Mutex<Vec<PathBuf>> = Mutex::new(Vec::new());

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Held while results are written; a signal waits for it.
pub fn writing() -> MutexGuard<'static, ()> {
    locked(&WRITING)
}

/// From now on, a signal also removes this file.
pub fn register(lock: &Path) {
    locked(&LOCKS).push(lock.to_owned());
}

/// Removes the file and forgets it.
pub fn release(lock: &Path) {
    locked(&LOCKS).retain(|other| other != lock);
    let _ = files::remove_if_there(lock);
}

/// Listens from now on.
///
/// # Errors
/// If the system refuses.
pub fn on_signals() -> Result<()> {
    let mut signals = Signals::new([SIGTERM, SIGINT]).context("listening for signals")?;
    std::thread::spawn(move || {
        if let Some(signal) = signals.forever().next() {
            let _writing = writing();
            for lock in locked(&LOCKS).drain(..) {
                let _ = files::remove_if_there(&lock);
            }
            eprintln!("stopped; finished cells are safe, and the same command goes on from them");
            // SAFETY: it ends the process. Unlike `exit` it runs no destructors, which would take libtorch's memory
            // from under the threads that still compute.
            unsafe { libc::_exit(128 + signal) }
        }
    });
    Ok(())
}
