//! A lock is one owner's, wherever the others are and whatever their clocks say.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Barrier;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, SystemTime};

use medfsad::files::lock::{Lock, Lost, sweep};
use serde_json::{Value, json};
use tempfile::TempDir;

fn jobs() -> (TempDir, PathBuf) {
    let home = TempDir::new().expect("a folder");
    let path = home.path().join("jobs/a.lock");
    (home, path)
}

/// What a lock of this process says, which is then given back.
fn written(path: &Path) -> Value {
    let _lock = Lock::take(path).expect("no error").expect("nobody has it");
    serde_json::from_slice(&fs::read(path).expect("a lock")).expect("JSON")
}

fn lies_there(path: &Path, owner: &Value) {
    fs::write(path, owner.to_string()).expect("a lock");
}

fn is_silent_for(path: &Path, seconds: u64) {
    let file = File::options().write(true).open(path).expect("a lock");
    file.set_modified(SystemTime::now() - Duration::from_secs(seconds)).expect("a time");
}

fn is_free(path: &Path) -> bool {
    Lock::take(path).expect("no error").is_some()
}

#[test]
fn a_lock_is_one_owners_until_it_is_given_back() {
    let (_home, path) = jobs();
    let held = Lock::take(&path).expect("a lock").expect("nobody has it");
    assert!(!is_free(&path), "two have it");
    assert!(sweep(path.parent().expect("a folder")).expect("no error"), "it is busy");
    // However long it was silent, such as on a machine that slept: its process is here and lives.
    is_silent_for(&path, 3600);
    assert!(!is_free(&path), "two have it");
    drop(held);
    assert!(!path.exists());
}

#[cfg(target_os = "linux")]
#[test]
fn an_owner_on_this_machine_is_known_to_have_ended() {
    let (_home, path) = jobs();
    let own = written(&path);
    let mut ended = Command::new("true").spawn().expect("it starts");
    ended.wait().expect("it ends");
    let gone = json!(ended.id());
    // Not reaped yet: it is listed, and computes nothing.
    let mut zombie = Command::new("true").spawn().expect("it starts");
    std::thread::sleep(Duration::from_millis(300));
    let undead = json!(zombie.id());
    for (field, value) in [("process", &gone), ("process", &undead)] {
        let mut owner = own.clone();
        owner[field] = value.clone();
        lies_there(&path, &owner);
        assert!(is_free(&path), "{owner} has ended");
    }
    zombie.wait().expect("it ends");
    // Its number was given to another process.
    let mut owner = own.clone();
    owner["place"]["started"] = json!(own["place"]["started"].as_u64().expect("ticks") + 1);
    lies_there(&path, &owner);
    assert!(is_free(&path), "{owner} is another process");
}

#[test]
fn of_other_kernels_and_namespaces_the_heartbeat_alone_tells() {
    let (_home, path) = jobs();
    let own = written(&path);
    let altered = |change: &dyn Fn(&mut Value)| {
        let mut owner = own.clone();
        change(&mut owner);
        owner
    };
    let owners = [
        altered(&|owner| owner["place"]["kernel"] = json!("of another machine of the same name")),
        altered(&|owner| {
            // A process of this number is not here, and may be there.
            owner["place"]["namespaces"] = json!(["pid:[1]", "time:[1]"]);
            owner["process"] = json!(4_000_000);
        }),
        altered(&|owner| owner["place"] = Value::Null),
        json!({"host": "of an earlier version", "process": 4_000_000}),
    ];
    for owner in owners {
        lies_there(&path, &owner);
        assert!(!is_free(&path), "{owner} beat a moment ago");
        is_silent_for(&path, 50);
        assert!(!is_free(&path), "{owner} beat a minute ago");
        assert!(sweep(path.parent().expect("a folder")).expect("no error"));
        is_silent_for(&path, 120);
        assert!(is_free(&path), "{owner} is silent");
        lies_there(&path, &owner);
        is_silent_for(&path, 120);
        assert!(!sweep(path.parent().expect("a folder")).expect("no error") && !path.exists());
    }
}

#[test]
fn of_many_that_find_an_owner_dead_one_takes_over() {
    let (_home, path) = jobs();
    let mut dead = written(&path);
    dead["place"] = Value::Null;
    for _ in 0..50 {
        lies_there(&path, &dead);
        is_silent_for(&path, 120);
        let (n_taken, barrier) = (AtomicUsize::new(0), Barrier::new(8));
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    barrier.wait();
                    let lock = Lock::take(&path).expect("no error");
                    n_taken.fetch_add(lock.iter().len(), Ordering::Relaxed);
                    // Nobody gives it back before all have tried.
                    barrier.wait();
                    lock.iter().for_each(|lock| lock.ensure_held().expect("it is its own"));
                });
            }
        });
        assert_eq!(n_taken.into_inner(), 1);
        assert_eq!(fs::read_dir(path.parent().expect("a folder")).expect("a folder").count(), 0);
    }
}

#[test]
fn who_lost_a_lock_is_told_and_leaves_the_new_owners_alone() {
    let (_home, path) = jobs();
    let lost = Lock::take(&path).expect("a lock").expect("nobody has it");
    lost.ensure_held().expect("it is its own");
    // As another machine leaves it that found this one silent.
    fs::remove_file(&path).expect("a lock");
    let new = Lock::take(&path).expect("a lock").expect("nobody has it");
    let error = lost.ensure_held().expect_err("it is another's");
    assert!(error.is::<Lost>() && error.to_string().contains("a.lock"), "{error}");
    drop(lost);
    new.ensure_held().expect("it is still there");
}
