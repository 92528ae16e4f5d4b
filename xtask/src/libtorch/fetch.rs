//! pip, and what it takes to get the pinned wheels with it and unpack them.

use std::fs::{self, File};
use std::io::{self, BufReader};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};
use zip::ZipArchive;

use super::wheels::{self, Wheel};
use super::{Flavour, VERSION, folder, kept_in, view};
use crate::{cache, programs};

/// Ways to call pip, best first.
const PIPS: &[&[&str]] = &[&["python3", "-m", "pip"], &["python", "-m", "pip"], &["pip3"], &["pip"]];

/// Bytes that wheels and unpacked files take together.
pub(crate) fn room_needed(flavour: Flavour) -> u64 {
    match flavour {
        Flavour::Cpu => 1_300_000_000,
        Flavour::Cuda => 8_000_000_000,
    }
}

/// The first pip that answers: how to call it, and its version.
pub(crate) fn find_pip() -> Option<(Vec<&'static str>, String)> {
    PIPS.iter().find_map(|words| {
        let (program, rest) = words.split_first()?;
        let told = programs::answer(program, &[rest, &["--version"]].concat())?;
        let version = told.split_whitespace().nth(1)?.to_owned();
        Some((words.to_vec(), version))
    })
}

/// Gets a flavour into the cache unless it is there, and tells its folder.
pub(super) fn fetch(cache: &Path, flavour: Flavour, shelf: Option<&Path>) -> Result<PathBuf> {
    let home = kept_in(cache, flavour);
    let pinned = wheels::pinned(flavour)?;
    let lock = cache::lock(cache)?;
    if folder::check(&home).is_ok() {
        return Ok(home);
    }
    if lock.is_some() {
        clear_drafts(cache);
    }
    cache::ensure_room(cache, room_needed(flavour))?;
    let kept = gather(&pinned, &cache.join("wheels"), shelf)?;
    unpack_all(cache, flavour, &kept)?;
    Ok(home)
}

/// What an interrupted run left; nobody else writes while the lock is held.
fn clear_drafts(cache: &Path) {
    for folder in [cache.to_path_buf(), cache.join("wheels")] {
        for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
            if entry.file_name().to_string_lossy().contains(".draft-") {
                let _ = fs::remove_dir_all(entry.path());
            }
        }
    }
}

fn draft(path: &Path) -> PathBuf {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    path.with_file_name(format!("{name}.draft-{}", std::process::id()))
}

/// Every wheel, intact: from the cache, from the user's shelf, or fetched into the cache.
fn gather(pinned: &[Wheel], store: &Path, shelf: Option<&Path>) -> Result<Vec<PathBuf>> {
    cache::create(store)?;
    let mut paths = Vec::new();
    for (done, wheel) in pinned.iter().enumerate() {
        let kept = store.join(wheel.file);
        let offered = shelf.map(|shelf| shelf.join(wheel.file)).filter(|path| wheel.is_intact(path));
        if let Some(path) = offered {
            paths.push(path);
            continue;
        }
        if let Some(shelf) = shelf {
            eprintln!("{} is not in {}, or damaged", wheel.file, shelf.display());
        }
        if kept.exists() && !wheel.is_intact(&kept) {
            eprintln!("{} is damaged; it is fetched again", kept.display());
            fs::remove_file(&kept).with_context(|| format!("cannot remove {}", kept.display()))?;
        }
        if !kept.exists() {
            eprintln!("fetching wheel {} of {}: {}", done + 1, pinned.len(), wheel.file);
            if let Err(reason) = download(wheel, &kept) {
                bail!("cannot fetch {}: {reason:#}\n{}", wheel.file, remedy(pinned, store));
            }
        }
        paths.push(kept);
    }
    Ok(paths)
}

fn remedy(pinned: &[Wheel], store: &Path) -> String {
    let missing: Vec<&str> =
        pinned.iter().map(|wheel| wheel.file).filter(|file| !store.join(file).exists()).collect();
    format!(
        "Without a network or pip: get these files from pypi.org elsewhere, put them into {} and start again,\n\
         or set LIBTORCH to a libtorch {VERSION} folder:\n  {}",
        store.display(),
        missing.join("\n  ")
    )
}

/// One wheel by pip, which checks its hash; it appears at its place whole or not at all.
fn download(wheel: &Wheel, place: &Path) -> Result<()> {
    let draft = draft(place);
    cache::create(&draft)?;
    let fetched = ask_pip(wheel, &draft).and_then(|()| {
        fs::rename(draft.join(wheel.file), place).context("pip fetched another file than was asked for")
    });
    fs::remove_dir_all(&draft).with_context(|| format!("cannot remove {}", draft.display()))?;
    fetched
}

fn ask_pip(wheel: &Wheel, draft: &Path) -> Result<()> {
    let (pip, version) = find_pip().context(
        "no pip was found (tried python3 -m pip, python -m pip, pip3, pip); install Python with pip \
         (Debian, Ubuntu: apt install python3-pip)",
    )?;
    let (_, _, platform) = wheel.parts().with_context(|| format!("odd wheel name {}", wheel.file))?;
    let list = draft.join("requirements.txt");
    fs::write(&list, wheel.requirement()?).with_context(|| format!("cannot write {}", list.display()))?;
    let mut command = Command::new(pip[0]);
    command.args(&pip[1..]).args(["download", "--no-deps", "--no-cache-dir", "--disable-pip-version-check"]);
    command.args(["--only-binary=:all:", "--platform", platform, "--python-version", "3.12"]);
    command.args(["--implementation", "cp", "--abi", "cp312", "--require-hashes"]);
    if knows_resuming(&version) {
        command.args(["--resume-retries", "5"]);
    }
    // pip's own draft is as large as the wheel, and /tmp is often small.
    command.arg("--requirement").arg(&list).arg("--dest").arg(draft).env("TMPDIR", draft);
    programs::succeed(&mut command)
}

/// `--resume-retries` came with pip 25.1.
fn knows_resuming(version: &str) -> bool {
    let mut parts = version.split('.').map_while(|part| part.parse::<u32>().ok());
    (parts.next().unwrap_or(0), parts.next().unwrap_or(0)) >= (25, 1)
}

fn unpack_all(cache: &Path, flavour: Flavour, wheels: &[PathBuf]) -> Result<()> {
    let place = cache.join(format!("libtorch-{VERSION}-{}", flavour.name()));
    let draft = draft(&place);
    let mut bytes = 0;
    for wheel in wheels {
        eprintln!("unpacking {}", wheel.file_name().unwrap_or_default().to_string_lossy());
        bytes +=
            unpack(wheel, &draft, flavour).with_context(|| format!("cannot unpack {}", wheel.display()))?;
    }
    let home = draft.join("torch");
    if !folder::library(&home, "torch").exists() {
        view::write_stub(&folder::library(&home, "torch"))?;
    }
    folder::check(&home).context("the wheels did not hold what was expected")?;
    if place.exists() {
        fs::remove_dir_all(&place).with_context(|| format!("cannot remove {}", place.display()))?;
    }
    fs::rename(&draft, &place).with_context(|| format!("cannot rename {}", draft.display()))?;
    eprintln!("unpacked {} into {}", cache::in_gigabytes(bytes), place.display());
    Ok(())
}

fn unpack(wheel: &Path, place: &Path, flavour: Flavour) -> Result<u64> {
    let mut archive = ZipArchive::new(BufReader::new(File::open(wheel)?))?;
    let mut bytes = 0;
    for index in 0..archive.len() {
        let mut entry = archive.by_index(index)?;
        let name = entry.name()?.into_owned();
        if entry.is_dir() || !wheels::is_needed(&name, flavour) {
            continue;
        }
        let inside = entry.enclosed_name().with_context(|| format!("unsafe path {name}"))?;
        let path = place.join(inside);
        fs::create_dir_all(path.parent().unwrap_or(place))?;
        let mut file = File::create(&path).with_context(|| format!("cannot write {}", path.display()))?;
        bytes +=
            io::copy(&mut entry, &mut file).with_context(|| format!("cannot write {}", path.display()))?;
    }
    ensure!(bytes > 0, "nothing in it was needed");
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_pip_that_knows_resuming_is_asked_for_it() {
        assert!(knows_resuming("25.1") && knows_resuming("25.1.1") && knows_resuming("26.0"));
        assert!(!knows_resuming("25.0.1") && !knows_resuming("23.2.1") && !knows_resuming("odd"));
    }

    #[test]
    fn the_remedy_names_the_missing_wheels_and_their_place() {
        let pinned = [Wheel { file: "a-1-py3-none-any.whl", sha256: "" }];
        let text = remedy(&pinned, Path::new("/cache/wheels"));
        assert!(text.contains("a-1-py3-none-any.whl") && text.contains("/cache/wheels"), "{text}");
    }
}
