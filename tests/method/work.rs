//! What methods compute for a cell, against counts by hand and of the real networks.

use medfsad::method::work::{CellSize, Operations, Work, decoder, encoder, kept, to_stage_three};
use medfsad::method::{METHODS, find};
use medfsad::network::decoder::Decoder;
use medfsad::network::encoder::Encoder;
use medfsad::network::{Backbone, operations};
use tch::Device;
use tch::nn::VarStore;

/// Whole batches: of 64 normals, and of the 22 views of 8 supports.
const CELL: CellSize = CellSize { size: 128, shots: 8, n_train: 64, n_test: 10 };

fn work(name: &str, settings: &str) -> Work {
    let entry = find(name).unwrap();
    let built = (entry.build)(toml::from_str(settings).unwrap()).unwrap();
    entry.work.unwrap()(&built.settings, &CELL).unwrap()
}

/// In billions, rounded.
fn billions(operations: f64) -> f64 {
    (operations / 1e9).round()
}

#[test]
fn counts_are_those_of_the_real_networks() {
    for backbone in Backbone::ALL {
        for size in [64, 128, 224] {
            let store = VarStore::new(Device::Cpu);
            Encoder::new(&store.root(), backbone);
            assert_eq!(encoder(backbone, size), operations::of_encoder(&store, size), "{backbone:?} {size}");
            let store = VarStore::new(Device::Cpu);
            Decoder::new(&(store.root() / "decoder"), backbone);
            assert_eq!(decoder(backbone, size), operations::of_decoder(&store, size), "{backbone:?} {size}");
        }
    }
    assert_eq!((decoder(Backbone::WideResnet50x2, 128) / 1e7).round(), 557.0);
}

#[test]
fn a_transformer_is_counted_on_its_own_grid() {
    let of = |size: i64| {
        let entry = find("patchcore").unwrap();
        let built = (entry.build)(toml::from_str("backbone = 'dinov2_vits14'").unwrap()).unwrap();
        entry.work.unwrap()(&built.settings, &CellSize { size, ..CELL }).unwrap()
    };
    // 63.4 GFLOP of the network; 1024 patches against 8 x 1024 of the bank, 768 values each.
    let expected = 63.4e9 + 2.0 * 1024.0 * 8192.0 * 768.0;
    assert!((of(448).query / expected - 1.0).abs() < 1e-3, "{}", of(448).query);
}

/// Of wide_resnet50_2 at 128 pixels, beside its 7.4 GFLOP: by hand, and doubled.
#[test]
fn joined_stages_are_compared_on_their_own_grids() {
    let encoder = encoder(Backbone::WideResnet50x2, 128);
    let two = 2.0 * (512.0 * 256.0 * 256.0 + 1024.0 * 64.0 * 64.0);
    let three = two + 2.0 * 256.0 * 1024.0 * 1024.0;
    let shots = CELL.shots as f64;
    assert_eq!(work("patchcore", "").query - encoder, shots * 2.0 * two);
    assert_eq!(work("spade", "").query - encoder, shots * 2.0 * three);
    // A coreset has no grids.
    let bank = shots * 256.0 * 0.5;
    let coreset = work("patchcore", "coreset_ratio = 0.5").query - encoder;
    assert_eq!(coreset, 2.0 * 256.0 * bank * 1536.0);
}

#[test]
fn gaussians_of_few_vectors_are_counted_by_their_vectors_and_others_by_covariances() {
    let (positions, n) = (1024.0, 176.0);
    let wide = work("padim", "backbone = 'wide_resnet50_2'");
    assert_eq!(wide.query - wide.encode, positions * (2.0 * n * 550.0 + n * n));
    assert_eq!(wide.bytes, positions * 8.0 * n * (550.0 + n));
    let fitting = wide.adapt.forward - n * wide.encode;
    assert!((fitting / (positions * n * n * (2.0 * 550.0 + n / 3.0)) - 1.0).abs() < 1e-6, "{fitting}");
    let narrow = work("padim", "");
    assert_eq!(narrow.query - narrow.encode, positions * 100.0 * 100.0);
    assert_eq!(narrow.bytes, positions * 8.0 * 100.0 * 100.0);
}

#[test]
fn a_subspace_is_counted_with_the_sums_that_are_remembered() {
    let [few, many] = ["", "train_on = 'normals'"].map(|settings| work("subspacead", settings));
    let square = 1536.0 * 1536.0;
    assert_eq!(few.query - few.encode, 256.0 * 2.0 * square);
    assert_eq!((few.bytes, many.bytes), (9.0 * 8.0 * square, 8.0 * square));
}

#[test]
fn a_step_of_a_transformer_is_counted_with_the_features() {
    // 28 x 28 patches of the middle, class token and registers, 768 values; 22 views of 8 supports, 16 a step.
    let (token, step) = (4.0 * 768.0, 16.0);
    let features = 176.0 * 2.0;
    let small = work("dinomaly", "batch = 8").bytes;
    let large = work("dinomaly", "").bytes;
    let tokens = 28.0 * 28.0 + 5.0;
    assert_eq!(large, tokens * token * (features + step * (15.0 + 8.0 * 20.0)));
    assert_eq!(large - small, tokens * token * 8.0 * (15.0 + 8.0 * 20.0));
    let inp = work("inp-former", "").bytes;
    assert_eq!(inp, token * (tokens * features + step * 28.0 * 28.0 * (9.0 + 8.0 * 16.0)));
    // 37 x 37 patches, 768 values outside and 384 inside, 8 supports a step.
    let foundad = 4.0 * 8.0 * 37.0 * 37.0 * (3.0 * 768.0 + 384.0 * (3.0 + 6.0 * 17.0));
    assert_eq!(work("foundad", "").bytes, foundad);
}

#[test]
fn stages_are_what_an_encoder_is_made_of() {
    // Stage 4 of resnet18 at 32 pixels, by hand: four positions become one.
    let last = 2.0 * f64::from(256 * 512 * 9 + 256 * 512 + 512 * 512 * 9 * 3);
    let all = encoder(Backbone::Resnet18, 32);
    assert_eq!(all - to_stage_three(Backbone::Resnet18, 32), last);
}

#[test]
fn kept_features_are_two_megabytes_a_picture() {
    let kept = kept(Backbone::WideResnet50x2, 128) - f64::from(3 * 128 * 128);
    assert_eq!(kept, 4.0 * f64::from(256 * 1024 + 512 * 256 + 1024 * 64 + 2048 * 16));
}

#[test]
fn queries_cost_what_the_list_of_methods_says() {
    for (name, expected) in [
        ("d24fad", 13.0),
        ("rd4ad", 17.0),
        ("stfpm", 2.0),
        ("regad", 1.0),
        ("cutpaste", 1.0),
        ("dae", 18.0),
        ("dinomaly", 230.0),
        ("sagan", 10.0),
    ] {
        let query = work(name, "").query;
        assert_eq!(billions(query), expected, "{name}: {query}");
        let cost = find(name).unwrap().cost;
        assert!(cost.contains(&format!("{expected} GFLOP a query")), "{cost}");
    }
    let (few, normal) = (work("mvfa", ""), work("mvfa", "setting = 'few-normal'"));
    let of_support = (few.query - normal.encode) / CELL.shots as f64;
    // 50 epochs of 22 views of 8 supports.
    let step = few.adapt.training / (50 * 22 * CELL.shots) as f64;
    let found = format!(
        "{:.1} TFLOP each; {} GFLOP a query, and {} for each support",
        step / 1e12,
        billions(normal.encode),
        billions(of_support)
    );
    let cost = find("mvfa").unwrap().cost;
    assert!(cost.contains(&found), "{cost} has not: {found}");
    let rad = find("rad").unwrap().cost;
    let found = format!("({} GFLOP)", billions(work("rad", "").encode));
    assert!(rad.contains(&found), "{rad} has not: {found}");
    assert_eq!((work("ae", "").query / 1e7).round(), 3.0);
    assert_eq!(billions(work("dpa", "").query), 5.0);
}

#[test]
fn trainings_cost_what_the_list_of_methods_says() {
    let picture = |name: &str, pictures: f64| work(name, "").fit.training / pictures;
    assert_eq!(billions(picture("dae", 67_200.0 * 16.0)), 55.0);
    assert_eq!(billions(picture("dpa", 34_666.0 * 64.0)), 7.0);
    let ae = picture("ae", 250.0 * 64.0);
    assert!((8e7..9e7).contains(&ae), "{ae}");
    assert_eq!(billions(picture("sagan", 100_000.0 * 16.0)), 61.0);
    let ogae = picture("ogae", 100.0 * 64.0);
    assert!((3e6..12e6).contains(&ogae), "{ogae}");
}

#[test]
fn the_student_of_d24fad_is_counted_by_hand() {
    let Work { fit, adapt, query, encode, teacher: frozen, evaluations, maps, bytes } =
        work("d24fad", "epochs = 7");
    let (teacher, decoder) = (encoder(Backbone::WideResnet50x2, 128), decoder(Backbone::WideResnet50x2, 128));
    assert_eq!(fit, Operations { forward: 64.0 * teacher, training: 7.0 * 64.0 * 9.0 * 3.0 * decoder });
    assert_eq!(adapt, Operations { forward: 8.0 * (teacher + decoder), training: 0.0 });
    assert_eq!((query, evaluations, maps), (teacher + decoder, 7, true));
    // What the student says of a query does not depend on supports either.
    assert_eq!((encode, frozen), (query, teacher));
    assert!((bytes / 64.0 / 2.015e6 - 1.0).abs() < 1e-3, "{bytes}");
}

#[test]
fn supports_are_learnt_from_in_each_cell_and_normals_once() {
    let (few, many) = (work("rd4ad", ""), work("rd4ad", "train_on = 'normals'"));
    assert_eq!((few.fit, few.evaluations), (Operations::default(), 1));
    assert_eq!((many.adapt, many.evaluations), (Operations::default(), 10));
    // 300 steps of 16, and 3000.
    assert_eq!(many.fit.training / few.adapt.training, 10.0);
    assert_eq!(few.query, many.query);
}

#[test]
fn every_method_but_programs_is_counted() {
    for entry in METHODS.iter().filter(|entry| entry.name != "external") {
        let counted = work(entry.name, "");
        let is_control = entry.name.starts_with("control-");
        assert_eq!(counted == Work::default(), is_control, "{}: {counted:?}", entry.name);
        assert!(counted.query.is_finite() && (is_control || counted.query > 0.0), "{}", entry.name);
        let Work { query, encode, teacher, .. } = counted;
        assert!(0.0 <= teacher && teacher <= encode && encode <= query, "{}: {counted:?}", entry.name);
    }
    assert!(find("external").unwrap().work.is_none());
}
