//! Under which hostname the child elects, and whether that tells it apart from its twins.
//! Refuses a hostname that is not the instance's: then nobody can tell a dead child from a living twin.

/// The hostname, if it is the instance's own; else why leases are left alone.
pub(crate) fn own_hostname(instance: &str) -> Result<String, String> {
    let hostname = nix::unistd::gethostname()
        .map_err(|errno| format!("the hostname cannot be read: {errno}"))?
        .to_string_lossy()
        .into_owned();
    judged(&hostname, instance)
}

fn judged(hostname: &str, instance: &str) -> Result<String, String> {
    if hostname != instance {
        return Err(format!("the hostname is {hostname}, not {instance}: twins may share it"));
    }
    if hostname.len() > leader_lease::LONGEST_HOSTNAME {
        return Err(format!("the hostname is longer than {} characters", leader_lease::LONGEST_HOSTNAME));
    }
    Ok(hostname.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_instances_own_hostname_is_used() {
        assert_eq!(judged("kube-scheduler-0", "kube-scheduler-0"), Ok("kube-scheduler-0".to_owned()));
        assert!(judged("laptop", "kube-scheduler-0").unwrap_err().contains("laptop"));
        let long = "a".repeat(64);
        assert!(judged(&long, &long).is_err());
    }
}
