//! `cargo xtask bench`: measures beside a floor without supervisors, interleaved, and makes a page and pictures of it.
//! Refuses to judge: it measures and writes down.
#![allow(clippy::print_stdout, reason = "a command for people speaks through standard output")]

mod disruption;
mod floor;
mod hosted;
mod machine;
mod memory;
mod page;
mod picture;
mod sample;
mod start;

use std::path::PathBuf;

use anyhow::Result;
use clap::{Parser, Subcommand};

/// Measures control planes under Pilothouse beside the same components without supervisors.
#[derive(Debug, Parser)]
struct Arguments {
    /// Directory for the page and its pictures
    #[arg(long)]
    output: PathBuf,
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// A start on this machine
    Start(start::Arguments),
    /// `helm install` on three nodes
    Hosted(hosted::Arguments),
    /// What clients notice while a control plane changes
    Disruption(disruption::Arguments),
}

#[tokio::main(flavor = "multi_thread", worker_threads = 1)]
async fn main() -> Result<()> {
    let arguments = Arguments::parse();
    mutual_tls::install_provider();
    let page = match &arguments.what {
        What::Start(what) => start::run(what).await?,
        What::Hosted(what) => hosted::run(what, &arguments.output).await?,
        What::Disruption(what) => disruption::run(what, &arguments.output).await?,
    };
    page.write(&arguments.output)?;
    println!("{}", page.markdown);
    Ok(())
}
