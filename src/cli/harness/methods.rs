//! `methods`: what can be run.

use anyhow::{Context, Result};
use serde_json::{Map, Value, json};

use super::settings;
use crate::method::{self, Entry, METHODS};

/// List the methods, what each may see and what it needs; or show one with its settings
///
/// Lists the methods, what each may see and what it needs. With a NAME, shows that method, its settings and their
/// defaults.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// A method to show with all its settings
    name: Option<String>,
    /// Print a Markdown table with costs, as in docs/methods.md
    #[arg(long, conflicts_with_all = ["name", "json"])]
    markdown: bool,
    /// Print JSON, with every setting and its default
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
    Ok(json!({
        "name": entry.name,
        "about": entry.about,
        "paper": entry.paper,
        "regime": entry.regime,
        "needs": entry.needs,
        "cost": entry.cost,
        "settings": defaults(entry)?,
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
                "settings and defaults (--set KEY=VALUE, or [settings.{}] in a bench definition):",
                entry.name
            );
            for (key, value) in settings {
                println!("  {key:<24} {value}");
            }
        }
        None => println!("its settings have no defaults; see benchmarks/external.toml for an example"),
    }
    Ok(())
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
