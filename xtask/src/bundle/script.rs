//! The script that runs the program of a bundle on a machine that it does not know.

use super::glibc::Glibc;
use crate::libtorch;

const SCRIPT: &str = include_str!("medfsad.sh");

/// The script for a program that needs this glibc or a newer one.
pub(super) fn script(glibc: Glibc) -> String {
    SCRIPT.replace("@TORCH@", libtorch::VERSION).replace("@GLIBC@", &glibc.to_string())
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::io::Write;
    use std::os::unix::fs::{PermissionsExt, symlink};
    use std::path::{Path, PathBuf};
    use std::process::{Command, Stdio};

    use super::*;
    use crate::bundle::tests::scratch;
    use crate::programs;

    /// A program that a test calls. Another process writes it: one of ours that starts while the file is open
    /// for writing would keep it busy.
    fn write_program(path: &Path, text: &str) {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        let mut writer = Command::new("sh")
            .args(["-c", "cat >\"$1\" && chmod 755 \"$1\"", "sh"])
            .arg(path)
            .stdin(Stdio::piped())
            .spawn()
            .unwrap();
        writer.stdin.take().unwrap().write_all(format!("#!/bin/sh\n{text}\n").as_bytes()).unwrap();
        assert!(writer.wait().unwrap().success());
    }

    /// A machine with a bundle, a Python with torch 2.11.0+cu130, a driver, and nothing else.
    struct Machine {
        root: PathBuf,
        /// Beyond PATH, the whole environment.
        variables: Vec<(String, String)>,
        folder: PathBuf,
        called: PathBuf,
    }

    /// What a call gave.
    struct Given {
        code: Option<i32>,
        out: String,
        err: String,
    }

    impl Machine {
        fn new(name: &str) -> Machine {
            let root = scratch(name);
            let called = root.join("a bundle/medfsad");
            let machine = Machine { folder: root.join("elsewhere"), root, variables: Vec::new(), called };
            let driver = machine.path("driver");
            let text = script(Glibc(2, 31)).replace("/proc/driver/nvidia/version", &driver);
            write_program(&machine.called, text.strip_prefix("#!/bin/sh\n").unwrap());
            write_program(
                &machine.root.join("a bundle/bin/medfsad"),
                "printf '[%s]' \"$@\"; echo\necho \"$LD_LIBRARY_PATH\"\necho \"$MEDFSAD_HOME\"\npwd",
            );
            machine.tool("uname", "case $1 in -s) echo Linux ;; -m) echo x86_64 ;; esac");
            machine.tool("getconf", "[ \"$1\" = GNU_LIBC_VERSION ] && echo glibc 2.36");
            symlink(programs::which("readlink").unwrap(), machine.root.join("tools/readlink")).unwrap();
            machine.python("python3", "2.11.0+cu130");
            fs::create_dir_all(&machine.folder).unwrap();
            for file in [
                "driver",
                "site packages/torch/lib/libtorch_cpu.so",
                "site packages/torch/lib/libtorch_cuda.so",
                "site packages/nvidia/cu13/lib/libcudart.so.13",
                "site packages/nvidia/cudnn/lib/libcudnn.so.9",
                "site packages/nvidia/cudnn/include/cudnn.h",
            ] {
                machine.file(file, "");
            }
            machine
        }

        fn path(&self, below: &str) -> String {
            self.root.join(below).display().to_string()
        }

        fn file(&self, below: &str, text: &str) {
            let path = self.root.join(below);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }

        fn remove(&self, below: &str) {
            fs::remove_file(self.root.join(below)).unwrap();
        }

        fn tool(&self, name: &str, text: &str) {
            write_program(&self.root.join("tools").join(name), text);
        }

        /// A Python that answers about its torch as a real one would, and only from the root folder.
        fn python(&self, name: &str, version: &str) {
            let home = self.path("site packages/torch");
            let text = format!("[ \"$1\" = -c ] && [ \"$(pwd)\" = / ] && echo '{version}' && echo '{home}'");
            self.tool(name, &text);
        }

        fn set(mut self, name: &str, value: &str) -> Machine {
            self.variables.push((name.into(), value.into()));
            self
        }

        fn call(&self, args: &[&str]) -> Given {
            let mut command = Command::new(&self.called);
            command.args(args).current_dir(&self.folder).env_clear().env("PATH", self.root.join("tools"));
            let output = command.envs(self.variables.iter().cloned()).output().unwrap();
            let text = |bytes| String::from_utf8_lossy(bytes).into_owned();
            Given { code: output.status.code(), out: text(&output.stdout), err: text(&output.stderr) }
        }

        /// Calls it and checks that it runs; gives the lines that the program wrote.
        fn runs(&self, args: &[&str]) -> Vec<String> {
            let given = self.call(args);
            assert_eq!((given.code, given.err.as_str()), (Some(0), ""), "{}", given.out);
            given.out.lines().map(str::to_owned).collect()
        }

        /// Calls it and checks that it is refused in these words, in one line.
        fn refuses(&self, args: &[&str], words: &[&str]) {
            let Given { code, out, err } = self.call(args);
            assert_eq!((code, out.as_str()), (Some(3), ""), "{err}");
            assert!(err.starts_with("error: ") && err.lines().count() == 1, "{err}");
            for word in words {
                assert!(err.contains(word), "`{word}` is not in: {err}");
            }
        }
    }

    impl Drop for Machine {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.root);
        }
    }

    const INSTALL: &str = "python3 -m pip install torch==2.11.0";

    #[test]
    fn every_placeholder_is_filled() {
        let text = script(Glibc(2, 31));
        assert!(text.contains("\nglibc=2.31\n") && text.contains("\ntorch=2.11.0\n"), "{text}");
        assert!(!text.contains("@GLIBC@") && !text.contains("@TORCH@"));
    }

    #[test]
    fn the_right_torch_runs_with_its_libraries_first_and_arguments_as_they_are() {
        let machine = Machine::new("right");
        let lines = machine.runs(&["score", "--out", "two words", "", "*"]);
        assert_eq!(lines[0], "[score][--out][two words][][*]");
        let site = machine.path("site packages");
        let libraries = format!("{site}/torch/lib:{site}/nvidia/cu13/lib:{site}/nvidia/cudnn/lib");
        assert_eq!(lines[1], libraries);
        assert_eq!(lines[3], machine.path("elsewhere"), "the current folder stays");
        let machine = machine.set("LD_LIBRARY_PATH", "/mine:/too");
        assert_eq!(machine.runs(&["doctor"])[1], format!("{libraries}:/mine:/too"));
        fs::remove_dir_all(machine.root.join("site packages/nvidia")).unwrap();
        assert_eq!(machine.runs(&["doctor"])[1], format!("{site}/torch/lib:/mine:/too"));
    }

    #[test]
    fn a_failing_program_passes_its_code_on() {
        let machine = Machine::new("failing");
        write_program(&machine.root.join("a bundle/bin/medfsad"), "exit 42");
        assert_eq!(machine.call(&["bench"]).code, Some(42));
    }

    #[test]
    fn it_is_called_through_links_from_anywhere() {
        let mut machine = Machine::new("linked");
        symlink("../a bundle/medfsad", machine.root.join("elsewhere/one")).unwrap();
        symlink(machine.root.join("elsewhere/one"), machine.root.join("tools/two")).unwrap();
        for called in [machine.root.join("tools/two"), "./one".into(), "../a bundle/medfsad".into()] {
            machine.called = called;
            let lines = machine.runs(&["bench"]);
            assert_eq!(
                (&*lines[0], &lines[2]),
                ("[bench]", &machine.path("a bundle")),
                "{:?}",
                machine.called
            );
        }
    }

    #[test]
    fn results_go_to_the_bundle_where_it_can_be_written_to() {
        let machine = Machine::new("home");
        assert_eq!(machine.runs(&["bench"])[2], machine.path("a bundle"));
        let bundle = machine.root.join("a bundle");
        fs::set_permissions(&bundle, fs::Permissions::from_mode(0o555)).unwrap();
        if fs::write(bundle.join("probe"), "").is_ok() {
            // An administrator may write anywhere, so the answer is put into the script.
            let (text, question) = (fs::read_to_string(&machine.called).unwrap(), "[ ! -w \"$here\" ]");
            assert!(text.contains(question), "{text}");
            let text = text.replace(question, "true");
            write_program(&machine.called, text.strip_prefix("#!/bin/sh\n").unwrap());
        }
        assert_eq!(machine.runs(&["bench"])[2], machine.path("elsewhere"));
        fs::set_permissions(&bundle, fs::Permissions::from_mode(0o755)).unwrap();
        assert_eq!(machine.set("MEDFSAD_HOME", "/my home").runs(&["bench"])[2], "/my home");
    }

    #[test]
    fn the_second_python_is_taken_where_the_first_does_not_fit() {
        let machine = Machine::new("second");
        machine.python("python", "2.11.0");
        for first in ["echo 2.4.1; echo /old", "exit 1"] {
            machine.tool("python3", first);
            let libraries = machine.runs(&["bench"])[1].clone();
            assert!(libraries.starts_with(&machine.path("site packages/torch/lib")), "{libraries}");
        }
    }

    #[test]
    fn the_users_own_python_is_the_only_one_asked() {
        let mut machine = Machine::new("own").set("MEDFSAD_PYTHON", "./my python");
        write_program(&machine.folder.join("my python"), "echo 2.4.1; echo /old");
        machine.refuses(
            &["bench"],
            &["./my python has torch 2.4.1", "./my python -m pip install torch==2.11.0"],
        );
        let home = machine.path("site packages/torch");
        write_program(&machine.folder.join("my python"), &format!("echo 2.11.0; echo '{home}'"));
        machine.remove("tools/python3");
        machine.runs(&["bench"]);
        for wrong in ["./no python", "/tmp"] {
            machine.variables.clear();
            machine = machine.set("MEDFSAD_PYTHON", wrong);
            machine.python("python3", "2.11.0");
            machine
                .refuses(&["bench"], &["no Python is found", &format!("MEDFSAD_PYTHON={wrong}"), "unset it"]);
        }
    }

    #[test]
    fn without_a_python_torch_is_asked_for() {
        let machine = Machine::new("no-python");
        machine.remove("tools/python3");
        machine.refuses(&["bench"], &["no Python is found", "python3 or python", INSTALL, "MEDFSAD_PYTHON="]);
    }

    #[test]
    fn a_python_without_torch_is_refused() {
        let machine = Machine::new("no-torch");
        machine.tool("python3", "echo 'No package metadata was found for torch' >&2; exit 1");
        machine.refuses(&["bench"], &["python3 has no torch", INSTALL, "MEDFSAD_PYTHON="]);
    }

    #[test]
    fn another_torch_is_refused_by_its_version() {
        let machine = Machine::new("another");
        for version in ["2.4.1", "2.11.1+cu130", "2.11.0.1", "2.11", "12.11.0"] {
            machine.python("python3", version);
            machine
                .refuses(&["bench"], &[&format!("python3 has torch {version};"), INSTALL, "MEDFSAD_PYTHON="]);
        }
        machine.tool("python", "exit 1");
        machine.refuses(&["bench"], &["python3 has torch 12.11.0, python has no torch;"]);
    }

    #[test]
    fn a_torch_without_its_library_is_refused() {
        let machine = Machine::new("no-library");
        machine.remove("site packages/torch/lib/libtorch_cpu.so");
        let lib = machine.path("site packages/torch/lib");
        let reason = format!("{lib} has no libtorch_cpu.so");
        machine.refuses(&["bench"], &[&reason, "python3 -m pip install --force-reinstall torch==2.11.0"]);
    }

    #[test]
    fn an_older_glibc_is_refused_by_number() {
        let machine = Machine::new("glibc");
        for version in ["2.9", "2.30", "2.30.9000", "1.99"] {
            machine.tool("getconf", &format!("echo glibc {version}"));
            let reason = format!("has glibc {version}, and bin/medfsad needs glibc 2.31 or newer");
            machine.refuses(&["bench"], &[&reason, "build medfsad there from source"]);
        }
        for version in ["2.31", "2.31.9000", "2.100", "3.0"] {
            machine.tool("getconf", &format!("echo glibc {version}"));
            machine.runs(&["bench"]);
        }
        machine.tool("getconf", "exit 1");
        machine.refuses(&["bench"], &["has no glibc", "needs glibc 2.31", "container"]);
        machine.remove("tools/getconf");
        machine.runs(&["bench"]);
    }

    #[test]
    fn another_kind_of_machine_is_refused() {
        let machine = Machine::new("kind");
        for (system, processor) in [("Darwin", "x86_64"), ("Linux", "aarch64")] {
            machine.tool("uname", &format!("case $1 in -s) echo {system} ;; -m) echo {processor} ;; esac"));
            machine
                .refuses(&["bench"], &[&format!("{system} {processor}"), "Linux x86_64 only", "from source"]);
        }
    }

    const ASKING_FOR_CUDA: &[&[&str]] = &[
        &["bench", "--device", "cuda"],
        &["bench", "--device", "cuda:1", "--threads", "2"],
        &["bench", "--device=cuda"],
        &["bench", "--device=cuda:0"],
    ];

    const ASKING_FOR_NONE: &[&[&str]] = &[
        &["bench", "--device", "cpu", "cuda"],
        &["bench", "--device=auto"],
        &["bench", "--out", "cuda", "--device"],
        &["bench", "cuda", "--device cuda"],
    ];

    #[test]
    fn cuda_needs_a_driver() {
        let machine = Machine::new("no-driver");
        ASKING_FOR_CUDA.iter().for_each(|args| drop(machine.runs(args)));
        machine.remove("driver");
        for args in ASKING_FOR_CUDA {
            machine
                .refuses(args, &["no NVIDIA driver", &machine.path("driver"), "install it", "--device cpu"]);
        }
        ASKING_FOR_NONE.iter().for_each(|args| drop(machine.runs(args)));
    }

    #[test]
    fn cuda_needs_the_cuda_wheel() {
        let machine = Machine::new("cpu-wheel");
        machine.remove("site packages/torch/lib/libtorch_cuda.so");
        let pip = "get the CUDA wheel from PyPI: python3 -m pip install --force-reinstall torch==2.11.0";
        let wheel = format!("{pip} --index-url https://pypi.org/simple");
        for args in ASKING_FOR_CUDA {
            machine.refuses(args, &["no libtorch_cuda.so", "for CPUs only", &wheel, "--device cpu"]);
        }
        ASKING_FOR_NONE.iter().for_each(|args| drop(machine.runs(args)));
    }

    #[test]
    fn a_libtorch_of_the_users_own_comes_first() {
        let machine = Machine::new("libtorch").set("LIBTORCH", "my libtorch");
        machine.refuses(&["bench"], &["no folder LIBTORCH=my libtorch", "2.11.0", "unset it"]);
        machine.file("elsewhere/my libtorch/include/torch.h", "");
        machine.refuses(&["bench"], &["my libtorch/lib has no libtorch_cpu.so", "LIBTORCH"]);
        machine.file("elsewhere/my libtorch/lib/libtorch_cpu.so", "");
        machine.remove("tools/python3");
        let states = [
            ("version.py", "2.4.1+cpu", "a = 1\n__version__ = '2.4.1+cpu'\ndebug = False\n"),
            ("build-version", "2.10.0+cu130", "2.10.0+cu130\n"),
        ];
        for (file, version, text) in states {
            let file = format!("elsewhere/my libtorch/{file}");
            machine.file(&file, text);
            let reason = format!("LIBTORCH=my libtorch is torch {version}");
            machine.refuses(&["bench"], &[&reason, "exactly 2.11.0", "unset it"]);
            machine.file(&file, &text.replace(version, "2.11.0+cu130"));
            assert_eq!(machine.runs(&["bench"])[1], machine.path("elsewhere/my libtorch/lib"));
        }
        let with_cuda = "set LIBTORCH to the folder of one with CUDA";
        machine.refuses(&["bench", "--device", "cuda"], &["libtorch_cuda.so", with_cuda]);
    }
}
