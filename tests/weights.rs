//! Pretrained networks in the user's folder: imported, listed, found by name.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::{Command, Output};

use tch::{Kind, Tensor};
use tempfile::TempDir;

use medfsad::files;
use medfsad::network::weights;

/// The teacher that a command takes where none is named.
mod default_teacher;
/// Fetching from a server of our own.
mod fetch;
/// State dictionaries as PyTorch saves them.
mod torch_file;

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

fn installed(home: &TempDir, name: &str) -> std::path::PathBuf {
    home.path().join("weights/installed").join(name)
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
    let broken = resnet18();
    let one = broken["layer1.0.conv1.weight"].view([-1]).get(7);
    let _ = tch::no_grad(|| one.detach().fill_(f64::NAN));
    let nan = home.path().join("broken.safetensors");
    weights::write(broken, None, &nan).unwrap();
    let words = ["broken.safetensors", "`layer1.0.conv1.weight` holds values that are no numbers"];
    fails(home.path(), &["import", nan.to_str().unwrap(), "--network", "resnet18"], &words);
    fails(home.path(), &["import", path, "--network", "resnet50"], &["does not fit resnet50"]);
    fails(home.path(), &["import", path, "--network", "resnet19"], &["known: resnet18"]);
    fails(home.path(), &["import", path, "--network", "resnet18", "--name", "../a"], &["cannot name"]);
    // A published name is for what was published.
    let published = ["import", path, "--network", "resnet18", "--name", "resnet18-v1"];
    fails(home.path(), &published, &["is not what was published as resnet18-v1", "--name"]);
    succeeds(home.path(), &["import", path, "--network", "resnet18", "--name", "my-resnet18"]);
    let shown = succeeds(home.path(), &["show"]);
    let hash = files::sha256(&std::fs::read(&file).unwrap());
    assert!(shown.contains("my-resnet18: fits resnet18, 44.6 MiB") && shown.contains(&hash), "{shown}");
    // Nor does a file that was put there by hand pass for it.
    std::fs::copy(&file, installed(&home, "resnet18-v1.safetensors")).unwrap();
    let listed = succeeds(home.path(), &["list"]);
    let row = listed.lines().find(|line| line.starts_with("resnet18-v1")).unwrap();
    assert!(row.contains("f37072fd") && row.contains("other file"), "{listed}");
    // Installing something else under a name that is taken is refused.
    let mut other = resnet18();
    other.insert("fc.bias".to_owned(), Tensor::from_slice(&[1.0_f32]));
    weights::write(other, None, &file).unwrap();
    let again = ["import", path, "--network", "resnet18", "--name", "my-resnet18"];
    fails(home.path(), &again, &["other content", "--name"]);
}

#[test]
fn weights_of_a_transformer_are_known_by_facebooks_names() {
    use medfsad::network::vit::{Transformer, dinov2::Dinov2};
    let store = tch::nn::VarStore::new(tch::Device::Cpu);
    let _ = Dinov2::new(&store.root(), Transformer::Dinov2Tiny.plan());
    let mut tensors: BTreeMap<String, Tensor> = store.variables().into_iter().collect();
    tensors.insert("mask_token".to_owned(), Tensor::zeros([1, 64], (Kind::Float, tch::Device::Cpu)));
    let home = TempDir::new().unwrap();
    let file = home.path().join("tiny.safetensors");
    weights::write(tensors, None, &file).unwrap();
    let path = file.to_str().unwrap();
    let words = ["does not fit dinov2_vits14", "blocks.10.attn.proj.bias"];
    fails(home.path(), &["import", path, "--network", "dinov2_vits14"], &words);
    succeeds(home.path(), &["import", path, "--network", "dinov2_tiny14"]);
    assert!(succeeds(home.path(), &["show"]).contains("tiny: fits dinov2_tiny14,"));
    let listed = succeeds(home.path(), &["list"]);
    let row = listed.lines().find(|line| line.starts_with("dinov2_vits14 ")).expect("a row");
    assert!(row.contains("b938bf1b") && row.contains("unknown (LVD-142M"), "{row}");
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
