//! What the three leader-elected components are told alike: kubeconfigs, serving, election.
//! Refuses the flags by which a component would elect on another lease than the one that its supervisor clears.

use std::net::IpAddr;
use std::path::PathBuf;

use crate::argument::Arguments;
use crate::etcd::TlsServerFiles;

/// The common name in the front-proxy client's certificate.
pub(crate) const ALLOWED_FRONT_PROXY_NAME: &str = "front-proxy-client";

/// Who may say on whose behalf a request comes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RequestHeader {
    /// The front-proxy CA.
    pub authority: PathBuf,
}

/// What kube-controller-manager, kube-scheduler and cloud-controller-manager have in common.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LeaderElectedFlags {
    /// A kubeconfig with file paths; used for everything, delegated authentication included.
    pub kubeconfig: PathBuf,
    /// Where it serves its health and metrics.
    pub bind_address: IpAddr,
    /// Where it serves its health and metrics.
    pub secure_port: u16,
    /// Serving certificate, and the cluster CA that callers' client certificates are checked with.
    pub serving: TlsServerFiles,
    /// The front proxy that may speak for others.
    pub request_header: RequestHeader,
}

/// Said of every file that a component gets from its supervisor.
pub(crate) const OWNED_FILE: &str = "the supervisor obtains and renews this file";
const OWNED_API_SERVER: &str = "set --api-server of the supervisor instead";
const OWNED_LISTEN: &str = "set --bind-address and --secure-port of the supervisor instead";
const OWNED_LEASE: &str =
    "the supervisor clears this lease when the component is dead; all instances elect on the same one";

/// What the supervisor owns in all three components.
pub(crate) const OWNED: &[(&str, &str)] = &[
    ("kubeconfig", OWNED_API_SERVER),
    ("master", OWNED_API_SERVER),
    ("authentication-kubeconfig", OWNED_API_SERVER),
    ("authorization-kubeconfig", OWNED_API_SERVER),
    ("bind-address", OWNED_LISTEN),
    ("secure-port", OWNED_LISTEN),
    ("tls-cert-file", OWNED_FILE),
    ("tls-private-key-file", OWNED_FILE),
    ("cert-dir", OWNED_FILE),
    ("client-ca-file", OWNED_FILE),
    ("requestheader-client-ca-file", OWNED_FILE),
    ("leader-elect", OWNED_LEASE),
    ("leader-elect-resource-lock", OWNED_LEASE),
    ("leader-elect-resource-name", OWNED_LEASE),
    ("leader-elect-resource-namespace", OWNED_LEASE),
];

impl LeaderElectedFlags {
    pub(crate) fn arguments(&self) -> Arguments {
        let mut arguments = Arguments::default();
        arguments
            .file("kubeconfig", &self.kubeconfig)
            .file("authentication-kubeconfig", &self.kubeconfig)
            .file("authorization-kubeconfig", &self.kubeconfig)
            .set("bind-address", self.bind_address)
            .set("secure-port", self.secure_port)
            .file("tls-cert-file", &self.serving.certificate)
            .file("tls-private-key-file", &self.serving.key)
            .set("tls-min-version", "VersionTLS12")
            .file("client-ca-file", &self.serving.trusted_authority)
            .file("requestheader-client-ca-file", &self.request_header.authority)
            .set("requestheader-allowed-names", ALLOWED_FRONT_PROXY_NAME)
            .set("leader-elect", true)
            .set("leader-elect-lease-duration", "15s")
            .set("leader-elect-renew-deadline", "10s")
            // A standby looks every 1.0 to 2.2 s (default 2.0 to 4.4): another leads within 3 s of a cleared lease.
            .set("leader-elect-retry-period", "1s")
            .set("profiling", false);
        arguments
    }
}
