//! Rotations in a management cluster: sets in their Secrets, whichever replica is first, and the Pods of the release that
//! exist. Refuses to hand out what it has not seen in its Secret for a while: another replica may have stored the next.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::Duration;

use certificates::{PublishedGenerations, Rotated, WantedKeys};
use futures_util::future::try_join_all;
use health_endpoints::HealthClient;
use k8s_openapi::api::core::v1::{Pod, Secret};
use management_api::{find, pods, replace};
use naming_contract::{Component, labels, ports};
use time::OffsetDateTime;
use tokio::sync::Notify;
use tokio::time::Instant;

use super::secret_contents::{Contents, Data, stored_data, without_manifest};
use super::{Release, TendError};
use crate::AuthorityKeys;
use crate::founding::{MANIFEST, STORED_SETS};
use crate::kept::Kept;
use crate::rotation::{Position, RotationPlace, Sighted, Stage, StoredKeys};

/// How often the sets are read.
pub(super) const REFRESH_EVERY: Duration = Duration::from_secs(10);
/// What was read so long ago is handed out no more; less than [`InRelease::SETTLE`]. Both are counted by steady clocks: this one
/// from before the first of the sets is read, that one from when a stage was seen.
pub(super) const GOOD_FOR: Duration = Duration::from_secs(25);
/// A Pod that should be gone for so long is not asked any more: its node is dead, and it is no caller either.
const GONE_AFTER: Duration = Duration::from_secs(60);

/// The place of one replica.
pub(super) struct InRelease {
    pub(super) release: Rc<Release>,
    pub(super) contents: Rc<RefCell<BTreeMap<Kept, Data>>>,
    pub(super) health: HealthClient,
    /// Wakes whoever keeps the ConfigMap.
    pub(super) published: Rc<Notify>,
}

impl RotationPlace for InRelease {
    const SETTLE: Duration = Duration::from_secs(30);

    fn wanted(&self) -> Result<WantedKeys, String> {
        Ok(WantedKeys::default())
    }

    async fn instances(&self, what: Rotated) -> Result<Vec<Sighted>, String> {
        let concerned: Vec<&str> = match what {
            Rotated::CertificateAuthorities => Component::ALL.into_iter().map(Component::name).collect(),
            Rotated::ServiceAccount | Rotated::Encryption => {
                let holders =
                    [Component::KubeApiserver, Component::KubeControllerManager, Component::ClusterBootstrap];
                holders.map(Component::name).to_vec()
            }
        };
        let labels = format!(
            "{}={},{} in ({})",
            labels::INSTANCE,
            self.release.objects.release(),
            labels::COMPONENT,
            concerned.join(",")
        );
        let now = OffsetDateTime::now_utc().unix_timestamp();
        let mut sighted = Vec::new();
        for pod in pods(&self.release.api, &labels).await.map_err(|error| error.told())? {
            let Some(component) = component_of(&pod) else { continue };
            if !may_hold_keys(&pod, now) {
                continue;
            }
            let document = match address_of(&pod) {
                Some(endpoint) => self.health.status(&endpoint).await.ok(),
                None => None,
            };
            sighted.push(Sighted { name: pod.metadata.name.unwrap_or_default(), component, document });
        }
        Ok(sighted)
    }

    async fn store(&self, kept: Kept, before: &StoredKeys, after: &StoredKeys) -> Result<(), String> {
        let name = kept.secret(&self.release.objects);
        let read = find::<Secret>(&self.release.api, &name).await.map_err(|error| error.told())?;
        let mut secret = read.ok_or_else(|| format!("Secret {name} is gone"))?;
        if without_manifest(&secret).as_ref() != Some(&stored_data(kept, before)) {
            return Err("another replica was faster".to_owned());
        }
        let mut data = stored_data(kept, after);
        // The first Secret keeps what says that all were there once.
        let manifest = secret.data.as_mut().and_then(|data| data.remove_entry(MANIFEST));
        data.extend(manifest);
        secret.data = Some(data.clone());
        match replace(&self.release.api, &secret).await {
            Ok(_) => {
                self.contents.borrow_mut().insert(kept, data);
                Ok(())
            }
            Err(error) if error.is_conflict() => Err("another replica was faster".to_owned()),
            Err(error) => Err(error.told()),
        }
    }

    fn publish(&self, _keys: &AuthorityKeys, generations: &PublishedGenerations) {
        if *self.release.published.borrow() != *generations {
            generations.clone_into(&mut self.release.published.borrow_mut());
            self.published.notify_one();
            self.release.kubeconfig_due.notify_one();
        }
    }
}

impl Release {
    /// Reads the sets ever and again, and goes on with what another replica has stored.
    pub(super) async fn refresh_keys<T>(
        &self,
        keys: &AuthorityKeys,
        contents: &RefCell<BTreeMap<Kept, Data>>,
    ) -> T {
        loop {
            let next = Instant::now() + REFRESH_EVERY;
            let refreshed = good_since_begun(keys, self.refresh_once(keys, contents)).await;
            // One call that fails is no trouble yet.
            let told = if keys.are_stale() { refreshed.map_err(|error| error.told()) } else { Ok(()) };
            self.reports.required("keys", told);
            tokio::time::sleep_until(next).await;
        }
    }

    /// All at once: one after the other they might take longer than what was read first is good.
    async fn refresh_once(
        &self,
        keys: &AuthorityKeys,
        contents: &RefCell<BTreeMap<Kept, Data>>,
    ) -> Result<(), TendError> {
        let read = async |kept: Kept| {
            let found = find::<Secret>(&self.api, &kept.secret(&self.objects)).await?;
            Ok::<_, TendError>((kept, found))
        };
        for (kept, found) in try_join_all(to_refresh(keys).into_iter().map(read)).await? {
            if let Some(secret) = found {
                self.adopt(keys, contents, kept, &secret);
            }
        }
        Ok(())
    }

    /// Goes on with a set that a replica stored after what is known here; whoever edits otherwise is not followed.
    pub(super) fn adopt(
        &self,
        keys: &AuthorityKeys,
        contents: &RefCell<BTreeMap<Kept, Data>>,
        kept: Kept,
        secret: &Secret,
    ) {
        let Some(data) = secret.data.as_ref() else { return };
        if contents.borrow().get(&kept) == Some(data) {
            return;
        }
        let nothing = BTreeMap::new();
        let reading = Contents { secrets: &nothing, named: &|kept| kept.secret(&self.objects) };
        let Ok(stored) = reading.stored_keys(kept, data) else { return };
        let known = keys.stored(kept).map(|known| known.position());
        let position = stored.position();
        let standing = |at: &Position| (at.key, at.stage, at.generation, at.stood);
        let later = known.is_none_or(|known| standing(&position) > standing(&known));
        if later && stored.is_sealed(kept, keys.founding()) == Some(true) {
            let (generation, stage) = (position.generation, position.stage);
            // How long it has stood there already is no news to people.
            if known.is_none_or(|known| (known.generation, known.stage) != (generation, stage)) {
                tracing::info!(%kept, generation, ?stage, "another replica stored a stage of its rotation");
            }
            match keys.adopt(kept, stored) {
                Ok(()) => drop(contents.borrow_mut().insert(kept, data.clone())),
                Err(error) => tracing::error!(%kept, ?error, "what another replica stored is of no use"),
            }
        }
    }
}

/// What is known after `reading` was good when that began, however long it took.
async fn good_since_begun<E>(
    keys: &AuthorityKeys,
    reading: impl Future<Output = Result<(), E>>,
) -> Result<(), E> {
    let begun = Instant::now();
    reading.await?;
    keys.seen(begun, GOOD_FOR);
    Ok(())
}

/// All CAs are stored in one order, the first before the others enter a stage and leave the last one: as long as it rests
/// and none is behind it, the others rest too.
fn to_refresh(keys: &AuthorityKeys) -> Vec<Kept> {
    let position = |kept: &Kept| keys.stored(*kept).map(|stored| stored.position());
    let stands = |kept: &Kept| position(kept).map(|position| (position.key, position.stage));
    let authorities = Kept::of(Rotated::CertificateAuthorities);
    let first = stands(&authorities[0]);
    let rest = first.is_some_and(|(_, stage)| stage == Stage::Settled)
        && authorities.iter().all(|kept| stands(kept) == first);
    let authorities = if rest { &authorities[..1] } else { authorities };
    STORED_SETS.map(Kept::Shared).into_iter().chain(authorities.iter().copied()).collect()
}

fn component_of(pod: &Pod) -> Option<Component> {
    let name = pod.metadata.labels.as_ref()?.get(labels::COMPONENT)?;
    Component::ALL.into_iter().find(|component| component.name() == name)
}

/// Whether a Pod may have keys of an earlier time in use. One that never ran has none: it asks before it serves.
fn may_hold_keys(pod: &Pod, now: i64) -> bool {
    let status = pod.status.as_ref();
    let ended = status
        .and_then(|status| status.phase.as_deref())
        .is_some_and(|phase| ["Succeeded", "Failed"].contains(&phase));
    let deleted = pod.metadata.deletion_timestamp.as_ref().map(|time| time.0.as_second());
    let gone =
        deleted.is_some_and(|deleted| now > deleted.saturating_add(GONE_AFTER.as_secs().cast_signed()));
    let containers = status.and_then(|status| status.container_statuses.as_deref()).unwrap_or_default();
    let ran = containers.iter().any(|container| {
        let state = container.state.as_ref();
        container.restart_count > 0
            || state.is_some_and(|state| state.running.is_some() || state.terminated.is_some())
    });
    !ended && !gone && ran
}

fn address_of(pod: &Pod) -> Option<String> {
    let address: std::net::IpAddr = pod.status.as_ref()?.pod_ip.as_ref()?.parse().ok()?;
    Some(format!("http://{}", std::net::SocketAddr::new(address, ports::HEALTH)))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn pod(deletion: Option<&str>, phase: &str, containers: &Value) -> Pod {
        let labels = json!({ "app.kubernetes.io/component": "kube-apiserver" });
        serde_json::from_value(json!({
            "metadata": { "name": "a", "labels": labels, "deletionTimestamp": deletion },
            "status": { "phase": phase, "podIP": "fd00::7", "containerStatuses": containers },
        }))
        .unwrap()
    }

    fn container(state: &Value, restarts: u32) -> Value {
        json!([{ "name": "c", "image": "i", "imageID": "i", "ready": false, "restartCount": restarts, "state": state }])
    }

    #[tokio::test(start_paused = true)]
    async fn what_took_long_to_read_is_good_from_when_reading_began() {
        let keys = AuthorityKeys::assemble(BTreeMap::new(), String::new()).unwrap();
        let slow = async {
            tokio::time::sleep(Duration::from_secs(20)).await;
            Ok::<_, ()>(())
        };
        good_since_begun(&keys, slow).await.unwrap();
        tokio::time::advance(Duration::from_secs(4)).await;
        assert!(!keys.are_stale());
        tokio::time::advance(Duration::from_secs(1)).await;
        assert!(keys.are_stale());
        good_since_begun(&keys, std::future::ready(Err(()))).await.unwrap_err();
        assert!(keys.are_stale());
    }

    #[test]
    fn who_runs_ran_or_is_ending_counts_and_who_never_ran_or_is_gone_does_not() {
        // 2026-11-22 12:00 UTC.
        let now = 1_795_348_800;
        let running = container(&json!({ "running": {} }), 0);
        let waiting = |restarts| container(&json!({ "waiting": { "reason": "CrashLoopBackOff" } }), restarts);
        let counts =
            |deletion, phase, containers: &Value| may_hold_keys(&pod(deletion, phase, containers), now);
        assert!(counts(None, "Running", &running));
        assert!(counts(None, "Running", &waiting(1)));
        assert!(counts(Some("2026-11-22T11:59:30Z"), "Running", &running));
        assert!(!counts(Some("2026-11-22T11:58:30Z"), "Running", &running));
        assert!(!counts(None, "Pending", &waiting(0)));
        assert!(!counts(None, "Failed", &running));
        let seen = pod(None, "Running", &running);
        assert_eq!(component_of(&seen), Some(Component::KubeApiserver));
        assert_eq!(address_of(&seen).as_deref(), Some("http://[fd00::7]:8686"));
    }
}
