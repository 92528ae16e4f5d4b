//! `methods`: what can be run.

use anyhow::Result;

use crate::method::METHODS;

/// List the methods, what each may see and what it needs
///
/// Lists the methods, what each may see and what it needs.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Print a Markdown table with costs, as in the README
    #[arg(long)]
    markdown: bool,
}

impl Args {
    pub(crate) fn run(self) -> Result<()> {
        if self.markdown {
            println!("{}", table());
            return Ok(());
        }
        println!("{:<24} {:<12} {:<34} about", "method", "regime", "needs");
        for entry in METHODS {
            println!("{:<24} {:<12} {:<34} {}", entry.name, entry.regime, entry.needs, entry.about);
        }
        println!(
            "\nR0 sees the query only; R1 the supports; R2 supports and other tasks' normals; R5 every train normal of\n\
             the target. Weights are given with --teacher; those of efficientnet_lite0 are fetched when none are given.\n\
             --teacher random takes a seeded random network, and every table says so."
        );
        Ok(())
    }
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
