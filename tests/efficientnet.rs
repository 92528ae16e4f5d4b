//! EfficientNet-Lite0, value for value: with formula weights against a plain definition, and with its ImageNet weights,
//! where they are installed, against `../shared/golden/efficientnet_lite0.json`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use medfsad::decode::{decode, resize::lanczos};
use medfsad::network::encoder::{self, Encoder};
use medfsad::network::layer::Norm;
use medfsad::network::{Backbone, Features, Input, Network, formula, published, weights};
use serde_json::Value;
use tch::nn::VarStore;
use tch::{Device, Kind, Tensor};
use tempfile::TempDir;

use crate::shared::{leave_out, shared};

const BACKBONE: Backbone = Backbone::EfficientNetLite0;

fn prepared(pictures: &Tensor) -> Tensor {
    Input::ImageNet.prepare(Network::Backbone(BACKBONE), pictures)
}

fn floats(value: &Value) -> Vec<f64> {
    value.as_array().expect("an array").iter().map(|value| value.as_f64().expect("a number")).collect()
}

fn json(path: &Path) -> Value {
    serde_json::from_str(&std::fs::read_to_string(path).expect("readable")).expect("JSON")
}

/// The largest difference of samples and mean from the reference, in its deviations; shapes must be the same.
fn distance(tensor: &Tensor, reference: &Value, [places, values]: [&str; 2]) -> f64 {
    let shape: Vec<f64> = tensor.size().iter().map(|&side| side as f64).collect();
    assert_eq!(shape, floats(&reference["shape"]));
    let flat = Vec::<f64>::try_from(tensor.detach().to_kind(Kind::Double).contiguous().flatten(0, -1));
    let flat = flat.expect("floats");
    let places = floats(&reference[places]);
    let samples = places.iter().zip(floats(&reference[values]));
    let worst = samples.map(|(&place, expected)| (flat[place as usize] - expected).abs()).fold(0.0, f64::max);
    let mean = flat.iter().sum::<f64>() / flat.len() as f64;
    worst.max((mean - reference["mean"].as_f64().expect("a mean")).abs())
        / reference["std"].as_f64().expect("a deviation")
}

/// The stem's features, three scales and the deepest.
fn features(encoder: &Encoder, pictures: &Tensor) -> [Tensor; 5] {
    tch::no_grad(|| {
        let stem = encoder.stem(pictures, Norm::Stored);
        let Features { scales: [first, second, third], deep } = encoder.forward(pictures, Norm::Stored);
        [stem, first, second, third, deep]
    })
}

#[test]
fn formula_weights_give_what_the_plain_definition_gives() {
    let reference = json(&Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/reference/efficientnet.json"));
    let store = VarStore::new(Device::Cpu);
    let encoder = Encoder::new(&store.root(), BACKBONE);
    formula::fill(&store, "encoder.");
    let pictures = prepared(&(formula::pictures("image.lite", 2, 64) * 255.0));
    let entries = reference["entries"].as_array().expect("entries");
    assert_eq!(entries.len(), 5);
    for (tensor, entry) in features(&encoder, &pictures).iter().zip(entries) {
        let off = distance(tensor, entry, ["sample_index", "sample"]);
        println!("{}: differs by {off:.1e} deviations", entry["name"]);
        assert!(off < 1e-4, "{} is {off:.1e} deviations off", entry["name"]);
    }
}

/// The installed ImageNet weights, or `None`, said aloud.
pub fn installed() -> Option<PathBuf> {
    let found = published::installed()
        .expect("a cache folder")
        .into_iter()
        .find(|(name, _)| name == published::LITE0);
    if found.is_none() {
        leave_out(&format!(
            "the weights of {} (`cargo xtask weights fetch {0}` gets them)",
            published::LITE0
        ));
    }
    found.map(|(_, path)| path)
}

/// Head, norm, ReLU6, mean and classifier, which no method needs: the last features and the share of each class.
fn classified(tensors: &BTreeMap<String, Tensor>, deep: &Tensor) -> [Tensor; 2] {
    let of = |name: &str| tensors[name].shallow_clone();
    let head = deep.conv2d(&of("_conv_head.weight"), None::<&Tensor>, [1, 1], [0, 0], [1, 1], 1);
    let [weight, bias, mean, var] =
        ["weight", "bias", "running_mean", "running_var"].map(|part| Some(of(&format!("_bn1.{part}"))));
    let head = head.batch_norm(weight, bias, mean, var, false, 0.0, 1e-3, false).relu6();
    let pooled = head.mean_dim([2i64, 3].as_slice(), false, None::<Kind>);
    let classes = pooled.linear(&of("_fc.weight"), Some(&of("_fc.bias"))).softmax(1, None::<Kind>);
    [head, classes]
}

/// A picture of the golden file, resized as it says, `[1, 3, size, size]` of 0 to 255.
fn picture(file: &Path, size: usize) -> Tensor {
    let pixels = decode(&std::fs::read(file).expect("a picture"), 0).expect("a picture").pixels.to_rgb();
    let planes = lanczos(&pixels, size, size).to_planes();
    Tensor::from_data_size(&planes, &[1, 3, size as i64, size as i64], Kind::Uint8)
}

const STAGES: [&str; 6] = [
    "stage1 (/2, 16)",
    "stage2 (/4, 24)",
    "stage3 (/8, 40)",
    "stage5 (/16, 112)",
    "stage7 (/32, 320)",
    "head (/32, 1280)",
];

fn golden_is_met(weights_file: &Path, published: &Path) {
    let Some(golden) = shared("golden/efficientnet_lite0.json") else { return };
    let store = VarStore::new(Device::Cpu);
    let network = Encoder::new(&store.root(), BACKBONE);
    encoder::load(&store, BACKBONE, weights_file).expect("weights that fit");
    let tensors = weights::read(published).expect("weights");
    for case in json(&golden)["cases"].as_array().expect("cases") {
        let (file, size) = (case["file"].as_str().expect("a file"), case["size"].as_u64().expect("a size"));
        let Some(path) = shared(&format!("realmini/raw/{file}")) else { return };
        let pictures = prepared(&picture(&path, size as usize));
        let [stem, first, second, third, deep] = features(&network, &pictures);
        let [head, classes] = classified(&tensors, &deep);
        for (stage, tensor) in STAGES.iter().zip([stem, first, second, third, deep, head]) {
            let off = distance(&tensor, &case["stages"][stage], ["indices", "values"]);
            println!("{file} at {size}, {stage}: differs by {off:.1e} deviations");
            assert!(off < 1e-4, "{file} at {size}, {stage}: {off:.1e} deviations off");
        }
        let (shares, places) = classes.topk(5, 1, true, true);
        for (rank, expected) in case["top5"].as_array().expect("classes").iter().enumerate() {
            let place = [0, rank as i64];
            assert_eq!(
                places.int64_value(&place),
                expected[0].as_i64().expect("a class"),
                "{file} at {size}"
            );
            let share = expected[1].as_f64().expect("a share");
            assert!((shares.double_value(&place) - share).abs() < 1e-4, "{file} at {size}, class {rank}");
        }
    }
}

#[test]
fn published_weights_give_the_golden_features_and_classes() {
    let Some(file) = installed() else { return };
    golden_is_met(&file, &file);
}

/// The published tensors by timm's names: all layers in the same order, counted within groups of blocks.
fn as_timm(published: &Path) -> BTreeMap<String, Tensor> {
    const FIRST_OF_GROUP: [usize; 7] = [0, 1, 3, 5, 8, 11, 15];
    let rename = |name: String| {
        let Some((block, layer)) = name.strip_prefix("_blocks.").and_then(|rest| rest.split_once('.')) else {
            let top =
                [("_conv_stem", "conv_stem"), ("_bn0", "bn1"), ("_conv_head", "conv_head"), ("_bn1", "bn2")];
            let (ours, timm) = top
                .into_iter()
                .chain([("_fc", "classifier")])
                .find(|(ours, _)| name.starts_with(&format!("{ours}.")))
                .expect("a layer");
            return name.replacen(ours, timm, 1);
        };
        let block: usize = block.parse().expect("a number");
        let group = FIRST_OF_GROUP.iter().rposition(|&first| first <= block).expect("a group");
        // The first block does not widen, so its layers count from the depthwise convolution on.
        let layers: [(&str, &str); 6] = match block {
            0 => [
                ("_depthwise_conv", "conv_dw"),
                ("_bn1", "bn1"),
                ("_project_conv", "conv_pw"),
                ("_bn2", "bn2"),
                ("", ""),
                ("", ""),
            ],
            _ => [
                ("_expand_conv", "conv_pw"),
                ("_bn0", "bn1"),
                ("_depthwise_conv", "conv_dw"),
                ("_bn1", "bn2"),
                ("_project_conv", "conv_pwl"),
                ("_bn2", "bn3"),
            ],
        };
        let (layer, parameter) = layer.split_once('.').expect("a parameter");
        let (_, timm) = layers.into_iter().find(|(ours, _)| *ours == layer).expect("a layer of a block");
        format!("blocks.{group}.{}.{timm}.{parameter}", block - FIRST_OF_GROUP[group])
    };
    let tensors = weights::read(published).expect("weights");
    // timm's files count batches too; a count is no floating-point number, which our own files hold alone.
    let kept = tensors.into_iter().filter(|(name, _)| !name.ends_with("num_batches_tracked"));
    kept.map(|(name, tensor)| (rename(name), tensor)).collect()
}

#[test]
fn timms_names_give_the_same() {
    let Some(file) = installed() else { return };
    let folder = TempDir::new().expect("a folder");
    let timm = folder.path().join("tf_efficientnet_lite0.safetensors");
    weights::write(as_timm(&file), None, &timm).expect("a file");
    golden_is_met(&timm, &file);
}

#[test]
fn a_file_of_timms_names_without_a_layer_is_refused_by_our_name() {
    let folder = TempDir::new().expect("a folder");
    let path = folder.path().join("cut.safetensors");
    let stem = Tensor::zeros([32, 3, 3, 3], (Kind::Float, Device::Cpu));
    weights::write([("conv_stem.weight".to_owned(), stem)].into(), None, &path).expect("a file");
    let store = VarStore::new(Device::Cpu);
    let _ = Encoder::new(&store.root(), BACKBONE);
    let error = format!("{:#}", encoder::load(&store, BACKBONE, &path).expect_err("an error"));
    assert!(error.contains("cut.safetensors") && error.contains("_blocks.0._bn1.bias"), "{error}");
}
