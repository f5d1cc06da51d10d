//! `cargo xtask robustness`: runs with seeds of its own choice, or one again, or a plan that was kept.
//! Refuses to go on after a run that broke a promise: its plan was printed, and can be kept.
#![allow(clippy::print_stdout, reason = "a command for people speaks through standard output")]

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow, bail};
use clap::Parser;
use robustness::{Plan, in_own_namespaces};

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
    /// Do what this file says instead: what a run printed, and tests/robustness/regressions keeps
    #[arg(long, value_name = "FILE", conflicts_with_all = ["seed", "seconds"])]
    plan: Option<PathBuf>,
}

fn main() -> Result<()> {
    let arguments = Arguments::parse();
    let first = arguments.seed.unwrap_or_else(|| rand::random::<u32>().into());
    for run in 0..arguments.runs {
        let plan = match &arguments.plan {
            Some(file) => kept(file)?,
            None => Plan::new(first.wrapping_add(run), Duration::from_secs(arguments.seconds)),
        };
        let outcome = in_own_namespaces(async || robustness::run(&plan).await);
        println!("{}", outcome.text());
        let broken = outcome.broken();
        if !broken.is_empty() {
            bail!(
                "broken promises, of a plan that can be kept and repeated with --plan FILE ({}):\n{}\n{}\n{}",
                plan.about,
                plan.text(),
                broken.join("\n"),
                outcome.report.text()
            );
        }
    }
    Ok(())
}

fn kept(file: &Path) -> Result<Plan> {
    let text = std::fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))?;
    Plan::read(&text).map_err(|why| anyhow!("{} is no plan: {why}", file.display()))
}
