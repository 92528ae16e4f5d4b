//! Which methods take which pretrained networks.

use medfsad::episode::batch::Pictures;
use medfsad::method::{METHODS, Unobserved, find};
use medfsad::network::origin::Origin;
use medfsad::network::{Backbone, Network};
use tempfile::TempDir;

use super::{assert_close, build, context, file_of, no_mate_touches_a_score, pictures, scores, task};

#[test]
fn every_method_with_a_backbone_takes_efficientnet() {
    let folder = TempDir::new().expect("a folder");
    let lite = Backbone::EfficientNetLite0;
    let mut context = context(&folder, 2);
    context.teachers.named.insert(
        lite.name().to_owned(),
        Origin::file(file_of(lite, &folder, "lite.safetensors")).expect("a file"),
    );
    let mut taken = Vec::new();
    for entry in METHODS {
        if !matches!(build(entry.name).network, Some(Network::Backbone(_))) {
            continue;
        }
        let mut settings: toml::Table = toml::from_str(entry.trial).expect("TOML");
        settings.insert("backbone".to_owned(), lite.name().into());
        let built = (entry.build)(settings).expect("good settings");
        assert_eq!(built.network, Some(Network::Backbone(lite)), "{}", entry.name);
        let tasks = [task("first"), task("second")];
        let fitted = built.method.fit(&tasks, &context, &mut Unobserved);
        no_mate_touches_a_score(entry.name, &*fitted.expect("a fitted method"));
        taken.push(entry.name);
    }
    let with_a_backbone = [
        "d24fad",
        "dn2",
        "gde",
        "spade",
        "patchcore",
        "padim",
        "subspacead",
        "rd4ad",
        "stfpm",
        "regad",
        "cutpaste",
    ];
    assert_eq!(taken, with_a_backbone);
}

/// Pictures of two patches by two.
fn of_whole_patches(purpose: &str, n: usize) -> Pictures {
    let Pictures { pixels, acquisition, .. } = pictures(purpose, n);
    Pictures::new(pixels.narrow(2, 2, 28).narrow(3, 2, 28).contiguous(), acquisition)
}

#[test]
fn methods_of_features_take_a_transformer_and_those_of_stages_refuse_it() {
    let folder = TempDir::new().expect("a folder");
    let mut context = context(&folder, 2);
    context.teachers.other = Some(Origin::Random { seed: 4, cache: None });
    let (mut taken, mut refused) = (Vec::new(), Vec::new());
    for entry in METHODS {
        // `dpa` calls it `network`, CLIP is another kind, and the others resize pictures themselves.
        let network = build(entry.name).network;
        let is_of_own = ["dpa", "anomalydino", "rad", "subspacead", "dinomaly", "inp-former", "foundad"]
            .contains(&entry.name);
        if matches!(network, None | Some(Network::Clip(_))) || is_of_own {
            continue;
        }
        let mut settings: toml::Table = toml::from_str(entry.trial).expect("TOML");
        settings.insert("backbone".to_owned(), "dinov2_tiny14".into());
        let built = match (entry.build)(settings) {
            Ok(built) => built,
            Err(error) => {
                let error = format!("{error:#}");
                assert!(error.contains("dinov2_tiny14 is a transformer"), "{}: {error}", entry.name);
                refused.push(entry.name);
                continue;
            }
        };
        let error = built.check_size(32).expect_err("no whole patches").to_string();
        assert!(error.contains("dinov2_tiny14") && error.contains("224"), "{error}");
        built.check_size(224).expect("whole patches");
        let fitted = built.method.fit(&[], &context, &mut Unobserved).expect("a method");
        let error = fitted.adapt(&pictures("support", 2)).err().expect("no whole patches").to_string();
        assert!(error.contains("32 is no multiple"), "{error}");
        let detector = fitted.adapt(&of_whole_patches("support", 2)).expect("a detector");
        let queries = of_whole_patches("query", 5);
        let alone = scores((&*fitted, &*detector), &queries, &[0, 1, 2, 3, 4], 1);
        assert!(alone.iter().all(|score| score.is_finite()), "{}: {alone:?}", entry.name);
        assert_close(entry.name, &alone, &scores((&*fitted, &*detector), &queries, &[4, 2, 0, 1, 3], 5));
        taken.push(entry.name);
    }
    assert_eq!(taken, ["dn2", "gde", "spade", "patchcore", "padim"]);
    assert_eq!(refused, ["d24fad", "rd4ad", "stfpm", "regad", "cutpaste"]);
}

#[test]
fn methods_of_tokens_alone_refuse_a_network_with_stages_and_say_what_they_take() {
    for name in ["anomalydino", "rad", "dinomaly", "inp-former", "foundad"] {
        let settings = toml::from_str("backbone = 'resnet18'").expect("TOML");
        let error = (find(name).expect("known").build)(settings).err().expect("an error");
        let error = format!("{error:#}");
        assert!(error.contains("resnet18 is no transformer") && error.contains(name), "{error}");
        assert!(error.contains("dinov2_vitb14"), "{error}");
    }
}
