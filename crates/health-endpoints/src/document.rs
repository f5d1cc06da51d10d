//! The document behind /statusz, which `pilothouse status` reads back. Nothing in it is secret.
//! Refuses behaviour: plain data, the same on the wire and in memory.

use std::collections::BTreeMap;
use std::fmt;

use naming_contract::Component;
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;

/// Where a supervisor is in its life. Services without a child know Bootstrapping, Running, Draining and Stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum State {
    /// Obtaining certificates and keys.
    Bootstrapping,
    /// A condition must hold before the child may start.
    Waiting,
    /// The child was spawned and is not ready yet.
    Starting,
    /// The child was ready at least once in this life.
    Running,
    /// The child ended unasked or was ended to be replaced; the next one starts after a back-off.
    Restarting,
    /// A stop was asked for: holding back, or the child is draining.
    Draining,
    /// No child, and none will come.
    Stopped,
}

impl fmt::Display for State {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, formatter)
    }
}

/// How a component takes up a renewed certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ReloadBehaviour {
    /// Within seconds, by itself.
    Reloads,
    /// By itself, but only every five minutes (client-go).
    ReloadsLate,
    /// Only a restart of the child takes it up.
    NeedsRestart,
    /// Our own client; it is rebuilt when the certificate is renewed.
    OwnClient,
}

/// One leaf certificate as the supervisor holds it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CertificateStatus {
    /// The profile by which it was asked for.
    pub profile: String,
    /// Start of validity.
    #[serde(with = "time::serde::rfc3339")]
    pub not_before: OffsetDateTime,
    /// End of validity.
    #[serde(with = "time::serde::rfc3339")]
    pub not_after: OffsetDateTime,
    /// When its renewal is due.
    #[serde(with = "time::serde::rfc3339")]
    pub renew_at: OffsetDateTime,
    /// Who takes it up, and how.
    pub reload: ReloadBehaviour,
    /// Why the last renewal failed, if it did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_failure: Option<String>,
}

/// What an instance has in use of one CA: what it trusts, and who signed what it shows. CAs are told by fingerprints.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AuthorityInUse {
    /// The certificates of the bundle that is in use.
    pub trusted: Vec<String>,
    /// Signers of the leaves in use; of a leaf that may or may not have been taken up yet, both.
    pub signed_by: Vec<String>,
}

/// Where the rotation of one set of shared keys, or of the CAs, stands; told by the certificate-authority.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RotationStatus {
    /// Which set.
    pub key_set: String,
    /// The number of the key that signs or writes.
    pub key: u64,
    /// The generation of the set that is handed out.
    pub generation: u64,
    /// Whether another key is wanted, or an old one is still there.
    pub under_way: bool,
    /// What that means, for people.
    pub stage: String,
    /// For whom or what it waits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub waits_for: Option<String>,
}

/// All that a supervisor tells about itself and its child.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct StatusDocument {
    /// The instance's name, which is also its hostname.
    pub name: String,
    /// What it runs.
    pub component: Component,
    /// The supervisor's own version.
    pub version: String,
    /// Where it is in its life.
    pub state: State,
    /// Why it is there, for people.
    pub reason: String,
    /// Since when it is there.
    #[serde(with = "time::serde::rfc3339")]
    pub since: OffsetDateTime,
    /// What the present wait or probe last saw.
    pub last_observation: Option<String>,
    /// Whether the child serves its purpose now.
    pub ready: bool,
    /// Why it does not; empty when it does.
    pub not_ready_because: String,
    /// The child's process id.
    pub pid: Option<u32>,
    /// Our own process id.
    pub supervisor_pid: u32,
    /// How often the child was started again in this supervisor's life.
    pub restarts: u32,
    /// The leaves it holds.
    pub certificates: Vec<CertificateStatus>,
    /// Generation in use of each shared key set.
    pub key_generations: BTreeMap<String, u64>,
    /// What is in use of each CA; something else than the child that carries one is named after a slash:
    /// `cluster/kubeconfig`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub authorities: BTreeMap<String, AuthorityInUse>,
    /// Rotations of shared keys and CAs; only the certificate-authority knows of them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub rotations: Vec<RotationStatus>,
    /// What only this component knows: etcd's member id, who leads, what was refused.
    pub details: BTreeMap<String, String>,
}

impl StatusDocument {
    /// Whether it leads the replicas of its component; none where nobody leads, or that is not known.
    #[must_use]
    pub fn leads(&self) -> Option<bool> {
        self.details.get("leader").map(|leads| leads == "true")
    }
}
