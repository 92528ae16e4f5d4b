//! Weights fetched from a server that breaks off, ignores ranges, refuses, or serves another file.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

use medfsad::files;
use tempfile::TempDir;

use super::{fails, installed, succeeds};

/// How a server treats its clients.
#[derive(Clone, Copy, PartialEq)]
enum Manner {
    Plain,
    /// Closes each connection after as many bytes.
    Breaks(usize),
    /// Sends everything, whatever part is asked for.
    DeafToRanges,
    Refuses,
}

/// Serves one file until the test ends; remembers which bytes were asked for.
struct Server {
    address: String,
    asked: Arc<Mutex<Vec<Option<usize>>>>,
}

fn serve(content: Vec<u8>, manner: Manner) -> Server {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = format!("http://{}", listener.local_addr().expect("an address"));
    let asked = Arc::new(Mutex::new(Vec::new()));
    let seen = asked.clone();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            answer(stream.expect("a client"), &content, manner, &seen);
        }
    });
    Server { address, asked }
}

fn answer(mut stream: TcpStream, content: &[u8], manner: Manner, seen: &Mutex<Vec<Option<usize>>>) {
    let mut from = None;
    for line in BufReader::new(stream.try_clone().expect("a stream")).lines() {
        let line = line.expect("a line").to_lowercase();
        if let Some(range) = line.strip_prefix("range: bytes=") {
            from = range.trim_end_matches('-').parse().ok();
        }
        if line.is_empty() {
            break;
        }
    }
    seen.lock().expect("a list").push(from);
    let start = if manner == Manner::DeafToRanges { 0 } else { from.unwrap_or(0) };
    let total = content.len();
    let head = match start {
        _ if manner == Manner::Refuses => "404 Not Found\r\nContent-Length: 0".to_owned(),
        0 => format!("200 OK\r\nContent-Length: {total}"),
        _ if start >= total => "416 Range Not Satisfiable\r\nContent-Length: 0".to_owned(),
        _ => format!(
            "206 Partial Content\r\nContent-Length: {}\r\nContent-Range: bytes {start}-{}/{total}",
            total - start,
            total - 1
        ),
    };
    // A client that has what it wants may be gone.
    let _ = write!(stream, "HTTP/1.1 {head}\r\nConnection: close\r\n\r\n");
    if head.starts_with('2') {
        let end = match manner {
            Manner::Breaks(after) => total.min(start + after),
            _ => total,
        };
        let _ = stream.write_all(&content[start..end]);
    }
    let _ = stream.shutdown(std::net::Shutdown::Write);
    let _ = stream.read(&mut [0]);
}

fn content() -> Vec<u8> {
    (0..300_000_u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 13) as u8).collect()
}

#[test]
fn a_fetch_goes_on_where_connections_broke() {
    let (home, content) = (TempDir::new().unwrap(), content());
    let server = serve(content.clone(), Manner::Breaks(90_000));
    let url = format!("{}/some-{}.pth", server.address, &files::sha256(&content)[..8]);
    succeeds(home.path(), &["fetch", &url, "--name", "some"]);
    assert_eq!(std::fs::read(installed(&home, "some.pth")).unwrap(), content);
    let asked = server.asked.lock().unwrap().clone();
    assert_eq!(asked, [None, Some(90_000), Some(180_000), Some(270_000)]);
    // Once it is there, nobody is asked again.
    assert!(succeeds(home.path(), &["fetch", &url, "--name", "some"]).contains("installed already"));
    assert_eq!(server.asked.lock().unwrap().len(), 4);
}

#[test]
fn a_killed_fetch_goes_on_and_a_strange_beginning_is_dropped() {
    let content = content();
    let hash = files::sha256(&content);
    let beginnings: [(&[u8], Manner); 5] = [
        (&content[..1000], Manner::Plain),
        (&content[..1000], Manner::DeafToRanges),
        (&content, Manner::Plain),
        (&[7; 1000], Manner::Plain),
        (&vec![7; 400_000], Manner::Plain),
    ];
    for (beginning, manner) in beginnings {
        let home = TempDir::new().unwrap();
        let server = serve(content.clone(), manner);
        std::fs::create_dir_all(installed(&home, "")).unwrap();
        std::fs::write(installed(&home, "a.fetched.part"), beginning).unwrap();
        let url = format!("{}/a.safetensors", server.address);
        succeeds(home.path(), &["fetch", &url, "--sha256", &hash]);
        assert_eq!(std::fs::read(installed(&home, "a.safetensors")).unwrap(), content);
        assert_eq!(server.asked.lock().unwrap()[0], Some(beginning.len()));
        assert_eq!(std::fs::read_dir(installed(&home, "")).unwrap().count(), 1);
    }
}

#[test]
fn what_is_not_the_file_is_not_installed() {
    let home = TempDir::new().unwrap();
    let server = serve(content(), Manner::Plain);
    let at = |name: &str| format!("{}/{name}", server.address);
    fails(home.path(), &["fetch", &at("a-00000000.pth")], &["should begin with 00000000", "removed"]);
    fails(home.path(), &["fetch", &at("a.pth")], &["--sha256"]);
    fails(home.path(), &["fetch", &at("a.zip"), "--sha256", "0123456789"], &["safetensors"]);
    fails(home.path(), &["fetch", "resnet18-v9"], &["weights list"]);
    let mirror = ["fetch", "resnet18-v1", "--mirror", &server.address];
    fails(home.path(), &mirror, &["resnet18-f37072fd.pth", "should begin with f37072fd"]);
    let hash = files::sha256(&content());
    let misfit = ["fetch", &at("a.pth"), "--sha256", &hash, "--network", "resnet18"];
    fails(home.path(), &misfit, &["does not fit resnet18"]);
    let refusing = serve(Vec::new(), Manner::Refuses);
    fails(home.path(), &["fetch", &format!("{}/a-00000000.pth", refusing.address)], &["status 404"]);
    assert!(succeeds(home.path(), &["show"]).contains("nothing is installed"));
}
