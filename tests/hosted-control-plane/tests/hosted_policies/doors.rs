//! Every port of a control plane, who is promised to get in, and who does.
//! Refuses to read the promises off the templates: they stand here once more, as a table.

use std::time::Duration;

use end_to_end::eventually;
use futures_util::future::join_all;
use hosted_control_plane::{NodeNetwork, PodView, Release, node_of};
use management_cluster::ManagementCluster;
use naming_contract::{Component, ports};

use crate::visitor::{Visitor, is_open};

/// Until the last node knows of a new policy or a new Pod.
const SETTLED: Duration = Duration::from_secs(90);
/// Where members of etcd tell metrics to whoever comes, as it is set here.
pub(crate) const ETCD_METRICS: u16 = 2382;

/// What somebody who is no part of the control plane is promised.
#[derive(Clone, Copy)]
pub(crate) struct Guest {
    pub(crate) api: bool,
    pub(crate) metrics: bool,
}

/// The Pods of a release.
pub(crate) struct Doors {
    pods: Vec<PodView>,
}

/// A connection to be tried.
struct Attempt<'a> {
    visitor: &'a Visitor,
    to: &'a PodView,
    port: u16,
    promised: bool,
}

impl Doors {
    pub(crate) async fn of(release: &Release<'_>) -> Self {
        Self { pods: release.pods().await }
    }

    /// Those who live behind them.
    pub(crate) fn residents(&self, cluster: &ManagementCluster) -> Vec<Visitor> {
        self.pods.iter().map(|pod| Visitor::of_pod(cluster, pod)).collect()
    }

    /// Somebody listens behind each: a host may always connect to its own Pods.
    pub(crate) async fn are_there(&self, cluster: &ManagementCluster) {
        for pod in &self.pods {
            let node = NodeNetwork::enter(cluster, node_of(pod));
            for port in listening(pod) {
                let address = format!("{}:{port}", pod.address.as_deref().unwrap());
                assert!(node.run(is_open(address)).await, "nobody listens at {port} of {}", pod.name);
            }
        }
    }

    /// Tries every door from everywhere until exactly those are let in who are promised to be: the guests, and the control
    /// plane's own Pods, to which its API servers are open as to `others`.
    pub(crate) async fn let_in(
        &self,
        cluster: &ManagementCluster,
        guests: &[(&Visitor, Guest)],
        others: Guest,
    ) {
        let own = self.residents(cluster);
        let mut attempts = Vec::new();
        for to in &self.pods {
            for port in listening(to) {
                let towards = |visitor, promised| Attempt { visitor, to, port, promised };
                attempts.extend(guests.iter().map(|(guest, of)| towards(*guest, promised(*of, to, port))));
                let others_than_itself = own.iter().filter(|visitor| visitor.pod.uid != to.uid);
                attempts.extend(others_than_itself.map(|visitor| {
                    towards(visitor, promised(others, to, port) || needed(&visitor.pod, to, port))
                }));
            }
        }
        eventually("those are let in who are promised to be, and nobody else", SETTLED, async || {
            let wrong: Vec<String> =
                join_all(attempts.iter().map(Attempt::wrong)).await.into_iter().flatten().collect();
            if wrong.is_empty() { Ok(()) } else { Err(wrong) }
        })
        .await;
        let made = attempts.iter().filter(|attempt| attempt.promised).count();
        println!(
            "of {} connections {made} were made and the others refused, each as promised",
            attempts.len()
        );
    }
}

impl Attempt<'_> {
    /// What is wrong with how it ended.
    async fn wrong(&self) -> Option<String> {
        let reached = self.visitor.reaches(self.to.address.as_deref().unwrap(), self.port).await;
        let word = if reached { "reached" } else { "did not reach" };
        (reached != self.promised)
            .then(|| format!("{} {word} {}:{}", self.visitor.pod.name, self.to.name, self.port))
    }
}

/// The ports that others may find open, not those on the loopback.
fn listening(pod: &PodView) -> Vec<u16> {
    let own: &[u16] = match component(pod) {
        Component::Etcd => &[ports::ETCD_CLIENT, ports::ETCD_PEER, ETCD_METRICS],
        Component::KubeApiserver => &[ports::KUBE_APISERVER],
        Component::KubeControllerManager => &[ports::KUBE_CONTROLLER_MANAGER],
        Component::KubeScheduler => &[ports::KUBE_SCHEDULER],
        Component::CertificateAuthority => &[ports::CERTIFICATE_AUTHORITY],
        _ => &[],
    };
    [&[ports::HEALTH], own].concat()
}

/// What guests are promised.
fn promised(guest: Guest, to: &PodView, port: u16) -> bool {
    match (component(to), port) {
        (Component::KubeApiserver, ports::KUBE_APISERVER) => guest.api || guest.metrics,
        (_, ports::HEALTH | ports::KUBE_CONTROLLER_MANAGER | ports::KUBE_SCHEDULER | ETCD_METRICS) => {
            guest.metrics
        }
        _ => false,
    }
}

/// What the components need of each other.
fn needed(from: &PodView, to: &PodView, port: u16) -> bool {
    let from = component(from);
    match (component(to), port) {
        // Who replaces keys asks everybody which ones are in use; and API servers and members look at their own kind.
        (Component::KubeApiserver | Component::Etcd, ports::HEALTH) if from == component(to) => true,
        (_, ports::HEALTH) => from == Component::CertificateAuthority,
        (Component::KubeApiserver, _) => from != Component::Etcd,
        (Component::CertificateAuthority, _) => from != Component::CertificateAuthority,
        (Component::Etcd, ports::ETCD_CLIENT) => matches!(from, Component::KubeApiserver | Component::Etcd),
        (Component::Etcd, ports::ETCD_PEER) => from == Component::Etcd,
        _ => false,
    }
}

fn component(pod: &PodView) -> Component {
    let found = Component::ALL.into_iter().find(|component| component.name() == pod.component);
    found.unwrap_or_else(|| panic!("of no component: {pod:?}"))
}
