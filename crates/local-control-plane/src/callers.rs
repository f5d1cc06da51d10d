//! The tokens by which instances prove themselves to the certificate-authority: given at start, rotated at half their life.
//! Refuses to keep a token of an instance that is no longer planned.

use std::time::Duration;

use caller_identity::{Caller, RegistryError};
use naming_contract::Component;
use time::OffsetDateTime;

use crate::paths::{SELF, StatePaths};
use crate::plan::Plan;

/// How long a token is good; the old one stays good until then.
const LIFETIME: Duration = Duration::from_secs(24 * 3600);
/// How often is looked whether one is due.
const LOOK_EVERY: Duration = Duration::from_secs(300);

/// Gives every instance that needs one a good token, and takes those of all others.
pub(crate) fn enrol_all(plan: &Plan, paths: &StatePaths) -> Result<(), RegistryError> {
    let now = OffsetDateTime::now_utc();
    for (instance, component) in callers(plan) {
        let caller = Caller { component, instance: instance.to_owned(), names: Vec::new() };
        caller_identity::enrol(&paths.callers(), &caller, &paths.caller_token(instance), now, LIFETIME)?;
    }
    for known in known_callers(paths) {
        if !callers(plan).any(|(instance, _)| instance == known) {
            caller_identity::forget(&paths.callers(), &known)?;
        }
    }
    Ok(())
}

/// Rotates tokens for ever.
pub(crate) async fn keep_rotating(plan: &Plan, paths: &StatePaths) {
    loop {
        tokio::time::sleep(LOOK_EVERY).await;
        for (instance, _) in callers(plan) {
            let now = OffsetDateTime::now_utc();
            let rotated = caller_identity::rotate_if_due(
                &paths.callers(),
                instance,
                &paths.caller_token(instance),
                now,
                LIFETIME,
            );
            match rotated {
                Ok(enrolment) if enrolment.fresh_token => tracing::info!(instance, "caller token rotated"),
                Ok(_) => {}
                Err(error) => tracing::error!(
                    instance,
                    error = telemetry::error_chain(&error),
                    "caller token not rotated; its certificates cannot be renewed once it has expired"
                ),
            }
        }
    }
}

/// Everybody who asks the certificate-authority. `pilothouse` asks for the administrators' certificate, to which only
/// whoever could read the CA's keys anyway is entitled.
fn callers(plan: &Plan) -> impl Iterator<Item = (&str, Component)> {
    plan.instances
        .iter()
        .filter(|instance| instance.component != Component::CertificateAuthority)
        .map(|instance| (instance.name.as_str(), instance.component))
        .chain([(SELF, Component::CertificateAuthority)])
}

fn known_callers(paths: &StatePaths) -> Vec<String> {
    let Ok(entries) = std::fs::read_dir(paths.callers()) else { return Vec::new() };
    entries
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.strip_suffix(".json").map(str::to_owned))
        .filter(|name| !name.starts_with('.'))
        .collect()
}

#[cfg(test)]
mod tests {
    use tempfile::TempDir;

    use super::*;
    use crate::settings::Requested;
    use crate::{Blueprint, Extras, PortBlock};

    fn plan(paths: &StatePaths, api_servers: u32) -> Plan {
        let requested = Requested {
            api_servers: Some(api_servers),
            components: Some("/components".into()),
            ..Requested::default()
        };
        Plan::new(&Blueprint {
            name: &"local".parse().unwrap(),
            settings: &requested.settle(None).unwrap(),
            block: PortBlock::candidates("local").next().unwrap(),
            paths,
            supervisors: std::path::Path::new("/supervisors"),
            extras: &Extras::default(),
        })
    }

    #[test]
    fn tokens_stay_over_a_second_up_and_go_with_their_instance() {
        let state = TempDir::new().unwrap();
        let paths = StatePaths::new(state.path().to_owned());
        enrol_all(&plan(&paths, 2), &paths).unwrap();
        let token = |instance| durable_files::read_private(&paths.caller_token(instance), 1024).unwrap();
        let before = token("kube-apiserver-0");
        assert!(known_callers(&paths).contains(&"kube-apiserver-1".to_owned()));
        assert!(known_callers(&paths).contains(&SELF.to_owned()));
        assert!(!known_callers(&paths).contains(&"certificate-authority-0".to_owned()));
        enrol_all(&plan(&paths, 1), &paths).unwrap();
        assert_eq!(token("kube-apiserver-0"), before);
        assert!(!known_callers(&paths).contains(&"kube-apiserver-1".to_owned()));
    }
}
