//! Names, addresses and paths of a management cluster. Pure.
//! Refuses to make anything of it.

use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};

/// Where the control plane and the bridge live.
pub(crate) const WIRE: &str = "wire";
/// The API servers as nodes and Pods reach them, and every node's gateway.
pub(crate) const WIRE_ADDRESS: Ipv4Addr = Ipv4Addr::new(10, 90, 0, 1);
/// All nodes and the wire.
pub(crate) const WIRE_PREFIX: u8 = 24;
/// All Pods.
pub(crate) const POD_SUBNET: &str = "10.244.0.0/16";
/// All Services.
pub(crate) const SERVICE_SUBNET: &str = "10.96.0.0/16";
/// Cluster DNS.
pub(crate) const DNS_ADDRESS: &str = "10.96.0.10";
/// The DNS domain.
pub(crate) const CLUSTER_DOMAIN: &str = "cluster.local";
/// The storage class of the volume pools.
pub(crate) const STORAGE_CLASS: &str = "local";

/// One node, by its number from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct NodeNumber(pub(crate) u8);

impl NodeNumber {
    pub(crate) fn name(self) -> String {
        format!("node-{}", self.0)
    }

    pub(crate) fn address(self) -> Ipv4Addr {
        Ipv4Addr::new(10, 90, 0, 10 + self.0)
    }

    /// Its own address towards its Pods, the first of their subnet.
    pub(crate) fn pod_gateway(self) -> Ipv4Addr {
        Ipv4Addr::new(10, 244, self.0, 1)
    }

    pub(crate) fn pod_subnet(self) -> String {
        format!("10.244.{}.0/24", self.0)
    }
}

/// Where everything lies below the state directory.
#[derive(Debug, Clone)]
pub(crate) struct Layout {
    pub(crate) root: PathBuf,
}

impl Layout {
    pub(crate) fn new(root: impl Into<PathBuf>) -> Self {
        Self { root: root.into() }
    }

    /// What the cluster is; its presence says that there is one.
    pub(crate) fn record(&self) -> PathBuf {
        self.root.join("management-cluster.json")
    }

    /// The state directory of the control plane.
    pub(crate) fn control_plane(&self) -> PathBuf {
        self.root.join("control-plane")
    }

    pub(crate) fn kubeconfig(&self) -> PathBuf {
        self.control_plane().join("kubeconfig")
    }

    pub(crate) fn manifests(&self) -> PathBuf {
        self.root.join("manifests")
    }

    pub(crate) fn machine(&self, name: &str) -> MachineLayout {
        MachineLayout { root: self.root.join("machines").join(name) }
    }
}

/// Where the parts of one machine lie.
#[derive(Debug, Clone)]
pub(crate) struct MachineLayout {
    pub(crate) root: PathBuf,
}

impl MachineLayout {
    pub(crate) fn specification(&self) -> PathBuf {
        self.root.join("specification.json")
    }

    /// Who its first process is.
    pub(crate) fn identity(&self) -> PathBuf {
        self.root.join("init.json")
    }

    pub(crate) fn control_socket(&self) -> PathBuf {
        self.root.join("control.socket")
    }

    pub(crate) fn logs(&self) -> PathBuf {
        self.root.join("logs")
    }

    pub(crate) fn init_log(&self) -> PathBuf {
        self.logs().join("init.log")
    }

    /// Configuration that the host writes and the machine reads.
    pub(crate) fn configuration(&self) -> PathBuf {
        self.root.join("configuration")
    }

    pub(crate) fn credentials(&self) -> PathBuf {
        self.root.join("credentials")
    }

    /// What it sees as this directory, and keeps when it dies.
    pub(crate) fn disk(&self, inside: &str) -> PathBuf {
        self.root.join("disk").join(inside.trim_start_matches('/').replace('/', "-"))
    }

    /// A volume of its pool, seen from the host.
    pub(crate) fn volume(&self, volume: &str) -> PathBuf {
        self.disk("/var/lib").join(VOLUMES).join(volume)
    }
}

/// Where the pool's volumes lie below a node's /var/lib.
pub(crate) const VOLUMES: &str = "volumes";

/// A volume's path as the node sees it.
pub(crate) fn volume_inside(volume: &str) -> PathBuf {
    Path::new("/var/lib").join(VOLUMES).join(volume)
}

/// `node-2-volume-5` belongs to node 2.
pub(crate) fn volume_name(node: NodeNumber, index: u32) -> String {
    format!("{}-volume-{index}", node.name())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nodes_share_nothing() {
        let (one, two) = (NodeNumber(1), NodeNumber(2));
        assert_ne!(one.address(), two.address());
        assert_eq!(two.pod_subnet(), "10.244.2.0/24");
        let layout = Layout::new("/state");
        assert_ne!(layout.machine("node-1").disk("/var/lib"), layout.machine("node-1").disk("/var/log"));
        assert!(layout.machine(&one.name()).volume("v").starts_with("/state/machines/node-1/disk"));
    }
}
