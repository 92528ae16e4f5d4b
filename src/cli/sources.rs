//! `sources`: which data sets can be read, how they are laid out, whose they are.

use anyhow::Result;

use crate::export::card;
use crate::source::SOURCES;
use crate::spec::Spec;

/// Lists every source that can be read, then what a spec needs from whom: owner, citation, licence, access, how to
/// get it, what may not be done with it. Nothing is downloaded.
#[derive(clap::Args)]
pub struct Args {
    /// A TOML file, or one of the shipped specs
    #[arg(long, default_value = "medfsad")]
    spec: String,
}

impl Args {
    pub fn run(self) -> Result<()> {
        for source in SOURCES {
            println!("{:<18} {}", source.name, source.about);
        }
        let spec = Spec::load(&self.spec)?;
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
