//! certificate-authority: parses, sets up the process, hands over to certificate-signing.
//! Refuses logic.

mod args;

use std::io::Write as _;
use std::process::ExitCode;

use anyhow::Context as _;
use args::{Action, CommandLine, InCluster, Inspect, OnOneMachine, Output, Run};
use certificate_signing::{
    Directories, Lifetimes, Place, ReleaseSettings, RotationSettings, ServerSettings, inspect, serve,
};
use certificates::{NamingSettings, WantedKeys};
use clap::Parser as _;
use health_endpoints::{HealthServer, State, StatusBoard};
use management_api::ManagementArguments;
use naming_contract::{Component, ReleaseObjects};
use process_control::{InstalledSignals, Signals};
use tokio::task::LocalSet;
use tokio_util::sync::CancellationToken;

/// `EX_CONFIG` of sysexits.h: starting again with the same settings changes nothing.
const EXIT_CONFIGURATION: u8 = 78;
/// `inspect` found certificates that cannot be read.
const EXIT_PROBLEMS: u8 = 1;

fn main() -> ExitCode {
    // Before anything else: a stop that comes while flags are parsed must not be lost.
    let signals = match InstalledSignals::install() {
        Ok(signals) => signals,
        Err(error) => return told(&error.into()),
    };
    let outcome = match CommandLine::try_parse() {
        Ok(CommandLine { action: Action::Run(arguments) }) => run(*arguments, signals),
        Ok(CommandLine { action: Action::Inspect(arguments) }) => print(&arguments),
        Ok(CommandLine { action: Action::Install { directory } }) => {
            durable_files::install_running_binary(&directory, Component::CertificateAuthority.supervisor())
                .map(|_path| ExitCode::SUCCESS)
                .map_err(Into::into)
        }
        Err(error) => {
            // clap prints help and version to standard output with code 0, mistakes to standard error with code 2.
            let _nobody_reads = error.print();
            return ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(2));
        }
    };
    outcome.unwrap_or_else(|error| told(&error))
}

fn run(arguments: Run, signals: InstalledSignals) -> anyhow::Result<ExitCode> {
    arguments.logs.install()?;
    mutual_tls::install_provider();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    LocalSet::new().block_on(&runtime, async move {
        let signals = signals.attend()?;
        run_until_stopped(arguments, signals).await
    })?;
    Ok(ExitCode::SUCCESS)
}

async fn run_until_stopped(arguments: Run, signals: Signals) -> anyhow::Result<()> {
    let instance = match &arguments.instance_name {
        Some(name) => name.to_string(),
        None => {
            nix::unistd::gethostname().context("cannot read the hostname")?.to_string_lossy().into_owned()
        }
    };
    let board = StatusBoard::new(&instance, Component::CertificateAuthority, telemetry::VERSION);
    let stop = CancellationToken::new();
    let health_address = arguments.health_address;
    let settings = settings(arguments, &instance)?;
    let health = HealthServer::bind(health_address).await?;
    tracing::info!(instance, version = telemetry::VERSION, "started");
    let health = health.serve(board.clone(), stop.clone());
    let stopping = async {
        let signal = signals.stop_asked().await;
        board.enter(State::Draining, signal.as_ref());
        stop.cancel();
        std::future::pending::<()>().await;
    };
    tokio::select! {
        served = serve(settings, board.clone(), stop.clone()) => served?,
        () = async { health.await; std::future::pending().await } => {}
        () = stopping => {}
    }
    board.enter(State::Stopped, "all requests are answered");
    Ok(())
}

fn settings(arguments: Run, instance: &str) -> anyhow::Result<ServerSettings> {
    let lifetimes = Lifetimes::parse(arguments.lifetime.iter().map(String::as_str)).context("--lifetime")?;
    Ok(ServerSettings {
        instance: instance.to_owned(),
        listen_address: arguments.listen_address,
        naming: NamingSettings {
            service_subnets: arguments.service_subnet,
            cluster_domain: arguments.cluster_domain.to_string(),
            extra_names: arguments.certificate_name,
        },
        lifetimes,
        rotation: RotationSettings {
            wanted: WantedKeys {
                service_account_key: arguments.rotation.service_account_key,
                encryption_key: arguments.rotation.encryption_key,
                certificate_authorities: arguments.rotation.certificate_authorities,
            },
            token_overlap: arguments.rotation.service_account_key_overlap,
            authority_overlap: arguments.rotation.certificate_authority_overlap,
        },
        place: place(arguments.directories, arguments.release, arguments.management)?,
    })
}

fn place(
    directories: OnOneMachine,
    release: InCluster,
    management: ManagementArguments,
) -> anyhow::Result<Place> {
    if let (Some(name), Some(pod_uid)) = (release.release, release.pod_uid) {
        return Ok(Place::Release(Box::new(ReleaseSettings {
            objects: ReleaseObjects::of(name),
            management,
            pod_uid,
            keep_state: release.keep_state,
            external_addresses: release.external_address,
        })));
    }
    match (directories.state_directory, directories.callers_directory, directories.publish_directory) {
        (Some(state), Some(callers), Some(publish)) => Ok(Place::Directories(Directories {
            state,
            callers,
            publish,
            wanted_keys: directories.wanted_keys_file,
            instances: directories.planned_instances,
            kubeconfig: directories.kubeconfig,
        })),
        // clap lets nothing else through.
        _ => anyhow::bail!("give --release with --pod-uid, or the three directories"),
    }
}

fn print(arguments: &Inspect) -> anyhow::Result<ExitCode> {
    let found = inspect::inspect(&arguments.state_directory)?;
    let text = match arguments.output {
        Output::Table => inspect::table(&found),
        Output::Json => inspect::json(&found),
    };
    std::io::stdout().write_all(text.as_bytes()).context("cannot write to standard output")?;
    let problems = found.iter().any(|certificate| certificate.problem.is_some());
    Ok(if problems { ExitCode::from(EXIT_PROBLEMS) } else { ExitCode::SUCCESS })
}

fn told(error: &anyhow::Error) -> ExitCode {
    let chain = telemetry::error_chain(error.as_ref());
    if tracing::enabled!(tracing::Level::ERROR) {
        tracing::error!(error = chain, "cannot go on");
    } else {
        telemetry::tell(&format!("certificate-authority: {chain}"));
    }
    ExitCode::from(EXIT_CONFIGURATION)
}
