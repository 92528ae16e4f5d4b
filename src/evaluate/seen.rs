//! What a pretrained network was trained on: whether that may hold pictures of the task, and what is refused if it does.

use std::collections::BTreeSet;

use anyhow::{Context as _, Result};

use crate::episode::HeldOut;
use crate::ids::TaskName;
use crate::manifest::Manifest;
use crate::network::Network;
use crate::network::origin::{Origin, Teachers};
use crate::network::published::TrainedOn;
use crate::results::Seen;
use crate::source;

/// The weights of `network` for `target`, of a folder of teachers its own.
///
/// # Errors
/// No weights for it, or a teacher that has seen pictures of the target or of tasks that `rule` leaves out.
pub(super) fn unseen(
    teachers: &Teachers,
    network: Network,
    manifest: &Manifest,
    target: &str,
    rule: HeldOut,
) -> Result<Origin> {
    let origin = teachers.of(network)?.for_target(target)?;
    if let Some(tuned) = origin.tuned()? {
        let rows = manifest.rows.iter().filter(|row| row.task == target);
        tuned.check_unseen(target, rows).with_context(|| origin.label(network))?;
        tuned.check_rule(rule).with_context(|| origin.label(network))?;
    }
    Ok(origin)
}

/// In words what the weights were trained on, where somebody says, and whether pictures of these sources may be in it.
pub(super) fn seen(origin: &Origin, sources: &BTreeSet<&str>) -> (Option<String>, Seen) {
    let Origin::File { sha256, .. } = origin else {
        return (Some("nothing: random".to_owned()), Seen::NotSeen);
    };
    match origin.tuned() {
        // The plan has refused targets of which it has seen pictures.
        Ok(Some(tuned)) => {
            let (before, seen) = of_published(&tuned.from_sha256, sources);
            let tasks: Vec<&str> = tuned.tasks.iter().map(TaskName::as_str).collect();
            let after = format!("source tasks {} by {}", tasks.join(", "), tuned.classes);
            (Some(format!("{}, then {after}", before.unwrap_or("unknown data".to_owned()))), seen)
        }
        _ => of_published(sha256, sources),
    }
}

fn of_published(sha256: &str, sources: &BTreeSet<&str>) -> (Option<String>, Seen) {
    match TrainedOn::of(sha256) {
        TrainedOn::ImageNet1k => {
            // A user's own folders may hold anything, photographs too; so may what this program does not know.
            let is_any =
                sources.iter().any(|name| source::find(name).map_or(true, |source| source.is_own_layout));
            (Some("ImageNet-1k".to_owned()), if is_any { Seen::Unknown } else { Seen::NotSeen })
        }
        TrainedOn::Lvd142m => (Some("LVD-142M".to_owned()), Seen::Unknown),
        TrainedOn::Laion400m => (Some("LAION-400M".to_owned()), Seen::Unknown),
        TrainedOn::WebImageText => (Some("OpenAI's WebImageText".to_owned()), Seen::Unknown),
        TrainedOn::Unknown => (None, Seen::Unknown),
    }
}

#[cfg(test)]
mod tests {
    use super::seen;
    use crate::network::origin::Origin;
    use crate::network::published::{LITE0, published};
    use crate::results::Seen;

    #[test]
    fn photographs_hold_no_owners_pictures_and_perhaps_a_users() {
        let sha256 = published(LITE0).unwrap().source.sha256_prefix().to_owned();
        let lite = Origin::File { path: "lite.pth".into(), sha256 };
        let sha256 = published("dinov2_vits14").unwrap().source.sha256_prefix().to_owned();
        let web = Origin::File { path: "dinov2.pth".into(), sha256 };
        let other = Origin::File { path: "other.pth".into(), sha256: "00".repeat(32) };
        let random = Origin::Random { seed: 1, cache: None };
        let imagenet = Some("ImageNet-1k".to_owned());
        assert_eq!(seen(&lite, &["rsna"].into()), (imagenet.clone(), Seen::NotSeen));
        assert_eq!(seen(&lite, &["rsna", "folders"].into()), (imagenet, Seen::Unknown));
        assert_eq!(seen(&web, &["rsna"].into()), (Some("LVD-142M".to_owned()), Seen::Unknown));
        assert_eq!(seen(&other, &["rsna"].into()), (None, Seen::Unknown));
        assert_eq!(seen(&random, &["folders"].into()).1, Seen::NotSeen);
    }
}
