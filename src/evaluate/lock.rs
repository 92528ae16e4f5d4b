//! Who computes a job: a file with owner and heartbeat, so that no two processes compute the same.

use std::fs::{self, OpenOptions};
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::{Duration, SystemTime};

use anyhow::{Context, Result, bail};
use serde::{Deserialize, Serialize};

use super::stop;
use crate::files;

/// Between two signs of life.
const BEAT: Duration = Duration::from_secs(10);

/// Silence after which an owner is taken for dead.
const SILENCE: Duration = Duration::from_secs(60);

/// Who holds a lock.
#[derive(Debug, Serialize, Deserialize)]
struct Owner {
    host: String,
    process: u32,
}

/// A lock that is held; dropped, it is given back.
pub struct Lock {
    path: PathBuf,
    /// Dropped, it ends the heart.
    alive: Option<Sender<()>>,
    heart: Option<JoinHandle<()>>,
}

impl Lock {
    /// Takes the lock at `path`, also from an owner that is dead; `None` if a living one has it.
    ///
    /// # Errors
    /// If the file cannot be written.
    pub fn take(path: &Path) -> Result<Option<Lock>> {
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder).with_context(|| format!("making {}", folder.display()))?;
        }
        let owner = Owner { host: host(), process: std::process::id() };
        // Once for a lock that is free, once more for one that was left behind.
        for _ in 0..2 {
            match OpenOptions::new().write(true).create_new(true).open(path) {
                Ok(mut file) => {
                    file.write_all(serde_json::to_string(&owner)?.as_bytes())?;
                    stop::register(path);
                    return Ok(Some(Lock::beating(path)));
                }
                Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
                Err(error) => return Err(error).with_context(|| format!("writing {}", path.display())),
            }
            if is_held(path) {
                return Ok(None);
            }
            // Of several that find it dead, one succeeds in renaming it.
            let aside = path.with_extension(format!("dead-{}", std::process::id()));
            if fs::rename(path, &aside).is_ok() {
                // Between the look and the renaming, another may have taken it: then it is given back.
                let is_taken = is_held(&aside) && fs::hard_link(&aside, path).is_ok();
                files::remove_if_there(&aside)?;
                if is_taken {
                    return Ok(None);
                }
            }
        }
        bail!("{} is taken and given up again and again; is its folder shared and slow?", path.display())
    }

    /// Takes the lock as soon as nobody living has it.
    ///
    /// # Errors
    /// As [`Lock::take`].
    pub fn wait(path: &Path) -> Result<Lock> {
        loop {
            if let Some(lock) = Lock::take(path)? {
                return Ok(lock);
            }
            std::thread::sleep(Duration::from_millis(200));
        }
    }

    fn beating(path: &Path) -> Lock {
        let (alive, ended) = channel::<()>();
        let beating = path.to_owned();
        let heart = std::thread::spawn(move || {
            while ended.recv_timeout(BEAT) == Err(RecvTimeoutError::Timeout) {
                // A beat that fails once may succeed next time; the file may also be gone.
                let file = OpenOptions::new().write(true).open(&beating);
                let _ = file.and_then(|file| file.set_modified(SystemTime::now()));
            }
        });
        Lock { path: path.to_owned(), alive: Some(alive), heart: Some(heart) }
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        self.alive = None;
        if let Some(heart) = self.heart.take() {
            let _ = heart.join();
        }
        stop::release(&self.path);
    }
}

/// Removes locks in `folder` that dead processes left; says whether a living one has any.
///
/// # Errors
/// If one cannot be removed.
pub fn sweep(folder: &Path) -> Result<bool> {
    let mut is_busy = false;
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.extension().is_some_and(|ending| ending == "lock") {
            if is_held(&path) {
                is_busy = true;
            } else {
                files::remove_if_there(&path)?;
            }
        }
    }
    Ok(is_busy)
}

/// Whether its owner lives: by its process on this machine, else by its heartbeat.
fn is_held(path: &Path) -> bool {
    let Ok(age) =
        fs::metadata(path).and_then(|meta| meta.modified()).map(|beat| beat.elapsed().unwrap_or_default())
    else {
        return false;
    };
    let owner: Option<Owner> = fs::read(path).ok().and_then(|text| serde_json::from_slice(&text).ok());
    let processes = Path::new("/proc/self");
    match owner {
        Some(owner) if owner.host == host() && processes.exists() => {
            Path::new("/proc").join(owner.process.to_string()).exists() && age < SILENCE
        }
        _ => age < SILENCE,
    }
}

fn host() -> String {
    fs::read_to_string("/proc/sys/kernel/hostname")
        .map_or_else(|_| "unknown".to_owned(), |name| name.trim().to_owned())
}
