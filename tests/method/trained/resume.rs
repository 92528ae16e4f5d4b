//! One contract for every method that trains: killed after a random step, it resumes there and ends with the same bits.

use std::cell::Cell;
use std::collections::BTreeSet;
use std::time::Duration;

use medfsad::method::{Context, EpochFigures, Fitted, METHODS, Observer, StateFile, Unobserved, find};
use medfsad::random::Stream;
use tempfile::TempDir;

use crate::method::{context, pictures, scores, task};

/// Every method that trains, and the steps of its trial.
const TRAINED: [(&str, u64); 18] = [
    ("ae", 8),
    ("cutpaste", 3),
    ("d24fad", 4),
    ("dae", 4),
    ("dinomaly", 30),
    ("dpa", 2),
    ("foundad", 3),
    ("inp-former", 3),
    ("inctrl", 4),
    ("mediclip", 6),
    ("mvfa", 52),
    ("ogae", 3),
    ("rd4ad", 3),
    ("regad", 4),
    ("sagan", 4),
    ("sagan-k", 4),
    ("stfpm", 3),
    ("vae", 8),
];

/// Trainings beside the trials, and their steps: in stages, and with supports drawn anew in every pass.
const MORE: [(&str, &str, u64); 2] = [
    (
        "dpa",
        "train_on = 'normals'\ninput = 32\nsteps = 2\nbatch = 4\nprogressive = true\nstage_steps = 2\n\
         statistics = 'normals'",
        6,
    ),
    ("d24fad", "backbone = 'resnet18'\nepochs = 2\nbatch = 8\nredrawn = true", 4),
];

/// Records losses, and dies while the state is saved for the so manyth time.
#[derive(Default)]
struct Mortal {
    dies_at: Option<u64>,
    saves: Cell<u64>,
    is_restored: bool,
    losses: Vec<(u64, f64)>,
}

impl Observer for Mortal {
    fn after_epoch(&mut self, epoch: u64, figures: &EpochFigures, _: &dyn Fitted) -> anyhow::Result<()> {
        self.losses.push((epoch, figures[0].1));
        Ok(())
    }

    fn state(&self) -> anyhow::Result<String> {
        self.saves.set(self.saves.get() + 1);
        anyhow::ensure!(Some(self.saves.get()) != self.dies_at, "killed");
        Ok(serde_json::to_string(&self.losses)?)
    }

    fn restore(&mut self, state: &str) -> anyhow::Result<()> {
        self.is_restored = true;
        self.losses = serde_json::from_str(state)?;
        Ok(())
    }
}

/// Trains by `settings`; scores, if it is not killed.
fn train(name: &str, settings: &str, context: &Context, observer: &mut Mortal) -> anyhow::Result<Vec<f64>> {
    let table = toml::from_str(settings).expect("TOML");
    let built = (find(name).expect("a method").build)(table).expect("good settings");
    let fitted = built.method.fit(&[task("first"), task("second")], context, observer)?;
    let detector = fitted.adapt(&pictures("support", 2)).expect("a detector");
    Ok(scores((&*fitted, &*detector), &pictures("query", 3), &[0, 1, 2], 3))
}

/// Settings of a method's trial; if it can learn from supports too, those under which it learns before it is given any.
fn trial(name: &str) -> String {
    let entry = find(name).expect("a method");
    let before_supports =
        ["train_on = 'normals'", "setting = 'zero-shot'"].map(|more| format!("{}\n{more}", entry.trial));
    let is_known = |settings: &String| (entry.build)(toml::from_str(settings).expect("TOML")).is_ok();
    before_supports.into_iter().find(is_known).unwrap_or_else(|| entry.trial.to_owned())
}

#[test]
fn every_training_resumes_after_a_random_step_with_the_same_bits() {
    let is_trained = |trial: &str| ["steps", "epochs"].iter().any(|word| trial.contains(word));
    let known = METHODS.iter().filter(|entry| is_trained(entry.trial)).map(|entry| entry.name);
    assert_eq!(known.collect::<BTreeSet<_>>(), TRAINED.map(|(name, _)| name).into(), "a method is missing");
    let folder = TempDir::new().expect("a folder");
    let unsaved = context(&folder, 2);
    let path = folder.path().join("state.safetensors");
    let saving = |every: Duration| {
        let state_file = Some(StateFile { path: path.clone(), every });
        Context { state_file, ..unsaved.clone() }
    };
    let trials = TRAINED.map(|(name, n_steps)| (name, trial(name), n_steps));
    let more = MORE.map(|(name, settings, n_steps)| (name, settings.to_owned(), n_steps));
    for (name, settings, n_steps) in trials.into_iter().chain(more) {
        let mut whole = Mortal::default();
        let expected = train(name, &settings, &unsaved, &mut whole).expect("trained");
        let n_saved = 1 + Stream::new(6, &settings, 0).below(n_steps as usize - 1) as u64;
        let mut killed = Mortal { dies_at: Some(n_saved + 1), ..Mortal::default() };
        let error = train(name, &settings, &saving(Duration::ZERO), &mut killed).expect_err("killed");
        assert_eq!(error.to_string(), "killed", "{name}");
        let mut resumed = Mortal::default();
        let found = train(name, &settings, &saving(Duration::MAX), &mut resumed).expect("resumed");
        assert!(resumed.is_restored, "{name} started over");
        assert_eq!(found, expected, "{name} after step {n_saved}: scores");
        assert_eq!(resumed.losses, whole.losses, "{name} after step {n_saved}: losses");
        std::fs::remove_file(&path).expect("removed");
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
        scores((&*fitted, &*detector), &pictures("query", 3), &[0, 1, 2], 3)
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
    let outcome = train("ae", settings, &context(&folder, 2), &mut Mortal::default());
    let error = format!("{:#}", outcome.expect_err("a loss that is not finite"));
    assert!(error.contains("diverged in epoch 1 at step 2: loss is not finite"), "{error}");
}
