//! The command line of every binary of ours: `NAME run …`, `NAME install DIR`, `--version`; and the `main` behind it.
//! Refuses logic of components: it parses, sets up the process and hands over.

use std::future::Future;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Args, CommandFactory as _, FromArgMatches as _, Parser, Subcommand};
use naming_contract::Component;
use process_control::{InstalledSignals, Signals};
use supervision::Supervised;
use telemetry::error_chain;
use tokio::task::LocalSet;
use tokio_util::sync::CancellationToken;

use crate::arguments::{CommonArguments, SupervisionArguments};
use crate::context::Context;
use crate::error::RuntimeError;
use crate::needs::Needs;
use crate::run::{run_service, run_supervisor};

/// `EX_CONFIG` of sysexits.h: starting again with the same settings changes nothing.
const EXIT_CONFIGURATION: u8 = 78;
/// 128 and SIGINT, as shells tell it.
const EXIT_INTERRUPTED: u8 = 130;
/// Long enough for a small file to be written.
const HANGING_THREADS_LIMIT: Duration = Duration::from_millis(200);

/// A component that runs an upstream child. Implemented by the flags of its binary.
pub trait SupervisedComponent: Args {
    /// Which one.
    const COMPONENT: Component;
    /// The first line of `--help`.
    const ABOUT: &'static str;
    /// What the driver drives.
    type Supervised: Supervised;

    /// Certificates and keys it must hold.
    fn needs(&self) -> Needs;

    /// How patiently its child is supervised by default, and which endings are good.
    fn policy(&self) -> supervision::Configuration;

    /// Makes what the driver drives; certificates may not be there yet.
    fn supervised(self, context: Context) -> Result<Self::Supervised, RuntimeError>;
}

/// A service of ours without a child. Implemented by the flags of its binary.
pub trait Service: Args {
    /// Which one.
    const COMPONENT: Component;
    /// The first line of `--help`.
    const ABOUT: &'static str;

    /// Certificates and keys it must hold.
    fn needs(&self) -> Needs;

    /// Serves until `stop`; certificates are there. An error ends the process.
    fn serve(
        self,
        context: Context,
        stop: CancellationToken,
    ) -> impl Future<Output = Result<(), RuntimeError>>;
}

/// What a binary can do beside `run` and `install`, once and to its end.
pub trait FurtherCommand: Subcommand {
    /// Does it; gives the exit code. Dropped when a stop is asked for.
    fn carry_out(self) -> impl Future<Output = u8>;
}

/// Nothing.
#[derive(Debug, Subcommand)]
pub enum NoFurtherCommand {}

impl FurtherCommand for NoFurtherCommand {
    async fn carry_out(self) -> u8 {
        match self {}
    }
}

#[derive(Debug, Parser)]
#[command(version = telemetry::VERSION, arg_required_else_help = true)]
struct CommandLine<R: Args, C: Subcommand> {
    #[command(subcommand)]
    action: Action<R, C>,
}

#[derive(Debug, Subcommand)]
enum Action<R: Args, C: Subcommand> {
    /// Run the component, until a stop is asked for
    Run(Box<R>),
    /// Copy this binary into DIR, for an init container that equips an unmodified image
    Install {
        /// Where to
        #[arg(value_name = "DIR")]
        directory: PathBuf,
    },
    #[command(flatten)]
    Further(C),
}

#[derive(Debug, Args)]
struct SupervisorRun<A: Args> {
    #[command(flatten)]
    component: A,
    #[command(flatten)]
    common: CommonArguments,
    #[command(flatten)]
    supervision: SupervisionArguments,
}

#[derive(Debug, Args)]
struct ServiceRun<A: Args> {
    #[command(flatten)]
    component: A,
    #[command(flatten)]
    common: CommonArguments,
}

/// The whole of a supervisor's `main`.
#[must_use]
pub fn supervisor_main<A: SupervisedComponent>() -> ExitCode {
    supervisor_main_with::<A, NoFurtherCommand>()
}

/// The whole of the `main` of a supervisor that can do more than run.
#[must_use]
pub fn supervisor_main_with<A: SupervisedComponent, C: FurtherCommand>() -> ExitCode {
    process_main::<SupervisorRun<A>, C, _>(A::COMPONENT, A::ABOUT, async |run, signals| {
        run_supervisor(run.component, run.common, run.supervision, signals).await
    })
}

/// The whole of a service's `main`.
#[must_use]
pub fn service_main<A: Service>() -> ExitCode {
    process_main::<ServiceRun<A>, NoFurtherCommand, _>(A::COMPONENT, A::ABOUT, async |run, signals| {
        run_service(run.component, run.common, signals).await
    })
}

fn process_main<R, C, F>(component: Component, about: &'static str, run: F) -> ExitCode
where
    R: Args,
    C: FurtherCommand,
    F: AsyncFnOnce(R, Signals) -> Result<u8, RuntimeError>,
{
    // Before anything else: a stop that comes while flags are parsed must not be lost, and PID 1 has no default handlers.
    let signals = match InstalledSignals::install() {
        Ok(signals) => signals,
        Err(error) => return told(component, &error),
    };
    let command = CommandLine::<R, C>::command().name(component.supervisor()).about(about);
    let matches = command.try_get_matches();
    let parsed = matches.and_then(|matches| CommandLine::<R, C>::from_arg_matches(&matches));
    let action = match parsed {
        Ok(line) => line.action,
        Err(error) => {
            // clap prints help and version to standard output with code 0, mistakes to standard error with code 2.
            let _nobody_reads = error.print();
            return ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(2));
        }
    };
    match action {
        Action::Install { directory } => {
            match durable_files::install_running_binary(&directory, component.supervisor()) {
                Ok(_path) => ExitCode::SUCCESS,
                Err(error) => told(component, &error),
            }
        }
        Action::Run(arguments) => {
            mutual_tls::install_provider();
            match block_on(signals, *arguments, run) {
                Ok(code) => ExitCode::from(code),
                Err(error) => told(component, &error),
            }
        }
        Action::Further(command) => {
            mutual_tls::install_provider();
            match block_on(signals, command, carry_out) {
                Ok(code) => ExitCode::from(code),
                Err(error) => told(component, &error),
            }
        }
    }
}

async fn carry_out<C: FurtherCommand>(command: C, signals: Signals) -> Result<u8, RuntimeError> {
    tokio::select! {
        biased;
        _signal = signals.stop_asked() => Ok(EXIT_INTERRUPTED),
        code = command.carry_out() => Ok(code),
    }
}

/// One thread for everything: the child's death signal is tied to the thread that spawns it, and threads cost memory.
fn block_on<R, F>(signals: InstalledSignals, arguments: R, run: F) -> Result<u8, RuntimeError>
where
    F: AsyncFnOnce(R, Signals) -> Result<u8, RuntimeError>,
{
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(RuntimeError::Process)?;
    let ended = LocalSet::new().block_on(&runtime, async move {
        let signals = signals.attend().map_err(RuntimeError::Signals)?;
        run(arguments, signals).await
    });
    // A thread that hangs with a disk or a name server must not hold up the end of the process.
    runtime.shutdown_timeout(HANGING_THREADS_LIMIT);
    ended
}

/// Tells the last error of the process, to the log if there is one and to standard error if not.
fn told(component: Component, error: &dyn std::error::Error) -> ExitCode {
    let chain = error_chain(error);
    if tracing::enabled!(tracing::Level::ERROR) {
        tracing::error!(error = chain, "cannot go on");
    } else {
        telemetry::tell(&format!("{}: {chain}", component.supervisor()));
    }
    ExitCode::from(EXIT_CONFIGURATION)
}
