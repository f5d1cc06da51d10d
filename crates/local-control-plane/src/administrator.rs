//! The administrators' kubeconfig: obtained like any leaf, written with everything embedded, renewed at half its life
//! and when a CA is replaced. What cannot be written now is tried again until it can.
//! Refuses to write one that does not lead to this control plane.

use std::path::{Path, PathBuf};
use std::time::Duration;

use certificates::identities::ADMINISTRATOR_USER;
use certificates::{Authority, CertificateKeeper, KeeperConfiguration, Profile};
use conditions::{Backoff, Progress};
use durable_files::FileError;
use health_endpoints::{ReloadBehaviour, StatusBoard};
use naming_contract::Component;
use tokio::sync::{mpsc, watch};

use crate::cluster_name::ClusterName;
use crate::paths::{SELF, StatePaths};
use crate::plan::Plan;
use crate::ports::PortUse;

/// Keeps the kubeconfig for ever; `written` becomes true when the file is there.
pub(crate) async fn keep_kubeconfig(
    plan: &Plan,
    paths: &StatePaths,
    name: &ClusterName,
    written: watch::Sender<bool>,
) {
    let Some(authority) =
        plan.instances.iter().find(|known| known.component == Component::CertificateAuthority)
    else {
        return;
    };
    let keeper = keeper(format!("https://{}", authority.listener(PortUse::Secure)), paths);
    until_done("kubeconfig: its certificate cannot be stored", async || keeper.obtain(&Logged).await).await;
    let kubeconfig =
        Kubeconfig { keeper: &keeper, server: &plan.server, name, path: paths.kubeconfig(), written };
    kubeconfig.store().await;
    let (changes, mut renewals) = mpsc::channel(4);
    let follow = async {
        while renewals.recv().await.is_some() {
            kubeconfig.store().await;
        }
    };
    tokio::select! {
        never = keeper.keep(changes) => match never {},
        () = follow => {}
    }
}

fn keeper(authority_url: String, paths: &StatePaths) -> CertificateKeeper {
    let configuration = KeeperConfiguration {
        instance: SELF.to_owned(),
        authority_url,
        caller_token_file: paths.caller_token(SELF),
        published_trust: paths.trust(),
        runtime_directory: paths.runtime(SELF),
        leaves: vec![(Profile::Administrator, ReloadBehaviour::OwnClient)],
        shared_keys: Vec::new(),
        bundles: vec![(Authority::Cluster, ReloadBehaviour::OwnClient)],
    };
    let board = StatusBoard::new(SELF, Component::CertificateAuthority, telemetry::VERSION);
    CertificateKeeper::new(configuration, board)
}

/// How soon what failed is tried again, and how seldom at last: a disk that is full may be so for hours.
const FIRST_PAUSE: Duration = Duration::from_millis(500);
const LONGEST_PAUSE: Duration = Duration::from_secs(10);

/// Tries until it succeeds; says why it did not once for each reason.
async fn until_done<E: std::error::Error>(
    what_failed: &str,
    mut attempt: impl AsyncFnMut() -> Result<(), E>,
) {
    let mut backoff = Backoff::new(FIRST_PAUSE, LONGEST_PAUSE);
    let mut told = None;
    while let Err(error) = attempt().await {
        let why = telemetry::error_chain(&error);
        if told.as_ref() != Some(&why) {
            tracing::error!(error = why, "{what_failed}; tried again");
            told = Some(why);
        }
        tokio::time::sleep(backoff.next_delay()).await;
    }
}

struct Kubeconfig<'a> {
    keeper: &'a CertificateKeeper,
    server: &'a str,
    name: &'a ClusterName,
    path: PathBuf,
    written: watch::Sender<bool>,
}

impl Kubeconfig<'_> {
    /// Writes what the keeper holds now, however long that takes.
    async fn store(&self) {
        until_done("kubeconfig not written", async || self.write()).await;
        self.written.send_replace(true);
    }

    fn write(&self) -> Result<(), FileError> {
        let directory = self.keeper.directory();
        let leaf = directory.leaf(Profile::Administrator);
        let read = |path: &Path| durable_files::read_limited(path, LARGEST_PEM);
        let rendered = kubeconfig::render_embedded(
            self.name.as_str(),
            self.server,
            ADMINISTRATOR_USER,
            &read(&directory.trust(Authority::Cluster))?,
            &read(&leaf.certificate)?,
            &read(&leaf.key)?,
        );
        durable_files::write_private(&self.path, rendered.as_bytes())
    }
}

/// Two CAs in a bundle are about 2 KiB.
const LARGEST_PEM: u64 = 256 * 1024;

struct Logged;

impl Progress for Logged {
    fn waiting(&self, awaits: &str, last_seen: Option<&str>) {
        tracing::debug!(awaits, last_seen, "kubeconfig");
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use tempfile::TempDir;
    use tokio::time::timeout;

    use super::*;
    use crate::settings::Requested;
    use crate::{Blueprint, Extras, PortBlock};

    const HOUR: Duration = Duration::from_secs(3600);
    /// The longest pause with all of its jitter.
    const NEXT_TRY: Duration = LONGEST_PAUSE.saturating_mul(2);

    fn paths(state: &TempDir) -> StatePaths {
        StatePaths::new(state.path().to_owned())
    }

    #[tokio::test(start_paused = true)]
    async fn a_kubeconfig_that_cannot_be_written_is_tried_again() {
        let state = TempDir::new().unwrap();
        let paths = paths(&state);
        let keeper = keeper("https://127.0.0.1:1".into(), &paths);
        keeper.directory().create().unwrap();
        keeper.directory().write_leaf(Profile::Administrator, "certificate", "key").unwrap();
        durable_files::write_public(&keeper.directory().trust(Authority::Cluster), b"bundle").unwrap();
        fs::create_dir(paths.kubeconfig()).unwrap();

        let (written, seen) = watch::channel(false);
        let kubeconfig = Kubeconfig {
            keeper: &keeper,
            server: "https://127.0.0.1:6443",
            name: &"local".parse().unwrap(),
            path: paths.kubeconfig(),
            written,
        };
        let mut store = std::pin::pin!(kubeconfig.store());
        timeout(HOUR, &mut store).await.unwrap_err();
        assert!(!*seen.borrow());
        fs::remove_dir(paths.kubeconfig()).unwrap();
        timeout(NEXT_TRY, store).await.unwrap();
        assert!(*seen.borrow() && paths.kubeconfig().is_file());
    }

    #[tokio::test(start_paused = true)]
    async fn a_certificate_that_cannot_be_stored_is_tried_again() {
        let state = TempDir::new().unwrap();
        let paths = paths(&state);
        let requested = Requested { components: Some("/components".into()), ..Requested::default() };
        let name: ClusterName = "local".parse().unwrap();
        let plan = Plan::new(&Blueprint {
            name: &name,
            settings: &requested.settle(None).unwrap(),
            block: PortBlock::candidates("local").next().unwrap(),
            paths: &paths,
            supervisors: Path::new("/supervisors"),
            extras: &Extras::default(),
        });
        let runtime = paths.runtime(SELF);
        durable_files::create_private_directory(&paths.instance(SELF)).unwrap();
        durable_files::write_private(&runtime, b"in the way").unwrap();

        let (written, mut seen) = watch::channel(false);
        let mut keep = std::pin::pin!(keep_kubeconfig(&plan, &paths, &name, written));
        timeout(HOUR, &mut keep).await.unwrap_err();
        assert!(seen.has_changed().is_ok(), "nobody will ever write it");
        fs::remove_file(&runtime).unwrap();
        // It goes on to wait for a trust bundle, which nobody publishes here.
        timeout(NEXT_TRY, keep).await.unwrap_err();
        assert!(runtime.is_dir());
        assert!(!*seen.borrow_and_update());
    }
}
