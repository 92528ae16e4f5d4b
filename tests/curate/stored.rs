//! What a curated folder holds is checked when it is read, and finished parts are taken up.

use std::path::Path;
use std::time::SystemTime;

use medfsad::curate::{Request, build};
use medfsad::decode::{decode, resize};
use medfsad::manifest::store::PixelStore;
use medfsad::manifest::{FORMAT, MANIFEST, Manifest, REJECTED, Row, image_id};
use medfsad::pseudonym::Key;
use medfsad::table::Record;

use super::tree::{SIZE, built, noise, plant, raw, spec};

#[test]
fn rows_say_what_the_file_holds() {
    let raw = raw();
    let built = built(&spec(), raw.path());
    for row in &built.manifest.rows {
        let bytes = std::fs::read(raw.path().join(&row.source_path)).unwrap();
        let pixels = decode(&bytes, 0).unwrap().pixels;
        assert_eq!((row.height as usize, row.width as usize), (pixels.height(), pixels.width()));
        assert_ne!(row.height, row.width);
        assert_eq!((row.file_bytes, &row.file_sha256), (bytes.len() as u64, &medfsad::files::sha256(&bytes)));
        assert_eq!((&row.pixel_hash, row.bits), (&pixels.hash(), 8));
        assert_eq!(row.image_id, image_id("skin", &row.source_path, 0));
    }
}

#[test]
fn a_manifest_whose_rows_were_changed_is_refused() {
    let built = built(&spec(), raw().path());
    let path = built.out.path().join(MANIFEST);
    let mut fewer = built.manifest.rows.clone();
    fewer.pop();
    let mut moved = built.manifest.rows.clone();
    moved[0].split = medfsad::manifest::Split::Test;
    let write = |rows: &[Row]| {
        Row::write(&path, rows).unwrap();
        built.manifest.header.clone().write(built.out.path(), &[MANIFEST]).unwrap();
    };
    for rows in [fewer, moved] {
        write(&rows);
        let error = format!("{:#}", Manifest::read(built.out.path()).err().unwrap());
        assert!(error.contains("rows hash to") && error.contains("build the dataset again"), "{error}");
    }
    let turned: Vec<Row> = built.manifest.rows.iter().rev().cloned().collect();
    write(&turned);
    assert!(
        Manifest::read(built.out.path()).is_ok(),
        "the canonical hash must not depend on the order of rows"
    );
}

#[test]
fn a_table_of_which_a_byte_was_altered_is_refused_by_its_name_before_it_is_parsed() {
    let built = built(&spec(), raw().path());
    let folder = built.out.path();
    let refusal = |name: &str| match name {
        MANIFEST => Manifest::read(folder).map(drop),
        _ => Manifest::read(folder).unwrap().rejected().map(drop),
    };
    for name in [MANIFEST, REJECTED] {
        let path = folder.join(name);
        let whole = std::fs::read(&path).unwrap();
        for at in [0, 4, whole.len() / 2, whole.len() - 9, whole.len() - 1] {
            let mut damaged = whole.clone();
            damaged[at] ^= 1;
            std::fs::write(&path, &damaged).unwrap();
            let error = format!("{:#}", refusal(name).unwrap_err());
            let is_named = error.starts_with(&format!("{} is damaged", path.display()));
            assert!(is_named && error.ends_with("copy the whole folder anew or build it again"), "{error}");
        }
        std::fs::write(&path, &whole).unwrap();
        refusal(name).unwrap();
    }
}

#[test]
fn a_header_without_hashes_of_its_tables_is_read_if_it_is_of_format_4_alone() {
    let built = built(&spec(), raw().path());
    let path = built.out.path().join("manifest.json");
    let mut header: serde_json::Value =
        serde_json::from_str(&std::fs::read_to_string(&path).unwrap()).unwrap();
    let tables = header.as_object_mut().unwrap().remove("tables").unwrap();
    assert_eq!(tables.as_object().unwrap().len(), 3, "{tables}");
    std::fs::write(&path, header.to_string()).unwrap();
    let error = format!("{:#}", Manifest::read(built.out.path()).err().unwrap());
    assert!(error.contains("manifest.parquet has no hash of it; build it again"), "{error}");
    header["format"] = 4.into();
    std::fs::write(&path, header.to_string()).unwrap();
    let old = Manifest::read(built.out.path()).unwrap();
    assert_eq!((&old.rows, old.rejected().unwrap()), (&built.manifest.rows, built.outcome.rejected));
}

#[test]
fn a_folder_without_a_manifest_or_of_another_format_says_so() {
    let built = built(&spec(), raw().path());
    let header = built.out.path().join("manifest.json");
    let text = std::fs::read_to_string(&header).unwrap();
    plant(
        built.out.path(),
        "manifest.json",
        text.replace(&format!("\"format\": {FORMAT}"), "\"format\": 99").as_bytes(),
    );
    let error = format!("{:#}", Manifest::read(built.out.path()).err().unwrap());
    assert!(error.contains("format 99"), "{error}");
    std::fs::remove_file(&header).unwrap();
    let error = format!("{:#}", Manifest::read(built.out.path()).err().unwrap());
    assert!(error.contains("manifest.json is missing"), "{error}");
}

fn open(folder: &Path, rows: &[&Row]) -> PixelStore {
    PixelStore::open(folder, "skin", SIZE, resize::RESIZE_ID, rows).unwrap()
}

#[test]
fn the_store_gives_back_each_picture_resized_from_its_own_file() {
    let raw = raw();
    let built = built(&spec(), raw.path());
    let rows: Vec<&Row> = built.manifest.rows.iter().collect();
    let store = open(built.out.path(), &rows);
    assert_eq!(store.size(), SIZE);
    for row in rows {
        let pixels = decode(&std::fs::read(raw.path().join(&row.source_path)).unwrap(), 0).unwrap().pixels;
        let expected = resize::lanczos(&pixels.to_rgb(), SIZE, SIZE).to_planes();
        assert!(store.picture(&row.pixel_hash).unwrap() == expected, "{}", row.source_path);
    }
    assert!(store.picture("unheard of").is_err() && store.mask("unheard of").is_err());
}

#[test]
fn a_store_of_another_resize_another_size_or_other_pictures_is_refused() {
    let built = built(&spec(), raw().path());
    let rows: Vec<&Row> = built.manifest.rows.iter().collect();
    let refusal = |size, resize, rows: &[&Row]| {
        format!("{:#}", PixelStore::open(built.out.path(), "skin", size, resize, rows).err().unwrap())
    };
    let error = refusal(SIZE, "nearest-v0", &rows);
    assert!(error.contains("pillow-lanczos-hv-v1") && error.contains("nearest-v0"), "{error}");
    let error = refusal(64, resize::RESIZE_ID, &rows);
    assert!(error.contains("at 64 pixels") && error.contains("build-dataset"), "{error}");
    let mut stale = built.manifest.rows[4].clone();
    stale.pixel_hash = "changed since".to_owned();
    let error = refusal(SIZE, resize::RESIZE_ID, &[rows[0], &stale]);
    assert!(error.contains("is stale") && error.contains(&stale.source_path), "{error}");
}

#[test]
fn a_store_cut_short_is_refused() {
    let built = built(&spec(), raw().path());
    let path = medfsad::manifest::store::path(built.out.path(), "skin", SIZE);
    let whole = std::fs::read(&path).unwrap();
    for length in [0, 7, 100, whole.len() - 1] {
        std::fs::write(&path, &whole[..length]).unwrap();
        let opened = PixelStore::open(built.out.path(), "skin", SIZE, resize::RESIZE_ID, &[]);
        let error = format!("{:#}", opened.err().unwrap());
        assert!(error.contains("is not a pixel store; delete it"), "{error}");
    }
}

/// When the part and the store of the task were written.
fn written(folder: &Path) -> [SystemTime; 2] {
    ["parts/skin.json", "pixels/skin-32.safetensors"]
        .map(|file| std::fs::metadata(folder.join(file)).unwrap().modified().unwrap())
}

#[test]
fn a_finished_part_is_taken_up_until_something_it_rests_on_changes() {
    let (raw, out) = (raw(), tempfile::tempdir().unwrap());
    let mut spec = spec();
    let again = |spec: &medfsad::spec::Spec| {
        let outcome =
            build(&Request { spec, raw: raw.path(), out: out.path(), partial: false, key: &Key::PUBLIC })
                .unwrap();
        (outcome.header.canonical_hash, written(out.path()))
    };
    let first = again(&spec);
    assert_eq!(again(&spec), first, "a finished part was made anew");
    spec.seed = 6;
    let (hash, times) = again(&spec);
    assert!(hash != first.0 && times != first.1, "another seed took up the old part");
    plant(raw.path(), "Skin/good/05.png", &noise(500));
    let changed = again(&spec);
    assert_ne!(changed.1, times, "another file took up the old part");
    std::fs::remove_file(out.path().join("pixels/skin-32.safetensors")).unwrap();
    assert_eq!(again(&spec).0, changed.0);
    plant(out.path(), "parts/skin.json", b"{ half a pa");
    assert_eq!(again(&spec).0, changed.0, "a broken part stopped or changed the build");
}

/// Changes one byte of a file, the last but `back`.
fn alter(path: &Path, back: usize) {
    let mut bytes = std::fs::read(path).unwrap();
    let place = bytes.len() - back;
    bytes[place] ^= 0x10;
    std::fs::write(path, bytes).unwrap();
}

#[test]
fn pictures_that_were_altered_in_a_store_are_refused_and_curated_anew() {
    let (raw, out) = (raw(), tempfile::tempdir().unwrap());
    let spec = spec();
    let build = || {
        build(&Request { spec: &spec, raw: raw.path(), out: out.path(), partial: false, key: &Key::PUBLIC })
            .unwrap()
    };
    build();
    let path = out.path().join("pixels/skin-32.safetensors");
    let sound = std::fs::read(&path).unwrap();
    let manifest = Manifest::read(out.path()).unwrap();
    assert!(manifest.task("skin").unwrap().store(SIZE).is_ok());
    // A pixel of the last mask or picture; the store itself is whole.
    alter(&path, 40);
    assert!(PixelStore::open(out.path(), "skin", SIZE, resize::RESIZE_ID, &[]).is_ok());
    let error = format!("{:#}", manifest.task("skin").unwrap().store(SIZE).err().unwrap());
    assert!(error.contains("skin-32.safetensors is damaged or is not the file of its header"), "{error}");
    build();
    assert!(std::fs::read(&path).unwrap() == sound, "an altered store was taken up");
}

#[test]
fn a_finished_part_that_was_altered_is_made_anew() {
    let (raw, out) = (raw(), tempfile::tempdir().unwrap());
    let spec = spec();
    let hash = || {
        let request =
            Request { spec: &spec, raw: raw.path(), out: out.path(), partial: false, key: &Key::PUBLIC };
        build(&request).unwrap().header.canonical_hash
    };
    let first = hash();
    let path = out.path().join("parts/skin.json");
    let text = std::fs::read_to_string(&path).unwrap();
    let altered = text.replacen("\"width\":", "\"width\":1", 1);
    assert_ne!(altered, text);
    std::fs::write(&path, altered).unwrap();
    assert_eq!(hash(), first, "the altered part was taken up");
}
