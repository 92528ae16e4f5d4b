//! `methods`: what can be run.

use std::collections::BTreeMap;

use anyhow::{Context, Result};
use serde_json::{Map, Value, json};

use super::{meanings, settings};
use crate::method::{self, Entry, METHODS};
use crate::report::{WIDTH, wrapped};

/// List the methods, what each may see and what it needs; or show one with its settings
///
/// Lists the methods, what each may see and what it needs. With a NAME, shows that method, its settings, their
/// defaults and what they mean.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// A method to show with all its settings
    name: Option<String>,
    /// Print a Markdown table with costs, as in docs/methods.md
    #[arg(long, conflicts_with_all = ["name", "json"])]
    markdown: bool,
    /// Print JSON, with every setting, its default and its meaning
    #[arg(long)]
    json: bool,
}

impl Args {
    pub(crate) fn run(self) -> Result<()> {
        if self.markdown {
            println!("{}", table());
            return Ok(());
        }
        if self.json {
            let shown: Vec<&Entry> = match &self.name {
                Some(name) => vec![method::find(name)?],
                None => METHODS.iter().collect(),
            };
            let all = shown.into_iter().map(as_json).collect::<Result<Vec<_>>>()?;
            println!("{}", serde_json::to_string_pretty(&all)?);
            return Ok(());
        }
        if let Some(name) = &self.name {
            return show(method::find(name)?);
        }
        println!("{:<24} {:<12} {:<34} about", "method", "regime", "needs");
        for entry in METHODS {
            println!("{:<24} {:<12} {:<34} {}", entry.name, entry.regime, entry.needs, entry.about);
        }
        println!(
            "\nR0 sees the query only; R1 the supports; R2 supports and other tasks' normals; R3 other tasks' anomalies, too;\n\
             R4 anomalies of the target, too; R5 every train normal of the target; R6 also unlabelled pictures of it, and R6T\n\
             its test pictures without labels. Rows of R4, R6 and R6T have no rank. Weights are given with --teacher; those of efficientnet_lite0 are fetched\n\
             when none are given.\n\
             --teacher random takes a seeded random network, and every table says so."
        );
        Ok(())
    }
}

/// The settings of a method with their defaults; `None` for one that has none of its own, such as a program.
fn defaults(entry: &Entry) -> Result<Option<Map<String, Value>>> {
    let Ok(built) = settings::build(entry, &toml::Table::new()) else { return Ok(None) };
    let settings = serde_json::from_str(&built.settings);
    Ok(Some(settings.with_context(|| format!("the settings of {}", entry.name))?))
}

fn as_json(entry: &Entry) -> Result<Value> {
    let settings = defaults(entry)?;
    let is_own = |key: &str| settings.as_ref().is_none_or(|settings| settings.contains_key(key));
    let meanings = meanings::of(entry.name).iter().copied().filter(|(key, _)| is_own(key));
    Ok(json!({
        "name": entry.name,
        "about": entry.about,
        "paper": entry.paper,
        "regime": entry.regime,
        "needs": entry.needs,
        "cost": entry.cost,
        "meanings": meanings.collect::<BTreeMap<&str, &str>>(),
        "settings": settings,
    }))
}

fn show(entry: &Entry) -> Result<()> {
    println!("{}: {}", entry.name, entry.about);
    for (what, text) in
        [("paper", entry.paper), ("regime", entry.regime), ("needs", entry.needs), ("cost", entry.cost)]
    {
        println!("  {what:<8} {text}");
    }
    match defaults(entry)? {
        Some(settings) if settings.is_empty() => println!("no settings"),
        Some(settings) => {
            println!(
                "settings, defaults and meanings (--set KEY=VALUE, or [settings.{}] in a bench definition):",
                entry.name
            );
            println!("{}", columns(&rows(entry, &settings)));
        }
        None => {
            println!("its settings have no defaults; see benchmarks/external.toml for an example");
            let row = |(key, meaning): &meanings::Meaning| [*key, "", *meaning].map(str::to_owned);
            println!("{}", columns(&meanings::of(entry.name).iter().map(row).collect::<Vec<_>>()));
        }
    }
    Ok(())
}

/// Name, default and meaning of each setting of a method.
fn rows(entry: &Entry, settings: &Map<String, Value>) -> Vec<[String; 3]> {
    let row = |(key, value): (&String, &Value)| {
        let meaning = meanings::of_setting(entry.name, key).unwrap_or_default();
        [key.clone(), value.to_string(), meaning.to_owned()]
    };
    settings.iter().map(row).collect()
}

/// The longest default beside which a meaning stands; below a longer one it begins on a line of its own.
const LONGEST_DEFAULT: usize = 24;

/// Name, default and meaning of each setting, aligned; meanings are broken to fit a terminal.
fn columns(rows: &[[String; 3]]) -> String {
    let widest = |column: usize, most: usize| {
        rows.iter().map(|row| row[column].chars().count()).filter(|width| *width <= most).max().unwrap_or(0)
    };
    let (name, default) = (widest(0, WIDTH), widest(1, LONGEST_DEFAULT));
    let indent = 2 + name + usize::from(default > 0) + default + 2;
    let mut lines = Vec::new();
    for [key, value, meaning] in rows {
        let mut first = format!("  {key:<name$} {value}").trim_end().to_owned();
        if first.chars().count() + 2 > indent {
            lines.push(std::mem::take(&mut first));
        }
        for part in wrapped(meaning, WIDTH - indent).lines() {
            lines.push(format!("{:<indent$}{part}", std::mem::take(&mut first)));
        }
    }
    lines.join("\n")
}

/// Every method as a Markdown table.
fn table() -> String {
    let mut lines = vec![
        "| method | what it does | paper | regime | needs | cost |".to_owned(),
        "| --- | --- | --- | --- | --- | --- |".to_owned(),
    ];
    for e in METHODS {
        lines.push(format!(
            "| `{}` | {} | {} | {} | {} | {} |",
            e.name, e.about, e.paper, e.regime, e.needs, e.cost
        ));
    }
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_setting_of_every_method_has_a_meaning_and_every_meaning_a_setting() {
        let mut n = 0;
        for entry in METHODS {
            let Some(settings) = defaults(entry).unwrap() else {
                assert!(meanings::of(entry.name).len() > 1, "{} has no settings", entry.name);
                continue;
            };
            for key in settings.keys() {
                let meaning = meanings::of_setting(entry.name, key);
                assert!(meaning.is_some_and(|text| text.len() > 4), "{} {key}: {meaning:?}", entry.name);
                n += 1;
            }
            for (key, _) in meanings::of(entry.name) {
                // Methods of one file may share a struct, of which each has a part.
                let shares = |other: &&Entry| meanings::of(other.name) == meanings::of(entry.name);
                let has = |other: &Entry| defaults(other).unwrap().is_some_and(|all| all.contains_key(*key));
                assert!(METHODS.iter().filter(shares).any(has), "{} has no setting {key}", entry.name);
            }
        }
        assert!(n > 200, "{n} settings");
        let meaning = meanings::of_setting("spade", "neighbours");
        assert_eq!(meaning, Some("Normals that are retrieved for a picture; all, if there are fewer"));
        assert_eq!(meanings::of_setting("external", "files"), None, "filled in by the program");
    }

    #[test]
    fn columns_are_aligned_and_no_line_is_too_long() {
        let row = |row: [&str; 3]| row.map(str::to_owned);
        let long = "word ".repeat(30);
        let shown = columns(&[
            row(["batch", "16", "Pictures a step."]),
            row(["anomalies", &"x".repeat(40), "Kinds."]),
            row(["side", "448", long.trim()]),
        ]);
        let lines: Vec<&str> = shown.lines().collect();
        assert_eq!(lines[0], "  batch     16   Pictures a step.");
        assert_eq!(lines[1], format!("  anomalies {}", "x".repeat(40)));
        assert_eq!(lines[2], "                 Kinds.");
        assert!(lines[3].starts_with("  side      448  word word") && lines.len() == 5, "{shown}");
        assert!(lines[4].starts_with("                 word"), "{shown}");
        assert!(lines.iter().all(|line| line.len() <= WIDTH && !line.ends_with(' ')), "{shown}");
        for entry in METHODS {
            let settings = defaults(entry).unwrap().unwrap_or_default();
            let shown = columns(&rows(entry, &settings));
            let is_alone = |line: &str| settings.values().any(|value| line.ends_with(&value.to_string()));
            let fits = |line: &str| line.chars().count() <= WIDTH || is_alone(line);
            assert!(shown.lines().all(fits), "{}:\n{shown}", entry.name);
        }
    }
}
