//! `cargo xtask …`: the repository's own commands, one module each. It parses and dispatches;
//! it refuses logic. What is demanded of a command is written in that command's module.
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a command for people speaks through them")]

mod bench;
mod cargo_metadata;
mod chart;
mod checkout;
mod components;
mod images;
mod machine;
mod management_cluster;
mod program;
mod robustness;
mod scratch;
mod stopwatch;
mod test;
mod tidy;
mod up;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// The repository's own commands.
#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask", max_term_width = 110)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Build the upstream binaries (Kubernetes, etcd) from pinned Go modules into the cache directory, once.
    Components(components::Arguments),
    /// Build everything and start a control plane on this machine: components + build + `pilothouse up`.
    Up(up::Arguments),
    /// Run everything that must pass.
    Test(test::Arguments),
    /// Measure control planes under Pilothouse beside the same components without supervisors.
    Bench(bench::Arguments),
    /// Faults at random moments under load, from a seed, on control planes of its own.
    Robustness(robustness::Arguments),
    /// Build the images of our binaries as OCI archives.
    Images(images::Arguments),
    /// Generate what follows from the chart's values, or check the charts without a cluster.
    Chart(chart::Arguments),
    /// A real Kubernetes cluster on this machine, to try the chart on: up, down, kubeconfig, load-images and more.
    ManagementCluster(management_cluster::Arguments),
    /// Check what compilers do not: module docs, file lengths, pure cores, names, machine traces.
    Tidy,
}

fn main() -> ExitCode {
    let outcome = match Arguments::parse().command {
        Command::Components(arguments) => components::run(&arguments),
        Command::Up(arguments) => up::run(&arguments),
        Command::Test(arguments) => test::run(&arguments),
        Command::Bench(arguments) => bench::run(&arguments),
        Command::Robustness(arguments) => robustness::run(&arguments),
        Command::Images(arguments) => images::run(&arguments),
        Command::Chart(arguments) => chart::run(&arguments),
        Command::ManagementCluster(arguments) => management_cluster::run(&arguments),
        Command::Tidy => tidy::run(),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
