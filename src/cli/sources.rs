//! `sources`: the data sets that can be read, their layout and their owners.

use anyhow::Result;
use serde_json::json;

use crate::export::card;
use crate::source::SOURCES;
use crate::spec::Spec;

/// List the supported data sets: folder layout, owner, licence, how to get them
///
/// Lists every supported source, then what a spec needs from whom: owner, citation, licence, access, how to get
/// it, restrictions. Nothing is downloaded.
#[derive(clap::Args)]
pub(super) struct Args {
    /// TOML file, or a shipped spec
    #[arg(long, default_value = "medfsad")]
    spec: String,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

impl Args {
    pub(super) fn run(self) -> Result<()> {
        let spec = Spec::load(&self.spec)?;
        if self.json {
            let layouts = SOURCES.iter().map(|source| json!({ "name": source.name, "about": source.about }));
            let all = json!({ "sources": layouts.collect::<Vec<_>>(), "spec": spec });
            println!("{}", serde_json::to_string_pretty(&all)?);
            return Ok(());
        }
        for source in SOURCES {
            println!("{:<18} {}", source.name, source.about);
        }
        println!("\n{} (spec `{}`) reads, below --raw:", spec.title, spec.name);
        for task in spec.tasks {
            println!("\n{} in {}/", task.name, task.folder);
            for (what, text) in card::lines(&task.card) {
                if !text.is_empty() {
                    println!("  {what}: {text}");
                }
            }
        }
        Ok(())
    }
}
