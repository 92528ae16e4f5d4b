//! Trained aggregators on the board: what they are compared with, and what they rest on.

use medfsad::episode::HeldOut;
use medfsad::ids::TaskName;
use medfsad::manifest::{Row, Split};
use medfsad::regime::Regime;
use medfsad::report::studies::{Choice, Run};
use medfsad::results::{Cell, Seed};
use medfsad::study::aggregator::Aggregator;
use medfsad::study::grouping::studies;
use medfsad::study::learned::{Learned, LearnedIdentity, StudyScore, Training};

use super::{Made, lines, loud_first_slice, number, score, score_as};

/// What a training would have left, with `score` of each study.
fn learned(
    made: &Made,
    scores_of: Option<&str>,
    n_draws: u64,
    score: impl Fn(&str, &str) -> f64,
) -> Vec<LearnedIdentity> {
    learned_on(made, scores_of, n_draws, score, false)
}

/// The same; `is_random` says whether the frozen network is.
fn learned_on(
    made: &Made,
    scores_of: Option<&str>,
    n_draws: u64,
    score: impl Fn(&str, &str) -> f64,
    is_random: bool,
) -> Vec<LearnedIdentity> {
    let run = Run::read(&made.run(), &made.manifest).unwrap();
    let mut identities = Vec::new();
    for task in ["head", "chest"] {
        let entered = scores_of.map(|method| run.slice_scores(&made.manifest, method, 2).unwrap());
        let draws = entered.iter().flat_map(|entered| entered.draws.values().flatten());
        let cells = draws.map(|draw| draw.cell.clone()).collect();
        let identity = LearnedIdentity {
            settings: "{}".to_owned(),
            task: TaskName::new(task),
            scores_of: scores_of.map(str::to_owned),
            shots: scores_of.map(|_| 2),
            cells,
            seed: Seed(1),
            size: 32,
            held_out: HeldOut::Dataset,
            manifest_hash: made.manifest.header.canonical_hash.clone(),
            code_hash: "code".to_owned(),
            weights_hash: "weights".to_owned(),
            device_class: "cpu".to_owned(),
        };
        let training = Training {
            teacher: "made up".to_owned(),
            teacher_recipe: None,
            random_weights: is_random,
            changed_settings: "{\"epochs\":7}".to_owned(),
            regime: Regime::OtherAnomalies,
            sources: vec![TaskName::new(if task == "head" { "chest" } else { "head" })],
            n_studies: [3, 3],
            n_left_out: 0,
            seconds: 1.0,
        };
        let found = studies(made.manifest.select(task, Split::Test));
        let rows = found.iter().flat_map(|study| {
            (0..n_draws).map(|draw| StudyScore {
                study: study.id.to_owned(),
                draw,
                score: score(task, study.id),
            })
        });
        let studies = rows.collect();
        let one = Learned {
            identity: identity.clone(),
            training,
            studies,
            attention: Vec::new(),
            epochs: Vec::new(),
        };
        one.write(&made.run()).unwrap();
        identities.push(identity);
    }
    identities
}

fn volume_number(study: &str) -> usize {
    study.rsplit(' ').next().unwrap().parse().unwrap()
}

#[test]
fn a_trained_aggregator_is_compared_on_the_same_studies_and_the_sentence_follows() {
    let made = Made::new(&[]);
    score(&made.run(), &made.manifest, ("own", "R1"), 2, loud_first_slice);
    score(&made.run(), &made.manifest, ("two", "R2"), 2, loud_first_slice);
    learned(&made, None, 1, |_, study| volume_number(study) as f64);
    learned(&made, Some("own"), 2, |_, study| volume_number(study) as f64);
    let (text, out) = made.board(&Choice::default());
    let found = lines(&out.join("studies.csv"));
    assert_eq!(number(&found, "features", "SAMIL", "mean"), 1.0);
    assert_eq!(number(&found, "features and own", "SAMIL", "head"), 1.0);
    let differences = lines(&out.join("differences.csv"));
    let of = |samil: &str, method: &str| {
        differences.iter().filter(|line| line["samil_on"] == samil && line["method"] == method).count()
    };
    assert_eq!((of("features", "own"), of("features", "two")), (4, 4));
    assert_eq!((of("features and own", "own"), of("features and own", "two")), (4, 0));
    let max = differences.iter().find(|line| line["aggregator"] == "max").unwrap();
    assert_eq!((&*max["auroc_difference"], &*max["low"], &*max["reading"]), ("1", "1", "above"));
    assert!(text.contains("SAMIL on features is above"), "{text}");
    assert!(text.contains("is trained on labelled studies of other tasks (R3)"), "{text}");
    assert!(text.contains("class weights cancel"), "{text}");
    let cells = medfsad::results::read_run(&made.run()).unwrap();
    let cited = medfsad::report::cite::of_run(&cells, &Learned::all(&made.run()).unwrap());
    assert_eq!(cited.bibtex.matches("@misc{samil,").count(), 1);
}

#[test]
fn what_was_trained_on_cells_that_are_gone_or_was_altered_is_no_number() {
    let made = Made::new(&[]);
    score(&made.run(), &made.manifest, ("own", "R1"), 1, loud_first_slice);
    learned(&made, Some("own"), 1, |_, study| volume_number(study) as f64);
    let (text, _) = made.board(&Choice::default());
    assert!(text.contains("| features and own | SAMIL |"), "{text}");
    std::fs::remove_dir_all(made.run().join("cells")).unwrap();
    score(&made.run(), &made.manifest, ("own", "R5"), 2, loud_first_slice);
    for cell in Run::read(&made.run(), &made.manifest).unwrap().cells() {
        if cell.cell.identity.draw == 0 {
            std::fs::remove_dir_all(&cell.folder).unwrap();
        }
    }
    let (text, _) = made.board(&Choice::default());
    assert!(!text.contains("| features and own | SAMIL |"), "{text}");
    assert!(text.contains("own was computed anew since; train again"), "{text}");
    let all = Learned::all(&made.run()).unwrap();
    let folder = Learned::folder(&made.run(), &all[0].identity);
    std::fs::write(folder.join("studies.parquet"), b"PAR1").unwrap();
    let error = format!("{:#}", Learned::all(&made.run()).unwrap_err());
    assert!(error.contains("delete its folder to train again") && error.contains("damaged"), "{error}");
}

#[test]
fn a_training_on_fewer_draws_than_there_are_now_is_no_number() {
    let made = Made::new(&[]);
    score(&made.run(), &made.manifest, ("own", "R1"), 1, loud_first_slice);
    learned(&made, Some("own"), 1, |_, study| volume_number(study) as f64);
    assert!(made.board(&Choice::default()).0.contains("| features and own | SAMIL |"));
    score(&made.run(), &made.manifest, ("own", "R1"), 2, loud_first_slice);
    let (text, _) = made.board(&Choice::default());
    assert!(!text.contains("| features and own | SAMIL |"), "{text}");
    for task in ["head", "chest"] {
        let said = format!("- a training for {task}: own has more draws since; train again");
        assert!(text.contains(&said), "{text}");
    }
    learned(&made, Some("own"), 2, |_, study| volume_number(study) as f64);
    let (text, _) = made.board(&Choice::default());
    assert!(text.contains("| features and own | SAMIL |"), "{text}");
}

#[test]
fn each_set_up_of_a_method_is_compared_with_its_own_aggregators_all_that_are_shown() {
    let made = Made::new(&[]);
    let add = |settings: &str, by: f64| {
        let alter = |cell: &mut Cell| cell.identity.settings = settings.to_owned();
        let scored = |row: &Row, draw: usize| by * loud_first_slice(row, draw);
        score_as(&made.run(), &made.manifest, ("own", "R1"), 1, scored, alter);
    };
    add("{\"k\":1}", 1.0);
    learned(&made, Some("own"), 1, |_, study| volume_number(study) as f64);
    // The method is numbered now, and so is what was trained on it before.
    add("{\"k\":2}", -1.0);
    learned(&made, Some("own #2"), 1, |_, study| volume_number(study) as f64);
    let choice = || Choice { aggregators: vec![Aggregator::Mean, Aggregator::P95], ..Choice::default() };
    let (text, out) = made.board(&choice());
    let found = lines(&out.join("differences.csv"));
    let mut pairs: Vec<[&str; 3]> =
        found.iter().map(|line| [&*line["samil_on"], &*line["method"], &*line["aggregator"]]).collect();
    pairs.sort_unstable();
    let (one, two) = ("features and own #1", "features and own #2");
    assert_eq!(
        pairs,
        [[one, "own #1", "mean"], [one, "own #1", "p95"], [two, "own #2", "mean"], [two, "own #2", "p95"]]
    );
    for line in &found {
        let settings = if line["method"] == "own #1" { "{\"k\":1}" } else { "{\"k\":2}" };
        assert_eq!((&*line["settings"], &*line["samil_settings"]), (settings, "{\"epochs\":7}"), "{text}");
        assert_eq!((&*line["samil_seed"], &*line["samil_held_out"]), ("1", "dataset"));
    }
}

#[test]
fn a_random_network_under_samil_is_said_aloud() {
    let made = Made::new(&[]);
    score(&made.run(), &made.manifest, ("own", "R1"), 1, loud_first_slice);
    let loud = "random teacher: these numbers test the software, not the published method";
    learned_on(&made, None, 1, |_, study| volume_number(study) as f64, false);
    assert!(!made.board(&Choice::default()).0.contains(loud));
    std::fs::remove_dir_all(made.run().join("studies/samil")).unwrap();
    learned_on(&made, None, 1, |_, study| volume_number(study) as f64, true);
    let (text, out) = made.board(&Choice::default());
    assert!(text.contains(&format!("{loud} (concerns: SAMIL on features)")), "{text}");
    let drawn = std::fs::read_to_string(out.join("studies.svg")).unwrap();
    assert!(drawn.contains("random teacher"), "{drawn}");
}

#[test]
fn a_method_that_learnt_from_other_tasks_gives_no_scores_to_an_aggregator() {
    let made = Made::new(&[]);
    score(&made.run(), &made.manifest, ("own", "R1"), 2, loud_first_slice);
    score(&made.run(), &made.manifest, ("two", "R2"), 1, loud_first_slice);
    let run = Run::read(&made.run(), &made.manifest).unwrap();
    let error = run.slice_scores(&made.manifest, "two", 2).unwrap_err().to_string();
    assert!(error.contains("regime R2"), "{error}");
    // A regime is the larger of the method's and its teacher's, and may hide one of them.
    score_as(&made.run(), &made.manifest, ("whole", "R5"), 1, loud_first_slice, |cell| {
        cell.provenance.teacher_regime = Some(Regime::OtherAnomalies);
    });
    score(&made.run(), &made.manifest, ("target", "R5"), 1, loud_first_slice);
    let run = Run::read(&made.run(), &made.manifest).unwrap();
    let error = run.slice_scores(&made.manifest, "whole", 2).unwrap_err().to_string();
    assert!(error.contains("its teacher (regime R3)"), "{error}");
    assert_eq!(run.slice_scores(&made.manifest, "target", 2).unwrap().regime, Regime::TargetNormals);
    let error = run.slice_scores(&made.manifest, "own", 4).unwrap_err().to_string();
    assert!(error.contains("no cells at 4 shots in") && error.contains("--shots"), "{error}");
    let error = run.slice_scores(&made.manifest, "none", 2).unwrap_err().to_string();
    assert!(
        error.contains("0 methods called `none`") && error.contains("own, target, two, whole"),
        "{error}"
    );
    let scores = run.slice_scores(&made.manifest, "own", 2).unwrap();
    let tasks: Vec<&str> = scores.draws.keys().map(TaskName::as_str).collect();
    assert_eq!(tasks, ["chest", "head"], "the task of single pictures has no studies");
    for draws in scores.draws.values() {
        assert_eq!(draws.len(), 2);
        let mut places: Vec<f64> = draws[0].places.values().copied().collect();
        places.sort_by(f64::total_cmp);
        assert!(places.len() == 21 && places[0] > 0.0 && places[20] < 1.0, "{places:?}");
    }
}
