//! Commands that this build lacks: they are known by name, take any arguments, and say what they need.

use anyhow::{Result, bail};
use clap::error::ErrorKind;
use clap::{Arg, ArgAction, ArgMatches, FromArgMatches, Subcommand};

/// The commands of the harness, which needs libtorch.
const NAMES: [&str; 11] = [
    "bench",
    "plan",
    "run-cell",
    "collect",
    "train",
    "score",
    "explain",
    "bench-speed",
    "selftest",
    "methods",
    "weights",
];

/// What a build without libtorch says of all that needs it.
pub(super) const NEEDS_LIBTORCH: &str = "needs libtorch, which this program was built without; `cargo xtask libtorch` fetches it, and the next \
     `cargo xtask` command builds with it";

/// One of them was called.
#[derive(Debug)]
pub(super) struct Unavailable(String);

impl Unavailable {
    /// # Errors
    /// Always: this build has no such command.
    pub(super) fn run(self) -> Result<()> {
        bail!("`{}` {NEEDS_LIBTORCH}", self.0)
    }
}

impl FromArgMatches for Unavailable {
    fn from_arg_matches(matches: &ArgMatches) -> clap::error::Result<Unavailable> {
        let name = matches.subcommand_name().ok_or_else(|| clap::Error::new(ErrorKind::MissingSubcommand))?;
        Ok(Unavailable(name.to_owned()))
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> clap::error::Result<()> {
        *self = Unavailable::from_arg_matches(matches)?;
        Ok(())
    }
}

impl Subcommand for Unavailable {
    fn augment_subcommands(command: clap::Command) -> clap::Command {
        let whatever = || {
            let any = Arg::new("arguments").action(ArgAction::Append).num_args(0..);
            any.trailing_var_arg(true).allow_hyphen_values(true).hide(true)
        };
        let lacking = |name: &'static str| {
            let about = "Not in this build, which has no libtorch";
            clap::Command::new(name).about(about).disable_help_flag(true).arg(whatever())
        };
        command.subcommands(NAMES.map(lacking))
    }

    fn augment_subcommands_for_update(command: clap::Command) -> clap::Command {
        Unavailable::augment_subcommands(command)
    }

    fn has_subcommand(name: &str) -> bool {
        NAMES.contains(&name)
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Debug, clap::Parser)]
    struct Program {
        #[command(subcommand)]
        command: Command,
    }

    #[derive(Debug, clap::Subcommand)]
    enum Command {
        Known {
            #[arg(long)]
            number: u8,
        },
        #[command(flatten)]
        Lacking(Unavailable),
    }

    fn parsed(line: &str) -> clap::error::Result<Command> {
        Program::try_parse_from(line.split(' ')).map(|program| program.command)
    }

    #[test]
    fn commands_that_are_there_are_read_and_those_that_are_not_say_why() {
        assert!(matches!(parsed("medfsad known --number 3"), Ok(Command::Known { number: 3 })));
        for line in ["medfsad bench", "medfsad bench --method all -v x", "medfsad score --help"] {
            let Ok(Command::Lacking(lacking)) = parsed(line) else { panic!("{line}") };
            let error = lacking.run().expect_err(line).to_string();
            assert!(
                error.contains("needs libtorch") && error.contains(line.split(' ').nth(1).unwrap()),
                "{error}"
            );
        }
        assert_eq!(
            parsed("medfsad bnech").expect_err("no such command").kind(),
            ErrorKind::InvalidSubcommand
        );
    }

    #[cfg(feature = "torch")]
    #[test]
    fn every_command_of_the_harness_is_known() {
        let harness = crate::cli::harness::Command::augment_subcommands(clap::Command::new("medfsad"));
        let names: Vec<&str> = harness.get_subcommands().map(clap::Command::get_name).collect();
        assert_eq!(names, NAMES);
    }
}
