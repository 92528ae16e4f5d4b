//! Who works on something: a file that names its owner and is touched again and again, so that no two processes do the same.
//!
//! It holds among machines, containers and clocks that differ. An owner is a random number, not a number of a process, which
//! is given out again and means nothing elsewhere. Its silence is measured between times that the file server sets, never
//! by a clock of ours. A process that is looked for on its own machine, by its number, when it started and the kernel and
//! namespaces that count both, is known to live or to have ended; of all others the heartbeat alone tells. Whoever loses a
//! lock after all, such as a machine that slept for an hour, is told so before it writes: see [`Lock::ensure_held`].

use std::error::Error;
use std::fmt;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, ErrorKind, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, SystemTime};

use anyhow::{Context, Result};

use super::{owner::Owner, remove_if_there};

/// Between two signs of life.
const BEAT: Duration = Duration::from_secs(10);

/// Silence after which an owner is taken for dead.
const SILENCE: Duration = Duration::from_secs(60);

/// Locks that this process holds, with their owners' numbers.
static HELD: Mutex<Vec<(PathBuf, String)>> = Mutex::new(Vec::new());

fn held() -> MutexGuard<'static, Vec<(PathBuf, String)>> {
    HELD.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A lock that is held; dropped, it is given back.
#[derive(Debug)]
pub struct Lock {
    path: PathBuf,
    nonce: String,
    /// Dropped, it ends the heart.
    alive: Option<Sender<()>>,
    heart: Option<JoinHandle<()>>,
}

/// A lock was taken over by another process.
#[derive(Debug)]
pub struct Lost(PathBuf);

impl fmt::Display for Lost {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        let (path, silence) = (self.0.display(), SILENCE.as_secs());
        write!(
            f,
            "{path} is no longer this process's, which was silent for over {silence} s; another does its work"
        )
    }
}

impl Error for Lost {}

impl Lock {
    /// Takes the lock at `path`, also from an owner that is dead; `None` if a living one has it.
    ///
    /// # Errors
    /// If the file cannot be written.
    pub fn take(path: &Path) -> Result<Option<Lock>> {
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder).with_context(|| format!("making {}", folder.display()))?;
        }
        let owner = Owner::this()?;
        let text = serde_json::to_string(&owner)?;
        let is_taken = match OpenOptions::new().write(true).create_new(true).open(path) {
            Ok(mut file) => {
                if let Err(error) = file.write_all(text.as_bytes()) {
                    // A lock without an owner would be taken for a living one's for a while.
                    let _ = remove_if_there(path);
                    return Err(error).with_context(|| format!("writing {}", path.display()));
                }
                true
            }
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {
                match look(path).with_context(|| format!("reading {}", path.display()))? {
                    Found::Dead(dead) => {
                        claimed(path, &dead, || super::write_whole(path, text.as_bytes()))?.is_some()
                    }
                    // Given back a moment ago, it may be another's the next; whoever wants it asks again.
                    Found::Living | Found::Nothing => false,
                }
            }
            Err(error) => return Err(error).with_context(|| format!("writing {}", path.display())),
        };
        Ok(is_taken.then(|| Lock::beating(path, owner.nonce)))
    }

    /// Takes the lock as soon as nobody living has it.
    ///
    /// # Errors
    /// As [`Lock::take`].
    pub fn wait(path: &Path) -> Result<Lock> {
        let mut is_first = true;
        loop {
            if let Some(lock) = Lock::take(path)? {
                return Ok(lock);
            }
            if std::mem::take(&mut is_first) {
                log::info!("waiting for another process, which has {}", path.display());
            }
            std::thread::sleep(Duration::from_millis(200));
        }
    }

    /// Whether this process still holds it, which is to be asked before what it guards is written.
    ///
    /// # Errors
    /// [`Lost`], if another process has taken it over; a file that cannot be read.
    pub fn ensure_held(&self) -> Result<()> {
        match fs::read_to_string(&self.path) {
            Ok(text) if names(&text, &self.nonce) => Ok(()),
            Err(error) if error.kind() != ErrorKind::NotFound => {
                Err(error).with_context(|| format!("reading {}", self.path.display()))
            }
            _ => Err(Lost(self.path.clone()).into()),
        }
    }

    fn beating(path: &Path, nonce: String) -> Lock {
        held().push((path.to_owned(), nonce.clone()));
        let (alive, ended) = channel::<()>();
        let (beating, own) = (path.to_owned(), nonce.clone());
        let heart = std::thread::spawn(move || {
            while ended.recv_timeout(BEAT) == Err(RecvTimeoutError::Timeout) {
                // A beat that fails once may succeed next time; the file may also be gone.
                let _ = beat(&beating, &own);
            }
        });
        Lock { path: path.to_owned(), nonce, alive: Some(alive), heart: Some(heart) }
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        self.alive = None;
        if let Some(heart) = self.heart.take() {
            let _ = heart.join();
        }
        held().retain(|(path, nonce)| *path != self.path || *nonce != self.nonce);
        give_back(&self.path, &self.nonce);
    }
}

/// Gives back all locks of this process, which is about to end without dropping them.
pub fn give_back_all() {
    for (path, nonce) in held().drain(..) {
        give_back(&path, &nonce);
    }
}

/// Removes locks in `folder` that dead processes left; says whether a living one has any.
///
/// # Errors
/// If one cannot be read or removed.
pub fn sweep(folder: &Path) -> Result<bool> {
    let mut is_busy = false;
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.extension().is_some_and(|ending| ending == "lock") {
            match look(&path).with_context(|| format!("reading {}", path.display()))? {
                Found::Living => is_busy = true,
                Found::Nothing => {}
                Found::Dead(dead) => is_busy |= claimed(&path, &dead, || remove_if_there(&path))?.is_none(),
            }
        }
    }
    Ok(is_busy)
}

/// What lies at the path of a lock.
enum Found {
    /// It is free.
    Nothing,
    Living,
    /// What its dead owner wrote.
    Dead(String),
}

fn look(path: &Path) -> io::Result<Found> {
    let text = match fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Found::Nothing),
        Err(error) => return Err(error),
    };
    // One without a readable owner is being written, or is of an earlier version.
    let owner: Option<Owner> = serde_json::from_str(&text).ok();
    let is_living = match owner.and_then(|owner| owner.is_running()) {
        Some(is_running) => is_running,
        None => match silence_of(path) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Found::Nothing),
            silence => silence? < SILENCE,
        },
    };
    Ok(if is_living { Found::Living } else { Found::Dead(text) })
}

/// Does `work` to a lock that was found with `dead` in it, if that is still so and nobody else is at it. Of several that
/// find an owner dead, the system lets one lock the file itself, and forgets that when the process ends. Where a file
/// system locks no files, two might go on; then one of them is told by its nonce: see [`Lock::ensure_held`].
fn claimed(path: &Path, dead: &str, work: impl FnOnce() -> Result<()>) -> Result<Option<()>> {
    let file = match OpenOptions::new().read(true).write(true).open(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        opened => opened.with_context(|| format!("taking over {}", path.display()))?,
    };
    if matches!(file.try_lock(), Err(TryLockError::WouldBlock)) {
        return Ok(None);
    }
    // The path may lead to another file by now.
    let is_still_dead = fs::read_to_string(path).is_ok_and(|text| text == dead);
    is_still_dead.then(work).transpose()
}

/// Since its owner touched it, by the file server's time.
fn silence_of(path: &Path) -> io::Result<Duration> {
    // Opened, so that a network file system asks its server.
    let beat = File::open(path)?.metadata()?.modified()?;
    let now = now(path.parent().unwrap_or(Path::new(".")))?;
    Ok(now.duration_since(beat).unwrap_or_default())
}

/// The file server's time: that of a file which has just been touched.
fn now(folder: &Path) -> io::Result<SystemTime> {
    let folder = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
    let mut file = tempfile::tempfile_in(folder)?;
    touch(&mut file)?;
    file.metadata()?.modified()
}

/// Gives a file the server's own time.
#[cfg(unix)]
fn touch(file: &mut File) -> io::Result<()> {
    use rustix::fs::{Timespec, Timestamps, UTIME_NOW, futimens};

    let now = || Timespec { tv_sec: 0, tv_nsec: UTIME_NOW };
    Ok(futimens(file, &Timestamps { last_access: now(), last_modification: now() })?)
}

#[cfg(not(unix))]
fn touch(file: &mut File) -> io::Result<()> {
    file.set_modified(SystemTime::now())
}

fn beat(path: &Path, nonce: &str) -> io::Result<()> {
    let mut file = OpenOptions::new().read(true).write(true).open(path)?;
    let mut text = String::new();
    file.read_to_string(&mut text)?;
    if names(&text, nonce) { touch(&mut file) } else { Ok(()) }
}

fn names(text: &str, nonce: &str) -> bool {
    serde_json::from_str(text).is_ok_and(|owner: Owner| owner.nonce == nonce)
}

fn is_of(path: &Path, nonce: &str) -> bool {
    fs::read_to_string(path).is_ok_and(|text| names(&text, nonce))
}

fn give_back(path: &Path, nonce: &str) {
    if is_of(path, nonce) {
        let _ = remove_if_there(path);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_heart_beats_for_its_own_lock_alone_and_with_the_time_of_the_file_server() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.lock");
        let lock = Lock::take(&path).unwrap().unwrap();
        let long_ago = SystemTime::now() - Duration::from_secs(3600);
        let age = || File::options().write(true).open(&path).unwrap().set_modified(long_ago).unwrap();
        age();
        assert!(silence_of(&path).unwrap() > SILENCE);
        beat(&path, &lock.nonce).unwrap();
        assert!(silence_of(&path).unwrap() < Duration::from_secs(10));
        age();
        beat(&path, "another").unwrap();
        assert!(silence_of(&path).unwrap() > SILENCE);
    }

    #[test]
    fn what_was_taken_over_meanwhile_is_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.lock");
        let lock = Lock::take(&path).unwrap().unwrap();
        assert!(claimed(&path, "of a dead owner", || remove_if_there(&path)).unwrap().is_none());
        lock.ensure_held().unwrap();
    }
}
