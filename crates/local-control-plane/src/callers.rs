//! The tokens by which instances prove themselves to the certificate-authority: given at start, rotated at half their life.
//! Refuses to keep a token of an instance that is no longer planned.

use std::collections::BTreeMap;
use std::time::Duration;

use caller_identity::{Caller, RegistryError};
use conditions::Backoff;
use naming_contract::Component;
use time::OffsetDateTime;
use tokio::time::Instant;

use crate::paths::{SELF, StatePaths};
use crate::plan::Plan;

/// How long a token is good; the old one stays good until then.
const LIFETIME: Duration = Duration::from_secs(24 * 3600);
/// How often is looked whether one is due. Pauses do not pass while the machine is suspended, but a token's life does: after a
/// long sleep, or a jump of the clock, nobody gets a certificate before the next look.
const LOOK_EVERY: Duration = Duration::from_secs(5);
/// How seldom at last one that cannot be rotated is tried again: a try may leave one more hash in the registry, until it expires.
const LONGEST_PAUSE: Duration = Duration::from_secs(300);

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

/// Rotates tokens for ever, by the time that `clock` tells.
pub(crate) async fn keep_rotating(plan: &Plan, paths: &StatePaths, clock: impl Fn() -> OffsetDateTime) {
    let mut failures: BTreeMap<&str, Failure> = BTreeMap::new();
    loop {
        tokio::time::sleep(LOOK_EVERY).await;
        for (instance, _) in callers(plan) {
            if failures.get(instance).is_some_and(|failure| Instant::now() < failure.not_before) {
                continue;
            }
            let token = paths.caller_token(instance);
            match caller_identity::rotate_if_due(&paths.callers(), instance, &token, clock(), LIFETIME) {
                Ok(enrolment) => {
                    failures.remove(instance);
                    if enrolment.fresh_token {
                        tracing::info!(instance, "caller token rotated");
                    }
                }
                Err(error) => failures.entry(instance).or_default().happened(instance, &error),
            }
        }
    }
}

/// A token that could not be rotated.
struct Failure {
    told: String,
    backoff: Backoff,
    not_before: Instant,
}

impl Default for Failure {
    fn default() -> Self {
        let backoff = Backoff::new(LOOK_EVERY, LONGEST_PAUSE);
        Self { told: String::new(), backoff, not_before: Instant::now() }
    }
}

impl Failure {
    fn happened(&mut self, instance: &str, error: &RegistryError) {
        self.not_before = Instant::now() + self.backoff.next_delay();
        let error = telemetry::error_chain(error);
        if self.told != error {
            tracing::error!(
                instance,
                error,
                "caller token not rotated; its certificates cannot be renewed once it has expired"
            );
            self.told = error;
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
    use std::cell::Cell;

    use tempfile::TempDir;
    use tokio::time::timeout;

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

    #[tokio::test(start_paused = true)]
    async fn a_clock_that_jumps_leaves_nobody_with_an_expired_token_for_long() {
        let state = TempDir::new().unwrap();
        let paths = StatePaths::new(state.path().to_owned());
        let plan = plan(&paths, 2);
        enrol_all(&plan, &paths).unwrap();
        let token = |instance| durable_files::read_private(&paths.caller_token(instance), 1024).unwrap();
        let (before, clock) = (token("etcd-0"), Cell::new(OffsetDateTime::now_utc()));
        let mut rotate = std::pin::pin!(keep_rotating(&plan, &paths, || clock.get()));
        timeout(Duration::from_secs(3600), &mut rotate).await.unwrap_err();
        assert_eq!(token("etcd-0"), before);
        // The machine slept: its clock went on, the pauses of this process did not.
        clock.set(clock.get() + LIFETIME);
        timeout(Duration::from_secs(10), &mut rotate).await.unwrap_err();
        for instance in ["etcd-0", SELF] {
            let now = caller_identity::rotate_if_due(
                &paths.callers(),
                instance,
                &paths.caller_token(instance),
                clock.get(),
                LIFETIME,
            );
            assert!(!now.unwrap().fresh_token, "{instance} still had the expired one");
        }
        assert_ne!(token("etcd-0"), before);
    }

    #[tokio::test(start_paused = true)]
    async fn a_token_that_cannot_be_written_does_not_fill_the_registry() {
        let state = TempDir::new().unwrap();
        let paths = StatePaths::new(state.path().to_owned());
        let plan = plan(&paths, 1);
        enrol_all(&plan, &paths).unwrap();
        std::fs::remove_file(paths.caller_token("etcd-0")).unwrap();
        std::fs::create_dir(paths.caller_token("etcd-0")).unwrap();
        let mut rotate = std::pin::pin!(keep_rotating(&plan, &paths, OffsetDateTime::now_utc));
        timeout(Duration::from_secs(3600), &mut rotate).await.unwrap_err();
        let entry = durable_files::read_private(&paths.callers().join("etcd-0.json"), 64 * 1024).unwrap();
        let entry: serde_json::Value = serde_json::from_slice(&entry).unwrap();
        let tokens = entry["tokens"].as_array().unwrap().len();
        assert!((5..30).contains(&tokens), "{tokens}");
        std::fs::remove_dir(paths.caller_token("etcd-0")).unwrap();
        timeout(LONGEST_PAUSE * 2 + LOOK_EVERY, &mut rotate).await.unwrap_err();
        assert!(paths.caller_token("etcd-0").is_file());
    }
}
