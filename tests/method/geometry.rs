//! Whole files as a method's authors prepare them, beside squares of a store.

use medfsad::decode::resize;
use medfsad::evaluate::folder::{self, Shape};
use medfsad::method::Unobserved;
use medfsad::method::geometry::{FromFiles, Role};
use medfsad::pixels::Pixels;

use super::*;

fn settings(name: &str, more: &str) -> Built {
    let entry = find(name).expect("a known method");
    let mut table: toml::Table = toml::from_str(entry.trial).expect("TOML");
    table.extend(toml::from_str::<toml::Table>(more).expect("TOML"));
    (entry.build)(table).expect("good settings")
}

/// A disc and a gradient in a picture of its own size.
fn picture(height: usize, width: usize, shade: usize) -> Pixels {
    let sample = |row: usize, column: usize, channel: usize| {
        let inside = (row as i64 - 20).pow(2) + (column as i64 - 24).pow(2) < 150;
        (shade + 2 * row + column / (1 + channel) + if inside { 60 } else { 0 }) as u8
    };
    let samples =
        (0..height * width * 3).map(|at| sample(at / (3 * width), at / 3 % width, at % 3)).collect();
    Pixels::new(height, width, 3, samples).expect("a picture")
}

/// Pictures as squares of `side` pixels that `resize` makes.
fn stored(files: &[Pixels], side: i64, resize: impl Fn(&Pixels, usize, usize) -> Pixels) -> Pictures {
    let squares: Vec<Pixels> = files.iter().map(|file| resize(file, side as usize, side as usize)).collect();
    folder::pictures(&squares)
}

/// Pictures of files, as the method asks for them.
fn read(files: &[Pixels], from_files: &FromFiles, role: Role) -> Pictures {
    let squares = stored(files, from_files.side, |file, h, w| from_files.filter.resize(file, h, w));
    let of = |file: &Pixels| from_files.views.as_ref().map(|make| make(file, role).expect("views").into());
    Pictures { views: files.iter().filter_map(of).collect(), ..squares }
}

const REFERENCE: Role = Role::Reference { seed: 5 };

fn scored(built: &Built, context: &Context, supports: &Pictures, queries: &Pictures) -> Vec<f64> {
    let fitted = built.method.fit(&[], context, &mut Unobserved).expect("a method");
    let detector = fitted.adapt(supports).expect("a detector");
    match predict(&*fitted, &*detector, queries).expect("a prediction") {
        Prediction::Both(maps, scores) => {
            let size = queries.size() as usize;
            assert_eq!((maps.count(), maps.height(), maps.width()), (queries.len(), size, size));
            scores
        }
        _ => panic!("maps and scores"),
    }
}

#[test]
fn files_stretched_at_once_enter_as_the_authors_resize_them() {
    let context = context(&TempDir::new().expect("a folder"), 1);
    // Twice or more the size that any of these sees, so that its own resizing makes the difference.
    let [supports, queries] = [10, 25].map(|shade| [picture(140, 140, shade)]);
    for (name, more) in [
        // What changes pictures before they are resized would change others here.
        ("inp-former", "views = false"),
        ("dinomaly", "views = false"),
        ("rad", ""),
        ("foundad", "augmented = false"),
        ("mediclip", ""),
        ("winclip", ""),
        ("mvfa", "setting = 'few-normal'"),
        ("subspacead", "backbone = 'dinov2_tiny14'\nside = 42\nrotations = 0\nexplained = 0.5"),
    ] {
        let published = settings(name, &format!("geometry = 'published'\n{more}"));
        let from_files = published.from_files.clone().expect("files");
        assert!(
            from_files.views.is_none() && from_files.about.contains("stretched"),
            "{name}: {from_files:?}"
        );
        assert!(published.settings.contains("\"geometry\":\"published\""), "{name}: {}", published.settings);
        let supports_read = read(&supports, &from_files, REFERENCE);
        let ours = scored(&published, &context, &supports_read, &read(&queries, &from_files, Role::Query));
        // A method that is handed the same pictures unchanged resizes them itself, by its authors' filter.
        let square = settings(name, more);
        assert!(square.from_files.is_none());
        let whole = |files: &[Pixels]| stored(files, 140, |file, _, _| file.clone());
        assert_eq!(ours, scored(&square, &context, &whole(&supports), &whole(&queries)), "{name}");
        // By way of a store, which has Lanczos's filter, it sees other pixels.
        let small = |files: &[Pixels]| stored(files, 96, resize::lanczos);
        assert_ne!(ours, scored(&square, &context, &small(&supports), &small(&queries)), "{name}");
    }
}

const ANOMALYDINO: &str = "backbone = 'dinov2_tiny14'\nside = 56";

#[test]
fn shapes_of_files_are_kept_where_the_authors_keep_them() {
    let context = context(&TempDir::new().expect("a folder"), 1);
    let published = settings("anomalydino", &format!("{ANOMALYDINO}\ngeometry = 'published'"));
    let from_files = published.from_files.clone().expect("files");
    assert!(from_files.about.contains("shorter edge 56"), "{from_files:?}");
    let references = |files: &[Pixels]| read(files, &from_files, REFERENCE);
    let of_files = |files: &[Pixels]| read(files, &from_files, Role::Query);
    // Where a picture is a square of the right size already, both are the same.
    let exact = [picture(56, 56, 10), picture(56, 56, 30), picture(56, 56, 60)];
    let square = settings("anomalydino", ANOMALYDINO);
    let plain = |files: &[Pixels]| stored(files, 56, |file, _, _| file.clone());
    let same = scored(&square, &context, &plain(&exact[..2]), &plain(&exact[2..]));
    let exact = scored(&published, &context, &references(&exact[..2]), &of_files(&exact[2..]));
    assert_close("squares", &exact, &same);
    // Each picture keeps its own shape, and its score whatever it is scored beside.
    let supports = references(&[picture(64, 100, 10)]);
    assert_eq!(supports.views[0].len(), 8);
    let files = [picture(60, 80, 20), picture(91, 60, 40)];
    let together = scored(&published, &context, &supports, &of_files(&files));
    let alone: Vec<f64> = files
        .iter()
        .flat_map(|file| scored(&published, &context, &supports, &of_files(std::slice::from_ref(file))))
        .collect();
    assert_eq!(together, alone);
    let squeezed = scored(
        &square,
        &context,
        &stored(&[picture(64, 100, 10)], 56, resize::lanczos),
        &stored(&files, 56, resize::lanczos),
    );
    assert_ne!(together, squeezed);
    // A support among the queries is at no distance.
    let known = scored(&published, &context, &supports, &of_files(&[picture(64, 100, 10)]));
    assert!(known[0].abs() < 1e-6, "{known:?}");
    // A reference that is left out of its support set is scored as it is, not as one of its copies.
    assert_close("left out", &scored(&published, &context, &supports, &supports), &known);
    // Views follow their pictures.
    let [first, second] =
        [&files[0], &files[1]].map(|file| read(std::slice::from_ref(file), &from_files, Role::Query));
    let turned = of_files(&files).at(&[1, 0]);
    assert_eq!([&turned.views[0], &turned.views[1]], [&second.views[0], &first.views[0]]);
    let strip = from_files.views.as_ref().expect("views")(&picture(10, 81, 0), Role::Query);
    assert!(strip.expect_err("a strip").to_string().contains("81 x 10 pixels are a strip"));
}

#[test]
fn references_are_turned_at_their_own_size() {
    let context = context(&TempDir::new().expect("a folder"), 1);
    let more = "backbone = 'dinov2_tiny14'\nside = 42\nrotations = 3\ncorners = 'black'\nexplained = 0.9\ngeometry = 'published'";
    let published = settings("subspacead", more);
    let from_files = published.from_files.clone().expect("files");
    assert!(from_files.about.contains("turned at their own size (black corners)"), "{from_files:?}");
    let supports = read(&[picture(80, 120, 10)], &from_files, REFERENCE);
    let queries = read(&[picture(80, 120, 40)], &from_files, Role::Query);
    assert_eq!((supports.views[0].len(), queries.views[0].len()), (4, 0));
    let whole = scored(&published, &context, &supports, &queries);
    // Turned after it is stretched, a rectangle's copies are others.
    let square = settings("subspacead", &more.replace("published", "square"));
    assert_ne!(whole, scored(&square, &context, &supports, &queries));
    // Nearest pixels of a picture of the right size are its own: stretching changes nothing, before or after a turn.
    let [reference, query] = [picture(42, 42, 10), picture(42, 42, 40)].map(|file| [file]);
    let ours = scored(
        &published,
        &context,
        &read(&reference, &from_files, REFERENCE),
        &read(&query, &from_files, Role::Query),
    );
    let plain = |files: &[Pixels]| stored(files, 42, |file, _, _| file.clone());
    assert_close("subspacead", &ours, &scored(&square, &context, &plain(&reference), &plain(&query)));
    let none = settings("subspacead", &more.replace("rotations = 3", "rotations = 0"));
    assert!(none.from_files.expect("files").views.is_none());
    let entry = find("subspacead").expect("a known method");
    let error = (entry.build)(toml::from_str("geometry = 'published'").expect("TOML")).err().expect("stages");
    assert!(format!("{error:#}").contains("for transformers"), "{error:#}");
}

#[test]
fn folders_are_read_as_methods_ask() {
    let home = TempDir::new().expect("a folder");
    let files = [picture(60, 90, 20), picture(100, 40, 50)];
    for (name, file) in ["a.png", "c.png"].iter().zip(&files) {
        let (width, height) = (file.width() as u32, file.height() as u32);
        let image = image::RgbImage::from_raw(width, height, file.samples().to_vec()).expect("a picture");
        image.save(home.path().join(name)).expect("a file");
    }
    for (name, more) in [
        ("foundad", ""),
        ("winclip", ""),
        ("anomalydino", ANOMALYDINO),
        ("subspacead", "backbone = 'dinov2_tiny14'\nside = 42\nrotations = 2"),
    ] {
        let from_files =
            settings(name, &format!("geometry = 'published'\n{more}")).from_files.expect("files");
        let shape = Shape { side: from_files.side as usize, from_files: Some(from_files.clone()) };
        let references = folder::references(home.path(), &shape, 5).expect("references");
        let broken = home.path().join("b.png");
        std::fs::write(&broken, "no picture").expect("a file");
        let (entries, _) = folder::list(home.path()).expect("a list");
        let queries = folder::read(&entries, &shape);
        std::fs::remove_file(broken).expect("a file");
        assert_eq!(queries.names, ["a.png", "c.png"], "{name}");
        for (found, role) in [(references, REFERENCE), (queries, Role::Query)] {
            let (found, expected) = (found.pictures(), read(&files, &from_files, role));
            assert!(found.pixels.equal(&expected.pixels), "{name}, {role:?}: other squares");
            assert_eq!(found.views, expected.views, "{name}, {role:?}");
        }
    }
}

#[test]
fn squares_of_a_store_are_refused_where_files_are_asked_for() {
    let context = context(&TempDir::new().expect("a folder"), 1);
    let published = settings("anomalydino", &format!("{ANOMALYDINO}\ngeometry = 'published'"));
    let error = published.check_has_squares().expect_err("no files in a board").to_string();
    assert!(error.contains("`score`") && error.contains("leave geometry out"), "{error}");
    settings("anomalydino", ANOMALYDINO).check_has_squares().expect("squares");
    let fitted = published.method.fit(&[], &context, &mut Unobserved).expect("a method");
    let error = fitted.adapt(&pictures("support", 2)).err().expect("no files").to_string();
    assert!(error.contains("takes whole files"), "{error}");
    // What `score` cannot run is refused at once.
    for (name, more, instead) in [
        ("mvfa", "", "few-normal"),
        ("foundad", "train_on = 'normals'", "train_on"),
        ("inp-former", "train_on = 'normals'", "train_on"),
        ("dinomaly", "train_on = 'normals'", "train_on"),
        ("rad", "train_on = 'normals'", "train_on"),
        ("mediclip", "train_on = 'normals'", "train_on"),
        ("subspacead", "backbone = 'dinov2_tiny14'\ntrain_on = 'normals'", "train_on"),
    ] {
        let table = toml::from_str(&format!("geometry = 'published'\n{more}")).expect("TOML");
        let error = (find(name).expect("a known method").build)(table).err().expect("no files");
        let error = format!("{error:#}");
        assert!(error.contains(name) && error.contains(instead) && error.contains("`score`"), "{error}");
    }
}
