//! SAGAN and what we make of it for few normals: what they learn from, how they are tested, and what is refused.

use medfsad::method::part::trainer::Schedule;
use medfsad::method::sagan::pseudo_anomaly::{Square, blended};
use medfsad::method::{Built, EpochFigures, Unobserved};

use super::*;
use tempfile::TempDir;

use crate::method::{context, task};

const TRIAL: &str = "input = 32\nlayers = 5\nwidth = 4\nblocks = 1\nsteps = 4\nepoch_steps = 2\nbatch = 4";

fn built(name: &str, settings: &str) -> anyhow::Result<Built> {
    (find(name).expect("known").build)(toml::from_str(settings).expect("TOML"))
}

/// Fitted by the trial's settings and more.
fn fitted(name: &str, more: &str, tasks: &[TrainTask], context: &Context) -> Box<dyn Fitted> {
    let built = built(name, &format!("{TRIAL}\n{more}")).expect("good settings");
    built.method.fit(tasks, context, &mut Unobserved).expect("fitted")
}

fn scored(fitted: &dyn Fitted, queries: &Pictures) -> Vec<f64> {
    let detector = fitted.adapt(&pictures("support", 2)).expect("a detector");
    let order: Vec<usize> = (0..queries.len()).collect();
    scores((fitted, &*detector), queries, &order, 3)
}

#[test]
fn the_published_test_replaces_the_same_pixels_whenever_a_picture_comes() {
    let folder = TempDir::new().expect("a folder");
    let context = context(&folder, 2);
    let tasks = [task("first")];
    let test = |more: &str| fitted("sagan", more, &tasks, &context);
    let (published, deterministic) = (test("testing = 'published'"), test(""));
    let queries = pictures("query", 7);
    let shuffled = queries.at(&[3, 3, 5, 0, 6]);
    let (all, again) = (scored(&*published, &queries), scored(&*published, &shuffled));
    for (place, index) in [3, 3, 5, 0, 6].into_iter().enumerate() {
        assert!((again[place] - all[index]).abs() < 1e-6, "{} and {}", again[place], all[index]);
    }
    assert_eq!(again[0], again[1]);
    let plain = scored(&*deterministic, &queries);
    assert!(all.iter().zip(&plain).all(|(a, b)| (a - b).abs() > 1e-3), "{all:?} and {plain:?}");
}

#[test]
fn sagan_learns_from_its_pool_and_its_adaptation_has_none() {
    let folder = TempDir::new().expect("a folder");
    let context = context(&folder, 2);
    let with_pool = |pool: &str| {
        let mut target = task("first");
        target.pool = Some(pictures(pool, 6));
        [target]
    };
    let queries = pictures("query", 3);
    let of = |pool: &str| scored(&*fitted("sagan", "", &with_pool(pool), &context), &queries);
    assert_ne!(of("one pool"), of("other pool"));
    let few = fitted("sagan-k", "", &[], &context);
    assert!(few.trains_on_supports() && !few.ignores_supports());
    let without = [TrainTask { pool: None, ..task("first") }];
    let missing = built("sagan", TRIAL).expect("built").method.fit(&without, &context, &mut Unobserved);
    let missing = format!("{:#}", missing.err().expect("an error"));
    assert!(missing.contains("unlabelled pictures are missing"), "{missing}");
}

#[test]
fn regimes_of_sagan_say_what_it_is_given() {
    let regime = |name: &str, settings: &str| built(name, settings).expect("built").regime.name();
    assert_eq!(regime("sagan", ""), "R6");
    assert_eq!(regime("sagan", "pool = 'test'"), "R6T");
    assert_eq!(regime("sagan-k", ""), "R1");
    assert_eq!(regime("sagan-k", "train_on = 'normals'"), "R5");
    assert_eq!(built("sagan", "").expect("built").extension, None);
    let adapted = built("sagan-k", "").expect("built").extension.expect("an extension");
    assert!(adapted.starts_with("adapted"), "{adapted}");
    assert!(find("sagan-k").expect("known").about.contains("adapted"));
}

#[test]
fn settings_that_sagan_cannot_have_are_refused_by_name() {
    for (name, settings, word) in [
        ("sagan", "views = true", "views"),
        ("sagan", "train_on = 'normals'", "sagan-k"),
        ("sagan-k", "pool = 'test'", "pool"),
        ("sagan", "pool = 'train'", "pool"),
        ("sagan", "input = 48", "input"),
        ("sagan-k", "input = 16\nlayers = 4", "input"),
        ("sagan", "layers = 9", "layers"),
        ("sagan", "testing = 'random'", "testing"),
        ("sagan", "steps = 1", "critic_steps"),
        ("sagan-k", "epochs = 3", "epochs"),
    ] {
        let error = format!("{:#}", built(name, settings).err().expect("an error"));
        assert!(error.contains(name) && error.contains(word), "{settings}: {error}");
    }
    let folder = TempDir::new().expect("a folder");
    let one = fitted("sagan-k", "views = false", &[], &context(&folder, 1));
    let error = format!("{:#}", one.adapt(&pictures("support", 1)).err().expect("an error"));
    assert!(error.contains("one normal is too few") && error.contains("views = true"), "{error}");
}

/// As the authors' code: the rate falls once in 1000 steps by a 50,000th.
#[test]
fn the_published_rate_hardly_falls() {
    let published = Schedule::Stairs { after: 50_000, every: 1000, parts: 50_000 };
    let falls = |number: u64| ((1.0 - published.factor(number)) * 50_000.0).round();
    assert_eq!([0, 49_999, 50_999].map(falls), [0.0; 3]);
    assert_eq!([51_000, 51_999, 52_000, 99_999].map(falls), [1.0, 1.0, 2.0, 49.0]);
    // What it looks like it was meant to be.
    let meant = Schedule::Stairs { after: 2, every: 1, parts: 4 };
    assert_eq!(
        [0, 2, 3, 4, 5, 6, 9].map(|number| meant.factor(number)),
        [1.0, 1.0, 0.75, 0.5, 0.25, 0.0, 0.0]
    );
}

#[test]
fn pseudo_anomalies_are_squares_of_other_pictures() {
    let mut stream = Stream::new(3, "squares", 0);
    let squares: Vec<Square> = (0..2000).map(|index| Square::draw(64, index % 3, 3, &mut stream)).collect();
    let centres = squares.iter().flat_map(|s| [s.rows, s.columns].map(|[first, end]| (first + end) / 2));
    let halves = squares.iter().map(|s| (s.rows[1] - s.rows[0]) / 2);
    let range = |values: &mut dyn Iterator<Item = i64>| {
        values.fold((i64::MAX, i64::MIN), |(low, high), value| (low.min(value), high.max(value)))
    };
    // numpy's randint(12.8, 51.2) and randint(3, 13).
    assert_eq!(range(&mut centres.into_iter()), (12, 50));
    assert_eq!(range(&mut halves.into_iter()), (3, 12));
    assert!(squares.iter().enumerate().all(|(index, s)| s.other != index as i64 % 3 && s.other < 3));
    let square = Square { rows: [1, 3], columns: [2, 5], other: 0, share: 0.25 };
    let (one, other) = (uniform("one", &[1, 1, 8, 8]), uniform("other", &[1, 1, 8, 8]));
    let made = blended(&one, &other, &[square]);
    let inside = |x: &Tensor| x.narrow(2, 1, 2).narrow(3, 2, 3);
    let expected = inside(&one) * 0.75 + inside(&other) * 0.25;
    assert!(largest(&(inside(&made) - expected)) < 1e-6);
    let changed = (made - one).abs().gt(0.0).sum(Kind::Int64).int64_value(&[]);
    assert_eq!(changed, 6, "nothing outside the square");
}

#[test]
fn the_generator_learns_to_leave_normals_alone() {
    // Beside other tests more threads only wait for each other.
    tch::set_num_threads(1);
    let folder = TempDir::new().expect("a folder");
    let settings = "input = 32\nlayers = 5\nwidth = 4\nblocks = 1\nsteps = 120\nepoch_steps = 40\nbatch = 4\n\
                    learning_rate = 1e-3";
    let mut changed = Vec::new();
    let mut observer = |_: u64, figures: &EpochFigures, _: &dyn Fitted| {
        changed.extend(
            figures.iter().filter(|(name, _)| *name == "changed-in-normals").map(|(_, value)| *value),
        );
        Ok(())
    };
    let built = built("sagan", settings).expect("built");
    built.method.fit(&[task("first")], &context(&folder, 2), &mut observer).expect("trained");
    println!("what changes in normals, epoch after epoch: {changed:?}");
    assert_eq!(changed.len(), 3);
    assert!(changed[2] < 0.7 * changed[0], "{changed:?}");
}
