//! How kube-apiserver is supervised: it starts only when etcd answers a linearizable read, is told everything by flags
//! and rendered files, is ready when its own checks pass, and is not waited for when it drains without etcd.
//! Refuses to count trouble of etcd against the API server's own liveness.

mod component;
mod configuration;
mod encryption_in_use;
mod etcd_read;
mod first_start;
mod flags;
mod liveness;
mod members;
mod rendered;
mod senseless_drain;
mod upgrade;

pub use component::Apiserver;
pub use configuration::{ApiserverConfiguration, NEEDS};
pub use members::EtcdMembers;
