//! What one member's supervisor is told, and how patiently its child is supervised.
//! Refuses flags of etcd: component-flags renders those.

use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use certificates::{Authority, Profile};
use cluster_record::RecordStore;
use component_runtime::Needs;
use etcd_membership::DefragmentationPolicy;
use health_endpoints::ReloadBehaviour::{NeedsRestart, OwnClient, Reloads};
use supervision::{Configuration, GoodEndings};

use crate::MemberSource;

/// Settings of one member.
#[derive(Debug, Clone)]
pub struct EtcdConfiguration {
    /// The volume: etcd's data and what the supervisor writes beside it.
    pub data_directory: PathBuf,
    /// The cluster record, shared by all members' supervisors.
    pub cluster_record: RecordStore,
    /// All members that should exist, this one among them.
    pub members: MemberSource,
    /// Where etcd listens, for everything.
    pub listen_address: IpAddr,
    /// Port of etcd's own HTTP endpoints.
    pub http_port: u16,
    /// Size of the database at which etcd stops taking writes; none: etcd's default.
    pub quota_backend_bytes: Option<u64>,
    /// How long the same Pod must stay the right one to be evicted for an update, see
    /// [`USUAL_SETTLE`](etcd_membership::USUAL_SETTLE).
    pub update_settle: Duration,
    /// Which members' database files are rewritten; none: nobody's, before the quota is reached.
    pub defragmentation: Option<DefragmentationPolicy>,
}

/// Leaves are read anew for each handshake; bundles only at start.
pub const NEEDS: Needs = Needs {
    leaves: &[
        (Profile::EtcdServer, Reloads),
        (Profile::EtcdPeer, Reloads),
        (Profile::EtcdMemberClient, OwnClient),
    ],
    shared_keys: &[],
    bundles: &[(Authority::Etcd, NeedsRestart), (Authority::EtcdPeer, NeedsRestart)],
};

impl EtcdConfiguration {
    /// How a member is supervised. A Pod's grace period is 120 s: hold back, drain, confirm.
    #[must_use]
    pub fn policy() -> Configuration {
        let mut policy = Configuration::new(GoodEndings::EXIT_ZERO_OR_SIGTERM);
        let timings = &mut policy.timings;
        timings.hold_limit = Duration::from_secs(85);
        // At most 7 s for its clients' streams and 7 s for the transfer of leadership.
        timings.drain_budget = Duration::from_secs(25);
        timings.wedge_after = Duration::from_secs(10);
        policy
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A restart waits for as long as it would break the quorum, which a leaf that runs out would not.
    #[test]
    fn no_leaf_of_etcd_needs_a_restart() {
        assert!(NEEDS.leaves.iter().all(|(_, reload)| *reload != NeedsRestart));
    }
}
