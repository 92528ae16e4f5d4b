//! `completions`: what a shell needs to complete commands.

use std::io::{ErrorKind, Write as _};

use anyhow::Result;
use clap::CommandFactory as _;
use clap_complete::Shell;

use super::Cli;

/// Print a script that lets your shell complete the commands of an installed `medfsad`
///
/// For bash: `medfsad completions bash > ~/.local/share/bash-completion/completions/medfsad`. For zsh, write it to a file
/// `_medfsad` in a folder of $fpath; for fish, to ~/.config/fish/completions/medfsad.fish.
#[derive(clap::Args)]
pub(super) struct Args {
    shell: Shell,
}

impl Args {
    pub(super) fn run(self) -> Result<()> {
        let mut script = Vec::new();
        clap_complete::generate(self.shell, &mut Cli::command(), "medfsad", &mut script);
        // Whoever reads only the beginning has what he wants.
        match std::io::stdout().write_all(&script) {
            Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(()),
            written => Ok(written?),
        }
    }
}
