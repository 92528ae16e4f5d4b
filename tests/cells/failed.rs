//! Cells that failed, for what a program said or for want of room, and when they are computed again.

use std::path::Path;
use std::process::{Command, Stdio};

use medfsad::results::{CellResult, Lacked};

use super::{bench, home_with_program};
use crate::program::{self, command, succeeds, text};

#[test]
fn failed_cells_are_rows_until_they_are_asked_for_again() {
    // Fails while a file is missing, then does not.
    let home = home_with_program("test -e \"$MEDFSAD_TEST\" || { echo out of ink >&2; exit 3; }");
    let home = home.path();
    let run = |more: &[&str]| {
        let mut command = command(home, &[&bench(&["bench"], "run")[..], more].concat());
        command.env("MEDFSAD_TEST", home.join("ink")).output().expect("the binary runs")
    };
    let output = run(&[]);
    assert!(!output.status.success() && text(&output).contains("4 of 40 cells failed"), "{}", text(&output));
    std::fs::write(home.join("ink"), "").expect("a file");
    let output = run(&[]);
    assert!(text(&output).contains("36 already done, 4 failed before"), "{}", text(&output));
    assert!(text(&output).contains("4 of 40 cells failed"), "{}", text(&output));
    let output = run(&["--retry-failed"]);
    assert!(output.status.success(), "{}", text(&output));
}

#[test]
fn a_cell_that_lacked_room_is_computed_again_without_being_asked_for() {
    let home = home_with_program("");
    let home = home.path();
    succeeds(home, &bench(&["bench"], "run"));
    let cells = || program::cells(&home.join("run"));
    let is_program = |cell: &CellResult| cell.cell.identity.method == "external:pen";
    let mut programs: Vec<CellResult> = cells().into_iter().filter(is_program).collect();
    for (cell, lacked) in programs.iter_mut().zip([Some(Lacked::Room), None]) {
        cell.cell.error = Some("of another language".to_owned());
        cell.cell.lacked = lacked;
        cell.write().expect("a cell");
    }
    let output = command(home, &bench(&["bench"], "run")).output().expect("the binary runs");
    assert!(text(&output).contains("38 already done, 2 failed before"), "{}", text(&output));
    assert!(!output.status.success() && text(&output).contains("1 of 40 cells failed"), "{}", text(&output));
    let failed: Vec<CellResult> = cells().into_iter().filter(|cell| cell.cell.error.is_some()).collect();
    assert_eq!((failed.len(), &failed[0].cell.id), (1, &programs[1].cell.id));
}

/// The command where the disk of temporary files has 64 KiB, too few for the pictures that a program is given.
#[cfg(target_os = "linux")]
fn with_a_full_disk(home: &Path, arguments: &[&str]) -> Option<Command> {
    let apart = ["--user", "--map-root-user", "--mount"];
    let scratch = home.join("scratch");
    std::fs::create_dir_all(&scratch).expect("a folder");
    let mount = "mount -t tmpfs -o size=64k tmpfs \"$TMPDIR\"";
    let mut probe = Command::new("unshare");
    probe.args(apart).args(["sh", "-c", mount]).env("TMPDIR", &scratch).stderr(Stdio::null());
    if !probe.status().is_ok_and(|status| status.success()) {
        crate::shared::leave_out("a full disk: this machine lets no user mount one");
        return None;
    }
    let whole = command(home, arguments);
    let mut small = Command::new("unshare");
    small.args(apart).args(["sh", "-c", &format!("{mount} && exec \"$@\""), "sh"]);
    small.arg(whole.get_program()).args(whole.get_args()).current_dir(home);
    small.envs(whole.get_envs().filter_map(|(name, value)| Some((name, value?)))).env("TMPDIR", &scratch);
    Some(small)
}

#[cfg(target_os = "linux")]
#[test]
fn a_full_disk_fails_cells_until_there_is_room() {
    let home = home_with_program("");
    let home = home.path();
    let Some(mut small) = with_a_full_disk(home, &bench(&["bench"], "run")) else { return };
    let output = small.output().expect("the binary runs");
    let said = "4 of 40 cells failed because a disk or a quota is full; make room";
    assert!(!output.status.success() && text(&output).contains(said), "{}", text(&output));
    let cells = program::cells(&home.join("run"));
    let lacked = |cell: &&CellResult| cell.cell.lacked == Some(Lacked::Room) && cell.cell.error.is_some();
    assert_eq!(cells.iter().filter(lacked).count(), 4);
    succeeds(home, &bench(&["bench"], "run"));
}
