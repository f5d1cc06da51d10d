//! Keeps one supervisor running: starts it with its hostname and log, starts it again when it ends, ends it when told.
//! Refuses to know what it supervises; that is between the supervisor and its child.

use std::rc::Rc;
use std::time::Duration;

use health_endpoints::HealthClient;
use process_control::{Child, ChildEnding, Output, ProcessIdentity, Signal, Spawn, SpawnError};
use telemetry::error_chain;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::paths::StatePaths;
use crate::pid_file::PidFile;
use crate::plan::Instance;
use crate::probes::probe_until_wedged;
use crate::restart_policy::RestartPolicy;
use crate::views::{Process, Views};

/// What the keepers of all instances share.
#[derive(Debug, Clone)]
pub(crate) struct Surroundings {
    pub(crate) paths: StatePaths,
    pub(crate) views: Views,
    pub(crate) client: HealthClient,
}

/// Ends an instance: first politely, after `patience` by force.
#[derive(Debug, Clone)]
pub(crate) struct Stop {
    pub(crate) asked: CancellationToken,
    pub(crate) patience: Duration,
}

/// What a wedged supervisor gets between SIGTERM and SIGKILL, as the chart's liveness probe gives it.
const WEDGED_PATIENCE: Duration = Duration::from_secs(15);
/// The exit code by which our binaries say that their settings can never work (`EX_CONFIG`).
const SETTINGS_REFUSED: i32 = 78;
/// clap's exit code for wrong usage. It is also that of a Go program that panicked, which a supervisor passes on when it
/// gives its child up.
const USAGE_OR_PANIC: i32 = 2;

/// Keeps `instance` until `stop` is asked for and its process has ended.
pub(crate) async fn keep(instance: Rc<Instance>, around: Surroundings, stop: Stop) {
    let name = instance.name.as_str();
    let mut policy = RestartPolicy::default();
    let mut restarts = 0;
    while !stop.asked.is_cancelled() {
        let started = Instant::now();
        let log_begins_at = std::fs::metadata(around.paths.log(name)).map_or(0, |metadata| metadata.len());
        let How { because, refused_settings, from_outside } = match start(&instance, &around.paths) {
            Ok(mut child) => {
                let pid = child.pid();
                tracing::info!(instance = name, pid, "supervisor started");
                remember(&child, restarts, &around.paths, name);
                around.views.change(name, |view| {
                    view.process = Process::Alive { pid };
                    view.supervisor_restarts = restarts;
                    view.log_begins_at = log_begins_at;
                });
                let ending = attend(&mut child, &instance, &around, &stop).await;
                PidFile::remove(&around.paths, name);
                ending
            }
            Err(error) => How {
                because: error_chain(&error),
                refused_settings: error.is_permanent(),
                from_outside: false,
            },
        };
        let was_ready = around.views.view(name).is_some_and(|view| view.ready);
        around.views.change(name, |view| {
            view.ready = false;
            view.document = None;
        });
        if stop.asked.is_cancelled() {
            tracing::info!(instance = name, because, "supervisor stopped");
            break;
        }
        let delay = policy.delay_after(started.elapsed(), was_ready, from_outside);
        tracing::warn!(instance = name, because, ?delay, "supervisor ended unasked; it is started again");
        around.views.change(name, |view| view.process = Process::BackingOff { because, refused_settings });
        tokio::select! {
            () = tokio::time::sleep(delay) => {}
            () = stop.asked.cancelled() => {}
        }
        restarts += 1;
    }
    around.views.change(name, |view| view.process = Process::Ended);
}

fn start(instance: &Instance, paths: &StatePaths) -> Result<Child, SpawnError> {
    let spawn = Spawn::new(&instance.program)
        .arguments(&instance.arguments)
        // Supervisors read their flags from such variables too; what is meant for `pilothouse` is not for them.
        .withhold_environment(naming_contract::environment::PREFIX)
        .output(Output::Append(paths.log(&instance.name)))
        .death_signal(Some(Signal::SIGTERM));
    #[cfg(test)]
    let spawn = spawn.from_thread_that_outlives_it();
    match spawn.clone().hostname(&instance.name).start() {
        Err(error @ SpawnError::Hostname { .. }) => {
            tracing::warn!(
                instance = instance.name,
                error = error_chain(&error),
                "no hostname of its own: leases of dead leaders are not cleared"
            );
            spawn.start()
        }
        other => other,
    }
}

fn remember(child: &Child, restarts: u32, paths: &StatePaths, name: &str) {
    let written = child.identity().map_err(|error| error.to_string()).and_then(|process: ProcessIdentity| {
        PidFile { process, restarts, ready: false }.write(paths, name).map_err(|error| error.to_string())
    });
    if let Err(error) = written {
        tracing::warn!(instance = name, error, "no pid file: a later pilothouse will not find this process");
    }
}

/// How a supervisor ended.
struct How {
    /// For people.
    because: String,
    /// Whether it said that its settings can never work.
    refused_settings: bool,
    /// Whether somebody else ended it: an operator, or the kernel for want of memory.
    from_outside: bool,
}

/// Probes and waits until the process has ended.
async fn attend(child: &mut Child, instance: &Instance, around: &Surroundings, stop: &Stop) -> How {
    let pid = child.pid();
    // Who answered once had understood its command line.
    let understood = || around.views.view(&instance.name).is_some_and(|view| view.document.is_some());
    let mut probing = std::pin::pin!(probe_until_wedged(instance, &around.client, &around.views));
    let wedged = tokio::select! {
        ending = child.wait() => return told(ending, None, understood()),
        why = &mut probing => Some(why),
        () = stop.asked.cancelled() => None,
    };
    let patience = match &wedged {
        Some(why) => {
            tracing::error!(instance = instance.name, why, "supervisor is wedged and is ended");
            WEDGED_PATIENCE
        }
        None => stop.patience,
    };
    around.views.change(&instance.name, |view| view.process = Process::Stopping { pid });
    let was_wedged = wedged.is_some();
    let ending = tokio::select! {
        ending = end(child, &instance.name, patience) => ending,
        // What it says while it drains is still of interest. A wedged one has been probed to the end.
        ending = async {
            if was_wedged { std::future::pending::<()>().await }
            (&mut probing).await;
            std::future::pending().await
        } => ending,
    };
    told(ending, wedged, understood())
}

async fn end(
    child: &mut Child,
    name: &str,
    patience: Duration,
) -> Result<ChildEnding, process_control::WaitError> {
    signal(child, name, Signal::SIGTERM);
    if let Ok(ending) = tokio::time::timeout(patience, child.wait()).await {
        return ending;
    }
    tracing::warn!(instance = name, ?patience, "supervisor did not end in time and is killed");
    signal(child, name, Signal::SIGKILL);
    child.wait().await
}

fn signal(child: &Child, name: &str, signal: Signal) {
    if let Err(error) = child.signal(signal) {
        tracing::error!(instance = name, %signal, %error, "signal not sent");
    }
}

fn told(
    ending: Result<ChildEnding, process_control::WaitError>,
    wedged: Option<String>,
    understood: bool,
) -> How {
    // Our binaries exit with 0 only after somebody asked them to stop.
    let from_outside =
        wedged.is_none() && matches!(ending, Ok(ChildEnding::Signalled(_) | ChildEnding::Exited(0)));
    let (text, refused_settings) = match ending {
        Ok(ChildEnding::Exited(code)) => {
            let refused = code == SETTINGS_REFUSED || (code == USAGE_OR_PANIC && !understood);
            (format!("exited with code {code}"), refused)
        }
        Ok(ChildEnding::Signalled(number)) => {
            let name =
                Signal::try_from(number).map_or_else(|_| number.to_string(), |signal| signal.to_string());
            (format!("ended by signal {name}"), false)
        }
        Err(error) => (error.to_string(), false),
    };
    let because = wedged.map_or(text.clone(), |why| format!("{text} after it was wedged ({why})"));
    How { because, refused_settings, from_outside }
}

#[cfg(test)]
mod tests;
