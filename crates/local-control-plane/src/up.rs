//! A control plane from its first process to its last: keepers, front, tokens and kubeconfig side by side, then the stop.
//! Refuses to be in a hurry: whatever happens, everything it started has ended when it returns.

use std::net::SocketAddr;
use std::rc::Rc;

use health_endpoints::HealthClientError;
use naming_contract::Component;
use process_control::Signals;
use tcp_front::View;
use time::OffsetDateTime;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};
use tokio_util::sync::CancellationToken;

use crate::cluster_name::ClusterName;
use crate::display::{Display, Row};
use crate::keeper::{self, Stop, Surroundings};
use crate::paths::{SELF, StatePaths};
use crate::pid_file::PidFile;
use crate::plan::{Instance, Plan, STOP_STAGES};
use crate::ports::PortUse;
use crate::prepare::{Prepared, write_own_pid_file};
use crate::views::Views;
use crate::{administrator, callers, log_files, status};

/// Why a control plane that was started is no longer running.
#[derive(Debug, thiserror::Error)]
pub enum UpError {
    /// The front's address was taken after it had been found free.
    #[error("cannot listen on {address} for the API server; give another --port or --advertise-address")]
    Front {
        /// The address.
        address: SocketAddr,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// Probes cannot be made.
    #[error(transparent)]
    Probes(#[from] HealthClientError),
    /// A supervisor says that it will never run with these settings.
    #[error("{instance} cannot run like this; everything was stopped again. It says:\n{message}")]
    Refused {
        /// Which one.
        instance: String,
        /// Its own words.
        message: String,
    },
}

struct Kept {
    instance: Rc<Instance>,
    stop: CancellationToken,
    keeper: JoinHandle<()>,
}

/// Runs the control plane until a stop is asked for and everything has ended. Must run in a `LocalSet` on the main thread.
pub async fn up(prepared: Prepared, signals: &Signals, display: &mut Display) -> Result<(), UpError> {
    let Prepared { mut directory, mut manifest, plan, versions, flags, ports: _reserved } = prepared;
    let paths = directory.paths().clone();
    let views = Views::new(&plan.instances);
    let stop_front = CancellationToken::new();
    let mut beside = JoinSet::new();
    start_front(&plan, &views, &stop_front, &mut beside).await?;
    let around =
        Surroundings { paths: paths.clone(), views: views.clone(), client: status::health_client()? };
    let kept: Vec<Kept> = plan.instances.iter().map(|instance| start(instance, &around)).collect();
    let (written, mut kubeconfig_written) = watch::channel(false);
    let plan = Rc::new(plan);
    start_chores(&plan, &paths, &manifest.name, written, &mut beside);

    let mut changes = views.changes();
    let mut announced = false;
    let refused = loop {
        display.show(&rows(&plan, &views));
        if !announced && views.all_ready() && *kubeconfig_written.borrow_and_update() {
            announced = true;
            write_own_pid_file(&paths, true);
            manifest.versions = Some(versions.to_recorded());
            if let Err(error) = directory.record(manifest.clone()) {
                tracing::error!(error = telemetry::error_chain(&error), "component versions not recorded");
            }
            display.say(&announcement(&plan, &paths, &manifest.name, &flags));
        }
        if !announced && let Some(instance) = views.refused_settings() {
            // Now, before everything is stopped: it may be started once more meanwhile, and have said nothing yet.
            break Some(UpError::Refused { message: last_words(&paths, &views, &instance), instance });
        }
        tokio::select! {
            _ = changes.changed() => {}
            () = news(&mut kubeconfig_written), if !announced => {}
            signal = signals.stop_asked() => {
                display.say(&format!("{signal}: stopping, API servers before etcd"));
                break None;
            }
        }
    };
    stop_in_order(kept, &plan, &views, display).await;
    stop_front.cancel();
    beside.shutdown().await;
    PidFile::remove(&paths, SELF);
    refused.map_or(Ok(()), Err)
}

/// The next change. A sender that is gone has none to tell: `changed` would say so at once, again and again.
async fn news<T>(of: &mut watch::Receiver<T>) {
    if of.changed().await.is_err() {
        std::future::pending::<()>().await;
    }
}

async fn start_front(
    plan: &Plan,
    views: &Views,
    stop: &CancellationToken,
    beside: &mut JoinSet<()>,
) -> Result<(), UpError> {
    let (ready, servers) = watch::channel(View::default());
    for address in &plan.front {
        let listener = TcpListener::bind(address)
            .await
            .map_err(|source| UpError::Front { address: *address, source })?;
        beside.spawn_local(tcp_front::serve(listener, servers.clone(), stop.clone()));
    }
    let listeners: Vec<(String, SocketAddr)> = plan
        .instances
        .iter()
        .filter(|instance| instance.component == Component::KubeApiserver)
        .map(|instance| (instance.name.clone(), instance.listener(PortUse::Secure)))
        .collect();
    let views = views.clone();
    beside.spawn_local(async move {
        let mut changes = views.changes();
        loop {
            // One that is not ready may be draining: its open connections are its own.
            let now = View { usable: views.ready_servers(&listeners), ..View::default() };
            ready.send_if_modified(|known| {
                let differs = *known != now;
                *known = now;
                differs
            });
            if changes.changed().await.is_err() {
                return;
            }
        }
    });
    Ok(())
}

fn start(instance: &Instance, around: &Surroundings) -> Kept {
    let instance = Rc::new(instance.clone());
    let stop = CancellationToken::new();
    let patience = STOP_STAGES
        .iter()
        .find(|stage| stage.components.contains(&instance.component))
        .map(|stage| stage.patience)
        .unwrap_or_default();
    let keeper = tokio::task::spawn_local(keeper::keep(
        Rc::clone(&instance),
        around.clone(),
        Stop { asked: stop.clone(), patience },
    ));
    Kept { instance, stop, keeper }
}

/// What runs beside the instances and ends with the last of them: certificates are renewed until then.
fn start_chores(
    plan: &Rc<Plan>,
    paths: &StatePaths,
    name: &ClusterName,
    written: watch::Sender<bool>,
    beside: &mut JoinSet<()>,
) {
    let shared = || (Rc::clone(plan), paths.clone());
    let (chore_plan, chore_paths) = shared();
    beside.spawn_local(async move {
        callers::keep_rotating(&chore_plan, &chore_paths, OffsetDateTime::now_utc).await;
    });
    let (chore_plan, chore_paths) = shared();
    beside.spawn_local(async move { log_files::keep_rotating(&chore_plan, &chore_paths).await });
    let ((chore_plan, chore_paths), name) = (shared(), name.clone());
    beside.spawn_local(async move {
        administrator::keep_kubeconfig(&chore_plan, &chore_paths, &name, written).await;
    });
}

async fn stop_in_order(kept: Vec<Kept>, plan: &Plan, views: &Views, display: &mut Display) {
    let mut changes = views.changes();
    let mut remaining = kept;
    for stage in STOP_STAGES {
        let (now, later): (Vec<_>, Vec<_>) =
            remaining.into_iter().partition(|kept| stage.components.contains(&kept.instance.component));
        remaining = later;
        let mut ending = JoinSet::new();
        for kept in now {
            kept.stop.cancel();
            ending.spawn_local(async move {
                // A keeper that panicked has dropped its process, which killed it.
                let _ended = kept.keeper.await;
            });
        }
        while !ending.is_empty() {
            display.show(&rows(plan, views));
            tokio::select! {
                _ = ending.join_next() => {}
                _ = changes.changed() => {}
            }
        }
    }
    display.show(&rows(plan, views));
}

fn rows(plan: &Plan, views: &Views) -> Vec<Row> {
    plan.instances
        .iter()
        .filter_map(|instance| Some(Row::of_view(&instance.name, &views.view(&instance.name)?)))
        .collect()
}

pub(crate) fn announcement(plan: &Plan, paths: &StatePaths, name: &ClusterName, flags: &str) -> String {
    let kubeconfig = paths.kubeconfig();
    format!(
        "\nThe control plane {name} is ready at {server}.\n\n    export KUBECONFIG={kubeconfig}\n    kubectl get namespaces\n\n\
         `pilothouse status{flags}` shows it, `pilothouse down{flags}` stops it (the data stays).",
        server = plan.server,
        kubeconfig = kubeconfig.display(),
    )
}

/// Lines of a log that tell why somebody gave up.
const LAST_LINES: usize = 8;

/// What a supervisor left as its termination message, or else the end of its log.
fn last_words(paths: &StatePaths, views: &Views, instance: &str) -> String {
    let message =
        durable_files::read_limited(&paths.termination_message(instance), 64 * 1024).unwrap_or_default();
    let message = String::from_utf8_lossy(&message);
    if message.trim().is_empty() {
        let begins_at = views.view(instance).map_or(0, |view| view.log_begins_at);
        log_files::tail(&paths.log(instance), begins_at, LAST_LINES)
    } else {
        message.trim().to_owned()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn who_is_gone_has_no_news() {
        let (written, mut kubeconfig_written) = watch::channel(false);
        written.send_replace(true);
        let limit = Duration::from_secs(3600);
        tokio::time::timeout(limit, news(&mut kubeconfig_written)).await.unwrap();
        drop(written);
        tokio::time::timeout(limit, news(&mut kubeconfig_written)).await.unwrap_err();
    }
}
