//! Whether this version of etcd may start on its volume and in its cluster, and which version the cluster is at, written beside
//! the data. Refuses to leave that to etcd: it would die of it, again and again, with a stack of goroutines for a reason.

use component_flags::Release;
use component_runtime::PodEvents;
use conditions::{Condition, Pace, Progress, Sighting, wait_for};
use etcd_membership::MemberStatus;
use version_skew::Permission;

use crate::beside::Member;
use crate::volume::VolumeFiles;

/// etcd 3.6 is the first that writes its storage's version into it.
const FIRST_WRITTEN: u32 = 6;
const VERSION_DETAIL: &str = "etcdVersion";
const CLUSTER_DETAIL: &str = "clusterVersion";

/// Waits until `ours` may start.
pub(crate) async fn until_allowed(
    member: &Member,
    events: &PodEvents,
    ours: Release,
    progress: &dyn Progress,
) {
    member.board.detail(VERSION_DETAIL, &ours.to_string());
    wait_for(&mut Allowed { member, events, ours }, Pace::default(), progress).await;
}

struct Allowed<'a> {
    member: &'a Member,
    events: &'a PodEvents,
    ours: Release,
}

impl Condition for Allowed<'_> {
    type Output = ();

    fn awaits(&self) -> String {
        format!("etcd {} to be allowed here", self.ours)
    }

    async fn look(&mut self) -> Sighting<()> {
        let cluster = match self.member.cluster_version().await {
            Ok(cluster) => cluster,
            Err(why) => return Sighting::NotYet(why),
        };
        match version_skew::etcd_member(self.ours, cluster) {
            Permission::Granted => Sighting::Holds(()),
            Permission::Later(why) => Sighting::NotYet(why),
            Permission::Refused(why) => {
                self.events.refused(&why);
                Sighting::NotYet(why)
            }
        }
    }
}

impl Member {
    /// The version that the cluster was at when this member last served, else what the others say now.
    async fn cluster_version(&self) -> Result<Option<Release>, String> {
        let noted = self.files.with(VolumeFiles::cluster_version).await;
        if let Some(noted) = noted.map_err(|error| telemetry::error_chain(&error))? {
            return Ok(Some(noted));
        }
        if self.members.may_change() {
            // Who the others are; nobody can be asked before that is known, and nobody needs to be who founds.
            let _seen = self.members.look().await;
        }
        let others = self.peers.statuses().await;
        Ok(others.into_iter().filter_map(|status| agreed(&status)).max())
    }

    /// Writes down which version the members have agreed on, up or down.
    pub(crate) async fn remember_cluster_version(&self, status: &MemberStatus) {
        let Some(version) = agreed(status) else { return };
        if self.seen.cluster_version.replace(Some(version)) == Some(version) {
            return;
        }
        self.board.detail(CLUSTER_DETAIL, &version.series());
        if let Err(error) = self.files.with(move |files| files.write_cluster_version(version)).await {
            self.seen.cluster_version.set(None);
            tracing::warn!(error = telemetry::error_chain(&error), "the cluster's version cannot be noted");
        }
    }
}

/// The storage follows the version that all members have agreed on within seconds (etcd's `monitorStorageVersion`).
fn agreed(status: &MemberStatus) -> Option<Release> {
    written(status.storage_version.as_deref()?)
}

/// None of a storage without a version, which etcd calls 3.5 (server/storage/schema/schema.go): so is that of a new cluster for
/// the moment until its members have agreed.
fn written(storage_version: &str) -> Option<Release> {
    let version = Release::parse(storage_version).ok()?;
    (version.minor() >= FIRST_WRITTEN).then_some(version)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_storage_that_has_no_version_yet_is_of_none() {
        assert_eq!(written("3.5.0"), None);
        assert_eq!(written(""), None);
        for version in ["3.6.0", "3.7.0"] {
            assert_eq!(written(version), Release::parse(version).ok());
        }
    }
}
