//! The separate CAs: their names, their bundles, and who trusts them. Pure.
//! Refuses their keys.

use std::fmt;

use naming_contract::files;
use serde::{Deserialize, Serialize};

/// One of the separate CAs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Authority {
    /// API servers, their clients, and our own services.
    Cluster,
    /// etcd's servers and clients.
    Etcd,
    /// etcd's peers alone: an API server's etcd certificate must not speak raft.
    EtcdPeer,
    /// The API server's identity towards aggregated API servers.
    FrontProxy,
}

impl Authority {
    /// All CAs.
    pub const ALL: [Self; 4] = [Self::Cluster, Self::Etcd, Self::EtcdPeer, Self::FrontProxy];

    /// Its name in paths and subjects.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Cluster => "cluster",
            Self::Etcd => "etcd",
            Self::EtcdPeer => "etcd-peer",
            Self::FrontProxy => "front-proxy",
        }
    }

    /// The CN of its certificates.
    #[must_use]
    pub fn common_name(self) -> String {
        format!("pilothouse {self} CA")
    }

    /// Who trusts it by which setting, and how a new bundle is taken up, for people.
    #[must_use]
    pub const fn read_by(self) -> &'static str {
        match self {
            Self::Cluster => {
                "kube-apiserver --client-ca-file and controllers' kubeconfigs reload it; kube-controller-manager --root-ca-file needs a restart"
            }
            Self::Etcd => "etcd --trusted-ca-file and kube-apiserver --etcd-cafile need a restart",
            Self::EtcdPeer => "etcd --peer-trusted-ca-file needs a restart",
            Self::FrontProxy => "kube-apiserver --requestheader-client-ca-file reloads it",
        }
    }

    /// The file name of its trust bundle.
    #[must_use]
    pub const fn bundle(self) -> &'static str {
        match self {
            Self::Cluster => files::CLUSTER_BUNDLE,
            Self::Etcd => files::ETCD_BUNDLE,
            Self::EtcdPeer => files::ETCD_PEER_BUNDLE,
            Self::FrontProxy => files::FRONT_PROXY_BUNDLE,
        }
    }
}

impl fmt::Display for Authority {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name())
    }
}
