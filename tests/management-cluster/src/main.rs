//! The command behind `cargo xtask management-cluster`, and the first process of every machine.
//! Refuses logic: the library has it.
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a command for people speaks through them")]

mod args;

use std::process::ExitCode;

use clap::Parser as _;
use management_cluster::{ManagementCluster, Result, VolumePool};

use crate::args::{Action, CommandLine, UpArguments, Which};

fn main() -> ExitCode {
    let action = CommandLine::parse().action;
    mutual_tls::install_provider();
    let outcome = match action {
        Action::Init { specification } => {
            management_cluster::run_init(&specification).map(|()| ExitCode::SUCCESS)
        }
        Action::AskDns => {
            return if management_cluster::answers_for_kubernetes() {
                ExitCode::SUCCESS
            } else {
                ExitCode::FAILURE
            };
        }
        action => match tokio::runtime::Builder::new_current_thread().enable_all().build() {
            Ok(runtime) => runtime.block_on(run(action)),
            Err(error) => {
                eprintln!("management-cluster: no runtime: {error}");
                return ExitCode::FAILURE;
            }
        },
    };
    outcome.unwrap_or_else(|error| {
        eprintln!("management-cluster: {}", telemetry::error_chain(&error));
        ExitCode::FAILURE
    })
}

async fn run(action: Action) -> Result<ExitCode> {
    match action {
        Action::Up(arguments) => up(*arguments).await?,
        Action::Down(which) => {
            management_cluster::remove_leftovers(&which.directory(), &which.name).await?;
            println!("nothing is left of the management cluster {}", which.name);
        }
        Action::Kubeconfig(which) => println!("{}", open(&which)?.kubeconfig().display()),
        Action::Status(which) => {
            for node in open(&which)?.node_states() {
                let state = if node.runs { "runs" } else { "dead" };
                println!("{}  {:<12} {state}  logs: {}", node.name, node.address, node.logs.display());
            }
        }
        Action::LoadImages { archives, which } => {
            let absolute: Vec<_> = archives
                .iter()
                .map(|archive| std::path::absolute(archive).unwrap_or_else(|_| archive.clone()))
                .collect();
            open(&which)?.load_images(&absolute).await?;
        }
        Action::KillNode { number, which } => open(&which)?.kill_node(number).await?,
        Action::ReviveNode { number, which } => open(&which)?.revive_node(number).await?,
        Action::Volumes { state_directory } => {
            let pool = VolumePool::new(state_directory);
            match management_cluster::keep_volumes(&pool, |error| {
                eprintln!("{}", telemetry::error_chain(error));
            })
            .await {}
        }
        Action::Init { .. } | Action::AskDns => {}
    }
    Ok(ExitCode::SUCCESS)
}

async fn up(arguments: UpArguments) -> Result<()> {
    let which = arguments.which.clone();
    let starting = ManagementCluster::up(arguments.options());
    let mut cluster = tokio::select! {
        cluster = starting => cluster?,
        // What was started is removed as the future is dropped.
        _ = tokio::signal::ctrl_c() => return Ok(()),
    };
    cluster.leave();
    let flags = which.flags();
    println!(
        "\nTo try the chart:\n  \
         export KUBECONFIG={}\n  \
         cargo xtask images --output target/images && cargo xtask management-cluster load-images{flags} target/images/*.tar\n  \
         helm install demo charts/hosted-control-plane\n\n\
         Remove it all with: cargo xtask management-cluster down{flags}",
        cluster.kubeconfig().display()
    );
    Ok(())
}

fn open(which: &Which) -> Result<ManagementCluster> {
    ManagementCluster::open(&which.directory())
}
