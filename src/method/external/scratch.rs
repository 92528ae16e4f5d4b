//! A folder for a program that is removed whatever ends this process, together with the program that runs in it.

use std::io::Write;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};

use anyhow::{Context, Result};
use tempfile::TempDir;

/// Waits until its input ends, which it does when this process does, also by SIGKILL. Then it stops the process group
/// that was named last, unless that is 0, and removes the folder. Signals to a terminal's or a job's processes pass it by.
const GUARD: &str = r#"
trap '' HUP INT TERM
group=0
while read -r word; do group=$word; done
if [ "$group" != 0 ]; then
    kill -s TERM -- "-$group"
    n=0
    while [ $n -lt 50 ] && kill -s 0 -- "-$group"; do
        sleep 0.1
        n=$((n + 1))
    done
    kill -s KILL -- "-$group"
fi 2>/dev/null
rm -rf -- "$1"
"#;

/// A folder of temporary files under guard.
pub(super) struct Scratch {
    /// Taken away when it is removed.
    folder: Option<TempDir>,
    guard: Child,
    orders: Option<ChildStdin>,
}

impl Scratch {
    pub(super) fn new() -> Result<Scratch> {
        let folder = TempDir::with_prefix("medfsad-external-").context("making a folder for the program")?;
        let mut guard = Command::new("sh")
            .args(["-c", GUARD, "sh"])
            .arg(folder.path())
            .current_dir("/")
            .process_group(0)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .context("starting `sh`, which removes the program's folder if this process is killed")?;
        let orders = guard.stdin.take();
        Ok(Scratch { folder: Some(folder), guard, orders })
    }

    pub(super) fn path(&self) -> &Path {
        self.folder.as_ref().expect("it is removed last").path()
    }

    /// Names the process group that ends with this process; 0 for none.
    pub(super) fn guard(&self, group: u32) -> Result<()> {
        let mut orders = self.orders.as_ref().context("the guard of the program's folder has ended")?;
        orders.write_all(format!("{group}\n").as_bytes()).context("guarding the program")
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        self.folder = None;
        // Its work is done; where it is not, at its end of input it does it.
        self.orders = None;
        let _ = self.guard.wait();
    }
}
