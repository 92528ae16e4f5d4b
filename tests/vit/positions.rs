//! Position tables for other grids.

use medfsad::network::formula;
use medfsad::network::vit::Interpolation;
use tch::Kind;

use super::{Compared, reference};

const RULES: [(&str, Interpolation); 3] = [
    ("facebook_no_registers", Interpolation::Offset),
    ("facebook_registers", Interpolation::Antialiased),
    ("hf_no_registers", Interpolation::Exact),
];

fn rules_agree(kind: Kind, bound: f64) {
    let golden = reference("posembed.json");
    let table = formula::tensor("posvariants.pos_embed", &[1, 1370, 8], -0.3, 0.3).to_kind(kind);
    let results = golden["results"].as_object().expect("results");
    assert_eq!(results.len(), 6);
    for (name, rule) in RULES {
        let mut compared = Compared::within(bound);
        for (size, golden) in results {
            let (h, w) = size.split_once('x').expect("height x width");
            let (h, w): (i64, i64) = (h.parse().expect("a number"), w.parse().expect("a number"));
            let resized = rule.apply(&table, 1, [h, w]);
            assert!(resized.narrow(1, 0, 1).equal(&table.narrow(1, 0, 1)), "the class token's row moved");
            compared.with(
                &format!("{name} {size}"),
                &resized.narrow(1, 1, h * w).squeeze_dim(0),
                &golden[name],
            );
        }
        compared.say(&format!("{name} in {kind:?}"));
    }
}

#[test]
fn tables_equal_the_published_in_double_precision() {
    rules_agree(Kind::Double, 1e-10);
}

#[test]
fn tables_equal_the_published_in_single_precision() {
    rules_agree(Kind::Float, 2e-5);
}

#[test]
fn a_table_that_has_the_grid_stays() {
    let table = formula::tensor("table", &[1, 26, 4], -0.3, 0.3);
    for (_, rule) in RULES {
        assert!(rule.apply(&table, 1, [5, 5]).equal(&table));
        assert_eq!(rule.apply(&table, 1, [5, 4]).size(), [1, 21, 4]);
    }
}
