//! The one way to make a TLS client or server from PEM files, for reqwest, rustls, etcd-client and kube alike.
//! Refuses to cache: files are read for each client built, and whoever renews a certificate rebuilds its clients.

#[cfg(feature = "etcd")]
mod etcd;
mod files;
#[cfg(feature = "kubernetes")]
mod kubernetes;
mod rustls_configuration;

#[cfg(feature = "etcd")]
pub use etcd::{etcd_client, etcd_client_of_one};
pub use files::{TlsError, TlsFiles, TlsMaterial};
#[cfg(feature = "kubernetes")]
pub use kubernetes::{bearer_client, kubernetes_client};
pub use rustls_configuration::{
    client_configuration, http_client, http_client_of_one, install_provider, server_configuration,
};
