//! Files fetched over HTTP: in parts that go on where they stopped, and kept only if their hash is right.

use std::fs;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use indicatif::ProgressBar;
use ureq::{Agent, Body, http};

use crate::{files, progress};

/// Attempts that bring nothing new before we give up.
const ATTEMPTS: usize = 4;

/// Fetches `url` to `to`, unless it is there, by way of `<to>.part`, from which a later call goes on.
///
/// # Errors
/// A server that cannot be reached or refuses, or a file whose SHA-256 does not begin with `sha256_prefix`; that one
/// is removed.
pub fn fetch(url: &str, to: &Path, sha256_prefix: &str) -> Result<()> {
    let what = || format!("fetching {url}");
    if to.exists() && files::sha256_of(&[to.to_owned()])?.0.starts_with(sha256_prefix) {
        return Ok(());
    }
    let part = part_path(to);
    if let Some(folder) = to.parent() {
        fs::create_dir_all(folder).with_context(|| format!("making {}", folder.display()))?;
    }
    let mut was_partial = length(&part) > 0;
    loop {
        receive(url, &part).with_context(what)?;
        let (sha256, bytes) = files::sha256_of(std::slice::from_ref(&part))?;
        if sha256.starts_with(sha256_prefix) {
            break;
        }
        files::remove_if_there(&part)?;
        // What lay there may have been the beginning of something else.
        ensure!(
            was_partial,
            "{url} sent {bytes} bytes with SHA-256 {sha256:.16}..., which should begin with {sha256_prefix}: another \
             file, or one changed on the way; it was removed"
        );
        was_partial = false;
    }
    fs::rename(&part, to).with_context(|| format!("renaming {} to {}", part.display(), to.display()))
}

fn part_path(to: &Path) -> PathBuf {
    let mut name = to.file_name().unwrap_or_default().to_owned();
    name.push(".part");
    to.with_file_name(name)
}

fn length(path: &Path) -> u64 {
    fs::metadata(path).map_or(0, |meta| meta.len())
}

/// Brings `part` to its full length, over as many connections as it takes.
fn receive(url: &str, part: &Path) -> Result<()> {
    let config = Agent::config_builder()
        .http_status_as_error(false)
        .user_agent(concat!("medfsad/", env!("CARGO_PKG_VERSION")))
        .timeout_connect(Some(Duration::from_secs(30)))
        .timeout_recv_response(Some(Duration::from_secs(60)));
    let agent = Agent::new_with_config(config.build());
    let mut fruitless = 0;
    loop {
        let before = length(part);
        let error = match connection(&agent, url, part) {
            Ok(()) => return Ok(()),
            Err(Stop::ForGood(error)) => return Err(error),
            Err(Stop::ForNow(error)) => error,
        };
        fruitless = if length(part) > before { 0 } else { fruitless + 1 };
        if fruitless == ATTEMPTS {
            return Err(error).with_context(|| {
                format!(
                    "{ATTEMPTS} attempts in a row brought nothing; {before} bytes are kept, call again to go on"
                )
            });
        }
        std::thread::sleep(Duration::from_millis(200 << fruitless));
    }
}

/// Why a connection ended before the file did.
enum Stop {
    ForNow(anyhow::Error),
    ForGood(anyhow::Error),
}

fn connection(agent: &Agent, url: &str, part: &Path) -> Result<(), Stop> {
    let have = length(part);
    let mut request = agent.get(url);
    if have > 0 {
        request = request.header("Range", format!("bytes={have}-"));
    }
    let response = request.call().map_err(|error| match error {
        ureq::Error::Io(_)
        | ureq::Error::Timeout(_)
        | ureq::Error::HostNotFound
        | ureq::Error::ConnectionFailed => Stop::ForNow(error.into()),
        other => Stop::ForGood(other.into()),
    })?;
    let from = match response.status().as_u16() {
        200 => Ok(0),
        206 => start_of(&response).filter(|&start| start == have).with_context(|| {
            format!("the server was asked for what follows {have} bytes and sent another part")
        }),
        // Nothing follows what we have; the hash tells whether that is the file.
        416 if have > 0 => return Ok(()),
        status @ (429 | 500..=599) => {
            return Err(Stop::ForNow(anyhow::anyhow!("the server answers with status {status}")));
        }
        status => Err(anyhow::anyhow!("the server answers with status {status}")),
    };
    let from = from.map_err(Stop::ForGood)?;
    save(response, part, from).map_err(Stop::ForNow)
}

/// The first byte of a partial answer, from `Content-Range: bytes 5-9/10`.
fn start_of(response: &http::Response<Body>) -> Option<u64> {
    let range = response.headers().get("content-range")?.to_str().ok()?;
    range.strip_prefix("bytes ")?.split('-').next()?.parse().ok()
}

fn save(response: http::Response<Body>, part: &Path, from: u64) -> Result<()> {
    let follows = response.body().content_length();
    let mut file =
        fs::OpenOptions::new().create(true).append(from > 0).write(true).truncate(from == 0).open(part)?;
    let bar = progress::bytes(follows.map(|follows| from + follows), from, "fetching");
    let received = copy(&mut response.into_body().into_reader(), &mut file, &bar);
    bar.finish_and_clear();
    let received = received?;
    file.sync_all()?;
    ensure!(follows.is_none_or(|follows| follows == received), "the connection ended after {received} bytes");
    Ok(())
}

/// Copies to the end; says how many bytes.
fn copy(reader: &mut impl Read, file: &mut fs::File, bar: &ProgressBar) -> Result<u64> {
    let (mut chunk, mut received) = (vec![0; 1 << 17], 0);
    loop {
        let n = match reader.read(&mut chunk) {
            Ok(0) => return Ok(received),
            Ok(n) => n,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => bail!("the connection broke after {received} bytes: {error}"),
        };
        file.write_all(&chunk[..n])?;
        received += n as u64;
        bar.inc(n as u64);
    }
}
