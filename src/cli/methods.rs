//! `methods`: what can be run.

use anyhow::Result;

use crate::method::METHODS;

/// Prints every method with its regime.
pub fn run() -> Result<()> {
    println!("{:<24} {:<6} {:<10} {:<32} about", "method", "regime", "teacher", "paper");
    for entry in METHODS {
        let built = (entry.build)(toml::Table::new())?;
        let teacher = if built.backbone.is_some() { "needed" } else { "none" };
        println!("{:<24} {:<6} {teacher:<10} {:<32} {}", entry.name, entry.regime, entry.paper, entry.about);
    }
    println!(
        "\nR0 sees the query only; R1 the supports; R2 supports and other tasks' normals. Methods that need a\n\
         teacher run with a seeded random one when --teacher is not given, and every table says so."
    );
    Ok(())
}
