//! Ports inside Pods. Embedded instances share one machine and get other ports from `pilothouse up`.

/// kube-apiserver's secure port.
pub const KUBE_APISERVER: u16 = 6443;
/// etcd, gRPC clients.
pub const ETCD_CLIENT: u16 = 2379;
/// etcd, peers.
pub const ETCD_PEER: u16 = 2380;
/// etcd, HTTP health and metrics with the same client-certificate check as gRPC.
pub const ETCD_HTTP: u16 = 2381;
/// kube-controller-manager's secure port.
pub const KUBE_CONTROLLER_MANAGER: u16 = 10257;
/// cloud-controller-manager's secure port.
pub const CLOUD_CONTROLLER_MANAGER: u16 = 10258;
/// kube-scheduler's secure port.
pub const KUBE_SCHEDULER: u16 = 10259;
/// Health endpoints of every supervisor and service of ours.
pub const HEALTH: u16 = 8686;
/// certificate-authority, HTTPS.
pub const CERTIFICATE_AUTHORITY: u16 = 8443;
