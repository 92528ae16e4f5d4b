//! A child process that takes requests by line and answers in JSON, such as the Python half of a benchmark.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use anyhow::{Context, Result, bail, ensure};
use serde::de::DeserializeOwned;

/// A running program; dropped, it ends.
pub(super) struct ChildProcess {
    process: Child,
    /// Taken away to end the process, which takes its workers with it.
    requests: Option<ChildStdin>,
    answers: BufReader<ChildStdout>,
}

impl ChildProcess {
    /// Starts `command` and reads its first answer, which says that it is ready. `remedy` says what to do where it
    /// cannot run.
    pub(super) fn start<T: DeserializeOwned>(
        command: &mut Command,
        remedy: &str,
    ) -> Result<(ChildProcess, T)> {
        let name = command.get_program().to_string_lossy().into_owned();
        let mut process = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .with_context(|| format!("cannot run {name}; name a Python with --python"))?;
        let requests = process.stdin.take();
        let answers = BufReader::new(process.stdout.take().context("it has no standard output")?);
        let mut child = ChildProcess { process, requests, answers };
        let ready = child.answer().with_context(|| format!("{name} cannot run it: {remedy}"))?;
        Ok((child, ready))
    }

    /// Asks one line.
    ///
    /// # Errors
    /// What the program says went wrong, or that it has ended.
    pub(super) fn ask<T: DeserializeOwned>(&mut self, request: &str) -> Result<T> {
        let requests = self.requests.as_mut().context("the other program has ended")?;
        writeln!(requests, "{request}").context("the other program has ended")?;
        self.answer()
    }

    fn answer<T: DeserializeOwned>(&mut self) -> Result<T> {
        let mut line = String::new();
        self.answers.read_line(&mut line).context("the other program's answer is no text")?;
        ensure!(!line.is_empty(), "the other program has ended; its reason stands above");
        let odd = || format!("the other program's answer is `{}`", line.trim_end());
        let answer: serde_json::Value = serde_json::from_str(&line).with_context(odd)?;
        if let Some(error) = answer.get("error") {
            bail!("the other program fails: {}", error.as_str().unwrap_or_default());
        }
        serde_json::from_value(answer).with_context(odd)
    }
}

impl Drop for ChildProcess {
    fn drop(&mut self) {
        self.requests = None;
        let _ = self.process.wait();
    }
}
