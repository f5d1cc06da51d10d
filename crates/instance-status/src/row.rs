//! One instance as a row, and what a supervisor's own document adds to it.
//! Refuses to judge a document: what the supervisor says of itself is taken as it is.

use std::collections::BTreeMap;
use std::path::PathBuf;

use health_endpoints::{AuthorityInUse, CertificateStatus, RotationStatus, StatusDocument};
use naming_contract::Component;
use serde::Serialize;
use time::OffsetDateTime;

/// One instance as `pilothouse status -o json` tells it.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct InstanceStatus {
    /// The instance's name, which is also its hostname.
    pub name: String,
    /// What it runs.
    pub component: Component,
    /// The supervisor's state; `Unresponsive` if it does not answer, `Absent` if it does not run. In a management cluster
    /// also Kubernetes' own word for why a Pod does not run.
    pub state: String,
    /// Whether it serves its purpose now.
    pub ready: bool,
    /// Why it is in this state, or why it is not ready.
    pub reason: String,
    /// Since when it is in this state.
    #[serde(with = "time::serde::rfc3339::option")]
    pub since: Option<OffsetDateTime>,
    /// What its present wait last saw.
    pub last_observation: Option<String>,
    /// Whether it leads; null where nobody leads.
    pub leader: Option<bool>,
    /// The child's process id, in a Pod the one that counts there.
    pub pid: Option<u32>,
    /// The supervisor's process id, likewise.
    pub supervisor_pid: Option<u32>,
    /// How often the child was started again in its supervisor's life.
    pub restarts: u32,
    /// How often the supervisor was started again since `up`; the restarts of its container in a Pod.
    pub supervisor_restarts: u32,
    /// The base URL of its health endpoints; null while a Pod has no address.
    pub endpoint: Option<String>,
    /// An etcd member's data directory.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub data_directory: Option<PathBuf>,
    /// The node that its Pod is bound to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub node: Option<String>,
    /// The leaves it holds.
    pub certificates: Vec<CertificateStatus>,
    /// Generation in use of each shared key set.
    pub key_generations: BTreeMap<String, u64>,
    /// What is in use of each CA.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub authorities: BTreeMap<String, AuthorityInUse>,
    /// Rotations of shared keys and CAs, which the certificate-authority tells.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub rotations: Vec<RotationStatus>,
    /// What only this component knows.
    pub details: BTreeMap<String, String>,
}

impl InstanceStatus {
    /// A row of which nothing is known but a state and its reason: not ready.
    #[must_use]
    pub fn new(
        name: impl Into<String>,
        component: Component,
        state: impl Into<String>,
        reason: impl Into<String>,
    ) -> Self {
        Self {
            name: name.into(),
            component,
            state: state.into(),
            ready: false,
            reason: reason.into(),
            since: None,
            last_observation: None,
            leader: None,
            pid: None,
            supervisor_pid: None,
            restarts: 0,
            supervisor_restarts: 0,
            endpoint: None,
            data_directory: None,
            node: None,
            certificates: Vec::new(),
            key_generations: BTreeMap::new(),
            authorities: BTreeMap::new(),
            rotations: Vec::new(),
            details: BTreeMap::new(),
        }
    }

    /// The row with what its supervisor says of itself in place of what was known.
    #[must_use]
    pub fn told_by(self, document: StatusDocument) -> Self {
        let leader = document.leads();
        let reason = if document.ready || document.not_ready_because.is_empty() {
            document.reason
        } else {
            document.not_ready_because
        };
        Self {
            state: document.state.to_string(),
            ready: document.ready,
            reason,
            since: Some(document.since),
            last_observation: document.last_observation,
            leader,
            pid: document.pid,
            supervisor_pid: Some(document.supervisor_pid),
            restarts: document.restarts,
            certificates: document.certificates,
            key_generations: document.key_generations,
            authorities: document.authorities,
            rotations: document.rotations,
            details: document.details,
            ..self
        }
    }
}
