//! INP-Former: what its loss does, few pictures, and settings that cannot be.

use medfsad::method::inp_former::loss::Loss;
use medfsad::method::inp_former::network::{InpFormer, Shape};
use medfsad::method::part::rebuilding::rule;
use medfsad::network::initial::initialise_truncated;
use medfsad::network::optimiser::Optimiser;

use super::*;

const TINY: &str = "backbone = 'dinov2_tiny14'\nside = 56\nmargin = 0\nwarm_up = 5";

#[test]
fn inp_formers_losses_fall_and_a_foreign_texture_stands_out() {
    tch::set_num_threads(1);
    let settings = format!("{TINY}\nepochs = 60\nbatch = 8\nviews = false");
    let (fitted, looks) = train("inp-former", &settings, stripes("train", 8, 56), &calibrated());
    let figure =
        |look: usize, name: &str| looks[look].iter().find(|(known, _)| *known == name).expect("a figure").1;
    for name in ["loss", "cosine", "coherence"] {
        let (first, last) = (figure(0, name), figure(looks.len() - 1, name));
        println!("{name} from {first} to {last}");
        assert!(last < 0.8 * first, "{name} goes from {first} to {last}");
    }
    let found = foreign_corners_found(&*fitted);
    println!("AUROC of foreign corners {found}");
    assert!(found > 0.9, "foreign corners are found at {found}");
}

#[test]
fn inp_former_learns_from_one_support_and_a_margin_is_seen_as_its_border() {
    let built = |settings: &str| {
        let settings = format!("backbone = 'dinov2_tiny14'\nwarm_up = 1\n{settings}");
        (find("inp-former").expect("known").build)(toml::from_str(&settings).expect("TOML"))
    };
    // One support and no views: batches of one.
    let built_one = built("side = 28\nmargin = 14\nepochs = 3\nviews = false").expect("good settings");
    let context = calibrated();
    let fitted = built_one.method.fit(&[], &context, &mut medfsad::method::Unobserved).expect("fitted");
    let detector = fitted.adapt(&stripes("support", 1, 56)).expect("a detector");
    let Prediction::Both(maps, scores) =
        predict(&*fitted, &*detector, &stripes("query", 1, 56)).expect("a prediction")
    else {
        panic!("maps and scores")
    };
    assert!(scores[0].is_finite());
    let at = |row: usize, column: usize| maps.map(0)[row * 56 + column];
    assert_eq!((maps.height(), maps.width()), (56, 56));
    for place in 0..14 {
        assert_eq!(at(place, place), at(14, 14), "the upper left margin");
        assert_eq!(at(30, place), at(30, 14), "the left margin");
        assert_eq!(at(30, 55 - place), at(30, 41), "the right margin");
    }
    let error = |settings: &str| format!("{:#}", built(settings).err().expect("an error"));
    assert!(error("side = 50").contains("multiple of 14"));
    let too_long =
        built("side = 28\nepochs = 1\nwarm_up = 1\nviews = false".replace("warm_up = 1\n", "").as_str())
            .expect("only the number of pictures tells");
    let fitted = too_long.method.fit(&[], &context, &mut medfsad::method::Unobserved).expect("fitted");
    let error = fitted.adapt(&stripes("support", 1, 56)).err().expect("an error").to_string();
    assert!(error.contains("warm_up is 1 and there are 1 steps"), "{error}");
}

/// A picture of constant patches of two kinds: each gets a prototype, and its tokens are next to it.
#[test]
fn coherence_falls_to_nothing_where_there_are_fewer_kinds_of_tokens_than_prototypes() {
    tch::set_num_threads(1);
    let store = VarStore::new(Device::Cpu);
    let shape = Shape { width: 64, heads: 4, prototypes: 6, blocks: 2 };
    let network = InpFormer::new(&store.root(), shape);
    initialise_truncated(&store, 1, 0.01, 0.03);
    let kinds = uniform("kinds", &[1, 2, 64]).repeat([1, 18, 1]);
    let groups = [kinds.copy(), kinds];
    let mut optimiser = Optimiser::new(&[&store], rule(1e-3, 1e-4, 1e-10)).clipping(Some(0.1));
    let coherence = || network.forward(&groups).coherence().double_value(&[]);
    let before = coherence();
    for _ in 0..200 {
        optimiser.step(&Loss::new(&groups, &network.forward(&groups)).followed);
    }
    let after = coherence();
    println!("coherence from {before} to {after}");
    assert!(after < 1e-3, "coherence goes from {before} to {after}");
}
