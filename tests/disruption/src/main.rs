//! `disruption`: load on whatever a kubeconfig names, until its time is over or it is stopped; every line on standard input
//! is a mark. Exit code 1: something was lost or missed; 3: requests failed, and `--no-failures` was asked for.
#![allow(clippy::print_stdout, reason = "a command for people speaks through standard output")]

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context as _, Result};
use clap::Parser;
use disruption::{Disruption, Mix, Report, Settings};
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::signal::unix::{SignalKind, signal};

/// Puts load on an API server and counts what its clients notice. A line on standard input becomes a mark in the report;
/// SIGTERM and Ctrl-C end the load early, with the report.
#[derive(Debug, Parser)]
#[command(max_term_width = 110)]
struct Arguments {
    /// Names the server and who we are: a client certificate or a token
    #[arg(long, env = "KUBECONFIG")]
    kubeconfig: PathBuf,
    /// HOST:PORT, taken in turn by new connections, in place of the kubeconfig's server; may be given several times
    #[arg(long = "server", value_name = "HOST:PORT")]
    servers: Vec<String>,
    /// Seconds until the load ends by itself
    #[arg(long, default_value_t = 60, value_parser = clap::value_parser!(u64).range(1..=86_400))]
    seconds: u64,
    /// Clients that keep their connection
    #[arg(long, default_value_t = 18, value_parser = clap::value_parser!(u64).range(0..=1_000))]
    clients: u64,
    /// Clients that make a new connection for every request
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u64).range(0..=1_000))]
    fresh_clients: u64,
    /// Requests per second of all clients together
    #[arg(long, default_value_t = 200, value_parser = clap::value_parser!(u64).range(1..=10_000))]
    rate: u64,
    /// Watches, each over a connection of its own
    #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u64).range(0..=1_000))]
    watches: u64,
    /// Of 100 requests, how many are reads, lists, writes and deletions
    #[arg(long, default_value = "60,5,30,5", value_name = "R,L,W,D", value_parser = mix)]
    mix: Mix,
    /// Seconds after which a request without an answer has failed
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..=600))]
    request_limit: u64,
    /// Leases in kube-system to follow
    #[arg(
        long,
        default_value = "kube-controller-manager,kube-scheduler",
        value_delimiter = ',',
        value_name = "NAMES"
    )]
    leases: Vec<String>,
    /// Also write report.txt, report.json and report.svg into this directory
    #[arg(long, value_name = "DIR")]
    output: Option<PathBuf>,
    /// End with exit code 3 when any request failed
    #[arg(long)]
    no_failures: bool,
}

fn main() -> Result<ExitCode> {
    let runtime = tokio::runtime::Runtime::new().context("cannot start the runtime")?;
    let ended = runtime.block_on(run());
    // Else a terminal on standard input would be waited for, until somebody types another line.
    runtime.shutdown_background();
    ended
}

async fn run() -> Result<ExitCode> {
    let arguments = Arguments::parse();
    let run = Disruption::start(settings(&arguments)).await.context("cannot begin")?;
    println!("load runs in namespace {}", run.namespace());
    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    let mut marks = BufReader::new(tokio::io::stdin()).lines();
    let mut more_marks = true;
    loop {
        tokio::select! {
            () = run.finished() => break,
            _ = terminate.recv() => break,
            _ = interrupt.recv() => break,
            line = marks.next_line(), if more_marks => match line {
                Ok(Some(line)) => run.mark(line.trim()),
                // The end of standard input ends the marks, not the load.
                Ok(None) | Err(_) => more_marks = false,
            },
        }
    }
    let report = run.stop().await.context("cannot check what happened")?;
    print!("{}", report.text());
    if let Some(directory) = &arguments.output {
        write(&report, directory)?;
    }
    Ok(verdict(&report, arguments.no_failures))
}

fn settings(arguments: &Arguments) -> Settings {
    Settings {
        servers: arguments.servers.clone(),
        clients: arguments.clients as usize,
        fresh_clients: arguments.fresh_clients as usize,
        rate: arguments.rate as f64,
        mix: arguments.mix,
        watches: arguments.watches as usize,
        duration: Duration::from_secs(arguments.seconds),
        request_limit: Duration::from_secs(arguments.request_limit),
        leases: arguments.leases.clone(),
        ..Settings::new(&arguments.kubeconfig)
    }
}

fn mix(text: &str) -> Result<Mix, String> {
    let parts: Vec<u32> = text.split(',').filter_map(|part| part.trim().parse().ok()).collect();
    match parts[..] {
        [reads, lists, writes, deletes] if text.split(',').count() == 4 && writes > 0 => {
            Ok(Mix { reads, lists, writes, deletes })
        }
        _ => Err("four numbers with commas between them, the third (writes) above 0".to_owned()),
    }
}

fn write(report: &Report, directory: &Path) -> Result<()> {
    std::fs::create_dir_all(directory).with_context(|| format!("cannot create {}", directory.display()))?;
    for (name, content) in
        [("report.txt", report.text()), ("report.json", report.json()), ("report.svg", report.picture())]
    {
        let path = directory.join(name);
        durable_files::write_public(&path, content.as_bytes())?;
    }
    Ok(())
}

fn verdict(report: &Report, no_failures: bool) -> ExitCode {
    if !report.broken_promises().is_empty() {
        ExitCode::from(1)
    } else if no_failures && report.failed_reads() + report.failed_writes() > 0 {
        ExitCode::from(3)
    } else {
        ExitCode::SUCCESS
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mix_is_four_numbers_with_something_written() {
        assert_eq!(mix("1, 2,3,4"), Ok(Mix { reads: 1, lists: 2, writes: 3, deletes: 4 }));
        for wrong in ["", "1,2,3", "1,2,0,4", "1,2,3,4,5", "a,2,3,4,5", "a,2,3,4"] {
            assert!(mix(wrong).is_err(), "{wrong}");
        }
    }
}
