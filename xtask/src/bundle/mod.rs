//! A folder that runs on another machine: the program, a script that finds libtorch there, a few files more.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, ensure};

use crate::{cache, forward, libtorch, programs};

/// The least glibc that a program needs.
mod glibc;

/// What the user asks for.
mod order;

/// Where a bundle goes.
mod place;

/// The folder that the program was built with.
mod run_path;

/// The script that runs the program.
mod script;

pub(crate) use order::{HELP, Order};

use glibc::Glibc;
use place::{Place, files_below};

const README: &str = include_str!("README.md");

/// Bytes that a bundle may have at most, so that it can be sent along.
const LIMIT: u64 = 40_000_000;

/// Builds the program and makes the bundle that was ordered.
pub(crate) fn run(root: &Path, order: &Order) -> Result<()> {
    ensure_can_be_made(std::env::consts::OS, std::env::consts::ARCH)?;
    let place = Place::find(&order.out)?;
    libtorch::provide(root)?;
    forward::build_small(root)?;
    let draft = place.draft()?;
    assemble(root, &forward::program()?, &draft.bundle)?;
    let home = libtorch::linked_home(root).context("no libtorch is linked; run `cargo xtask libtorch`")?;
    let folder = fs::canonicalize(home.join("lib"));
    let folder = folder.with_context(|| format!("cannot find the libraries of {}", home.display()))?;
    run_path::forget(&draft.bundle.join("bin/medfsad"), &folder)?;
    draft.mark(&format!("medfsad {} {}", env!("CARGO_PKG_VERSION"), revision(root)))?;
    let parts = weigh(&draft.bundle)?;
    place.take(&draft)?;
    for (part, bytes) in &parts {
        println!("{:>9}  {part}", in_megabytes(*bytes));
    }
    println!("{:>9}  {}", in_megabytes(place.size()), place.path().display());
    ensure_is_light(&place, &parts)
}

/// The program is for the kind of machine that it is built on, and the script knows one kind.
fn ensure_can_be_made(system: &str, processor: &str) -> Result<()> {
    ensure!(
        (system, processor) == ("linux", "x86_64"),
        "bundles are for Linux x86_64 and made there, and this machine is {system} {processor}; \
         call `cargo xtask bundle` on a Linux x86_64 machine"
    );
    Ok(())
}

fn assemble(root: &Path, program: &Path, bundle: &Path) -> Result<()> {
    let own = bundle.join("bin/medfsad");
    create_above(&own)?;
    strip(program, &own)?;
    let glibc = glibc::needed_by(&own)?;
    for file in parts(root) {
        copy(&root.join(&file), &bundle.join(&file))?;
    }
    write(&bundle.join("README.md"), &readme(glibc, &revision(root)), 0o644)?;
    write(&bundle.join("medfsad"), &script::script(glibc), 0o755)
}

fn readme(glibc: Glibc, revision: &str) -> String {
    README
        .replace("@VERSION@", env!("CARGO_PKG_VERSION"))
        .replace("@REVISION@", revision)
        .replace("@GLIBC@", &glibc.to_string())
        .replace("@TORCH@", libtorch::VERSION)
}

/// Copies a program without what only a debugger reads, or as it is where nothing takes that away.
fn strip(from: &Path, to: &Path) -> Result<()> {
    let Some(strip) = programs::which("strip") else {
        eprintln!(
            "note: no strip was found (Debian, Ubuntu: apt install binutils); bin/medfsad is larger for it"
        );
        return copy(from, to);
    };
    programs::succeed(Command::new(strip).arg("-o").arg(to).arg(from))
        .with_context(|| format!("cannot strip {}", from.display()))
}

/// Files of the repository that travel along, below its root.
fn parts(root: &Path) -> Vec<String> {
    let listed = |more: &[&str]| {
        let list = git(root, &[&["ls-files", "-z"], more, &["--", "benchmarks", "manifests"]].concat())?;
        let is_wanted = |file: &&str| is_part(file) && root.join(file).is_file();
        Some(list.split('\0').filter(is_wanted).map(str::to_owned).collect::<Vec<_>>())
    };
    if let Some(tracked) = listed(&[]).filter(|files| !files.is_empty()) {
        for file in listed(&["--others", "--exclude-standard"]).unwrap_or_default() {
            eprintln!(
                "note: {file} is left out, because git does not track it; git add {file} takes it along"
            );
        }
        return tracked;
    }
    // Sources from an archive: everything there is.
    let below = |folder: &str| {
        let files = files_below(&root.join(folder)).into_iter();
        files.map(|file| format!("{folder}/{file}")).collect::<Vec<_>>()
    };
    [below("benchmarks"), below("manifests")].concat().into_iter().filter(|file| is_part(file)).collect()
}

/// All run definitions with what belongs to them, and the specs; never a curated benchmark.
fn is_part(file: &str) -> bool {
    let spec = file.strip_prefix("manifests/").and_then(|name| name.strip_suffix(".toml"));
    file.starts_with("benchmarks/") || spec.is_some_and(|name| !name.contains('/'))
}

/// Twelve digits of the commit, `-dirty` if tracked files differ from it, `unknown` outside git.
fn revision(root: &Path) -> String {
    let Some(revision) = git(root, &["rev-parse", "--short=12", "HEAD"]) else { return "unknown".into() };
    let is_clean = git(root, &["diff", "--quiet", "HEAD", "--"]).is_some();
    if is_clean { revision } else { format!("{revision}-dirty") }
}

fn git(root: &Path, args: &[&str]) -> Option<String> {
    let before: [&OsStr; 3] = ["--no-optional-locks".as_ref(), "-C".as_ref(), root.as_ref()];
    let args = args.iter().map(OsStr::new);
    programs::answer("git", &before.into_iter().chain(args).collect::<Vec<_>>())
}

fn create_above(file: &Path) -> Result<()> {
    let folder = file.parent().unwrap_or(file);
    fs::create_dir_all(folder).with_context(|| format!("cannot create {}", folder.display()))
}

/// Copies a file with its mode, so that what can be run still can.
fn copy(from: &Path, to: &Path) -> Result<()> {
    create_above(to)?;
    let reason = || format!("cannot copy {} to {}", from.display(), to.display());
    fs::copy(from, to).map(drop).with_context(reason)
}

fn write(file: &Path, text: &str, mode: u32) -> Result<()> {
    let written =
        fs::write(file, text).and_then(|()| fs::set_permissions(file, fs::Permissions::from_mode(mode)));
    written.with_context(|| format!("cannot write {}", file.display()))
}

/// What lies in a bundle, and its bytes, the largest first.
fn weigh(bundle: &Path) -> Result<Vec<(String, u64)>> {
    let entries = fs::read_dir(bundle).with_context(|| format!("cannot read {}", bundle.display()))?;
    let weight = |entry: fs::DirEntry| {
        let path = entry.path();
        let bytes =
            if path.is_dir() { cache::size_of(&path) } else { path.metadata().map_or(0, |meta| meta.len()) };
        (entry.file_name().to_string_lossy().into_owned(), bytes)
    };
    let mut parts: Vec<_> = entries.flatten().map(weight).collect();
    parts.sort_by(|one, two| two.1.cmp(&one.1).then_with(|| one.0.cmp(&two.0)));
    Ok(parts)
}

fn ensure_is_light(place: &Place, parts: &[(String, u64)]) -> Result<()> {
    let largest = parts
        .first()
        .map_or("nothing".into(), |(part, bytes)| format!("{part} alone has {}", in_megabytes(*bytes)));
    ensure!(
        place.size() <= LIMIT,
        "{} has {}, and a bundle may have {} at most; {largest}: make that smaller and call this again",
        place.path().display(),
        in_megabytes(place.size()),
        in_megabytes(LIMIT)
    );
    Ok(())
}

/// Bytes for people.
fn in_megabytes(bytes: u64) -> String {
    format!("{:.2} MB", bytes as f64 / 1e6)
}

#[cfg(test)]
pub(crate) mod tests {
    use std::path::PathBuf;

    use super::*;

    /// An empty folder with a space in its name.
    pub(crate) fn scratch(name: &str) -> PathBuf {
        let folder = std::env::temp_dir().join(format!("xtask bundle {name} {}", std::process::id()));
        let _ = fs::remove_dir_all(&folder);
        fs::create_dir_all(&folder).unwrap();
        fs::canonicalize(folder).unwrap()
    }

    /// A repository with a few files, and what a bundle of it holds beside its own.
    fn repository(name: &str) -> (PathBuf, Vec<&'static str>) {
        let root = scratch(name);
        for file in [
            "Cargo.toml",
            "benchmarks/README.md",
            "benchmarks/quick.toml",
            "benchmarks/speed/card.sh",
            "manifests/README.md",
            "manifests/mini.toml",
            "manifests/mini/spec.toml",
            "manifests/mini/pixels/his.safetensors",
        ] {
            let path = root.join(file);
            create_above(&path).unwrap();
            write(&path, file, if file.ends_with(".sh") { 0o755 } else { 0o644 }).unwrap();
        }
        let parts = vec![
            "benchmarks/README.md",
            "benchmarks/quick.toml",
            "benchmarks/speed/card.sh",
            "manifests/mini.toml",
        ];
        (root, parts)
    }

    fn mode(path: &Path) -> u32 {
        path.metadata().unwrap().permissions().mode() & 0o777
    }

    #[test]
    fn what_git_tracks_travels_along() {
        let (root, expected) = repository("tracked");
        assert_eq!(parts(&root), expected, "without git, all of it");
        git(&root, &["init", "--quiet"]).expect("git works");
        assert_eq!(parts(&root), expected, "where git tracks nothing, too");
        git(&root, &["add", "."]).expect("git works");
        fs::write(root.join("benchmarks/output.csv"), "").unwrap();
        assert_eq!(parts(&root), expected);
        fs::remove_file(root.join("benchmarks/quick.toml")).unwrap();
        assert_eq!(parts(&root), [expected[0], expected[2], expected[3]], "what was deleted is no part");
        fs::remove_dir_all(root).unwrap();
    }

    #[test]
    fn a_bundle_holds_program_script_files_and_readme() {
        let (root, expected) = repository("assembled");
        let (bundle, program) = (root.join("out"), std::env::current_exe().unwrap());
        assemble(&root, &program, &bundle).unwrap();
        let own = ["README.md", "bin/medfsad", "medfsad"];
        let all = own.into_iter().chain(expected).map(str::to_owned).collect();
        assert_eq!(files_below(&bundle), all);
        assert_eq!(fs::read(bundle.join("manifests/mini.toml")).unwrap(), b"manifests/mini.toml");
        for runnable in ["bin/medfsad", "medfsad", "benchmarks/speed/card.sh"] {
            assert_eq!(mode(&bundle.join(runnable)) & 0o100, 0o100, "{runnable} can be run");
        }
        assert_eq!(mode(&bundle.join("benchmarks/quick.toml")), 0o644);
        let needed = glibc::needed_by(&bundle.join("bin/medfsad")).unwrap();
        assert_eq!(fs::read_to_string(bundle.join("medfsad")).unwrap(), script::script(needed));
        let is_smaller =
            bundle.join("bin/medfsad").metadata().unwrap().len() < program.metadata().unwrap().len();
        assert_eq!(is_smaller, programs::which("strip").is_some(), "stripped where that can be done");
        fs::remove_dir_all(root).unwrap();
    }

    #[test]
    fn the_readme_says_what_it_was_made_from_and_what_it_needs() {
        let text = readme(Glibc(2, 31), "0123456789ab-dirty");
        for word in
            [env!("CARGO_PKG_VERSION"), "0123456789ab-dirty", "glibc 2.31", "torch==2.11.0", "MEDFSAD_HOME"]
        {
            assert!(text.contains(word), "{word}");
        }
        assert!(!text.contains("@VERSION@") && !text.contains("@GLIBC@") && !text.contains("@TORCH@"));
    }

    #[test]
    fn a_bundle_over_the_limit_is_refused_and_left() {
        let root = scratch("heavy");
        let out = root.join("bundle");
        fs::create_dir_all(out.join("bin")).unwrap();
        let (place, file) = (Place::find(&out).unwrap(), fs::File::create(out.join("bin/medfsad")).unwrap());
        fs::write(out.join("medfsad"), "12345").unwrap();
        file.set_len(LIMIT - 5).unwrap();
        let parts = weigh(&out).unwrap();
        assert_eq!(parts, [("bin".to_owned(), LIMIT - 5), ("medfsad".to_owned(), 5)]);
        ensure_is_light(&place, &parts).unwrap();
        file.set_len(45_000_000).unwrap();
        let error = ensure_is_light(&place, &weigh(&out).unwrap()).unwrap_err().to_string();
        for word in [&*out.display().to_string(), "45.00 MB", "40.00 MB", "bin alone has 45.00 MB"] {
            assert!(error.contains(word), "{error}");
        }
        assert!(out.join("bin/medfsad").exists());
        fs::remove_dir_all(root).unwrap();
    }

    #[test]
    fn bundles_are_made_on_the_machines_they_are_for() {
        ensure_can_be_made("linux", "x86_64").unwrap();
        for (system, processor) in [("macos", "x86_64"), ("linux", "aarch64")] {
            let error = ensure_can_be_made(system, processor).unwrap_err().to_string();
            assert!(
                error.contains(&format!("{system} {processor}")) && error.contains("on a Linux"),
                "{error}"
            );
        }
    }
}
