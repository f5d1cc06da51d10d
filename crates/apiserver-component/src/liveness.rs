//! What kube-apiserver's /livez says about kube-apiserver itself. Pure.
//! Refuses every check that waits for etcd: restarting an API server heals no etcd, and all would restart at once.

use kubernetes_health::HealthAnswer;

/// Whether the API server itself lives. A start hook that etcd keeps from finishing ends the process by itself after
/// 30 s, so hooks are left to it.
pub(crate) fn alive(answer: &HealthAnswer) -> Result<(), String> {
    match answer {
        // 403: before its roles exist. 429: while it drains. Somebody answers, so it lives.
        HealthAnswer::Healthy | HealthAnswer::Other(_) => Ok(()),
        HealthAnswer::Failing(checks) => {
            let own: Vec<&str> =
                checks.iter().map(String::as_str).filter(|check| !waits_for_etcd(check)).collect();
            if own.is_empty() { Ok(()) } else { Err(format!("failed: {}", own.join(", "))) }
        }
        HealthAnswer::None(why) => Err(why.clone()),
    }
}

fn waits_for_etcd(check: &str) -> bool {
    check == "etcd" || check.starts_with("etcd-") || check.starts_with("poststarthook/")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failing(checks: &[&str]) -> HealthAnswer {
        HealthAnswer::Failing(checks.iter().map(ToString::to_string).collect())
    }

    #[test]
    fn etcd_never_counts_against_the_api_server() {
        assert_eq!(alive(&failing(&["etcd"])), Ok(()));
        assert_eq!(
            alive(&failing(&["etcd", "etcd-override-0", "poststarthook/rbac/bootstrap-roles"])),
            Ok(())
        );
        assert_eq!(alive(&HealthAnswer::Other(403)), Ok(()));
    }

    #[test]
    fn its_own_checks_and_silence_do() {
        assert_eq!(alive(&failing(&["etcd", "log"])), Err("failed: log".to_owned()));
        assert!(alive(&HealthAnswer::None("no answer in time".into())).is_err());
    }
}
