//! The administrators' kubeconfig: obtained like any leaf, written with everything embedded, renewed at half its life
//! and when a CA is replaced.
//! Refuses to write one that does not lead to this control plane.

use std::path::Path;

use certificates::identities::ADMINISTRATOR_USER;
use certificates::{Authority, CertificateKeeper, KeeperConfiguration, Profile};
use conditions::Progress;
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
    let configuration = KeeperConfiguration {
        instance: SELF.to_owned(),
        authority_url: format!("https://{}", authority.listener(PortUse::Secure)),
        caller_token_file: paths.caller_token(SELF),
        published_trust: paths.trust(),
        runtime_directory: paths.runtime(SELF),
        leaves: vec![(Profile::Administrator, ReloadBehaviour::OwnClient)],
        shared_keys: Vec::new(),
        bundles: vec![(Authority::Cluster, ReloadBehaviour::OwnClient)],
    };
    let board = StatusBoard::new(SELF, Component::CertificateAuthority, telemetry::VERSION);
    let keeper = CertificateKeeper::new(configuration, board);
    if let Err(error) = keeper.obtain(&Logged).await {
        tracing::error!(
            error = telemetry::error_chain(&error),
            "no kubeconfig: its certificate cannot be stored"
        );
        return;
    }
    let write = || match write(&keeper, &plan.server, name, &paths.kubeconfig()) {
        Ok(()) => {
            written.send_replace(true);
        }
        Err(error) => tracing::error!(error = telemetry::error_chain(&error), "kubeconfig not written"),
    };
    write();
    let (changes, mut renewals) = mpsc::channel(4);
    let follow = async {
        while renewals.recv().await.is_some() {
            write();
        }
    };
    tokio::select! {
        never = keeper.keep(changes) => match never {},
        () = follow => {}
    }
}

fn write(keeper: &CertificateKeeper, server: &str, name: &ClusterName, path: &Path) -> Result<(), FileError> {
    let leaf = keeper.directory().leaf(Profile::Administrator);
    let read = |path: &Path| durable_files::read_limited(path, LARGEST_PEM);
    let rendered = kubeconfig::render_embedded(
        name.as_str(),
        server,
        ADMINISTRATOR_USER,
        &read(&keeper.directory().trust(Authority::Cluster))?,
        &read(&leaf.certificate)?,
        &read(&leaf.key)?,
    );
    durable_files::write_private(path, rendered.as_bytes())
}

/// Two CAs in a bundle are about 2 KiB.
const LARGEST_PEM: u64 = 256 * 1024;

struct Logged;

impl Progress for Logged {
    fn waiting(&self, awaits: &str, last_seen: Option<&str>) {
        tracing::debug!(awaits, last_seen, "kubeconfig");
    }
}
