//! Build script: the run path to libtorch, and what provenance needs to know about this code.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, fs};

/// Parts of `src` that change neither a manifest nor a score; stored results outlive a change there.
const WITHOUT_EFFECT: &[&str] = &[
    "audit",
    "build.rs",
    "cli",
    "download.rs",
    "export",
    "imported",
    "lib.rs",
    "main.rs",
    "names.rs",
    "panics.rs",
    "progress.rs",
    "report",
    "selftest",
    "trivia",
    "wheel.rs",
];

fn main() {
    let root = PathBuf::from(env::var_os("CARGO_MANIFEST_DIR").unwrap_or_default());
    watch(&root.join("src"));
    watch(&root.join("benchmarks/prompts"));
    watch(&root.join("Cargo.lock"));
    let is_on = |feature: &str| env::var_os(format!("CARGO_FEATURE_{feature}")).is_some();
    if is_on("TORCH") && !is_on("DOC_ONLY") {
        link_libtorch();
        let guard = root.join("src/network/guard.cc");
        cc::Build::new().cpp(true).file(guard).compile("medfsad_guard");
    }
    println!("cargo::rustc-env=MEDFSAD_CODE_HASH={:032x}", code_hash(&root));
    println!("cargo::rustc-env=MEDFSAD_GIT_REVISION={}", git_revision(&root));
}

/// Cargo runs us again after every build while a watched file does not exist, so those are left out.
fn watch(path: &Path) {
    if path.exists() {
        println!("cargo::rerun-if-changed={}", path.display());
    }
}

/// Puts the real folder of libtorch into every program, so that they run without any variable set.
fn link_libtorch() {
    println!("cargo::rerun-if-env-changed=LIBTORCH");
    let Some(home) = env::var_os("LIBTORCH").map(PathBuf::from) else {
        return println!("cargo::error=LIBTORCH is not set; run `cargo xtask libtorch`");
    };
    // What xtask links shows its origin as `home`; a libtorch of the user's own is its own origin.
    let origin = [home.join("home/lib"), home.join("lib")].into_iter().find(|folder| folder.exists());
    let folder = origin.and_then(|folder| fs::canonicalize(folder).ok()).unwrap_or_default();
    let library = folder.join("libtorch_cpu.so");
    if !library.exists() {
        return println!("cargo::error=no libtorch in {}; run `cargo xtask libtorch`", home.display());
    }
    // The stub is written anew whenever xtask links another libtorch.
    watch(&home.join("lib/libtorch.so"));
    watch(&library);
    println!("cargo::rustc-link-arg=-Wl,--disable-new-dtags,-rpath,{}", folder.display());
    let wheels = folder.join("../../nvidia/cu13/lib");
    if wheels.exists() {
        println!("cargo::rustc-link-arg=-Wl,-rpath-link,{}", wheels.display());
    }
}

/// FNV-1a, 128 bits, over the lock file and the sources that can change a manifest or a score.
fn code_hash(root: &Path) -> u128 {
    let mut paths = vec![root.join("Cargo.lock")];
    for entry in fs::read_dir(root.join("src")).into_iter().flatten().flatten() {
        if !WITHOUT_EFFECT.iter().any(|part| entry.file_name() == *part) {
            collect(&entry.path(), &mut paths);
        }
    }
    // Words that methods ask with are part of what they are.
    collect(&root.join("benchmarks/prompts"), &mut paths);
    paths.sort();
    let mut hash = 0x6c62_272e_07bb_0142_62b8_2175_6295_c58d;
    for path in paths {
        let name = path.strip_prefix(root).unwrap_or(&path).to_string_lossy();
        let Ok(content) = fs::read(&path) else { continue };
        for part in [name.as_bytes(), &content.len().to_le_bytes(), &content] {
            hash = part.iter().fold(hash, |hash, &byte| {
                (hash ^ u128::from(byte)).wrapping_mul(0x100_0000_0000_0000_0000_013b)
            });
        }
    }
    hash
}

fn collect(path: &Path, paths: &mut Vec<PathBuf>) {
    match fs::read_dir(path) {
        Ok(entries) => entries.flatten().for_each(|entry| collect(&entry.path(), paths)),
        Err(_) if path.is_file() => paths.push(path.to_path_buf()),
        Err(_) => {}
    }
}

/// Twelve digits of the commit, `-dirty` if tracked files differ from it, `unknown` outside git.
fn git_revision(root: &Path) -> String {
    let git = |args: &[&str]| {
        let mut git = Command::new("git");
        git.arg("-C").arg(root).args(args).env("GIT_OPTIONAL_LOCKS", "0");
        let output = git.output().ok()?;
        let text = String::from_utf8_lossy(&output.stdout).trim().to_owned();
        output.status.success().then_some(text)
    };
    let Some(revision) = git(&["rev-parse", "--short=12", "HEAD"]) else { return "unknown".into() };
    let branch = git(&["symbolic-ref", "--quiet", "HEAD"]);
    for file in ["HEAD", "logs/HEAD", "packed-refs"].into_iter().chain(branch.as_deref()) {
        // A worktree keeps some of these in its own folder and some in the common one; git knows which.
        if let Some(path) = git(&["rev-parse", "--git-path", file]) {
            watch(&root.join(path));
        }
    }
    let is_clean = git(&["diff", "--quiet", "HEAD", "--"]).is_some();
    if is_clean { revision } else { format!("{revision}-dirty") }
}
