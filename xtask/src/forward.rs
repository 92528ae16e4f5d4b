//! Building medfsad and handing over to it.

use std::ffi::OsString;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use anyhow::{Context, Result, ensure};

use crate::{environment, libtorch, programs};

/// A command of the medfsad program.
pub(crate) struct Forwarded {
    pub name: &'static str,
    pub about: &'static str,
    /// Whether it runs networks; the others also build without libtorch.
    pub needs_libtorch: bool,
    /// The list of packages of the Python that it is given as --python, unless the user names one.
    pub python: Option<&'static str>,
}

/// In the order in which a newcomer meets them.
pub(crate) const COMMANDS: &[Forwarded] = &[
    Forwarded {
        name: "init",
        about: "your own folders -> the two files that a benchmark of them needs",
        needs_libtorch: false,
        python: None,
    },
    Forwarded {
        name: "build-dataset",
        about: "raw folders (or a phantom) -> a curated benchmark",
        needs_libtorch: false,
        python: None,
    },
    Forwarded {
        name: "audit",
        about: "leaks, copies, shortcuts, personal data in a curated benchmark; fails when a gate fails",
        needs_libtorch: false,
        python: None,
    },
    Forwarded {
        name: "bench",
        about: "episodes -> fit -> score -> measure -> report",
        needs_libtorch: true,
        python: None,
    },
    Forwarded {
        name: "plan",
        about: "the cells of a bench as a table, for other engines",
        needs_libtorch: true,
        python: None,
    },
    Forwarded { name: "run-cell", about: "compute planned cells", needs_libtorch: true, python: None },
    Forwarded {
        name: "collect",
        about: "the report of a planned run from the cells that are there",
        needs_libtorch: true,
        python: None,
    },
    Forwarded {
        name: "train",
        about: "D2-4FAD on folders of normal pictures -> a checkpoint",
        needs_libtorch: true,
        python: None,
    },
    Forwarded {
        name: "score",
        about: "a folder of pictures against a folder of normal references -> scores, maps",
        needs_libtorch: true,
        python: None,
    },
    Forwarded {
        name: "explain",
        about: "why D2-4FAD scored pictures as it did -> a page, tables, maps",
        needs_libtorch: true,
        python: None,
    },
    Forwarded {
        name: "weights",
        about: "pretrained networks: list, fetch, import, show",
        needs_libtorch: true,
        python: None,
    },
    Forwarded {
        name: "selftest",
        about: "checks that a device computes what it should, and times it",
        needs_libtorch: true,
        python: None,
    },
    Forwarded {
        name: "bench-speed",
        about: "D2-4FAD's training steps and scoring timed against plain PyTorch",
        needs_libtorch: true,
        python: Some("benchmarks/speed/requirements.txt"),
    },
    Forwarded {
        name: "bench-ingest",
        about: "our decoding and resizing timed against Pillow and pydicom",
        needs_libtorch: false,
        python: Some("benchmarks/ingest/requirements.txt"),
    },
    Forwarded {
        name: "report",
        about: "redraw or join reports from stored results",
        needs_libtorch: false,
        python: None,
    },
    Forwarded {
        name: "compare",
        about: "two runs or methods on the same pictures; fails if the first is worse",
        needs_libtorch: false,
        python: None,
    },
    Forwarded {
        name: "curve",
        about: "numbers and ranks under the choices of evaluation that papers make",
        needs_libtorch: false,
        python: None,
    },
    Forwarded {
        name: "studies",
        about: "a run's slice scores as numbers of studies, under several aggregators",
        needs_libtorch: false,
        python: None,
    },
    Forwarded {
        name: "import-scores",
        about: "scores of another program -> cells of a run",
        needs_libtorch: false,
        python: None,
    },
    Forwarded {
        name: "seal",
        about: "a run's scores and settings under one hash, before labels are opened",
        needs_libtorch: false,
        python: None,
    },
    Forwarded {
        name: "verify",
        about: "whether a run's stored results hold",
        needs_libtorch: false,
        python: None,
    },
    Forwarded {
        name: "episodes",
        about: "draw, export or verify episodes",
        needs_libtorch: false,
        python: None,
    },
    Forwarded {
        name: "methods",
        about: "the methods and what each needs",
        needs_libtorch: true,
        python: None,
    },
    Forwarded {
        name: "export",
        about: "Croissant metadata, folders in MVTec's layout, CSV",
        needs_libtorch: false,
        python: None,
    },
    Forwarded {
        name: "phantom",
        about: "a synthetic raw tree, small or in the owners' full counts",
        needs_libtorch: false,
        python: None,
    },
    Forwarded {
        name: "sources",
        about: "the data sources and their folder layouts",
        needs_libtorch: false,
        python: None,
    },
    Forwarded {
        name: "cite",
        about: "BibTeX of a run's methods and data, and of this program",
        needs_libtorch: false,
        python: None,
    },
    Forwarded {
        name: "completions",
        about: "a script that lets your shell complete the commands",
        needs_libtorch: false,
        python: None,
    },
    Forwarded {
        name: "fuzz",
        about: "damaged files of every kind; fails where one is not decoded or refused in time",
        needs_libtorch: false,
        python: None,
    },
];

/// Builds what is needed and becomes `medfsad COMMAND ARGS` in the user's folder.
pub(crate) fn run(root: &Path, command: &Forwarded, args: &[OsString]) -> Result<ExitCode> {
    if command.needs_libtorch {
        libtorch::provide(root)?;
    }
    build(root)?;
    let mut program = Command::new(program()?);
    program.arg(command.name).args(args);
    let is_own = |arg: &OsString| {
        let arg = arg.to_string_lossy();
        arg == "--python" || arg.starts_with("--python=") || arg == "--help" || arg == "-h"
    };
    if let Some(requirements) = command.python.filter(|_| !args.iter().any(is_own)) {
        program.arg("--python").arg(environment::provide(root, requirements)?);
    }
    if std::env::var_os("MEDFSAD_HOME").is_none() {
        // Benchmarks and reports lie in the repository, from wherever in it the command was called.
        program.env("MEDFSAD_HOME", root);
    }
    Err(program.exec()).with_context(|| format!("cannot run {}", program.get_program().to_string_lossy()))
}

/// With libtorch as soon as there is one, so that alternating commands builds nothing twice.
pub(crate) fn build(root: &Path) -> Result<()> {
    let status = building("build", root).status().context("cannot run cargo")?;
    ensure!(status.success(), "medfsad did not build; `cargo xtask doctor` looks for what is missing");
    Ok(())
}

/// The same program with functions of equal code stored once, which saves a megabyte and a half. Where the linker cannot
/// (it is not Rust's own, LLD), as [`build`] builds it.
pub(crate) fn build_small(root: &Path) -> Result<()> {
    build(root)?;
    let mut cargo = building("rustc", root);
    let status = cargo.args(["--", "-C", "link-arg=-Wl,--icf=all"]).status().context("cannot run cargo")?;
    if !status.success() {
        eprintln!("note: this linker does not fold equal functions; the program is larger for it");
        build(root)?;
    }
    Ok(())
}

fn building(subcommand: &str, root: &Path) -> Command {
    let mut cargo = programs::cargo();
    cargo.args([subcommand, "--release", "--package", "medfsad", "--bin", "medfsad", "--manifest-path"]);
    cargo.arg(root.join("Cargo.toml"));
    if !libtorch::is_linked(root) {
        cargo.arg("--no-default-features");
    }
    cargo
}

/// The built program: beside our own profile's folder, wherever the target folder is.
pub(crate) fn program() -> Result<PathBuf> {
    let own = std::env::current_exe().context("cannot tell where xtask itself is")?;
    let target = own.ancestors().nth(2).context("xtask is not in a target folder")?;
    Ok(target.join("release").join("medfsad"))
}
