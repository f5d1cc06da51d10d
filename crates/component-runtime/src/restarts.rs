//! Restarts of the child for what it cannot reload: debounced, one replica at a time, who leads last, never the last ready
//! one, never later than 80 % of a leaf's lifetime. Refuses to restart anything itself: it asks the driver.

use std::collections::BTreeSet;
use std::time::Duration;

use certificates::{Authority, Change, Changed, turn_to_restart};
use conditions::Silent;
use health_endpoints::{HealthClient, ReloadBehaviour, StatusBoard};
use supervision::RestartReason;
use time::OffsetDateTime;
use tokio::sync::mpsc;
use tokio::time::Instant;

use crate::Paths;
use crate::authorities_in_use::bundle_on_disk;
use crate::replicas::{Lookout, Others, Replicas, Trusted};
use crate::restart_turns::{RestartTurn, RestartTurns};

/// How often the other replicas and our own child are looked at while a restart is wanted.
const LOOK_EVERY: Duration = Duration::from_millis(250);
/// A turn is given back after this time even if the child does not become ready again.
const TURN_LIMIT: Duration = Duration::from_secs(300);
/// So long a leader lets the others restart first. Four of five members need a minute or two.
const LEADER_LAST_LIMIT: Duration = Duration::from_secs(300);

/// Our own side of a wanted restart.
#[derive(Debug, Clone, Copy)]
struct Own {
    /// Whether the child serves.
    serves: bool,
    /// Whether it leads, and the others still have time to go first.
    yields: bool,
}

/// Whether a wanted restart may go ahead, or what it waits for.
fn may_restart(
    now: OffsetDateTime,
    restart_by: Option<OffsetDateTime>,
    own: Own,
    others: Others,
) -> Result<(), &'static str> {
    // A child that serves nobody costs nothing by its restart, and may need it to serve again.
    if !own.serves || restart_by.is_some_and(|deadline| now >= deadline) {
        return Ok(());
    }
    match others {
        // Alone, every restart is a gap: a leaf waits for its deadline; a key without one cannot wait.
        Others::None if restart_by.is_some() => {
            Err("it is the only replica and the old certificate is still good")
        }
        // Each time that leadership moves some requests may fail: once is enough.
        Others::SomeReady { behind: true } if own.yields => {
            Err("it leads, and another replica has not taken up the same yet")
        }
        Others::None | Others::SomeReady { .. } => Ok(()),
        Others::NoneReady => Err("no other replica is ready"),
    }
}

/// A restart that is wanted, for one or more changes.
#[derive(Debug)]
struct Wanted {
    reasons: Vec<String>,
    bundles: BTreeSet<Authority>,
    restart_by: Option<OffsetDateTime>,
    since: Instant,
}

impl Wanted {
    /// None for a change that needs no restart.
    fn by(change: &Change) -> Option<Self> {
        let mut wanted =
            Self { reasons: Vec::new(), bundles: BTreeSet::new(), restart_by: None, since: Instant::now() };
        wanted.add(change);
        (!wanted.reasons.is_empty()).then_some(wanted)
    }

    fn add(&mut self, change: &Change) {
        if change.reload != ReloadBehaviour::NeedsRestart {
            return;
        }
        self.reasons.push(describe(change.what));
        self.restart_by = [self.restart_by, change.restart_by].into_iter().flatten().min();
        if let Changed::Bundle(authority) = change.what {
            self.bundles.insert(authority);
        }
    }

    /// What the others trust once they have taken up the same; nothing if that is not to be told by them.
    fn trusted(&self, paths: &Paths) -> Trusted {
        let on_disk = |authority: &Authority| Some((authority.name(), bundle_on_disk(paths, *authority)?));
        self.bundles.iter().filter_map(on_disk).collect()
    }
}

/// Turns changes into restarts until dropped.
pub(crate) struct Restarter {
    pub(crate) turns: RestartTurns,
    pub(crate) replicas: Replicas,
    pub(crate) paths: Paths,
    pub(crate) board: StatusBoard,
    pub(crate) health: HealthClient,
}

impl Restarter {
    pub(crate) async fn follow(
        mut self,
        mut changes: mpsc::Receiver<Change>,
        restarts: mpsc::Sender<RestartReason>,
    ) {
        while let Some(change) = changes.recv().await {
            let Some(mut wanted) = Wanted::by(&change) else { continue };
            let mut lookout = Lookout::new(self.replicas.clone(), self.health.clone());
            let turn = loop {
                self.until_allowed(&wanted, &mut lookout).await;
                let turn = turn_to_restart(&mut self.turns, wanted.restart_by, &Silent).await;
                while let Ok(further) = changes.try_recv() {
                    wanted.add(&further);
                }
                if self.allowed(&wanted, &mut lookout).await.is_ok() {
                    break turn;
                }
                // Whom we would wait for now may need the turn to become ready.
                give_back(turn).await;
            };
            let before = self.board.document().pid;
            let reason = format!("to take up {}", wanted.reasons.join(", "));
            if restarts.send(RestartReason(reason)).await.is_err() {
                return;
            }
            let ready_again = async {
                loop {
                    let document = self.board.document();
                    if document.ready && document.pid != before {
                        return;
                    }
                    tokio::time::sleep(LOOK_EVERY).await;
                }
            };
            if tokio::time::timeout(TURN_LIMIT, ready_again).await.is_err() {
                tracing::warn!(limit = ?TURN_LIMIT, "not ready again after a restart; other replicas may restart now");
            }
            give_back(turn).await;
        }
    }

    async fn until_allowed(&self, wanted: &Wanted, lookout: &mut Lookout) {
        let mut told = "";
        loop {
            match self.allowed(wanted, lookout).await {
                Ok(()) => return,
                Err(reason) if reason != told => {
                    tracing::info!(reason, "a restart is wanted and waits");
                    told = reason;
                }
                Err(_told_already) => {}
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    async fn allowed(&self, wanted: &Wanted, lookout: &mut Lookout) -> Result<(), &'static str> {
        let document = self.board.document();
        let yields = document.leads() == Some(true) && wanted.since.elapsed() < LEADER_LAST_LIMIT;
        let expected = if yields { wanted.trusted(&self.paths) } else { Trusted::new() };
        let own = Own { serves: document.ready, yields };
        may_restart(OffsetDateTime::now_utc(), wanted.restart_by, own, lookout.look(&expected).await)
    }
}

async fn give_back(turn: Option<RestartTurn>) {
    if let Some(turn) = turn {
        turn.give_back().await;
    }
}

fn describe(what: Changed) -> String {
    match what {
        Changed::Leaf(profile) => format!("the certificate {}", profile.name()),
        Changed::Bundle(authority) => format!("the trust bundle {}", authority.bundle()),
        Changed::Keys(set) => format!("the shared keys {}", set.name()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SERVES: Own = Own { serves: true, yields: false };
    const LEADS: Own = Own { serves: true, yields: true };
    const READY: Others = Others::SomeReady { behind: false };
    const BEHIND: Others = Others::SomeReady { behind: true };

    fn at(seconds: i64) -> OffsetDateTime {
        OffsetDateTime::UNIX_EPOCH + time::Duration::seconds(seconds)
    }

    #[test]
    fn the_last_ready_replica_stays_until_the_deadline() {
        assert!(may_restart(at(99), Some(at(100)), SERVES, Others::NoneReady).is_err());
        assert!(may_restart(at(99), None, SERVES, Others::NoneReady).is_err());
        assert!(may_restart(at(100), Some(at(100)), SERVES, Others::NoneReady).is_ok());
        assert!(may_restart(at(99), Some(at(100)), SERVES, READY).is_ok());
    }

    #[test]
    fn who_serves_nobody_waits_for_nobody() {
        let own = Own { serves: false, yields: true };
        assert!(may_restart(at(99), None, own, Others::NoneReady).is_ok());
        assert!(may_restart(at(50), Some(at(100)), own, Others::None).is_ok());
        assert!(may_restart(at(50), None, own, BEHIND).is_ok());
    }

    #[test]
    fn a_single_replica_restarts_late_for_a_leaf_and_at_once_for_a_key() {
        assert!(may_restart(at(50), Some(at(100)), SERVES, Others::None).is_err());
        assert!(may_restart(at(100), Some(at(100)), SERVES, Others::None).is_ok());
        assert!(may_restart(at(50), None, SERVES, Others::None).is_ok());
    }

    #[test]
    fn the_leader_goes_last_but_not_too_late() {
        assert!(may_restart(at(50), None, LEADS, BEHIND).is_err());
        assert!(may_restart(at(50), None, LEADS, READY).is_ok());
        assert!(may_restart(at(50), None, SERVES, BEHIND).is_ok());
        assert!(may_restart(at(100), Some(at(100)), LEADS, BEHIND).is_ok());
    }

    #[test]
    fn one_restart_takes_up_all_that_changed() {
        let change = |what, reload, restart_by| Change { what, reload, restart_by };
        let reloads = change(Changed::Bundle(Authority::Cluster), ReloadBehaviour::Reloads, None);
        assert!(Wanted::by(&reloads).is_none());
        let bundle = change(Changed::Bundle(Authority::Etcd), ReloadBehaviour::NeedsRestart, None);
        let mut wanted = Wanted::by(&bundle).unwrap();
        wanted.add(&reloads);
        let leaf = Changed::Leaf(certificates::Profile::EtcdServer);
        wanted.add(&change(leaf, ReloadBehaviour::NeedsRestart, Some(at(9))));
        wanted.add(&change(leaf, ReloadBehaviour::NeedsRestart, Some(at(7))));
        assert_eq!((wanted.bundles, wanted.restart_by), ([Authority::Etcd].into(), Some(at(7))));
        assert_eq!(wanted.reasons.len(), 3);
    }
}
