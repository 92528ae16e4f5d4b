//! RAD: which normals count for a query, all normals of a target, and settings that cannot be.

use medfsad::method::TrainTask;

use super::*;

#[test]
fn rad_compares_a_query_with_the_normals_that_are_most_like_it() {
    let context = context(&TempDir::new().expect("a folder"), 2);
    let (supports, queries) = (pictures("support", 6), pictures("query", 5));
    let scored = |neighbours: usize| {
        let fitted = waiting("rad", &format!("neighbours = {neighbours}"), &context);
        let detector = fitted.adapt(&supports).expect("a detector");
        let together = scores((&*fitted, &*detector), &queries, &all(&queries), 5);
        let alone = scores((&*fitted, &*detector), &queries, &[3, 0, 4, 1, 2], 1);
        assert_close("rad", &alone, &together);
        together
    };
    let (one, five, six) = (scored(1), scored(5), scored(6));
    // More normals can only be nearer, but for rounding.
    for (many, few) in [(&five, &one), (&six, &five)] {
        assert!(many.iter().zip(few).all(|(many, few)| *many <= few + 1e-6), "{many:?} against {few:?}");
    }
    assert_ne!(one, six, "the choice of normals changes nothing");
    assert_eq!(six, scored(150), "there are no more than six");
}

#[test]
fn rad_of_all_normals_of_a_target_is_that_of_as_many_supports() {
    let context = context(&TempDir::new().expect("a folder"), 2);
    // More than enter the network one by one.
    let (normals, queries) = (pictures("normal", 40), pictures("query", 4));
    let fitted = waiting("rad", "neighbours = 7", &context);
    let detector = fitted.adapt(&normals).expect("a detector");
    let few = scores((&*fitted, &*detector), &queries, &all(&queries), 4);

    let settings = format!("{}\ntrain_on = 'normals'", find("rad").expect("known").trial);
    let settings = settings.replace("neighbours = 2", "neighbours = 7");
    let built = (find("rad").expect("known").build)(toml::from_str(&settings).expect("TOML"));
    let tasks = [TrainTask { pictures: normals, ..task("first") }];
    let built = built.expect("good settings");
    let fitted = built.method.fit(&tasks, &context, &mut medfsad::method::Unobserved).expect("fitted");
    let detector = fitted.adapt(&pictures("support", 2)).expect("a detector");
    assert_close("rad", &few, &scores((&*fitted, &*detector), &queries, &all(&queries), 4));
}

#[test]
fn rad_refuses_settings_that_cannot_be() {
    let refused = |text: &str, part: &str| {
        let settings = toml::from_str(text).expect("TOML");
        let error = format!("{:#}", (find("rad").expect("known").build)(settings).err().expect("an error"));
        assert!(error.contains("rad") && error.contains(part), "{error}");
    };
    refused("side = 43", "multiple of 14");
    refused("margin = -1", "margin must not be negative");
    refused("neighbours = 0", "neighbours must be at least 1");
    refused("radius = -1", "radius must be 0 to 4");
    refused("radius = 5", "everywhere = true");
}
