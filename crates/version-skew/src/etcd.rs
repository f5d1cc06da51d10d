//! May a member of etcd of this version start in its cluster. Pure.
//! Refuses what etcd itself would die of: below the cluster's version, or more than one minor version above it.

use component_flags::Release;

use crate::Permission;

/// Whether a member of version `ours` may start. `cluster` is the version on which its members have agreed: that of the
/// oldest, or one that was agreed on before; none while there is no cluster yet.
#[must_use]
pub fn etcd_member(ours: Release, cluster: Option<Release>) -> Permission {
    let Some(cluster) = cluster else { return Permission::Granted };
    if ours.minor() < cluster.minor() {
        return Permission::Refused(format!(
            "etcd {ours} is refused: its cluster has gone over to {0}, whose data an older member cannot read; set {0} again, \
             or let `etcdctl downgrade` prepare the members first",
            cluster.series()
        ));
    }
    let next = cluster.next_minor();
    if ours.minor() > next.minor() {
        return Permission::Refused(format!(
            "etcd {ours} is refused: its cluster is at {}, and no minor version can be skipped; set {} first",
            cluster.series(),
            next.series()
        ));
    }
    Permission::Granted
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_member_is_of_the_clusters_version_or_the_next() {
        let at = |ours: &str, cluster: Option<&str>| {
            etcd_member(Release::parse(ours).unwrap(), cluster.map(|text| Release::parse(text).unwrap()))
        };
        for (ours, cluster) in [("3.6.16", None), ("3.6.9", Some("3.6.0")), ("3.7.3", Some("3.6.0"))] {
            assert_eq!(at(ours, cluster), Permission::Granted);
        }
        let Permission::Refused(why) = at("3.6.16", Some("3.7.0")) else { panic!("granted") };
        assert!(why.contains("gone over to 3.7") && why.contains("set 3.7 again"), "{why}");
        let Permission::Refused(why) = at("3.7.3", Some("3.5.0")) else { panic!("granted") };
        assert!(why.contains("set 3.6 first"), "{why}");
    }
}
