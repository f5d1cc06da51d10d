//! A bare supervisor around the driver, as `component-runtime` makes them, for one misbehaving child.
//! What it tells: its log on standard error, its status document in a file, its liveness in one beside, its exit code.

use std::fs::OpenOptions;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Result;
use clap::Parser;
use conditions::{Condition, Pace, Progress, Sighting, wait_for};
use health_endpoints::StatusBoard;
use misbehaving_child::{SupervisorArguments, ask};
use naming_contract::Component;
use process_control::{InstalledSignals, Signals};
use supervision::{
    ChildCommand, ChildEnding, Configuration, GoodEndings, Health, PrepareError, RestartReason, Supervised,
    Timings,
};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;
use tokio::time::{interval, sleep};

#[derive(Debug, Parser)]
#[command(about = "Supervises one misbehaving child; SIGUSR1 asks for a restart")]
struct CommandLine {
    #[command(flatten)]
    arguments: SupervisorArguments,
    /// The child and its arguments
    #[arg(last = true, required = true)]
    child: Vec<String>,
}

fn main() -> Result<ExitCode> {
    let signals = InstalledSignals::install()?;
    let command_line = CommandLine::parse();
    tracing_subscriber::fmt().with_writer(std::io::stderr).with_ansi(false).init();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let signals = signals.attend()?;
        supervise(command_line, &signals).await
    })
}

async fn supervise(command_line: CommandLine, signals: &Signals) -> Result<ExitCode> {
    let CommandLine { arguments, child } = command_line;
    let board = StatusBoard::new("test", Component::Etcd, "0");
    // A blocking thread that ends after 10 s of idleness: it must not take the child with it.
    tokio::task::spawn_blocking(|| ()).await?;
    let (sender, restarts) = mpsc::channel(1);
    let mut restart_signal = signal(SignalKind::user_defined1())?;
    tokio::spawn(async move {
        while restart_signal.recv().await.is_some() {
            drop(sender.send(RestartReason("SIGUSR1".into())).await);
        }
    });
    if let Some(path) = arguments.status.clone() {
        tokio::spawn(write_status(path, board.clone()));
    }
    let mut configuration = Configuration::new(if arguments.dies_well_by_terminate {
        GoodEndings::EXIT_ZERO_OR_SIGTERM
    } else {
        GoodEndings::EXIT_ZERO
    });
    configuration.timings = Timings {
        drain_budget: Duration::from_millis(arguments.drain_budget),
        hold_limit: Duration::from_millis(arguments.hold_limit),
        wedge_after: Duration::from_millis(arguments.wedged_after),
        start_limit: Duration::from_millis(arguments.start_limit),
        kill_limit: Duration::from_millis(arguments.kill_limit),
        ..Timings::default()
    };
    configuration.termination_message.clone_from(&arguments.termination_message);
    let component = TestComponent { arguments: &arguments, child: &child };
    let run = supervision::run(&component, configuration, &board, signals, restarts);
    let code = match arguments.drop_driver_after {
        None => run.await.code,
        Some(after) => {
            tokio::time::timeout(Duration::from_millis(after), run).await.map_or(0, |report| report.code)
        }
    };
    Ok(ExitCode::from(code))
}

struct TestComponent<'a> {
    arguments: &'a SupervisorArguments,
    child: &'a [String],
}

impl Supervised for TestComponent<'_> {
    async fn prepare(&self, progress: &dyn Progress) -> Result<ChildCommand, PrepareError> {
        if let Some(path) = &self.arguments.prepared_by {
            wait_for(&mut FileExists(path), pace(), progress).await;
        }
        Ok(ChildCommand {
            program: self.child[0].clone().into(),
            arguments: self.child[1..].to_vec(),
            environment: [("MISBEHAVING".to_owned(), "yes".to_owned())].into(),
        })
    }

    async fn health(&self) -> Health {
        let Some(socket) = &self.arguments.child_socket else {
            return Health { alive: Ok(()), ready: Ok(()) };
        };
        match ask(socket).await {
            Ok(answer) if answer == "ready" => Health { alive: Ok(()), ready: Ok(()) },
            Ok(answer) => Health { alive: Ok(()), ready: Err(answer) },
            Err(error) => Health { alive: Err(error.to_string()), ready: Err(error.to_string()) },
        }
    }

    async fn can_be_spared(&self) -> Result<(), String> {
        Ok(())
    }

    async fn hold_back(&self, progress: &dyn Progress) {
        if let Some(path) = &self.arguments.released_by {
            wait_for(&mut FileExists(path), pace(), progress).await;
        }
    }

    async fn drain_is_senseless(&self) -> String {
        match self.arguments.senseless_after {
            Some(after) => sleep(Duration::from_millis(after)).await,
            None => std::future::pending().await,
        }
        "there is no sense in it".into()
    }

    async fn ended(&self, ending: ChildEnding, stopping: bool) {
        if let Some(path) = &self.arguments.ended_record {
            let line = format!("{ending:?} stopping={stopping}\n");
            let file = OpenOptions::new().append(true).create(true).open(path);
            drop(file.and_then(|mut file| file.write_all(line.as_bytes())));
        }
    }
}

struct FileExists<'a>(&'a Path);

impl Condition for FileExists<'_> {
    type Output = ();

    fn awaits(&self) -> String {
        format!("the file {}", self.0.display())
    }

    async fn look(&mut self) -> Sighting<()> {
        if self.0.exists() { Sighting::Holds(()) } else { Sighting::NotYet("no such file".into()) }
    }
}

fn pace() -> Pace {
    Pace { first: Duration::from_millis(5), longest: Duration::from_millis(20), ..Pace::default() }
}

async fn write_status(path: PathBuf, board: StatusBoard) {
    let mut ticks = interval(Duration::from_millis(20));
    let unfinished = path.with_extension("unfinished");
    loop {
        ticks.tick().await;
        let Ok(document) = serde_json::to_vec(&board.document()) else { continue };
        let liveness = board.alive().err().unwrap_or_default();
        for (path, content) in [(&path, document), (&path.with_extension("liveness"), liveness.into_bytes())]
        {
            let file = OpenOptions::new().write(true).create(true).truncate(true).open(&unfinished);
            if file.and_then(|mut file| file.write_all(&content)).is_ok() {
                drop(std::fs::rename(&unfinished, path));
            }
        }
    }
}
