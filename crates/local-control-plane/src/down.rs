//! Stopping a control plane that another process runs, or that a killed one left behind, and removing its data.
//! Refuses to signal by a remembered number: the holder of the lock is asked, or exactly the recorded process.

use std::io;
use std::time::Duration;

use durable_files::{FileError, FileLock};
use health_endpoints::HealthClientError;
use process_control::{IdentityError, ProcessHandle, ProcessIdentity, Signal};

use crate::cluster_name::ClusterName;
use crate::display::{Display, Row};
use crate::leftovers;
use crate::paths::StatePaths;
use crate::plan::{Plan, STOP_STAGES};
use crate::state_directory::{StateDirectory, StateError, read_manifest};
use crate::status::gather;

/// Why a control plane could not be stopped or removed.
#[derive(Debug, thiserror::Error)]
pub enum DownError {
    /// The state directory.
    #[error(transparent)]
    State(#[from] StateError),
    /// The lock.
    #[error(transparent)]
    Lock(#[from] FileError),
    /// The process that runs it cannot be found.
    #[error("cannot look at the pilothouse that runs the control plane")]
    Identity(#[from] IdentityError),
    /// It cannot be asked to stop.
    #[error("cannot ask pilothouse (process id {pid}) to stop; it may belong to another user")]
    Signal {
        /// Its process id.
        pid: u32,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// Somebody holds the lock and did not say who.
    #[error("the control plane is run by a process that cannot be found; end it by hand")]
    Nameless,
    /// Status cannot be asked.
    #[error(transparent)]
    Status(#[from] HealthClientError),
}

/// How often the display is brought up to date.
const LOOK_EVERY: Duration = Duration::from_millis(300);
/// Beyond the patience of all stages together.
const MARGIN: Duration = Duration::from_secs(15);
/// How long a process may hold the lock without having written its id into it.
const NAMELESS_LIMIT: Duration = Duration::from_secs(2);

/// Stops the control plane, whoever runs it; with `purge` removes all its data then.
pub async fn down(
    paths: &StatePaths,
    name: &ClusterName,
    purge: bool,
    display: &mut Display,
) -> Result<(), DownError> {
    let holder = holder(paths).await?;
    let manifest = match read_manifest(paths, name) {
        Ok(manifest) => Some(manifest),
        // An `up` that has just begun holds the lock and has written nothing yet.
        Err(StateError::Absent { .. }) if holder.is_some() => None,
        Err(StateError::Absent { .. }) if purge && paths.root().exists() => None,
        Err(StateError::Absent { root, .. }) => {
            display.say(&format!("There is no control plane {name}: {} does not exist.", root.display()));
            return Ok(());
        }
        Err(error) => return Err(error.into()),
    };
    let plan = manifest.map(|manifest| Plan::recorded(&manifest, paths));
    let was_running = holder.is_some();
    if let Some(holder) = holder {
        display
            .say(&format!("Stopping the control plane {name} (pilothouse has process id {}).", holder.pid()));
        stop(&holder, plan.as_ref(), paths, display).await?;
    }
    let left = leftovers::find(paths);
    let any_left = !left.is_empty();
    leftovers::end(left, paths, |line| display.say(line)).await;
    let stopped = if was_running || any_left { "is stopped" } else { "was not running" };
    if purge {
        // Nothing is created here but perhaps the lock of a first start that did not get far.
        StateDirectory::open_or_create(paths.clone(), name)?.remove()?;
        display.say(&format!("The control plane {name} {stopped} and all its data is removed."));
    } else {
        display.say(&format!(
            "The control plane {name} {stopped}; its data is kept in {}.",
            paths.root().display()
        ));
    }
    Ok(())
}

/// The process that holds the lock. It cannot be a stranger: the kernel releases the lock with its holder.
async fn holder(paths: &StatePaths) -> Result<Option<ProcessHandle>, DownError> {
    let lock = paths.lock();
    let named = async {
        loop {
            let Some(pid) = FileLock::holder(&lock)? else { return Ok(None) };
            if let Some(identity) = ProcessIdentity::of(pid)?
                && let Some(handle) = identity.open()?
            {
                return Ok(Some(handle));
            }
            // A new holder has not written its id over that of the last one yet.
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    match tokio::time::timeout(NAMELESS_LIMIT, named).await {
        Ok(found) => found,
        Err(_elapsed) => Err(DownError::Nameless),
    }
}

async fn stop(
    holder: &ProcessHandle,
    plan: Option<&Plan>,
    paths: &StatePaths,
    display: &mut Display,
) -> Result<(), DownError> {
    let signal =
        |signal| holder.signal(signal).map_err(|source| DownError::Signal { pid: holder.pid(), source });
    signal(Signal::SIGTERM)?;
    let limit = STOP_STAGES.iter().map(|stage| stage.patience).sum::<Duration>() + MARGIN;
    let gone = async {
        let mut ended = std::pin::pin!(holder.ended());
        loop {
            if let Some(plan) = plan {
                display.show(&rows(plan, paths).await?);
            }
            tokio::select! {
                _ = &mut ended => return Ok::<(), DownError>(()),
                () = tokio::time::sleep(LOOK_EVERY) => {}
            }
        }
    };
    match tokio::time::timeout(limit, gone).await {
        Ok(gone) => gone,
        Err(_elapsed) => {
            display.say(&format!("pilothouse did not end within {limit:?} and is killed."));
            signal(Signal::SIGKILL)?;
            let _gone = tokio::time::timeout(MARGIN, holder.ended()).await;
            Ok(())
        }
    }
}

async fn rows(plan: &Plan, paths: &StatePaths) -> Result<Vec<Row>, HealthClientError> {
    let statuses = gather(plan, paths).await?;
    Ok(statuses
        .iter()
        .map(|status| match status.supervisor_pid {
            Some(_) => Row { ready: false, ..Row::of_status(status) },
            None => Row {
                name: status.name.clone(),
                state: "Stopped".to_owned(),
                ready: false,
                detail: String::new(),
            },
        })
        .collect())
}
