//! Principal subspaces and what they leave over.

use std::cell::Cell;

use medfsad::method::part::scatter::Scatter;
use medfsad::method::part::subspace::Subspace;
use medfsad::method::subspacead::image_scores;
use medfsad::network::remembering::Made;
use medfsad::network::{Features, Sight};

use super::*;

/// Vectors in a subspace of 4 of 20 dimensions, off the origin.
fn flat(purpose: &str, n: i64) -> Tensor {
    noise(purpose, &[n, 4]).matmul(&noise("directions", &[4, 20])) + 2.0
}

fn subspace(tokens: &Tensor) -> Subspace {
    Subspace::new(&Scatter::of(tokens), 0.99).expect("a subspace")
}

#[test]
fn a_subspace_holds_what_lies_in_it_and_nothing_else() {
    let found = subspace(&flat("normal", 200));
    assert_eq!(found.components(), 4);
    assert!(found.residuals(&flat("query", 50)).max().double_value(&[]) < 1e-8);
    // A foreign cluster pasted among them.
    let foreign = noise("foreign", &[50, 20]) + 2.0;
    let (inside, outside) =
        (doubles(&found.residuals(&flat("query", 50))), doubles(&found.residuals(&foreign)));
    assert_eq!(auroc(&inside, &outside), Some(1.0));
}

#[test]
fn scatters_of_parts_put_together_are_those_of_all() {
    let vectors = noise("vectors", &[50, 6]) * Tensor::arange(6, (Kind::Float, Device::Cpu)) + 1000.0;
    let once = Scatter::of(&vectors);
    let mut parts = Scatter::empty(&once);
    for (start, length) in [(0, 7), (7, 1), (8, 42)] {
        parts.add(&Scatter::of(&vectors.narrow(0, start, length)));
    }
    assert!(worst(parts.mean(), once.mean()) < 1e-9);
    assert!(worst(&parts.covariance(), &once.covariance()) < 1e-9);
    let away = vectors.to_kind(Kind::Double) - once.mean();
    assert!(worst(&once.covariance(), &(away.tr().matmul(&away) / 49.0)) < 1e-9);
    assert_eq!(
        worst(
            &Scatter::of(&vectors.narrow(0, 3, 1)).covariance(),
            &Tensor::zeros([6, 6], (Kind::Double, Device::Cpu))
        ),
        0.0
    );
}

/// Mean of the deepest features, and how many pictures there were.
struct Mean(f64, i64);

/// The number of pictures alone.
struct Count(i64);

impl Made for Count {
    fn bytes(&self) -> usize {
        size_of::<Count>()
    }
}

impl Made for Mean {
    fn bytes(&self) -> usize {
        size_of::<Mean>()
    }
}

#[test]
fn what_is_made_of_a_support_is_made_once() {
    let folder = TempDir::new().expect("a folder");
    let teacher = context(&folder, 2).seeing(Sight::of(Backbone::Resnet18.into())).expect("a teacher");
    let made = Cell::new(0);
    let make = |features: Features| {
        made.set(made.get() + 1);
        Mean(features.deep.mean(Kind::Double).double_value(&[]), features.deep.size()[0])
    };
    let [first, second] = ["first", "second"].map(|purpose| pictures(purpose, 2).pixels);
    let values = [&first, &second, &first].map(|views| teacher.made_of_views(views, make));
    assert_eq!((made.get(), values[0].1), (2, 2));
    assert_eq!(values[0].0, values[2].0);
    assert_ne!(values[0].0, values[1].0);
    // What else is made of the same views is another thing.
    assert_eq!(teacher.made_of_views(&first, |features| Count(features.deep.size()[0])).0, 2);
    assert_eq!(teacher.made_of_views(&first, make).0, values[0].0);
    assert_eq!(made.get(), 2);
}

#[test]
fn as_many_components_are_kept_as_the_variance_asks_for() {
    // Standard deviations 10, 3, 1 and 0.1: shares of variance .909, .082, .0091 and .0001.
    let deviations = Tensor::from_slice(&[10.0f32, 3.0, 1.0, 0.1]);
    let tokens = noise("tokens", &[5000, 4]) * deviations;
    let components =
        |explained: f64| Subspace::new(&Scatter::of(&tokens), explained).expect("a subspace").components();
    assert_eq!([0.5, 0.95, 0.995, 0.99999].map(components), [1, 2, 3, 4]);
    let alike = Scatter::of(&Tensor::ones([9, 4], (Kind::Float, Device::Cpu)));
    assert_eq!(Subspace::new(&alike, 0.99).expect("a subspace").components(), 0);
}

#[test]
fn a_rotation_of_all_features_leaves_residuals() {
    let normal = flat("normal", 200) + noise("off", &[200, 20]) * 0.1;
    let queries = noise("queries", &[50, 20]) * 3.0;
    let (rotation, _) = Tensor::linalg_qr(&noise("rotation", &[20, 20]).to_kind(Kind::Double), "reduced");
    let turn = |tokens: &Tensor| tokens.to_kind(Kind::Double).matmul(&rotation);
    let (plain, turned) = (subspace(&normal), subspace(&turn(&normal)));
    assert_eq!(plain.components(), turned.components());
    assert!(worst(&plain.residuals(&queries), &turned.residuals(&turn(&queries))) < 1e-8);
}

#[test]
fn a_transformer_has_the_published_side_and_other_networks_none() {
    let built = |text: &str| (find("subspacead").unwrap().build)(toml::from_str(text).unwrap());
    let settings =
        |text: &str| -> serde_json::Value { serde_json::from_str(&built(text).unwrap().settings).unwrap() };
    assert_eq!(settings("backbone = 'dinov2_vits14'")["side"], 448);
    assert_eq!(settings("")["side"], serde_json::Value::Null);
    let error = |text: &str| format!("{:#}", built(text).err().unwrap());
    assert!(error("side = 224").contains("side is for transformers; wide_resnet50_2"));
    assert!(error("side = 225\nbackbone = 'dinov2_vitl14'").contains("a multiple of 14"));
}

#[test]
fn a_transformers_tokens_are_scored_at_any_size() {
    let folder = TempDir::new().expect("a folder");
    let mut settings: toml::Table = toml::from_str("rotations = 3\nside = 28").expect("TOML");
    settings.insert("backbone".to_owned(), "dinov2_tiny14".into());
    let built = (find("subspacead").expect("known").build)(settings).expect("settings");
    built.check_size(32).expect("pictures are resized");
    let fitted =
        built.method.fit(&[], &context(&folder, 2), &mut medfsad::method::Unobserved).expect("a method");
    let detector = fitted.adapt(&pictures("support", 2)).expect("a detector");
    let Prediction::Both(maps, values) = predict(&*fitted, &*detector, &pictures("query", 3)).expect("both")
    else {
        panic!("maps and scores")
    };
    assert_eq!((maps.count(), maps.height(), maps.width(), values.len()), (3, 32, 32, 3));
    assert!(values.iter().all(|value| value.is_finite() && *value > 0.0), "{values:?}");
}

#[test]
fn subspaceads_score_is_the_mean_of_the_highest_share() {
    let flat = Tensor::ones([1, 20, 20], (Kind::Double, Device::Cpu)) * 3.0;
    assert!((image_scores(&flat).double_value(&[0]) - 3.0).abs() < 1e-12);
    // Of 400 pixels the highest 4: a lone peak is spread over 9, the centre and three sides lead.
    let peak = Tensor::zeros([1, 20, 20], (Kind::Double, Device::Cpu));
    let _ = peak.get(0).get(10).get(10).fill_(1.0);
    let edge = (-1.0f64 / 32.0).exp();
    let (edge, centre) = (edge / (1.0 + 2.0 * edge), 1.0 / (1.0 + 2.0 * edge));
    let expected = (centre * centre + 3.0 * centre * edge) / 4.0;
    assert!((image_scores(&peak).double_value(&[0]) - expected).abs() < 1e-12);
}
