//! State dictionaries as PyTorch saves them, whole, damaged and hostile.

use std::collections::BTreeMap;
use std::path::Path;

use medfsad::network::weights;
use tch::{Kind, Tensor};
use tempfile::TempDir;

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
    // What a program's modules hold is what the same layers hold in the dictionary.
    let (script, layers) = (weights::read(Path::new("tests/reference/script.pth")).unwrap(), read_decoder());
    assert_eq!(script.keys().collect::<Vec<_>>(), layers.keys().collect::<Vec<_>>());
    assert!(script.iter().all(|(name, tensor)| tensor.equal(&layers[name])));
    let error = format!("{:#}", weights::read(Path::new("tests/reference/module.pth")).unwrap_err());
    let words = ["Sequential", "model.state_dict()", "module.pth"];
    assert!(words.iter().all(|word| error.contains(word)), "{error}");
}

/// Tensors of the dictionary's part `decoder`, without that name.
fn read_decoder() -> BTreeMap<String, Tensor> {
    let all = weights::read(Path::new("tests/reference/state_zip.pth")).unwrap();
    let inside = all
        .into_iter()
        .filter_map(|(name, tensor)| Some((name.strip_prefix("decoder.")?.to_owned(), tensor)));
    inside.collect()
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
