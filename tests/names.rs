//! Wrong names are answered with the right ones.

use medfsad::names::{nearest, unknown};

#[test]
fn a_slip_is_answered_with_the_name_that_was_meant() {
    let known = ["patchcore", "padim", "d24fad", "resnet18"];
    for (given, meant) in [
        ("patchcorr", Some("patchcore")),
        ("PaDiM", Some("padim")),
        ("d24fda", Some("d24fad")),
        ("restnet18", Some("resnet18")),
        ("liver", None),
        ("", None),
    ] {
        assert_eq!(nearest(given, known), meant, "{given}");
    }
    let error = unknown("method", "padin", known).to_string();
    assert_eq!(
        error,
        "unknown method `padin`; did you mean `padim`? (known: patchcore, padim, d24fad, resnet18)"
    );
}
