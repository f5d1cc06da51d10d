//! A real Kubernetes cluster on one machine, for people who try the chart and for end-to-end tests: each node a set of
//! namespaces with its own kubelet, containerd and kube-proxy, their control plane under `pilothouse up`.
//! Refuses to touch the host's network but for one port on 127.0.0.1, and to leave anything behind.

mod cgroups;
mod cluster;
mod command;
mod control;
mod dns;
mod error;
mod images;
mod init;
mod layout;
mod leftovers;
mod machine;
mod network;
mod node;
mod node_configuration;
mod objects;
mod options;
mod pods;
mod policies;
mod registry;
mod specification;
mod volumes;
mod wire;

pub use cluster::{ManagementCluster, NodeState};
pub use command::{Ran, kubectl};
pub use dns::answers_for_kubernetes;
pub use error::{ClusterError, Result};
pub use images::ComponentVersions;
pub use init::run as run_init;
pub use leftovers::remove as remove_leftovers;
pub use options::{Binaries, NodeMonitor, Options, default_image_cache, user_directory};
pub use pods::ContainerProcess;
pub use volumes::{VolumePool, keep as keep_volumes};
