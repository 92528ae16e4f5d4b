//! SIGTERM and Ctrl-C: what is being written is finished, locks are given back, then the process ends.

use std::sync::{Mutex, MutexGuard, PoisonError};

use anyhow::{Context, Result};
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

use crate::files::lock;
use crate::progress::LOG_ALONE;

static WRITING: Mutex<()> = Mutex::new(());

/// Held while results are written; a signal waits for it.
pub fn writing() -> MutexGuard<'static, ()> {
    WRITING.lock().unwrap_or_else(PoisonError::into_inner)
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
            lock::give_back_all();
            log::warn!("stopped; finished cells are safe, and the same command goes on from them");
            log::info!(target: LOG_ALONE, "ends by a signal with exit code {}", 128 + signal);
            // SAFETY: it ends the process. Unlike `exit` it runs no destructors, which would take libtorch's memory
            // from under the threads that still compute.
            unsafe { libc::_exit(128 + signal) }
        }
    });
    Ok(())
}
