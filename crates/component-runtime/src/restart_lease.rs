//! Turns to restart by a Lease of the management cluster, renewed while it is held and free when its holder is silent.
//! Refuses to guess while the API is away: then nobody has the turn.

use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

use certificates::Turns;
use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use k8s_openapi::jiff::Timestamp;
use kube::api::ObjectMeta;
use management_api::{Creation, ManagementApi, ManagementError, create_only, find, replace};
use naming_contract::labels::recommended;
use naming_contract::{Component, ReleaseObjects};
use tokio::time::Instant;
use tokio_util::task::AbortOnDropHandle;

use crate::trust_mirror::Owners;

/// Longest time for which a holder that ended without a word is waited for.
const LEASE_SECONDS: u16 = 300;
/// Three times until it would count as silent.
const RENEW_EVERY: Duration = Duration::from_secs(LEASE_SECONDS as u64 / 4);
/// A turn that cannot be given back in time runs out by itself.
const GIVE_BACK_LIMIT: Duration = Duration::from_secs(5);

/// What to do about a lease.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Verdict {
    /// There is none: make it.
    Make,
    /// It is free, ours from an earlier life, or its holder is silent: write our name.
    Take,
    /// Somebody has it.
    Held(String),
}

/// `unchanged_for` is by our own clock: those of two nodes may differ by more than a lease lasts.
fn verdict(lease: Option<&Lease>, me: &str, unchanged_for: Duration) -> Verdict {
    let Some(lease) = lease else { return Verdict::Make };
    let Some(spec) = &lease.spec else { return Verdict::Take };
    let seconds = spec.lease_duration_seconds.and_then(|seconds| u64::try_from(seconds).ok());
    let lasts = Duration::from_secs(seconds.unwrap_or(LEASE_SECONDS.into()));
    match spec.holder_identity.as_deref().filter(|holder| !holder.is_empty()) {
        Some(holder) if holder != me && unchanged_for < lasts => Verdict::Held(holder.to_owned()),
        _ => Verdict::Take,
    }
}

/// The lease with our name on it.
fn taken(mut lease: Lease, me: &str, now: &MicroTime) -> Lease {
    let before = lease.spec.take().unwrap_or_default();
    let moves = before.holder_identity.as_deref().is_some_and(|holder| !holder.is_empty() && holder != me);
    lease.spec = Some(LeaseSpec {
        holder_identity: Some(me.to_owned()),
        lease_duration_seconds: Some(LEASE_SECONDS.into()),
        acquire_time: Some(now.clone()),
        renew_time: Some(now.clone()),
        lease_transitions: Some(before.lease_transitions.unwrap_or(0) + i32::from(moves)),
        ..LeaseSpec::default()
    });
    lease
}

/// The lease without a holder.
fn given_back(mut lease: Lease, now: &MicroTime) -> Lease {
    if let Some(spec) = &mut lease.spec {
        spec.holder_identity = None;
        spec.renew_time = Some(now.clone());
    }
    lease
}

/// Takes turns by one Lease.
pub(crate) struct LeaseTurns {
    api: ManagementApi,
    name: String,
    me: String,
    component: Component,
    owners: Option<Owners>,
    /// Differs from process to process: two processes that make the lease at once must not overwrite each other.
    creator: String,
    watched: Option<(Option<String>, Instant)>,
}

/// The turn, renewed until it is given back.
pub(crate) struct LeaseTurn {
    api: ManagementApi,
    name: String,
    me: String,
    lost: Rc<Cell<bool>>,
    renewing: AbortOnDropHandle<()>,
}

impl LeaseTurns {
    /// Nothing is asked yet. The lease, where it must be made, gets the owners of the trust bundles: it goes with them.
    pub(crate) fn new(
        api: ManagementApi,
        name: &str,
        me: &str,
        component: Component,
        owners: Option<Owners>,
    ) -> Self {
        let creator = format!("{me}-{:016x}", rand::random::<u64>());
        Self { api, name: name.to_owned(), me: me.to_owned(), component, owners, creator, watched: None }
    }

    /// For how long the lease has looked like this, by our own clock.
    fn unchanged_for(&mut self, lease: Option<&Lease>) -> Duration {
        let version = lease.and_then(|lease| lease.metadata.resource_version.clone());
        match &self.watched {
            Some((known, since)) if *known == version => since.elapsed(),
            _ => {
                self.watched = Some((version, Instant::now()));
                Duration::ZERO
            }
        }
    }

    /// Whether it is ours now; false when somebody else was faster.
    async fn take(&mut self) -> Result<bool, TakeError> {
        let found = find::<Lease>(&self.api, &self.name).await?;
        let unchanged_for = self.unchanged_for(found.as_ref());
        let now = MicroTime(Timestamp::now());
        match verdict(found.as_ref(), &self.me, unchanged_for) {
            Verdict::Held(holder) => Err(TakeError::Held(holder)),
            Verdict::Make => {
                let metadata = ObjectMeta {
                    name: Some(self.name.clone()),
                    namespace: Some(self.api.namespace().to_owned()),
                    labels: Some(recommended(
                        ReleaseObjects::of_restart_lease(&self.name, self.component).as_ref(),
                        self.component,
                    )),
                    owner_references: self.owners.as_ref().and_then(Owners::now),
                    ..ObjectMeta::default()
                };
                let lease = taken(Lease { metadata, spec: None }, &self.me, &now);
                Ok(create_only(&self.api, &self.creator, &lease).await? == Creation::Created)
            }
            Verdict::Take => {
                match replace(&self.api, &taken(found.unwrap_or_default(), &self.me, &now)).await {
                    Ok(_) => Ok(true),
                    Err(error) if error.is_conflict() => Ok(false),
                    Err(error) => Err(error.into()),
                }
            }
        }
    }
}

enum TakeError {
    Held(String),
    Api(ManagementError),
}

impl From<ManagementError> for TakeError {
    fn from(error: ManagementError) -> Self {
        Self::Api(error)
    }
}

impl Turns for LeaseTurns {
    type Turn = LeaseTurn;

    fn described(&self) -> String {
        format!("Lease {}/{}", self.api.namespace(), self.name)
    }

    /// A silent holder loses it after a while, and without the API everybody keeps what he has as long as it is good.
    fn patience(&self) -> Option<Duration> {
        None
    }

    async fn try_take(&mut self) -> Result<LeaseTurn, String> {
        match self.take().await {
            Ok(true) => Ok(LeaseTurn::begin(self.api.clone(), self.name.clone(), self.me.clone())),
            Ok(false) => Err("somebody else took it this instant".to_owned()),
            Err(TakeError::Held(holder)) => Err(format!("{holder} is restarting its child")),
            Err(TakeError::Api(error)) => Err(error.told()),
        }
    }
}

impl LeaseTurn {
    fn begin(api: ManagementApi, name: String, me: String) -> Self {
        let lost = Rc::new(Cell::new(false));
        let renewing =
            tokio::task::spawn_local(renew(api.clone(), name.clone(), me.clone(), Rc::clone(&lost)));
        Self { api, name, me, lost, renewing: AbortOnDropHandle::new(renewing) }
    }

    /// Lets the next replica go, now if the API can be told.
    pub(crate) async fn give_back(self) {
        drop(self.renewing);
        if self.lost.get() {
            return;
        }
        let told = tokio::time::timeout(GIVE_BACK_LIMIT, async {
            loop {
                let lease = find::<Lease>(&self.api, &self.name).await?;
                let Some(lease) = lease.filter(|lease| holder(lease) == Some(self.me.as_str())) else {
                    return Ok(());
                };
                match replace(&self.api, &given_back(lease, &MicroTime(Timestamp::now()))).await {
                    Err(error) if error.is_conflict() => {}
                    other => return other.map(drop),
                }
            }
        });
        let why = match told.await {
            Ok(Ok(())) => return,
            Ok(Err(error)) => error.told(),
            Err(_late) => format!("no answer within {GIVE_BACK_LIMIT:?}"),
        };
        tracing::info!(
            lease = self.name,
            why,
            "the turn to restart runs out by itself, it could not be given back"
        );
    }
}

/// Until the turn is given back, or somebody took it: he thought that we are gone.
async fn renew(api: ManagementApi, name: String, me: String, lost: Rc<Cell<bool>>) {
    loop {
        tokio::time::sleep(RENEW_EVERY).await;
        match find::<Lease>(&api, &name).await {
            Ok(Some(mut lease)) if holder(&lease) == Some(me.as_str()) => {
                if let Some(spec) = &mut lease.spec {
                    spec.renew_time = Some(MicroTime(Timestamp::now()));
                }
                if let Err(error) = replace(&api, &lease).await {
                    tracing::debug!(
                        lease = name,
                        error = error.told(),
                        "the turn to restart was not renewed"
                    );
                }
            }
            Ok(_) => {
                lost.set(true);
                tracing::warn!(
                    lease = name,
                    "another replica took the turn to restart before our child was ready again"
                );
                return;
            }
            Err(error) => {
                tracing::debug!(lease = name, error = error.told(), "the turn to restart was not renewed");
            }
        }
    }
}

fn holder(lease: &Lease) -> Option<&str> {
    lease.spec.as_ref()?.holder_identity.as_deref()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const LASTS: Duration = Duration::from_secs(LEASE_SECONDS as u64);

    fn held_by(holder: Option<&str>) -> Lease {
        let spec = LeaseSpec {
            holder_identity: holder.map(str::to_owned),
            lease_duration_seconds: Some(LEASE_SECONDS.into()),
            lease_transitions: Some(7),
            ..LeaseSpec::default()
        };
        Lease { spec: Some(spec), ..Lease::default() }
    }

    #[test]
    fn free_own_and_silent_leases_are_taken() {
        assert_eq!(verdict(None, "a", Duration::ZERO), Verdict::Make);
        assert_eq!(verdict(Some(&Lease::default()), "a", Duration::ZERO), Verdict::Take);
        for holder in [None, Some(""), Some("a")] {
            assert_eq!(verdict(Some(&held_by(holder)), "a", Duration::ZERO), Verdict::Take, "{holder:?}");
        }
        let other = held_by(Some("b"));
        assert_eq!(verdict(Some(&other), "a", Duration::from_secs(299)), Verdict::Held("b".into()));
        assert_eq!(verdict(Some(&other), "a", LASTS), Verdict::Take);
    }

    proptest! {
        #[test]
        fn of_two_that_look_at_once_only_one_version_of_the_lease_results(
            holder in proptest::option::of("[abc]"), unchanged in 0_u64..600,
        ) {
            let lease = held_by(holder.as_deref());
            let now = MicroTime(Timestamp::UNIX_EPOCH);
            for me in ["a", "b"] {
                if verdict(Some(&lease), me, Duration::from_secs(unchanged)) == Verdict::Take {
                    let mine = taken(lease.clone(), me, &now);
                    let other = if me == "a" { "b" } else { "a" };
                    prop_assert_eq!(verdict(Some(&mine), other, Duration::ZERO), Verdict::Held(me.to_owned()));
                    prop_assert_eq!(verdict(Some(&given_back(mine, &now)), other, Duration::ZERO), Verdict::Take);
                }
            }
        }
    }

    #[test]
    fn transitions_count_changes_of_hands() {
        let now = MicroTime(Timestamp::UNIX_EPOCH);
        let transitions = |holder| taken(held_by(holder), "a", &now).spec.unwrap().lease_transitions;
        assert_eq!(transitions(Some("b")), Some(8));
        assert_eq!(transitions(Some("a")), Some(7));
        assert_eq!(transitions(None), Some(7));
    }
}
