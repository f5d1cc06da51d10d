//! What of a Pod and a ServiceAccount matters for a proof. Pure.
//! Refuses everything else in them.

use k8s_openapi::api::core::v1::{Pod, ServiceAccount};

/// A Pod as the API showed it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ObservedPod {
    pub(super) uid: String,
    pub(super) service_account: String,
    /// Whether its phase is Succeeded or Failed.
    pub(super) ended: bool,
    /// When its grace period ends, in Unix seconds; none while nobody has deleted it.
    pub(super) deleted_at: Option<i64>,
}

/// A `ServiceAccount` as the API showed it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ObservedServiceAccount {
    pub(super) uid: String,
}

impl From<&Pod> for ObservedPod {
    fn from(pod: &Pod) -> Self {
        let phase = pod.status.as_ref().and_then(|status| status.phase.as_deref());
        let service_account = pod.spec.as_ref().and_then(|spec| spec.service_account_name.clone());
        Self {
            uid: pod.metadata.uid.clone().unwrap_or_default(),
            service_account: service_account.unwrap_or_default(),
            ended: matches!(phase, Some("Succeeded" | "Failed")),
            deleted_at: pod.metadata.deletion_timestamp.as_ref().map(|at| at.0.as_second()),
        }
    }
}

impl From<&ServiceAccount> for ObservedServiceAccount {
    fn from(account: &ServiceAccount) -> Self {
        Self { uid: account.metadata.uid.clone().unwrap_or_default() }
    }
}
