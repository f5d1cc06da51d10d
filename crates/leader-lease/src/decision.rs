//! Is a lease ours to clear, and what it looks like afterwards. Pure: identities and time are arguments.
//! Refuses to clear what a living twin may hold: only the own hostname, whole, in front of the separator counts.

use k8s_openapi::api::coordination::v1::LeaseSpec;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;

/// Kubernetes derives names from hostnames that hold 63 characters at most.
pub const LONGEST_HOSTNAME: usize = 63;

/// Whether `holder` is a dead child of the process whose hostname this is. Kubernetes' components call themselves
/// `<hostname>_<uuid>` (cmd/kube-controller-manager/app, cmd/kube-scheduler/app/options, k8s.io/cloud-provider/app).
#[must_use]
pub fn is_ours_to_clear(holder: &str, own_hostname: &str) -> bool {
    let usable = (1..=LONGEST_HOSTNAME).contains(&own_hostname.len());
    // The rest must be one part: a host named `a_b` is not a child of host `a`.
    usable
        && holder
            .strip_prefix(own_hostname)
            .and_then(|rest| rest.strip_prefix('_'))
            .is_some_and(|rest| !rest.is_empty() && !rest.contains('_'))
}

/// The lease as client-go's own release leaves it: no holder, one second, and the count of transitions kept.
#[must_use]
pub fn released(lease: &LeaseSpec, now: &MicroTime) -> LeaseSpec {
    LeaseSpec {
        holder_identity: Some(String::new()),
        lease_duration_seconds: Some(1),
        acquire_time: Some(now.clone()),
        renew_time: Some(now.clone()),
        lease_transitions: lease.lease_transitions,
        preferred_holder: None,
        strategy: lease.strategy.clone(),
    }
}

#[cfg(test)]
mod tests {
    use k8s_openapi::jiff::Timestamp;
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn only_the_whole_own_hostname_counts() {
        let own = "kube-scheduler-1";
        assert!(is_ours_to_clear("kube-scheduler-1_0a1b-2c", own));
        for other in [
            "kube-scheduler-10_0a1b-2c",
            "kube-scheduler-0_0a1b-2c",
            "kube-scheduler-1",
            "kube-scheduler-1_",
            "kube-scheduler-1_x_0a1b-2c",
            "kube-scheduler-1-0a1b",
            "xkube-scheduler-1_0a1b-2c",
            "",
        ] {
            assert!(!is_ours_to_clear(other, own), "{other}");
        }
        assert!(!is_ours_to_clear("_0a1b", ""));
        let too_long = "a".repeat(LONGEST_HOSTNAME + 1);
        assert!(!is_ours_to_clear(&format!("{too_long}_0a1b"), &too_long));
    }

    #[test]
    fn a_released_lease_keeps_the_count_of_transitions() {
        let lease = LeaseSpec {
            holder_identity: Some("a_1".into()),
            lease_duration_seconds: Some(15),
            lease_transitions: Some(7),
            ..LeaseSpec::default()
        };
        let now = MicroTime(Timestamp::UNIX_EPOCH);
        let released = released(&lease, &now);
        assert_eq!(released.holder_identity.as_deref(), Some(""));
        assert_eq!(released.lease_duration_seconds, Some(1));
        assert_eq!(released.lease_transitions, Some(7));
    }

    proptest! {
        #[test]
        fn a_living_twin_is_never_cleared(own in "[a-z0-9-]{1,63}", twin in "[a-z0-9-]{1,63}", uuid in "[0-9a-f-]{1,36}") {
            let holder = format!("{twin}_{uuid}");
            prop_assert_eq!(is_ours_to_clear(&holder, &own), own == twin);
        }

        #[test]
        fn a_twin_whose_name_is_longer_is_never_cleared(own in "[a-z0-9-]{1,30}", more in "[a-z0-9_-]{1,30}", uuid in "[0-9a-f-]{1,36}") {
            let holder = format!("{own}{more}_{uuid}");
            prop_assert!(!is_ours_to_clear(&holder, &own));
        }
    }
}
