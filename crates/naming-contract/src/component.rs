//! The components of a hosted control plane and what each is called where.
//! Refuses behaviour: what a component does lives in its own room.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A component: an upstream binary under a supervisor, or one of our own services.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Component {
    /// The only holder of CA keys; our own service.
    CertificateAuthority,
    /// etcd, three members by default.
    Etcd,
    /// kube-apiserver.
    KubeApiserver,
    /// kube-controller-manager.
    KubeControllerManager,
    /// kube-scheduler.
    KubeScheduler,
    /// cloud-controller-manager, any upstream one.
    CloudControllerManager,
    /// What must exist inside the hosted cluster; our own service.
    ClusterBootstrap,
    /// A worker: kubelet and kube-proxy of one machine. It is known to the certificate-authority like a component, but
    /// is no part of a control plane, and so not among [`Component::ALL`].
    Node,
}

impl Component {
    /// Every component of a control plane, in the order in which it starts.
    pub const ALL: [Self; 7] = [
        Self::CertificateAuthority,
        Self::Etcd,
        Self::KubeApiserver,
        Self::KubeControllerManager,
        Self::KubeScheduler,
        Self::CloudControllerManager,
        Self::ClusterBootstrap,
    ];

    /// The component's name, which is also the file name of its upstream binary.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::CertificateAuthority => "certificate-authority",
            Self::Etcd => "etcd",
            Self::KubeApiserver => "kube-apiserver",
            Self::KubeControllerManager => "kube-controller-manager",
            Self::KubeScheduler => "kube-scheduler",
            Self::CloudControllerManager => "cloud-controller-manager",
            Self::ClusterBootstrap => "cluster-bootstrap",
            Self::Node => "node",
        }
    }

    /// The file name of our binary that runs it.
    #[must_use]
    pub const fn supervisor(self) -> &'static str {
        match self {
            Self::CertificateAuthority => "certificate-authority",
            Self::Etcd => "etcd-supervisor",
            Self::KubeApiserver => "apiserver-supervisor",
            Self::KubeControllerManager => "controller-manager-supervisor",
            Self::KubeScheduler => "scheduler-supervisor",
            Self::CloudControllerManager => "cloud-controller-manager-supervisor",
            Self::ClusterBootstrap => "cluster-bootstrap",
            // Nothing of ours runs a kubelet.
            Self::Node => "node",
        }
    }

    /// The prefix of instance names: `etcd-0`, `kube-apiserver-1`.
    #[must_use]
    pub fn instance(self, ordinal: u32) -> String {
        format!("{}-{ordinal}", self.name())
    }

    /// Whether an upstream child runs under our process.
    #[must_use]
    pub const fn has_child(self) -> bool {
        !matches!(self, Self::CertificateAuthority | Self::ClusterBootstrap | Self::Node)
    }
}

impl fmt::Display for Component {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name())
    }
}
