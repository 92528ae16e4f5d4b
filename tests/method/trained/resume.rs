//! One contract for every method that trains: killed after any step, it resumes there and ends with the same bits.

use std::cell::Cell;
use std::collections::BTreeSet;
use std::time::Duration;

use medfsad::method::{Context, EpochFigures, Fitted, METHODS, Observer, StateFile, Unobserved, find};
use medfsad::random::Stream;
use tempfile::TempDir;

use crate::method::{context, pictures, scores, task};

/// Trainings beside each method's trial: with stages, and with supports drawn anew.
const MORE: [(&str, &str); 2] = [
    ("dpa", "input = 32\nsteps = 2\nbatch = 4\nprogressive = true\nstage_steps = 2\nstatistics = 'normals'"),
    ("d24fad", "backbone = 'resnet18'\nepochs = 2\nbatch = 8\nredrawn = true"),
];

/// Records losses, and dies while the state is saved for the so manyth time.
struct Mortal {
    dies_at: u64,
    saves: Cell<u64>,
    losses: Vec<(u64, f64)>,
}

impl Observer for Mortal {
    fn after_epoch(&mut self, epoch: u64, figures: &EpochFigures, _: &dyn Fitted) -> anyhow::Result<()> {
        self.losses.push((epoch, figures[0].1));
        Ok(())
    }

    fn state(&self) -> anyhow::Result<String> {
        self.saves.set(self.saves.get() + 1);
        anyhow::ensure!(self.saves.get() != self.dies_at, "killed");
        Ok(serde_json::to_string(&self.losses)?)
    }

    fn restore(&mut self, state: &str) -> anyhow::Result<()> {
        self.losses = serde_json::from_str(state)?;
        Ok(())
    }
}

/// What a training leaves.
#[derive(Debug, PartialEq)]
struct Outcome {
    scores: Vec<f64>,
    losses: Vec<(u64, f64)>,
}

/// Trains by `settings`, saving after every step; the outcome unless killed, and how often it saved.
fn train(name: &str, settings: &str, context: &Context, dies_at: u64) -> (anyhow::Result<Outcome>, u64) {
    let table = toml::from_str(settings).expect("TOML");
    let built = (find(name).expect("a method").build)(table).expect("good settings");
    let mut observer = Mortal { dies_at, saves: Cell::new(0), losses: Vec::new() };
    let fitted = built.method.fit(&[task("first"), task("second")], context, &mut observer);
    let score = |fitted: Box<dyn Fitted>| {
        let detector = fitted.adapt(&pictures("support", 2)).expect("a detector");
        scores(&*detector, &pictures("query", 3), &[0, 1, 2], 3)
    };
    let losses = observer.losses;
    (fitted.map(|fitted| Outcome { scores: score(fitted), losses }), observer.saves.get())
}

/// Every training of the list, on all normals where a method can learn from supports too.
fn trainings() -> Vec<(&'static str, String)> {
    let is_trained = |trial: &str| ["steps", "epochs"].iter().any(|word| trial.contains(word));
    let trials = METHODS.iter().filter(|entry| is_trained(entry.trial)).map(|entry| {
        let on_normals = format!("{}\ntrain_on = 'normals'", entry.trial);
        let can = (entry.build)(toml::from_str(&on_normals).expect("TOML")).is_ok();
        (entry.name, if can { on_normals } else { entry.trial.to_owned() })
    });
    trials.chain(MORE.map(|(name, settings)| (name, settings.to_owned()))).collect()
}

#[test]
fn every_training_resumes_after_any_step_with_the_same_bits() {
    let folder = TempDir::new().expect("a folder");
    let saving = |name: &str| {
        let state_file = StateFile { path: folder.path().join(name), every: Duration::ZERO };
        Context { state_file: Some(state_file), ..context(&folder, 2) }
    };
    let trainings = trainings();
    let names: BTreeSet<&str> = trainings.iter().map(|(name, _)| *name).collect();
    let trained = ["ae", "cutpaste", "d24fad", "dae", "dpa", "ogae", "rd4ad", "regad", "stfpm", "vae"];
    assert_eq!(names, BTreeSet::from(trained));
    for (number, (name, settings)) in trainings.iter().enumerate() {
        let (whole, n_steps) = train(name, settings, &saving(&format!("whole-{number}")), 0);
        let killed = saving(&format!("killed-{number}"));
        let saved = 1 + Stream::new(6, name, number as u64).below(n_steps as usize - 1) as u64;
        let (outcome, _) = train(name, settings, &killed, saved + 1);
        assert_eq!(outcome.expect_err("killed").to_string(), "killed", "{name}");
        let (resumed, n_more) = train(name, settings, &killed, 0);
        assert_eq!(saved + n_more, n_steps, "{name} did not resume where it was");
        assert_eq!(resumed.expect("resumed"), whole.expect("trained"), "{name}, {settings}");
    }
}

#[test]
fn trainings_on_different_supports_keep_states_of_their_own() {
    let folder = TempDir::new().expect("a folder");
    let state_file = StateFile { path: folder.path().join("state.safetensors"), every: Duration::ZERO };
    let context = Context { state_file: Some(state_file.clone()), ..context(&folder, 2) };
    let settings = "train_on = 'supports'\nviews = true\nhidden = 64\nepochs = 2\nbatch = 8";
    let built = (find("ae").expect("ae").build)(toml::from_str(settings).expect("TOML")).expect("built");
    let fitted = built.method.fit(&[], &context, &mut Unobserved).expect("fitted");
    let score = |supports: &str| {
        let detector = fitted.adapt(&pictures(supports, 2)).expect("a detector");
        scores(&*detector, &pictures("query", 3), &[0, 1, 2], 3)
    };
    let (one, other) = (score("support"), score("other support"));
    assert_ne!(one, other);
    // From the state that the first training left.
    assert_eq!(score("support"), one);
    let parts = folder.path().join("state.parts");
    assert_eq!(std::fs::read_dir(&parts).expect("states").count(), 2);
    state_file.remove().expect("removed");
    assert!(!parts.exists());
}

#[test]
fn a_diverging_training_names_what_diverged_and_when() {
    let folder = TempDir::new().expect("a folder");
    let settings = "train_on = 'normals'\nhidden = 64\nepochs = 4\nbatch = 4\nlearning_rate = 1e30";
    let (outcome, _) = train("ae", settings, &context(&folder, 2), 0);
    let error = format!("{:#}", outcome.expect_err("a loss that is not finite"));
    assert!(error.contains("diverged in epoch 1 at step 2: loss is not finite"), "{error}");
}
