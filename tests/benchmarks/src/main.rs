//! `cargo xtask bench`: a start under Pilothouse beside a bare start of the same binaries with the same flags, interleaved;
//! what our processes cost; and the page and picture made of it. Refuses to judge: it measures and writes down.
#![allow(clippy::print_stdout, reason = "a command for people speaks through standard output")]

mod bare;
mod cost;
mod machine;
mod page;
mod picture;
mod sample;
mod start;

use std::path::PathBuf;

use anyhow::{Context as _, Result};
use clap::Parser;

/// Measures a control plane under Pilothouse beside the same components started bare.
#[derive(Debug, Parser)]
struct Arguments {
    /// How often each start is measured
    #[arg(long, default_value_t = 7)]
    rounds: usize,
    /// Seconds over which idle processes are watched
    #[arg(long, default_value_t = 60)]
    idle_seconds: u64,
    /// Directory for benchmarks.md and its picture
    #[arg(long)]
    output: PathBuf,
}

#[tokio::main(flavor = "multi_thread", worker_threads = 1)]
async fn main() -> Result<()> {
    let arguments = Arguments::parse();
    mutual_tls::install_provider();
    println!("a control plane to take the flags, certificates and costs from");
    let (template, cost) = bare::Template::take(arguments.idle_seconds).await?;
    let mut bare = sample::Starts::default();
    let mut ours = sample::Starts::default();
    for round in 1..=arguments.rounds {
        let start = template.start().await.with_context(|| format!("bare start {round}"))?;
        println!(
            "round {round}: bare  API ready {:.2} s, both leases {:.2} s",
            start.api_ready, start.leases_held
        );
        bare.add(start);
        let start =
            start::under_pilothouse().await.with_context(|| format!("start {round} under Pilothouse"))?;
        println!(
            "round {round}: ours  API ready {:.2} s, both leases {:.2} s",
            start.api_ready, start.leases_held
        );
        ours.add(start);
    }
    let page = page::render(&page::Results { bare, ours, cost, machine: machine::describe() });
    page::write(&arguments.output, &page)?;
    println!("{}", page.markdown);
    Ok(())
}
