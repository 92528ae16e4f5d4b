//! Published divisions in the `data.json` of DDAD and MedIAnomaly, over pictures in any layout.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context, Result};
use serde::Deserialize;

use super::contract::{Candidate, Listing, Refusal, Side, Source};
use super::tree;
use crate::spec::Task;
use crate::{files, names};

/// `data.json` with `train.0`, `train.unlabeled.{0,1}` and `test.{0,1}`, beside the pictures it names.
///
/// A name stands for the picture at that path, below `images` or not, else for the only picture anywhere below
/// whose name is the same up to its ending; so the owner's own folders serve as well as DDAD's copies. The
/// finding is `0`, `1`, `unlabeled 0` or `unlabeled 1`.
pub const SOURCE: Source = Source {
    name: "ddad",
    about: "published divisions: data.json of DDAD or MedIAnomaly, beside its images or the owner's own folders",
    is_own_layout: false,
    list,
};

const TABLE: &str = "data.json";
const REMEDY: &str = "give the folder of the pictures, with the data.json of the DDAD repository in it";
/// Folders of LAG that hold files of the same names as its pictures.
const COMPANIONS: [&str; 2] = ["attention_map", "label"];

#[derive(Deserialize)]
struct Division {
    train: Train,
    test: BothClasses,
}

#[derive(Deserialize)]
struct Train {
    #[serde(rename = "0")]
    normal: Vec<String>,
    #[serde(default)]
    unlabeled: BothClasses,
}

#[derive(Default, Deserialize)]
struct BothClasses {
    #[serde(rename = "0", default)]
    normal: Vec<String>,
    #[serde(rename = "1", default)]
    anomalous: Vec<String>,
}

fn list(root: &Path, _: &Task) -> Result<Listing> {
    tree::require(root, &[TABLE], REMEDY)?;
    let path = root.join(TABLE);
    let division: Division = serde_json::from_str(&files::read_text(&path)?)
        .with_context(|| format!("{} is not the data.json of DDAD; {REMEDY}", path.display()))?;
    let mut listing =
        tree::list(root, REMEDY, |parts| match parts.iter().find(|part| COMPANIONS.contains(part)) {
            Some(companion) => Err(format!("below {companion}, not a picture")),
            None => Ok(tree::found("", None)),
        })?;
    let Division { train, test } = division;
    let lists = [
        ("0", Some(Side::Train), train.normal),
        ("unlabeled 0", None, train.unlabeled.normal),
        ("unlabeled 1", None, train.unlabeled.anomalous),
        ("0", Some(Side::Test), test.normal),
        ("1", Some(Side::Test), test.anomalous),
    ];
    let mut places = Places::new(std::mem::take(&mut listing.candidates));
    for (finding, side, names) in lists {
        for name in names {
            match places.take(&name) {
                Ok(path) => {
                    listing.candidates.push(Candidate { path, ..tree::found(finding, side) });
                }
                Err(reason) => listing.refused.push(Refusal { path: name, reason }),
            }
        }
    }
    let unnamed = |path| Refusal { path, reason: format!("{TABLE} does not name it") };
    listing.refused.extend(places.unused().into_iter().map(unnamed));
    listing.candidates.sort_by(|a, b| a.path.cmp(&b.path));
    listing.differences.push(format!("{TABLE} knows no patients: its sides are taken as they are"));
    Ok(listing)
}

/// Pictures by path and by name without ending, accents composed, each given away once.
struct Places {
    /// Each picture's own path, and whether it was given away.
    pictures: Vec<(String, bool)>,
    by_path: BTreeMap<String, Vec<usize>>,
    by_stem: BTreeMap<String, Vec<usize>>,
}

impl Places {
    fn new(candidates: Vec<Candidate>) -> Places {
        let (mut by_path, mut by_stem) = (BTreeMap::<_, Vec<_>>::new(), BTreeMap::<_, Vec<_>>::new());
        for (place, Candidate { path, .. }) in candidates.iter().enumerate() {
            let path = names::composed(path);
            by_stem.entry(stem(&path).to_owned()).or_default().push(place);
            by_path.entry(path).or_default().push(place);
        }
        let pictures = candidates.into_iter().map(|candidate| (candidate.path, false)).collect();
        Places { pictures, by_path, by_stem }
    }

    fn take(&mut self, name: &str) -> Result<String, String> {
        let name = names::composed(name);
        let exact = [name.clone(), format!("images/{name}")];
        let exact = exact.iter().find_map(|path| self.by_path.get(path));
        let place = match exact.or_else(|| self.by_stem.get(stem(&name))).map(Vec::as_slice) {
            Some(&[place]) => place,
            Some(several) => {
                let paths: Vec<&str> = several.iter().map(|&place| self.pictures[place].0.as_str()).collect();
                return Err(format!(
                    "{TABLE} names it, and several pictures could be meant: {}",
                    paths.join(", ")
                ));
            }
            None => return Err(format!("{TABLE} names it, but the file is missing")),
        };
        let (path, is_used) = &mut self.pictures[place];
        if std::mem::replace(is_used, true) {
            return Err(format!("{TABLE} names {path} twice"));
        }
        Ok(path.clone())
    }

    fn unused(self) -> Vec<String> {
        self.pictures.into_iter().filter(|(_, is_used)| !is_used).map(|(path, _)| path).collect()
    }
}

fn stem(path: &str) -> &str {
    tree::stem(path.rsplit('/').next().unwrap_or(path))
}
