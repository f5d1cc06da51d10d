//! `up --detach`: the same command once more in a session of its own, watched until everything is ready.
//! Refuses to take a control plane down again: once the daemon runs, only `down` stops it.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use health_endpoints::HealthClientError;
use process_control::{Child, Output, Signals, Spawn, SpawnError, WaitError};

use crate::cluster_name::ClusterName;
use crate::display::{Display, Row};
use crate::log_files;
use crate::paths::{SELF, StatePaths};
use crate::pid_file::PidFile;
use crate::plan::Plan;
use crate::state_directory::{StateDirectory, StateError, read_manifest};
use crate::status::gather;

/// The daemon to be started.
#[derive(Debug, Clone)]
pub struct Daemon {
    /// Our own binary.
    pub program: PathBuf,
    /// Arguments for an `up` in the foreground that writes no block of lines.
    pub arguments: Vec<OsString>,
    /// The control plane's name.
    pub name: ClusterName,
    /// Its state directory.
    pub paths: StatePaths,
    /// The flags by which other commands find this control plane, with a space in front; empty for the default one.
    pub flags: String,
    /// How long everything may take to become ready.
    pub limit: Duration,
}

/// Why nothing runs in the background, or is not ready.
#[derive(Debug, thiserror::Error)]
pub enum DaemonError {
    /// The state directory.
    #[error(transparent)]
    State(#[from] StateError),
    /// A directory in it.
    #[error(transparent)]
    File(#[from] durable_files::FileError),
    /// It cannot be started.
    #[error(transparent)]
    Spawn(#[from] SpawnError),
    /// It ended, and it cannot be told how.
    #[error(transparent)]
    Wait(#[from] WaitError),
    /// It ended by itself.
    #[error("{tail}")]
    Ended {
        /// The last lines of its log.
        tail: String,
    },
    /// It did not become ready in time. It goes on.
    #[error(
        "the control plane {name} is not ready after {limit:?}; it goes on in the background: \
         `pilothouse status` tells what it waits for, `pilothouse logs {SELF}` what happened, `pilothouse down` stops it"
    )]
    NotReady {
        /// Which one.
        name: ClusterName,
        /// How long was waited.
        limit: Duration,
    },
    /// Status cannot be asked.
    #[error(transparent)]
    Status(#[from] HealthClientError),
}

/// How often the display is brought up to date.
const LOOK_EVERY: Duration = Duration::from_millis(300);
/// Lines of the daemon's log that are shown when it ends.
const TAIL_LINES: usize = 40;

/// Starts the daemon and waits until everything is ready; an interrupt only ends the waiting.
pub async fn start_in_background(
    daemon: &Daemon,
    signals: &Signals,
    display: &mut Display,
) -> Result<(), DaemonError> {
    // Taken and given back: a directory that is not ours or that is in use is refused before anything is started.
    drop(StateDirectory::open_or_create(daemon.paths.clone(), &daemon.name)?);
    durable_files::create_private_directory(&daemon.paths.instance(SELF))?;
    let log = daemon.paths.log(SELF);
    let begins_at = std::fs::metadata(&log).map_or(0, |metadata| metadata.len());
    let mut child = Spawn::new(&daemon.program)
        .arguments(&daemon.arguments)
        .output(Output::Append(log.clone()))
        .own_session()
        .death_signal(None)
        .start()?;
    let outcome = tokio::select! {
        outcome = watch(&mut child, daemon, display) => outcome,
        _signal = signals.stop_asked() => {
            display.say("It goes on in the background; `pilothouse down` stops it.");
            Ok(Outcome::GoesOn)
        }
    };
    // Dropping a child kills it, and this one is to stay.
    std::mem::forget(child);
    match outcome? {
        Outcome::GoesOn => Ok(()),
        Outcome::Ended => {
            let tail = last_words(&log_files::tail(&log, begins_at, TAIL_LINES));
            Err(DaemonError::Ended { tail })
        }
    }
}

/// The daemon is this command too: what it told to its standard error begins as ours will. Without that, all of it.
fn last_words(tail: &str) -> String {
    const BEGINNING: &str = "pilothouse: ";
    let told =
        tail.starts_with(BEGINNING).then_some(0).or_else(|| tail.rfind("\npilothouse: ").map(|at| at + 1));
    told.map_or(tail, |at| &tail[at + BEGINNING.len()..]).to_owned()
}

enum Outcome {
    GoesOn,
    Ended,
}

async fn watch(child: &mut Child, daemon: &Daemon, display: &mut Display) -> Result<Outcome, DaemonError> {
    let pid = child.pid();
    let ready = async {
        loop {
            if let Ok(manifest) = read_manifest(&daemon.paths, &daemon.name) {
                let plan = Plan::recorded(&manifest, &daemon.paths);
                let own = PidFile::read(&daemon.paths, SELF).filter(|file| file.process.pid == pid);
                let statuses = gather(&plan, &daemon.paths).await?;
                display.show(&statuses.iter().map(Row::of_status).collect::<Vec<_>>());
                if own.is_some_and(|own| own.ready) {
                    display.say(&crate::up::announcement(&plan, &daemon.paths, &daemon.name, &daemon.flags));
                    return Ok(Outcome::GoesOn);
                }
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
    };
    tokio::select! {
        ready = tokio::time::timeout(daemon.limit, ready) => ready.unwrap_or_else(|_elapsed| {
            Err(DaemonError::NotReady { name: daemon.name.clone(), limit: daemon.limit })
        }),
        ending = child.wait() => ending.map(|_| Outcome::Ended).map_err(DaemonError::from),
    }
}

#[cfg(test)]
mod tests {
    use super::last_words;

    #[test]
    fn of_a_log_only_the_error_is_told() {
        assert_eq!(last_words("pilothouse: no\nbecause"), "no\nbecause");
        assert_eq!(last_words("INFO a\nINFO b\npilothouse: no\nbecause"), "no\nbecause");
        assert_eq!(last_words("INFO a\nINFO b"), "INFO a\nINFO b");
    }
}
