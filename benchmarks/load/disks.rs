//! Programs on a disk that is too small, and again once there is room: what they leave then must be what an undisturbed
//! run leaves. The small disk is a file system in memory, in a namespace of its own.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, ensure};

use super::kills::{WORKS, Work, calm, environment};

/// Mounts a file system, copies the inputs there, leaves so much room, runs the program, makes room, and runs it again.
/// Prints both exit codes; what the program said the first time and what it left lie in the folder `$4` then.
const SCRIPT: &str = r#"
place=$1; inputs=$2; room=$3; out=$4; shift 4
mount -t tmpfs -o size=4g tmpfs "$place" && cp -a "$inputs"/. "$place" && cd "$place" || exit 99
used=$(du -sk . | cut -f1)
mount -o remount,size=$((used + room))k "$place"
"$@" > "$out.said" 2>&1; first=$?
mount -o remount,size=4g "$place"
"$@" > "$out.again" 2>&1; second=$?
mkdir -p "$out" && cp -a . "$out"
echo "$first $second"
"#;

/// KiB that are left to each kind of work.
const ROOM: [u64; 3] = [300, 200, 200];

/// Runs each kind of work on a full disk, and says what came of it.
pub(super) fn all(program: &Path, folder: &Path) -> Result<()> {
    let calm = calm(program, folder)?;
    for (Work { name, arguments, left }, room) in WORKS.iter().zip(ROOM) {
        let home = calm.parent().context("a folder in a folder")?;
        let [place, inputs, out] =
            ["place", "inputs", "out"].map(|part| home.join(format!("full-{name}-{part}")));
        std::fs::create_dir_all(&place)?;
        inputs_of(name, &calm, &inputs)?;
        let mut command = Command::new("unshare");
        command.args(["--map-root-user", "--mount", "sh", "-c", SCRIPT, "sh"]);
        command.args([&place, &inputs]).arg(room.to_string()).arg(&out).arg(program);
        // The phantom's raw files and the definition lie beside the place, as for every other run.
        let output = environment(&mut command, home).args(*arguments).output().context("starting unshare")?;
        let codes = String::from_utf8_lossy(&output.stdout).trim().to_owned();
        ensure!(output.status.success(), "{name}: {}", String::from_utf8_lossy(&output.stderr));
        let said = std::fs::read_to_string(out.with_extension("said"))?;
        let about: Vec<&str> = said.lines().filter(|line| line.to_lowercase().contains("space")).collect();
        let again = std::fs::read_to_string(out.with_extension("again"))?;
        ensure!(codes == "1 0", "{name}: exit codes {codes}, {said}\n{again}");
        ensure!(!about.is_empty(), "{name} does not say that the disk is full: {said}");
        let (expected, found) = (left(&calm)?, left(&out)?);
        ensure!(expected == found, "{name}: another result than an undisturbed run");
        println!("{name}: refused with {room} KiB, then {} things as in an undisturbed run", found.len());
        println!("  {}", about[0].trim());
    }
    Ok(())
}

/// What a kind of work needs, copied from an undisturbed run.
fn inputs_of(name: &str, calm: &Path, to: &Path) -> Result<()> {
    std::fs::create_dir_all(to)?;
    let needed: &[&str] = match name {
        "build-dataset" => &[],
        "bench" => &["manifests"],
        _ => &["manifests", "run"],
    };
    for part in needed {
        let status = Command::new("cp").arg("-a").arg(calm.join(part)).arg(to).status()?;
        ensure!(status.success(), "copying {part}");
    }
    Ok(())
}
