//! What the regimes that see more of the target than normals are given, none of it a labelled test picture.

use anyhow::{Result, ensure};

use crate::manifest::{Label, Row, Split};
use crate::random::{Stream, rank};
use crate::regime::Regime;
use crate::results::Identity;

/// Anomalies of the target's validation split, as many as there are shots: those of one draw, and with more shots the same
/// and more.
///
/// # Errors
/// Fewer anomalies than shots.
pub(super) fn anomalies<'r>(rows: &[&'r Row], identity: &Identity, seed: u64) -> Result<Vec<&'r Row>> {
    let is_given = |row: &&Row| row.split == Split::Val && row.label == Label::Anomalous;
    let mut given: Vec<&Row> = rows.iter().copied().filter(is_given).collect();
    ensure!(
        given.len() >= identity.shots,
        "{} is given {} anomalies of `{task}` and its validation split has {}; ask for some in the spec, with `val` in a \
         [[task.anomalous]] of `{task}` (test pictures are not learnt from), or choose other settings of the method",
        identity.method,
        identity.shots,
        given.len(),
        task = identity.task
    );
    given.sort_by(|a, b| a.image_id.cmp(&b.image_id));
    Stream::new(seed, &format!("anomalies {}", identity.task), identity.draw as u64).shuffle(&mut given);
    given.truncate(identity.shots);
    Ok(given)
}

/// The target's pictures that are handed over without labels, in an order that tells nothing of them; `None` for regimes
/// without.
///
/// # Errors
/// No such picture.
pub(super) fn pool<'r>(rows: &[&'r Row], regime: Regime, seed: u64) -> Result<Option<Vec<&'r Row>>> {
    let split = match regime {
        Regime::UnlabelledPool => Split::Val,
        Regime::UnlabelledTest => Split::Test,
        _ => return Ok(None),
    };
    let mut pool: Vec<&Row> = rows.iter().copied().filter(|row| row.split == split).collect();
    let task = rows.first().map_or("the target", |row| row.task.as_str());
    ensure!(
        !pool.is_empty(),
        "`{task}` has no {} pictures to be an unlabelled pool; ask for some in the spec, with `val_normal` of the task and \
         `val` in its [[task.anomalous]], or set `pool = \"test\"`, which is transductive",
        split.name()
    );
    let purpose = format!("pool {task}");
    pool.sort_by_cached_key(|row| rank(seed, &purpose, &row.image_id));
    Ok(Some(pool))
}
