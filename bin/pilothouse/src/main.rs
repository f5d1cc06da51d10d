//! The command people type: parse, run, exit code. Logic lives in `local-control-plane` and `hosted-status`.

mod args;

use std::io::{IsTerminal as _, Write as _};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context as _, Result};
use certificates::Rotated;
use hosted_status::HostedControlPlane;
use instance_status::{InstanceStatus, table};
use local_control_plane::{
    Daemon, Display, LogRequest, Plan, PrepareError, down, gather, log_to_state_directory, node_credentials,
    prepare, print_logs, read_manifest, rotate, start_in_background, up,
};
use process_control::{InstalledSignals, Signals};
use time::OffsetDateTime;
use tokio::task::LocalSet;

use crate::args::{
    Action, CommandLine, KubeconfigArguments, Output, StatusArguments, UpArguments, What, Which,
};

const FAILURE: u8 = 1;
const USAGE: u8 = 2;
const NOT_READY: u8 = 3;

fn main() -> ExitCode {
    // Before anything else: a stop that comes while flags are parsed must not be lost.
    let installed = InstalledSignals::install();
    let action = CommandLine::read().action;
    mutual_tls::install_provider();
    let run = async { Box::pin(run(action, &installed?.attend()?)).await };
    // One thread for everything: supervisors get a signal when the thread that spawned them ends.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let outcome = runtime.map_err(Into::into).and_then(|runtime| LocalSet::new().block_on(&runtime, run));
    match outcome {
        Ok(code) => ExitCode::from(code),
        Err(error) => {
            telemetry::tell(&format!("pilothouse: {error:#}"));
            let usage = matches!(error.downcast_ref(), Some(PrepareError::Settings(_)));
            ExitCode::from(if usage { USAGE } else { FAILURE })
        }
    }
}

async fn run(action: Action, signals: &Signals) -> Result<u8> {
    match action {
        Action::Up(arguments) if arguments.detach && !arguments.background => {
            detached(*arguments, signals).await
        }
        Action::Up(arguments) => foreground(*arguments, signals).await,
        Action::Status(arguments) => status(&arguments, signals).await,
        Action::Kubeconfig(arguments) => kubeconfig(&arguments),
        Action::Logs(arguments) => {
            let request = arguments.request();
            tokio::select! {
                printed = logs(&arguments.which, &request) => printed,
                _ = signals.stop_asked() => Ok(0),
            }
        }
        Action::NodeCredentials(arguments) => {
            let which = &arguments.which;
            node_credentials(&which.paths()?, &which.name, &arguments.request()).await?;
            Ok(0)
        }
        Action::Rotate(arguments) => {
            let which = &arguments.which;
            let what = match arguments.what {
                What::ServiceAccountKey => Rotated::ServiceAccount,
                What::EncryptionKey => Rotated::Encryption,
                What::CertificateAuthorities => Rotated::CertificateAuthorities,
            };
            let number = rotate(&which.paths()?, &which.name, what).await?;
            let which_one = match what {
                Rotated::CertificateAuthorities => format!("CA {number} of every kind"),
                Rotated::ServiceAccount | Rotated::Encryption => format!("{what} key {number}"),
            };
            let text = format!("{which_one} is on its way; `pilothouse status` shows how far it is\n");
            std::io::stdout().write_all(text.as_bytes()).context("cannot print")?;
            Ok(0)
        }
        Action::Down(arguments) => {
            let which = &arguments.which;
            down(&which.paths()?, &which.name, arguments.purge, &mut Display::on_stdout()).await?;
            Ok(0)
        }
    }
}

async fn foreground(arguments: UpArguments, signals: &Signals) -> Result<u8> {
    let logs = arguments.logs.clone();
    let paths = arguments.which.paths()?;
    let mut display = if arguments.background { Display::quiet() } else { Display::on_stdout() };
    let prepared = tokio::select! {
        prepared = prepare(arguments.request()?, &mut display) => prepared?,
        // Nothing was started.
        _ = signals.stop_asked() => return Ok(0),
    };
    log_to_state_directory(&logs, &paths)?;
    up(prepared, signals, &mut display).await?;
    Ok(0)
}

async fn detached(arguments: UpArguments, signals: &Signals) -> Result<u8> {
    let daemon = Daemon {
        program: std::env::current_exe().context("cannot tell where pilothouse itself lies")?,
        arguments: std::env::args_os().skip(1).chain(["--background".into()]).collect(),
        name: arguments.which.name.clone(),
        paths: arguments.which.paths()?,
        flags: arguments.which.flags(),
        limit: arguments.timeout(),
    };
    start_in_background(&daemon, signals, &mut Display::on_stdout()).await?;
    Ok(0)
}

async fn status(arguments: &StatusArguments, signals: &Signals) -> Result<u8> {
    let hosted = match arguments.access() {
        Some(access) => Some(HostedControlPlane::open(&access).await?),
        None => None,
    };
    // Each look at Pods costs the management cluster a connection for each.
    let pause = Duration::from_secs(if hosted.is_some() { 2 } else { 1 });
    let mut seen = None;
    loop {
        let statuses = tokio::select! {
            statuses = look(hosted.as_ref(), &arguments.which) => statuses,
            _ = signals.stop_asked() => return Ok(seen.unwrap_or(FAILURE)),
        };
        match statuses {
            Ok(statuses) => {
                print(arguments, &statuses)?;
                seen = Some(if statuses.iter().all(|status| status.ready) { 0 } else { NOT_READY });
            }
            // Whoever watches a change watches through its troubles.
            Err(error) if seen.is_some() => {
                telemetry::tell(&format!("pilothouse: {error:#}"));
                seen = Some(NOT_READY);
            }
            Err(error) => return Err(error),
        }
        if let (Some(code), false) = (seen, arguments.watch) {
            return Ok(code);
        }
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            _ = signals.stop_asked() => return Ok(seen.unwrap_or(FAILURE)),
        }
    }
}

async fn look(hosted: Option<&HostedControlPlane>, which: &Which) -> Result<Vec<InstanceStatus>> {
    if let Some(hosted) = hosted {
        return Ok(hosted.status().await?);
    }
    let paths = which.paths()?;
    let manifest = read_manifest(&paths, &which.name)?;
    Ok(gather(&Plan::recorded(&manifest, &paths), &paths).await?)
}

fn print(arguments: &StatusArguments, statuses: &[InstanceStatus]) -> Result<()> {
    let mut text = match arguments.output {
        Output::Table => table(statuses, OffsetDateTime::now_utc()),
        Output::Json => serde_json::to_string_pretty(statuses)? + "\n",
    };
    let mut stdout = std::io::stdout();
    if arguments.watch && stdout.is_terminal() {
        // Home, and away with what was there.
        text.insert_str(0, "\x1b[H\x1b[J");
    }
    stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()).context("cannot print")
}

fn kubeconfig(arguments: &KubeconfigArguments) -> Result<u8> {
    let paths = arguments.which.paths()?;
    read_manifest(&paths, &arguments.which.name)?;
    let path = paths.kubeconfig();
    let content = std::fs::read(&path).with_context(|| {
        format!(
            "there is no {} yet; `pilothouse up` writes it once its certificate is signed",
            path.display()
        )
    })?;
    let text = if arguments.path { format!("{}\n", path.display()).into_bytes() } else { content };
    std::io::stdout().write_all(&text).context("cannot print")?;
    Ok(0)
}

async fn logs(which: &Which, request: &LogRequest) -> Result<u8> {
    let paths = which.paths()?;
    let manifest = read_manifest(&paths, &which.name)?;
    print_logs(&Plan::recorded(&manifest, &paths), &paths, request, &mut std::io::stdout()).await?;
    Ok(0)
}
