//! A start under Pilothouse beside a bare start of the same binaries with the same flags, interleaved, and what our
//! processes cost.

mod bare;
mod cost;
mod page;
mod pilothouse;

use anyhow::{Context as _, Result};

use crate::machine;
use crate::page::Page;
use crate::sample::Starts;

/// How often and how long.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// How often each start is measured
    #[arg(long, default_value_t = 7)]
    rounds: usize,
    /// Seconds over which idle processes are watched
    #[arg(long, default_value_t = 60)]
    idle_seconds: u64,
}

/// Measures.
pub(crate) async fn run(arguments: &Arguments) -> Result<Page> {
    println!("a control plane to take the flags, certificates and costs from");
    let (template, cost) = bare::Template::take(arguments.idle_seconds).await?;
    let mut bare = Starts::default();
    let mut ours = Starts::default();
    for round in 1..=arguments.rounds {
        let start = template.start().await.with_context(|| format!("bare start {round}"))?;
        println!(
            "round {round}: bare  API ready {:.2} s, both leases {:.2} s",
            start.api_ready, start.leases_held
        );
        bare.add(start);
        let start = pilothouse::start().await.with_context(|| format!("start {round} under Pilothouse"))?;
        println!(
            "round {round}: ours  API ready {:.2} s, both leases {:.2} s",
            start.api_ready, start.leases_held
        );
        ours.add(start);
    }
    Ok(page::render(&page::Results { bare, ours, cost, machine: machine::describe() }))
}
