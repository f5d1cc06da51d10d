//! The changes, what tables call them, and to whom they are made. How is told in `making`.

use anyhow::Result;
use hosted_control_plane::{PodView, node_of};
use naming_contract::Component;

use super::side::{Kind, Side};

/// What is done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, clap::ValueEnum)]
pub(crate) enum Change {
    /// From the minor version before to this one, by one value of the chart; to plain Pods with `kubectl set image`, API
    /// servers first.
    MinorUpgrade,
    /// Nothing, to see what the machine alone does to clients.
    Nothing,
    /// `kubectl rollout restart` of the API servers.
    ApiServersRolled,
    /// The same with `apiServer.drain.sendRetryAfter`, which is not the default.
    ApiServersRolledWithRetryAfter,
    /// `kubectl rollout restart` of both controllers.
    ControllersRolled,
    /// `kubectl rollout restart` of etcd.
    EtcdRolled,
    /// `kubectl drain` of a node with an API server and without etcd's leader.
    NodeDrained,
    /// SIGKILL of the controller-manager that leads.
    ControllerKilled,
    /// SIGKILL of its whole container, supervisor included: what the kernel does to a group that is out of memory.
    ControllerContainerKilled,
    /// SIGKILL of an API server.
    ApiServerKilled,
    /// `kubectl rollout restart` of the API server where there is one only.
    OnlyApiServerRolled,
    /// SIGKILL of the API server where there is one only.
    OnlyApiServerKilled,
    /// `kubectl delete pod` of etcd's leader.
    EtcdLeaderStopped,
    /// SIGKILL of etcd's leader.
    EtcdLeaderKilled,
    /// etcd from three members to five, back to three, to one and to three again, each by one value of the chart.
    EtcdScaled,
    /// Another service-account key, by one value of the chart.
    ServiceAccountKeyReplaced,
    /// Another encryption key, and every Secret written anew, by one value of the chart.
    EncryptionKeyReplaced,
    /// All four CAs, by one value of the chart; clients are given their new kubeconfig.
    CertificateAuthoritiesReplaced,
    /// Every certificate in use replaced by a younger one, as comes to pass by itself; plain Pods are restarted for it, as
    /// kubeadm says after `kubeadm certs renew all`.
    CertificatesRenewed,
}

/// To whom.
#[derive(Debug, Clone)]
pub(crate) enum Victim {
    Nobody,
    Pod(PodView),
    Node(u8),
}

impl Victim {
    /// The node on which something is going to be missing.
    pub(crate) fn node(&self) -> Option<u8> {
        match self {
            Self::Nobody => None,
            Self::Pod(pod) => Some(node_of(pod)),
            Self::Node(node) => Some(*node),
        }
    }
}

impl Change {
    /// All of them, the gentle ones first.
    pub(crate) const ALL: [Self; 19] = [
        // The first: it can be made once.
        Self::MinorUpgrade,
        Self::Nothing,
        Self::ApiServersRolled,
        Self::ApiServersRolledWithRetryAfter,
        Self::ControllersRolled,
        Self::NodeDrained,
        Self::ControllerKilled,
        Self::ControllerContainerKilled,
        Self::ApiServerKilled,
        Self::OnlyApiServerRolled,
        Self::OnlyApiServerKilled,
        Self::EtcdRolled,
        Self::EtcdLeaderStopped,
        Self::EtcdLeaderKilled,
        Self::EtcdScaled,
        Self::ServiceAccountKeyReplaced,
        Self::EncryptionKeyReplaced,
        Self::CertificateAuthoritiesReplaced,
        // The last: certificates live short from then on.
        Self::CertificatesRenewed,
    ];

    /// Whether it is measured in the first round alone.
    pub(crate) fn is_made_once(self) -> bool {
        matches!(self, Self::MinorUpgrade | Self::CertificatesRenewed)
    }

    /// Whether there is one API server only while it is made.
    pub(crate) fn is_of_one_api_server(self) -> bool {
        matches!(self, Self::OnlyApiServerRolled | Self::OnlyApiServerKilled)
    }

    /// Whether there is a way to make it; the page tells why where there is none.
    pub(crate) fn can_be_made_to(self, kind: Kind) -> bool {
        match self {
            Self::EtcdScaled
            | Self::ServiceAccountKeyReplaced
            | Self::EncryptionKeyReplaced
            | Self::CertificateAuthoritiesReplaced
            | Self::ControllerContainerKilled
            | Self::ApiServersRolledWithRetryAfter => kind == Kind::Ours,
            _ => true,
        }
    }

    /// As tables call it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Nothing => "nothing, 20 s",
            Self::ApiServersRolled => "API servers rolled",
            Self::ApiServersRolledWithRetryAfter => "API servers rolled, Retry-After",
            Self::ControllersRolled => "controllers rolled",
            Self::EtcdRolled => "etcd rolled",
            Self::NodeDrained => "node drained",
            Self::ControllerKilled => "leading controller killed",
            Self::ControllerContainerKilled => "its whole container killed",
            Self::ApiServerKilled => "API server killed",
            Self::OnlyApiServerRolled => "the only API server rolled",
            Self::OnlyApiServerKilled => "the only API server killed",
            Self::EtcdLeaderStopped => "etcd's leader stopped",
            Self::EtcdLeaderKilled => "etcd's leader killed",
            Self::EtcdScaled => "etcd scaled 3-5-3-1-3",
            Self::ServiceAccountKeyReplaced => "service-account key replaced",
            Self::EncryptionKeyReplaced => "encryption key replaced",
            Self::CertificateAuthoritiesReplaced => "all CAs replaced",
            Self::MinorUpgrade => "minor version upgraded",
            Self::CertificatesRenewed => "all certificates renewed",
        }
    }

    /// Chooses before the load begins.
    pub(crate) async fn victim(self, side: &Side<'_>) -> Result<Victim> {
        Ok(match self {
            Self::MinorUpgrade
            | Self::Nothing
            | Self::ApiServersRolled
            | Self::ApiServersRolledWithRetryAfter
            | Self::OnlyApiServerRolled
            | Self::ControllersRolled
            | Self::EtcdRolled
            | Self::EtcdScaled
            | Self::ServiceAccountKeyReplaced
            | Self::EncryptionKeyReplaced
            | Self::CertificateAuthoritiesReplaced
            | Self::CertificatesRenewed => Victim::Nobody,
            Self::NodeDrained => Victim::Node(side.node_to_drain().await?),
            Self::ControllerKilled | Self::ControllerContainerKilled => {
                Victim::Pod(side.scene.leader(1, Component::KubeControllerManager).await)
            }
            Self::ApiServerKilled | Self::OnlyApiServerKilled => {
                Victim::Pod(side.scene.pods_of(Component::KubeApiserver).await.remove(0))
            }
            Self::EtcdLeaderStopped | Self::EtcdLeaderKilled => Victim::Pod(side.etcd_leader().await?),
        })
    }
}
