//! Who holds a lock: this process, known apart from all others, anywhere and at any time.

use std::path::Path;

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

/// What a lock says of its owner.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Owner {
    /// 128 random bits in hexadecimal digits; no two takings of a lock have the same.
    pub nonce: String,
    /// For people.
    host: String,
    /// Its number, in its own namespace.
    process: u32,
    /// Where that number means something.
    place: Option<Place>,
}

/// What tells one process from all that a kernel ever had.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Place {
    /// Of one boot of one machine.
    kernel: String,
    /// In which processes, and times, are counted.
    namespaces: [String; 2],
    /// Clock ticks after the boot.
    started: u64,
}

impl Owner {
    /// This process, with a new nonce.
    pub(super) fn this() -> Result<Owner> {
        let mut nonce = [0; 16];
        getrandom::fill(&mut nonce).context("drawing a lock's number")?;
        let process = std::process::id();
        Ok(Owner {
            nonce: super::hexadecimal(&nonce),
            host: read("/proc/sys/kernel/hostname").unwrap_or_else(|| "unknown".to_owned()),
            process,
            place: Place::of(process),
        })
    }

    /// Whether the process is there; `None` if that cannot be told from here.
    pub(super) fn is_running(&self) -> Option<bool> {
        let Place { kernel, namespaces, started } = self.place.as_ref()?;
        let here = Place::of(std::process::id())?;
        if *kernel != here.kernel || *namespaces != here.namespaces {
            return None;
        }
        if !exists(self.process) {
            return Some(false);
        }
        // Where processes of others are hidden, one that exists cannot be looked at.
        let (state, since) = stat(self.process)?;
        Some(since == *started && !matches!(state, 'Z' | 'X'))
    }
}

impl Place {
    fn of(process: u32) -> Option<Place> {
        let namespace = |name: &str| std::fs::read_link(Path::new("/proc/self/ns").join(name)).ok();
        let words = |name: &str| Some(namespace(name)?.to_string_lossy().into_owned());
        Some(Place {
            kernel: read("/proc/sys/kernel/random/boot_id")?,
            // Kernels without namespaces of time have one time.
            namespaces: [words("pid")?, words("time").unwrap_or_default()],
            started: stat(process)?.1,
        })
    }
}

fn read(path: &str) -> Option<String> {
    std::fs::read_to_string(path).ok().map(|text| text.trim().to_owned())
}

/// State and start of a process, in clock ticks after the boot.
fn stat(process: u32) -> Option<(char, u64)> {
    let text = read(&format!("/proc/{process}/stat"))?;
    // Behind the name, which is in brackets and may hold any character, begins the third of its fields.
    let mut fields = text.rsplit_once(')')?.1.split_whitespace();
    let state = fields.next()?.chars().next()?;
    Some((state, fields.nth(22 - 4)?.parse().ok()?))
}

#[cfg(unix)]
fn exists(process: u32) -> bool {
    use rustix::io::Errno;
    use rustix::process::{Pid, test_kill_process};

    let pid = i32::try_from(process).ok().and_then(Pid::from_raw);
    pid.is_some_and(|pid| test_kill_process(pid) != Err(Errno::SRCH))
}

#[cfg(not(unix))]
fn exists(_: u32) -> bool {
    true
}
