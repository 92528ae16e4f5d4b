//! SAMIL's network, losses, first steps and rates against its authors' class, and what must hold of its attention.

use medfsad::evaluate::samil::loss::{cross_entropy, divergence, rate_factor, target};
use medfsad::network::formula;
use medfsad::network::optimiser::{Optimiser, Rule, Sgd};
use medfsad::network::supervised_attention::{Bag, Shape, SupervisedAttention};
use serde_json::Value;
use tch::nn::VarStore;
use tch::{Device, Kind, Tensor};

use super::{Compared, assert_near, numbers, reference, values};

/// The authors' sizes: 3,200 values come from their convolutions.
const FULL: Shape = Shape { inputs: 3200, hidden: 500, middle: 250, attention: 128, classes: 3 };

/// Formula weights.
fn network(kind: Kind) -> (VarStore, SupervisedAttention) {
    let mut store = VarStore::new(Device::Cpu);
    let network = SupervisedAttention::new(&store.root(), FULL);
    formula::fill(&store, "samil.");
    if kind == Kind::Double {
        store.double();
    }
    (store, network)
}

fn golden() -> Value {
    reference("samil.json")
}

/// Instances as the branches see them.
fn entered(kind: Kind) -> Tensor {
    formula::tensor("samil.h", &[9, 500], -1.0, 1.0).to_kind(kind)
}

fn relevance(kind: Kind) -> Tensor {
    formula::tensor("samil.relevance", &[9], 0.0, 1.0).to_kind(kind)
}

/// The authors' convolutions on their formula pictures: what enters, `[7, 3200]`.
fn convolved(kind: Kind) -> Tensor {
    let pictures = formula::tensor("samil.bag", &[7, 3, 112, 112], -2.0, 2.0).to_kind(kind);
    let layers: [(i64, i64, i64, i64); 4] =
        [(0, 3, 20, 5), (3, 20, 50, 5), (6, 50, 100, 5), (9, 100, 200, 3)];
    let mut store = VarStore::new(Device::Cpu);
    let part = store.root() / "feature_extractor_part1";
    let declared = layers.map(|(place, from, to, side)| {
        let path = &part / place;
        (path.zeros("weight", &[to, from, side, side]), path.zeros("bias", &[to]))
    });
    formula::fill(&store, "samil.");
    if kind == Kind::Double {
        store.double();
    }
    declared
        .iter()
        .fold(pictures, |x, (weight, bias)| {
            let convolved = x.conv2d(weight, Some(bias), [1, 1], [0, 0], [1, 1], 1).relu();
            convolved.max_pool2d([2, 2], [2, 2], [0, 0], [1, 1], false)
        })
        .flatten(1, 3)
}

fn attention(found: &Bag) -> [Tensor; 3] {
    [found.log_supervised.exp(), found.log_free.exp(), found.attention.shallow_clone()]
}

#[test]
fn the_network_is_the_published_one() {
    let golden = golden();
    for (kind, bound) in [(Kind::Double, 1e-9), (Kind::Float, 5e-5)] {
        let (_store, network) = network(kind);
        let mut compared = Compared::within(bound);
        let instances = convolved(kind);
        let entered_own = network.enter(&instances);
        let full = &golden["full"];
        compared.with("part 1", &instances.view([7, 200, 4, 4]), &full["part1"]);
        compared.with("part 2", &entered_own, &full["part2"]);
        compared.with("part 3", &network.deepen(&entered_own), &full["part3"]);
        let found = network.forward(&instances);
        for (name, own) in ["A_V", "A_U", "A"].into_iter().zip(attention(&found)) {
            compared.with(name, &own, &full[name]);
        }
        compared.with("logits", &found.logits, &full["logits"]);
        let pooled = network.pool(&entered(kind));
        let golden = &golden["pooling_only"];
        for (name, own) in ["A_V", "A_U", "A"].into_iter().zip(attention(&pooled)) {
            compared.with(name, &own, &golden[name]);
        }
        compared.with("logits", &pooled.logits, &golden["logits"]);
        compared.say(&format!("SAMIL in {kind:?}"));
    }
}

#[test]
fn losses_are_the_published_ones_and_class_weights_cancel() {
    let golden = golden();
    let golden = &golden["loss"];
    for (kind, bound) in [(Kind::Double, 1e-9), (Kind::Float, 1e-5)] {
        let (_store, network) = network(kind);
        let found = network.pool(&entered(kind));
        let weights = Tensor::from_slice(&numbers(&golden["class_weights"])).to_kind(kind);
        for temperature in ["0.05", "0.1", "0.5"] {
            let golden = &golden["by_T"][temperature];
            let temperature: f64 = temperature.parse().unwrap();
            let target = target(&relevance(kind), temperature);
            Compared::within(bound).with("target", &target, &golden["target"]);
            let kl = divergence(&target, &found.log_supervised);
            let weighted = cross_entropy(&found.logits, 2, Some(&weights));
            let unweighted = cross_entropy(&found.logits, 2, None);
            let total = &weighted + &kl * 15.0;
            let number = |tensor: &Tensor| tensor.double_value(&[]);
            // The bound of a sum of 32 is as relative as that of its parts.
            assert_near("divergence", number(&kl), &golden["kl"], 10.0 * bound);
            assert_near("cross-entropy", number(&weighted), &golden["ce_weighted"], bound);
            assert_near(
                "cross-entropy without weights",
                number(&unweighted),
                &golden["ce_unweighted"],
                bound,
            );
            assert_near("loss", number(&total), &golden["total_lambda15_warm1"], 32.0 * bound);
            assert!((number(&weighted) - number(&unweighted)).abs() < bound, "the weight of one bag cancels");
        }
    }
}

#[test]
fn three_steps_are_the_published_ones() {
    let golden = golden();
    let golden = &golden["train_3_steps"];
    let (store, network) = network(Kind::Double);
    let sgd =
        Sgd { learning_rate: 5e-4, momentum: 0.9, weight_decay: 1e-4, nesterov: true, spares_vectors: false };
    let mut optimiser = Optimiser::new(&[&store], Rule::Sgd(sgd));
    let target = target(&relevance(Kind::Double), 0.1);
    for (step, expected) in golden["ce_kl_total"].as_array().expect("three steps").iter().enumerate() {
        let found = network.pool(&entered(Kind::Double));
        let kl = divergence(&target, &found.log_supervised);
        let ce = cross_entropy(&found.logits, 2, None);
        let total = &ce + &kl * 15.0;
        for (place, loss) in [&ce, &kl, &total].into_iter().enumerate() {
            assert_near(
                &format!("loss {place} of step {step}"),
                loss.double_value(&[]),
                &expected[place],
                1e-8,
            );
        }
        optimiser.step(&total);
    }
    let found = network.pool(&entered(Kind::Double));
    let mut compared = Compared::within(1e-8);
    compared.with("logits after three steps", &found.logits, &golden["logits_after"]);
    compared.with("attention after three steps", &found.log_supervised.exp(), &golden["A_V_after"]);
    compared.say("three steps");
}

#[test]
fn the_rate_begins_anew_at_its_lowest() {
    let golden = golden();
    let golden = &golden["cosine_lr_factor"];
    for (epoch, factor) in numbers(&golden["epochs"]).into_iter().zip(golden["factor"].as_array().unwrap()) {
        assert_near(&format!("epoch {epoch}"), rate_factor(epoch as u64, 50), factor, 1e-11);
    }
}

fn off(a: &Tensor, b: &Tensor) -> f64 {
    values(&(a - b)).into_iter().map(f64::abs).fold(0.0, f64::max)
}

#[test]
fn the_order_of_instances_does_not_count_nor_does_each_standing_twice() {
    let (_store, network) = network(Kind::Double);
    let instances = entered(Kind::Double);
    let found = network.pool(&instances);
    for own in attention(&found) {
        assert!((own.sum(None::<Kind>).double_value(&[]) - 1.0).abs() < 1e-12, "attention sums to 1");
    }
    let order = Tensor::from_slice(&[4i64, 7, 0, 8, 2, 1, 6, 3, 5]);
    let turned = network.pool(&instances.index_select(0, &order));
    assert!(off(&turned.logits, &found.logits) < 1e-12);
    assert!(off(&turned.attention, &found.attention.index_select(1, &order)) < 1e-12);
    let doubled = network.pool(&Tensor::cat(&[&instances, &instances], 0));
    assert!(off(&doubled.logits, &found.logits) < 1e-12);
    assert!(off(&doubled.attention.narrow(1, 0, 9), &(&found.attention * 0.5)) < 1e-12);
    // Nor is all of this because instances do not count.
    let other = network.pool(&instances.narrow(0, 0, 8));
    assert!(off(&other.logits, &found.logits) > 1e-6);
}

#[test]
fn of_one_instance_the_bag_is_what_the_instance_is() {
    let (_store, network) = network(Kind::Double);
    let alone = entered(Kind::Double).narrow(0, 3, 1);
    let found = network.pool(&alone);
    assert!(attention(&found).iter().all(|own| values(own) == [1.0]));
    assert!(off(&found.representation, &network.deepen(&alone)) < 1e-12);
}

#[test]
fn where_the_divergence_alone_counts_attention_becomes_the_relevance() {
    let (store, network) = network(Kind::Double);
    let target = target(&relevance(Kind::Double), 0.5);
    let sgd = Sgd { learning_rate: 5e-2, momentum: 0.9, nesterov: true, ..Sgd::default() };
    let mut optimiser = Optimiser::new(&[&store], Rule::Sgd(sgd));
    let before = off(&network.pool(&entered(Kind::Double)).log_supervised.exp(), &target);
    for _ in 0..300 {
        let found = network.pool(&entered(Kind::Double));
        // As cross-entropy with a divergence that counts without bound, over that bound.
        let loss = cross_entropy(&found.logits, 2, None) * 1e-9 + divergence(&target, &found.log_supervised);
        optimiser.step(&loss);
    }
    let after = off(&network.pool(&entered(Kind::Double)).log_supervised.exp(), &target);
    println!("attention is {before:.1e} off the relevance before, {after:.1e} after");
    assert!(after < 1e-4 && before > 1e-2, "{before} before, {after} after");
}
