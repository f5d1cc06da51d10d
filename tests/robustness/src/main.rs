//! `cargo xtask robustness`: runs with seeds of its own choice, or one again.
//! Refuses to go on after a run that broke a promise: its seed is told, and its plan was printed.
#![allow(clippy::print_stdout, reason = "a command for people speaks through standard output")]

use std::time::Duration;

use anyhow::{Result, bail};
use clap::Parser;
use robustness::in_own_namespaces;

/// Faults at random moments under load, while keys and CAs are replaced. Needs root, for a network of its own.
#[derive(Debug, Parser)]
struct Arguments {
    /// The seed of the first run; the next ones follow it. A random one if it is not given
    #[arg(long)]
    seed: Option<u64>,
    /// How many runs
    #[arg(long, default_value_t = 1)]
    runs: u64,
    /// Seconds from the first to the last fault of a run
    #[arg(long, default_value_t = 120)]
    seconds: u64,
}

fn main() -> Result<()> {
    let arguments = Arguments::parse();
    let first = arguments.seed.unwrap_or_else(|| rand::random::<u32>().into());
    for run in 0..arguments.runs {
        let seed = first.wrapping_add(run);
        let outcome =
            in_own_namespaces(async || robustness::run(seed, Duration::from_secs(arguments.seconds)).await);
        println!("{}", outcome.text());
        let broken = outcome.broken();
        if !broken.is_empty() {
            bail!(
                "broken promises, to be repeated with --seed {seed} --seconds {}:\n{}\n{}",
                arguments.seconds,
                broken.join("\n"),
                outcome.report.text()
            );
        }
    }
    Ok(())
}
