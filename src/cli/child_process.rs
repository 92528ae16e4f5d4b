//! A program beside ours that is asked by lines and answers in JSON, such as the Python half of a benchmark.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use anyhow::{Context, Result, bail, ensure};
use serde::de::DeserializeOwned;

/// A running program; dropped, it ends.
pub struct Partner {
    process: Child,
    /// Taken away to end the process, which takes its workers with it.
    requests: Option<ChildStdin>,
    answers: BufReader<ChildStdout>,
}

impl Partner {
    /// Starts `command` and reads its first answer, which says that it is ready. `remedy` says what to do where it
    /// cannot run.
    pub fn start<T: DeserializeOwned>(command: &mut Command, remedy: &str) -> Result<(Partner, T)> {
        let name = command.get_program().to_string_lossy().into_owned();
        let mut process = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .with_context(|| format!("cannot run {name}; name a Python with --python"))?;
        let requests = process.stdin.take();
        let answers = BufReader::new(process.stdout.take().context("it has no standard output")?);
        let mut partner = Partner { process, requests, answers };
        let ready = partner.answer().with_context(|| format!("{name} cannot run it: {remedy}"))?;
        Ok((partner, ready))
    }

    /// Asks one line.
    ///
    /// # Errors
    /// What the program says went wrong, or that it has ended.
    pub fn ask<T: DeserializeOwned>(&mut self, request: &str) -> Result<T> {
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

impl Drop for Partner {
    fn drop(&mut self) {
        self.requests = None;
        let _ = self.process.wait();
    }
}
