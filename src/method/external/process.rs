//! Runs somebody's program: it ends in time, and all processes that it started end with it.

use std::fs::File;
use std::io;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Error, Result, bail};
use rustix::fs::statvfs;
use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process_group, waitid};

use super::scratch::Scratch;

/// Between SIGTERM and SIGKILL.
const GRACE: Duration = Duration::from_secs(5);

/// Between two looks at a program that runs.
const LOOK: Duration = Duration::from_millis(20);

/// Runs the program on the folder, with what it says kept in two files there.
pub(super) fn run(command: &[String], scratch: &Scratch, timeout: Duration) -> Result<()> {
    let words = command.join(" ");
    let folder = scratch.path();
    let (output, errors) = (folder.join("stdout.txt"), folder.join("stderr.txt"));
    let child = Command::new(&command[0])
        .args(&command[1..])
        .arg(folder)
        .process_group(0)
        .stdin(Stdio::null())
        .stdout(File::create(&output).context("making stdout.txt")?)
        .stderr(File::create(&errors).context("making stderr.txt")?)
        .spawn()
        .with_context(|| format!("external: cannot start `{words}`; is it installed, and the path right?"))?;
    let program = Program { child, scratch };
    scratch.guard(program.child.id())?;
    if !program.ends_within(timeout)? {
        program.signal(Signal::TERM);
        program.ends_within(GRACE)?;
        bail!("external: `{words}` ran for over {} s and was stopped; raise timeout_s", timeout.as_secs());
    }
    let status = program.end()?;
    if status.success() {
        return Ok(());
    }
    Err(why(&words, status, folder, &errors))
}

/// What the program said last; that the disk is full is a cause which the system states.
fn why(words: &str, status: ExitStatus, folder: &Path, errors: &Path) -> Error {
    let said = std::fs::read(errors).unwrap_or_default();
    let said = String::from_utf8_lossy(&said);
    let lines: Vec<&str> = said.lines().collect();
    let last = lines[lines.len().saturating_sub(8)..].join("\n");
    let error = format!("external: `{words}` ended with {status}: {last}");
    let is_full = statvfs(folder).is_ok_and(|disk| disk.f_blocks > 0 && disk.f_bavail == 0);
    if is_full {
        Error::new(io::Error::from(io::ErrorKind::StorageFull)).context(error)
    } else {
        Error::msg(error)
    }
}

/// A running program, the leader of a process group; dropped, all of the group ends.
struct Program<'a> {
    child: Child,
    scratch: &'a Scratch,
}

impl Program<'_> {
    /// Whether it ends in time. It stays unreaped, so that no other process or group can be given its number.
    fn ends_within(&self, limit: Duration) -> Result<bool> {
        let started = Instant::now();
        let look = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
        loop {
            let ended = waitid(WaitId::Pid(self.group()), look).context("waiting for the program")?;
            if ended.is_some() || started.elapsed() >= limit {
                return Ok(ended.is_some());
            }
            std::thread::sleep(LOOK);
        }
    }

    fn signal(&self, signal: Signal) {
        // A group whose processes have all ended cannot be sent any.
        let _ = kill_process_group(self.group(), signal);
    }

    /// Ends what is left of the group.
    fn end(mut self) -> Result<ExitStatus> {
        self.signal(Signal::KILL);
        self.child.wait().context("waiting for the program")
    }

    fn group(&self) -> Pid {
        Pid::from_child(&self.child)
    }
}

impl Drop for Program<'_> {
    fn drop(&mut self) {
        // Once reaped, its number may be another's.
        if self.ends_within(Duration::ZERO).is_ok() {
            self.signal(Signal::KILL);
            let _ = self.child.wait();
        }
        let _ = self.scratch.guard(0);
    }
}
