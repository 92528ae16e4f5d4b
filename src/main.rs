//! Parse, run, report errors as one chain.

use std::process::ExitCode;

use clap::Parser;

fn main() -> ExitCode {
    medfsad::panics::shorten();
    match medfsad::cli::Cli::parse().run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
