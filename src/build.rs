//! Build script: the run path to libtorch, and what provenance needs to know about this code.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, fs};

use syn::{Attribute, Expr, Fields, Item, Lit, Member, Meta};

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
    "progress",
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
        let libtorch = link_libtorch();
        let guard = root.join("src/network/guard.cc");
        cc::Build::new().cpp(true).file(guard).compile("medfsad_guard");
        if let Some(libtorch) = libtorch {
            compile_kernels(&root.join("src/network/kernels"), &libtorch);
        }
    }
    let meanings = PathBuf::from(env::var_os("OUT_DIR").unwrap_or_default()).join("meanings.rs");
    fs::write(&meanings, meanings_of_settings(&root.join("src/method"))).expect("OUT_DIR can be written");
    println!("cargo::rustc-env=MEDFSAD_CODE_HASH={:032x}", code_hash(&root));
    println!("cargo::rustc-env=MEDFSAD_GIT_REVISION={}", git_revision(&root));
}

/// Cargo runs us again after every build while a watched file does not exist, so those are left out.
fn watch(path: &Path) {
    if path.exists() {
        println!("cargo::rerun-if-changed={}", path.display());
    }
}

/// Puts the real folder of libtorch into every program, so that they run without any variable set. That folder.
fn link_libtorch() -> Option<PathBuf> {
    println!("cargo::rerun-if-env-changed=LIBTORCH");
    let Some(home) = env::var_os("LIBTORCH").map(PathBuf::from) else {
        println!("cargo::error=LIBTORCH is not set; run `cargo xtask libtorch`");
        return None;
    };
    // What xtask links shows its origin as `home`; a libtorch of the user's own is its own origin.
    let origin = [home.join("home/lib"), home.join("lib")].into_iter().find(|folder| folder.exists());
    let folder = origin.and_then(|folder| fs::canonicalize(folder).ok()).unwrap_or_default();
    let library = folder.join("libtorch_cpu.so");
    if !library.exists() {
        println!("cargo::error=no libtorch in {}; run `cargo xtask libtorch`", home.display());
        return None;
    }
    // The stub is written anew whenever xtask links another libtorch.
    watch(&home.join("lib/libtorch.so"));
    watch(&library);
    println!("cargo::rustc-link-arg=-Wl,--disable-new-dtags,-rpath,{}", folder.display());
    let wheels = folder.join("../../nvidia/cu13/lib");
    if wheels.exists() {
        println!("cargo::rustc-link-arg=-Wl,-rpath-link,{}", wheels.display());
    }
    Some(folder)
}

/// Compiles what is written against libtorch's headers, which take half a minute: only when something changed.
fn compile_kernels(sources: &Path, libtorch: &Path) {
    let home = PathBuf::from(env::var_os("LIBTORCH").unwrap_or_default());
    let folder = PathBuf::from(env::var_os("OUT_DIR").unwrap_or_default());
    let (made, made_of) = (folder.join("libmedfsad_kernels.a"), folder.join("kernels.made-of"));
    let read = |path: &Path| fs::read_to_string(path).unwrap_or_default();
    let mut files = Vec::new();
    collect(sources, &mut files);
    files.sort();
    let text: String = files.iter().map(|file| format!("{}\n{}", file.display(), read(file))).collect();
    let settings = ["CXX", "CXXFLAGS", "OPT_LEVEL", "DEBUG"].map(env::var_os);
    let version = read(&home.join("include/torch/headeronly/version.h"));
    let now = format!("{}\n{settings:?}\n{version}\n{text}", libtorch.display());
    if made.exists() && fs::read_to_string(&made_of).is_ok_and(|then| then == now) {
        println!("cargo::rustc-link-search=native={}", folder.display());
        println!("cargo::rustc-link-lib=static=medfsad_kernels");
        return;
    }
    // Of a build that is killed halfway nothing is taken.
    let _ = fs::remove_file(&made_of);
    let mut build = cc::Build::new();
    build.cpp(true).std("c++17").warnings(false);
    build.files(files.iter().filter(|file| file.extension().is_some_and(|end| end == "cc")));
    for headers in ["include", "include/torch/csrc/api/include"] {
        build.include(home.join(headers));
    }
    build.compile("medfsad_kernels");
    fs::write(made_of, now).expect("OUT_DIR can be written");
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

/// What a method's file or folder holds: names of methods, and the settings that they share with what these mean.
#[derive(Default)]
struct OfModule {
    names: Vec<String>,
    settings: Vec<(String, String)>,
}

/// What settings mean, as an array of Rust: by method, the first sentence of the comment on each field of `Settings`. A
/// file that does not parse is left to the compiler, which says more of it.
fn meanings_of_settings(methods: &Path) -> String {
    let mut paths = Vec::new();
    collect(methods, &mut paths);
    paths.sort();
    let mut modules: BTreeMap<PathBuf, OfModule> = BTreeMap::new();
    for path in paths {
        let parsed = fs::read_to_string(&path).ok().and_then(|text| syn::parse_file(&text).ok());
        let place = path.strip_prefix(methods).unwrap_or(&path).iter().next().map(PathBuf::from);
        let (Some(file), Some(place)) = (parsed, place) else { continue };
        let module = modules.entry(place).or_default();
        for item in file.items {
            match item {
                Item::Const(constant) => module.names.extend(name_of_entry(&constant.expr)),
                Item::Struct(found) if found.ident == "Settings" => {
                    module.settings.extend(fields(&found.fields));
                }
                _ => {}
            }
        }
    }
    let of_module = |module: OfModule| {
        let named = |name: String| format!("({name:?}, &{:?}),\n", module.settings);
        module.names.into_iter().map(named).collect::<String>()
    };
    format!("&[\n{}]\n", modules.into_values().map(of_module).collect::<String>())
}

/// The name in `Entry { name: "...", .. }`.
fn name_of_entry(value: &Expr) -> Option<String> {
    let Expr::Struct(entry) = value else { return None };
    let name =
        entry.fields.iter().find(|field| matches!(&field.member, Member::Named(name) if name == "name"))?;
    entry.path.is_ident("Entry").then(|| text(&name.expr)).flatten()
}

fn text(value: &Expr) -> Option<String> {
    match value {
        Expr::Lit(literal) => match &literal.lit {
            Lit::Str(text) => Some(text.value()),
            _ => None,
        },
        _ => None,
    }
}

/// Fields that can be set, each with the first sentence of its comment.
fn fields(fields: &Fields) -> Vec<(String, String)> {
    let is_set = |attributes: &[Attribute]| {
        !attributes.iter().any(|attribute| match &attribute.meta {
            Meta::List(list) => list.tokens.to_string().contains("skip_deserializing"),
            _ => false,
        })
    };
    let one = |field: &syn::Field| Some((field.ident.as_ref()?.to_string(), first_sentence(&field.attrs)));
    fields.iter().filter(|field| is_set(&field.attrs)).filter_map(one).collect()
}

/// The first sentence of a comment, without the brackets of links and without its full stop.
fn first_sentence(attributes: &[Attribute]) -> String {
    let line = |attribute: &Attribute| match &attribute.meta {
        Meta::NameValue(pair) if pair.path.is_ident("doc") => text(&pair.value),
        _ => None,
    };
    let lines: Vec<String> = attributes.iter().filter_map(line).map(|line| line.trim().to_owned()).collect();
    let whole = lines.join(" ").replace("[`", "`").replace("`]", "`");
    let is_end = |at: usize| whole[at + 2..].starts_with(char::is_uppercase);
    let end = whole.match_indices(". ").map(|(at, _)| at).find(|at| is_end(*at));
    whole[..end.unwrap_or(whole.len())].trim_end_matches('.').to_owned()
}
