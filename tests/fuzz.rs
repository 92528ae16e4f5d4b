//! A slice of the fuzz campaigns, and what a campaign makes of a reader that ends, hangs or answers nonsense.

use std::process::Command;

use medfsad::fuzz::campaign::{Campaign, Outcome};
use medfsad::fuzz::{Family, originals};
use medfsad::manifest::Manifest;

use crate::program::{medfsad, succeeds, text};

/// Inputs of each family that are read here; `cargo xtask fuzz` reads more.
const CASES: u64 = 40;

fn campaign(family: Family) -> Campaign {
    Campaign { family, cases: CASES, seed: 7, from: None }
}

#[test]
fn damaged_files_of_every_family_are_decoded_or_refused_with_a_reason() {
    let scratch = tempfile::tempdir().unwrap();
    let folder = scratch.path().join("input");
    for family in Family::all().filter(|&family| family.is_read() && family != Family::Results) {
        let (campaign, originals) = (campaign(family), originals(family, None).unwrap());
        let mut refused = 0;
        for index in 0..CASES {
            match campaign.outcome(&originals, index, &folder).unwrap() {
                Outcome::Decoded => {}
                Outcome::Rejected(reason) => {
                    assert!(!reason.trim().is_empty(), "{family} {index} is refused without a reason");
                    refused += 1;
                }
                Outcome::Panicked(message) => panic!("{family} {index}: {message}"),
            }
        }
        assert!(refused > 0, "no damage to {family} was noticed");
    }
}

#[test]
fn whole_files_are_read_and_the_same_seed_damages_them_in_the_same_way() {
    let scratch = tempfile::tempdir().unwrap();
    let folder = scratch.path().join("input");
    for family in Family::all().filter(|&family| family.is_read() && family != Family::Results) {
        for original in originals(family, None).unwrap() {
            for (place, bytes) in
                original.beside.iter().chain([&(original.place.clone(), original.bytes.clone())])
            {
                medfsad::files::write_unsynced(&folder.join(place), bytes).unwrap();
            }
            let path = folder.join(&original.place);
            medfsad::fuzz::read(family, &folder, &path, 1)
                .unwrap_or_else(|error| panic!("{family}: {error:#}"));
            std::fs::remove_dir_all(&folder).unwrap();
        }
    }
    let whole = originals(Family::Bmp, None).unwrap();
    let damaged = |seed: u64| -> Vec<u8> {
        let campaign = Campaign { seed, ..campaign(Family::Bmp) };
        std::fs::read(campaign.place(&whole, 3, &folder).unwrap()).unwrap()
    };
    assert_eq!(damaged(1), damaged(1));
    assert_ne!(damaged(1), damaged(2));
}

/// Polars-arrow 0.55.2 asks for 2^61 bytes over this input, which ends the process.
#[test]
fn a_table_whose_damage_would_end_the_process_is_refused_by_the_hash_in_its_header() {
    let scratch = tempfile::tempdir().unwrap();
    let folder = scratch.path().join("input");
    let whole = originals(Family::Manifest, None).unwrap();
    let campaign = Campaign { family: Family::Manifest, cases: 1180, seed: 2, from: None };
    let path = campaign.place(&whole, 1179, &folder).unwrap();
    assert_ne!(std::fs::read(&path).unwrap(), whole[1].bytes);
    // The campaign gave it a header that fits.
    std::fs::write(folder.join(&whole[0].place), &whole[0].bytes).unwrap();
    let error = Manifest::read(&folder).err().unwrap().to_string();
    assert!(error.contains("manifest.parquet is damaged") && error.contains("build it again"), "{error}");
}

/// A campaign of `cases` inputs, read by a shell script that is given the first number as `$0`.
fn tally_of(cases: u64, script: &str) -> anyhow::Result<medfsad::fuzz::campaign::Tally> {
    let start = |first: u64| {
        let mut command = Command::new("sh");
        command.args(["-c", script, &first.to_string()]);
        command
    };
    Campaign { cases, ..campaign(Family::Bmp) }.run(start, |_| {})
}

#[test]
fn a_reader_that_ends_hangs_or_panics_is_blamed_on_its_input_and_the_rest_goes_on() {
    let script = r#"
        echo ready
        case $0 in
            0) printf '0\tdecoded\t2048\t""\n1\trejected\t1024\t"why"\n'; exit 7 ;;
            3) printf '3\tpanicked\t1024\t"index out of range"\n'; sleep 60 ;;
            *) printf '5\trejected\t2000000\t""\n' ;;
        esac"#;
    let tally = tally_of(6, script).unwrap();
    assert_eq!((tally.decoded, tally.rejected, tally.panics, tally.hangs), (1, 1, 2, 1));
    assert_eq!(tally.memory, 2_000_000);
    let faults: Vec<(u64, &str)> = tally.faults.iter().map(|(index, what)| (*index, what.as_str())).collect();
    assert_eq!(faults.len(), 5, "{faults:?}");
    assert!(faults[0].0 == 2 && faults[0].1.contains("exit status: 7"), "{faults:?}");
    assert_eq!(faults[1], (3, "a panic: index out of range"));
    assert_eq!(faults[2], (4, "it took over five seconds"));
    assert_eq!(faults[3], (5, "it was refused without a reason"));
    assert_eq!(faults[4], (5, "it took 2000000 kB"));
}

#[test]
fn a_reader_that_does_not_begin_or_answers_out_of_turn_is_an_error() {
    assert!(tally_of(1, "exit 1").unwrap_err().to_string().contains("did not begin"));
    let odd = tally_of(2, r#"echo ready; printf '1\tdecoded\t1\t""\n'"#).unwrap_err();
    assert!(odd.to_string().contains("for input 0"), "{odd}");
}

#[test]
fn the_command_prints_a_table_and_asks_for_a_run_where_it_needs_one() {
    let home = tempfile::tempdir().unwrap();
    let said = succeeds(home.path(), &["fuzz", "--cases", "20", "--family", "bmp", "--family", "nifti"]);
    let rows: Vec<&str> = said.lines().filter(|line| line.starts_with("| ")).collect();
    assert!(rows[2].starts_with("| bmp | 20 | ") && rows[3].starts_with("| nifti | 20 | "), "{said}");
    assert!(rows[2].contains(" | 0 | 0 | "), "{said}");
    let none = text(&medfsad(home.path(), &["fuzz", "--cases", "1", "--family", "results"]));
    assert!(none.contains("--from"), "{none}");
}
