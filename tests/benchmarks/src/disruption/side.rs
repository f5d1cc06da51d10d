//! One of the two control planes that the same changes are made to, and one measurement of one change.
//! Refuses to treat them differently, but for where each says that it is whole.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context as _, Result};
use disruption::Settings;
use hosted_control_plane::{Load, PodView, Scene, Tenant, chart, node_of};
use management_cluster::ComponentVersions;
use naming_contract::Component;
use tokio::time::{Instant, sleep};

use super::change::Change;
use super::elections;
use super::measured::Measured;
use super::{API_SERVERS, Much};
use crate::floor;

/// What may still come of a change when all is whole again: endpoints that are told late, leases that run out.
const AFTERMATH: Duration = Duration::from_secs(5);
/// Of one run of the load, which ends by itself.
const LOAD_LIMIT: Duration = Duration::from_secs(700);

/// Whose control plane.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Kind {
    /// Plain Pods.
    Floor,
    /// Under our supervisors.
    Ours,
}

impl Kind {
    /// As tables call it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Floor => "plain Pods",
            Self::Ours => "Pilothouse",
        }
    }
}

/// A control plane.
pub(crate) struct Side<'a> {
    pub(crate) kind: Kind,
    pub(crate) tenant: &'a Tenant,
    pub(crate) scene: Scene<'a>,
    /// What an upgrade goes to.
    pub(crate) newest: &'a ComponentVersions,
    /// Values that earlier changes have set: each upgrade repeats them.
    pub(crate) values: RefCell<BTreeMap<String, String>>,
    /// How many of its Pods are API servers, now.
    pub(crate) api_servers: Cell<usize>,
}

impl Side<'_> {
    /// Waits until all its Pods are Ready.
    pub(crate) async fn until_whole(&self, limit: Duration) {
        let pods = self.scene.pods - API_SERVERS + self.api_servers.get();
        match self.kind {
            Kind::Floor => drop(self.scene.release.until_ready(pods, limit).await),
            Kind::Ours => Scene { pods, ..self.scene }.until_whole(limit).await,
        }
    }

    /// Scales the API servers; returns as soon as that is ordered.
    pub(crate) async fn scale_api_servers(&self, replicas: usize) -> Result<()> {
        self.api_servers.set(replicas);
        match self.kind {
            Kind::Floor => {
                let (workload, namespace) = self.deployment(Component::KubeApiserver);
                let replicas = format!("--replicas={replicas}");
                self.scene.cluster.kubectl(["scale", &workload, &replicas, &namespace]).await?;
            }
            Kind::Ours => self.set("apiServer.replicas", &replicas.to_string()).await,
        }
        Ok(())
    }

    /// Load before, while and after the change.
    pub(crate) async fn measure(&self, change: Change, much: &Much) -> Result<Measured> {
        change.prepare(self).await?;
        let victim = change.victim(self).await?;
        let cluster = self.scene.cluster;
        // Clients sit on a node that stays.
        let node = victim.node().map_or(1, |node| node % 3 + 1);
        let fresh_clients = much.clients.div_ceil(10);
        let settings = Settings {
            clients: much.clients - fresh_clients,
            fresh_clients,
            rate: much.rate,
            watches: much.watches,
            duration: LOAD_LIMIT,
            ..Settings::new(self.scene.hosted.kubeconfig())
        };
        let term = elections::term(self).await;
        let load = Load::start_as(cluster, node, self.scene.hosted, settings).await;
        load.mark(change.name());
        let began = Instant::now();
        change.make(self, &victim).await?;
        let whole_after = began.elapsed();
        // Nothing is waited for: this is how long clients go on.
        sleep(AFTERMATH).await;
        let report = load.report().await;
        let elections = elections::term(self).await.saturating_sub(term);
        change.undo(self).await?;
        Ok(Measured::new(&report, whole_after.as_secs_f64(), elections))
    }

    /// `helm upgrade` with one more value; returns as soon as helm does.
    pub(crate) async fn set(&self, value: &str, to: &str) {
        self.also_set(value, to);
        self.upgrade().await;
    }

    /// One more value for the next upgrade.
    pub(crate) fn also_set(&self, value: &str, to: &str) {
        self.values.borrow_mut().insert(value.to_owned(), to.to_owned());
    }

    /// `helm upgrade` with the values of now; returns as soon as helm does.
    pub(crate) async fn upgrade(&self) {
        let arguments: Vec<String> =
            self.values.borrow().iter().map(|(value, to)| format!("--set={value}={to}")).collect();
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        self.scene.release.upgrade(&chart(), &arguments).await;
    }

    /// `kubectl set image`, of one Deployment.
    pub(crate) async fn set_image(&self, component: Component, version: &str) -> Result<()> {
        let (workload, namespace) = self.deployment(component);
        let image = format!("*=registry.k8s.io/{component}:v{version}");
        self.scene.cluster.kubectl(["set", "image", &workload, &image, &namespace]).await?;
        Ok(())
    }

    /// A component's Deployment and its namespace, as kubectl takes them.
    fn deployment(&self, component: Component) -> (String, String) {
        let release = self.scene.release;
        let workload = format!("deployment/{}", release.objects().component(component));
        (workload, format!("--namespace={}", release.namespace()))
    }

    /// The member of etcd that leads.
    pub(crate) async fn etcd_leader(&self) -> Result<PodView> {
        if self.kind == Kind::Ours {
            return Ok(self.scene.etcd_leader().await);
        }
        for member in self.scene.pods_of(Component::Etcd).await {
            let metrics =
                self.scene.get(&member, floor::ETCD_HEALTH_PORT, "/metrics").await.unwrap_or_default();
            if metrics.lines().any(|line| line == "etcd_server_is_leader 1") {
                return Ok(member);
            }
        }
        None.context("no member of etcd says that it leads")
    }

    /// A node with an API server and without etcd's leader.
    pub(crate) async fn node_to_drain(&self) -> Result<u8> {
        let leads = node_of(&self.etcd_leader().await?);
        let servers = self.scene.pods_of(Component::KubeApiserver).await;
        let found = servers.iter().map(node_of).find(|node| *node != leads);
        found.context("all API servers are on the node of etcd's leader")
    }
}
