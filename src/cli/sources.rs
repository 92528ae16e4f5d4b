//! `sources`: which data sets can be read, and how they are laid out.

use anyhow::Result;

use crate::source::SOURCES;
use crate::spec::Spec;

/// Prints every adapter, and what the 13,084-image benchmark needs from whom.
pub fn run() -> Result<()> {
    for source in SOURCES {
        println!("{:<18} {}", source.name, source.about);
    }
    println!("\nThe 13,084-image benchmark (spec `medfsad`) reads, below --raw:");
    for task in Spec::load("medfsad")?.tasks {
        let card = task.card;
        println!("\n{} in {}/", task.name, task.folder);
        for (what, text) in [
            ("owner", card.owner),
            ("licence", card.licence),
            ("access", card.access),
            ("how to get it", card.how_to_get),
            ("mind", card.restrictions),
        ] {
            println!("  {what}: {text}");
        }
    }
    Ok(())
}
