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

    /// The CN of its certificate with this number, from 1.
    #[must_use]
    pub fn common_name(self, number: u64) -> String {
        if number == 1 { format!("pilothouse {self} CA") } else { format!("pilothouse {self} CA {number}") }
    }

    /// Whose certificate with which number has this CN.
    #[must_use]
    pub fn by_common_name(common_name: &str) -> Option<(Self, u64)> {
        Self::ALL.into_iter().find_map(|authority| {
            let rest = common_name.strip_prefix(&authority.common_name(1))?;
            let number = if rest.is_empty() { 1 } else { rest.strip_prefix(' ')?.parse().ok()? };
            Some((authority, number))
        })
    }

    /// Who trusts it by which setting, and how a new bundle is taken up, for people.
    #[must_use]
    pub const fn read_by(self) -> &'static str {
        match self {
            Self::Cluster => {
                "kube-apiserver --client-ca-file reloads it; --kubelet-certificate-authority, kube-controller-manager --root-ca-file and controllers' kubeconfigs need a restart"
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_certificate_is_known_by_its_common_name() {
        for authority in Authority::ALL {
            for number in [1, 2, 10] {
                assert_eq!(
                    Authority::by_common_name(&authority.common_name(number)),
                    Some((authority, number))
                );
            }
        }
        assert_eq!(Authority::Cluster.common_name(1), "pilothouse cluster CA");
        assert_eq!(Authority::Cluster.common_name(2), "pilothouse cluster CA 2");
        for stranger in ["pilothouse cluster CA2", "pilothouse cluster CA x", "etcd-0"] {
            assert_eq!(Authority::by_common_name(stranger), None);
        }
    }
}
