//! Restarts of the child for what it cannot reload: debounced, one replica at a time, who leads last, never one that cannot
//! be spared, never the last ready one before 80 % of a leaf's lifetime. Refuses to restart anything itself: it asks the
//! driver, and asks again if the driver puts it off.

use std::collections::BTreeSet;
use std::time::Duration;

use certificates::{Authority, Change, Changed, turn_to_restart};
use conditions::Silent;
use health_endpoints::{HealthClient, ReloadBehaviour, State, StatusBoard, StatusDocument};
use supervision::{RestartReason, Supervised};
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
#[derive(Debug, Clone)]
struct Own {
    /// What the component says: etcd cannot be spared while the others are no quorum.
    spared: Result<(), String>,
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
) -> Result<(), String> {
    // Not even a deadline outweighs this. At 80 % of a leaf's life a fifth is left in which a member may come back; a restart
    // below the quorum stops the whole control plane now, for certain. (Waiting until it has run out would be no better, but
    // no leaf of etcd needs a restart, only bundles do, and these have no deadline.)
    own.spared.map_err(|why| format!("it cannot be spared: {why}"))?;
    // A child that serves nobody costs nothing by its restart, and may need it to serve again.
    if !own.serves || restart_by.is_some_and(|deadline| now >= deadline) {
        return Ok(());
    }
    match others {
        // Alone, every restart is a gap: a leaf waits for its deadline; a key without one cannot wait.
        Others::None if restart_by.is_some() => {
            Err("it is the only replica and the old certificate is still good".to_owned())
        }
        // Each time that leadership moves some requests may fail: once is enough.
        Others::SomeReady { behind: true } if own.yields => {
            Err("it leads, and another replica has not taken up the same yet".to_owned())
        }
        Others::None | Others::SomeReady { .. } => Ok(()),
        Others::NoneReady => Err("no other replica is ready".to_owned()),
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

/// What became of a restart that was asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Outcome {
    /// Another child runs, or will.
    Restarted,
    /// The child of before lives on.
    PutOff,
}

/// Follows a restart on our own status.
#[derive(Debug)]
struct Followed {
    /// The child that was to be replaced.
    before: Option<u32>,
    began: bool,
}

impl Followed {
    /// None while it goes on.
    fn seen(&mut self, document: &StatusDocument) -> Option<Outcome> {
        if document.pid != self.before {
            return document.ready.then_some(Outcome::Restarted);
        }
        self.began |= document.state == State::Restarting;
        let lives_on = self.began && matches!(document.state, State::Starting | State::Running);
        lives_on.then_some(Outcome::PutOff)
    }

    /// When it took too long.
    fn at_last(&self, document: &StatusDocument) -> Outcome {
        match self.before {
            Some(pid) if document.pid == Some(pid) => Outcome::PutOff,
            _ => Outcome::Restarted,
        }
    }
}

/// Turns changes into restarts of a component until dropped.
pub(crate) struct Restarter<'a, S> {
    pub(crate) component: &'a S,
    pub(crate) turns: RestartTurns,
    pub(crate) replicas: Replicas,
    pub(crate) paths: Paths,
    pub(crate) board: StatusBoard,
    pub(crate) health: HealthClient,
}

impl<S: Supervised> Restarter<'_, S> {
    pub(crate) async fn follow(
        mut self,
        mut changes: mpsc::Receiver<Change>,
        restarts: mpsc::Sender<RestartReason>,
    ) {
        while let Some(change) = changes.recv().await {
            let Some(mut wanted) = Wanted::by(&change) else { continue };
            let mut lookout = Lookout::new(self.replicas.clone(), self.health.clone());
            loop {
                self.until_allowed(&wanted, &mut lookout).await;
                let turn = turn_to_restart(&mut self.turns, wanted.restart_by, &Silent).await;
                while let Ok(further) = changes.try_recv() {
                    wanted.add(&further);
                }
                if self.allowed(&wanted, &mut lookout).await.is_err() {
                    // Whom we would wait for now may need the turn to become ready.
                    give_back(turn).await;
                    continue;
                }
                let mut followed = Followed { before: self.board.document().pid, began: false };
                let reason = format!("to take up {}", wanted.reasons.join(", "));
                if restarts.send(RestartReason(reason)).await.is_err() {
                    return;
                }
                let outcome = self.outcome(&mut followed).await;
                give_back(turn).await;
                if outcome == Outcome::Restarted {
                    break;
                }
                tracing::info!("the restart was put off and is asked for again");
            }
        }
    }

    async fn outcome(&self, followed: &mut Followed) -> Outcome {
        let known = async {
            loop {
                if let Some(outcome) = followed.seen(&self.board.document()) {
                    return outcome;
                }
                tokio::time::sleep(LOOK_EVERY).await;
            }
        };
        if let Ok(outcome) = tokio::time::timeout(TURN_LIMIT, known).await {
            return outcome;
        }
        tracing::warn!(limit = ?TURN_LIMIT, "not ready again after a restart; other replicas may restart now");
        followed.at_last(&self.board.document())
    }

    async fn until_allowed(&self, wanted: &Wanted, lookout: &mut Lookout) {
        let mut told = String::new();
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

    async fn allowed(&self, wanted: &Wanted, lookout: &mut Lookout) -> Result<(), String> {
        let document = self.board.document();
        let yields = document.leads() == Some(true) && wanted.since.elapsed() < LEADER_LAST_LIMIT;
        let expected = if yields { wanted.trusted(&self.paths) } else { Trusted::new() };
        let others = lookout.look(&expected).await;
        let own = Own { spared: self.component.can_be_spared().await, serves: document.ready, yields };
        may_restart(OffsetDateTime::now_utc(), wanted.restart_by, own, others)
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

    const SERVES: Own = Own { spared: Ok(()), serves: true, yields: false };
    const LEADS: Own = Own { yields: true, ..SERVES };
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
        let own = || Own { serves: false, ..LEADS };
        assert!(may_restart(at(99), None, own(), Others::NoneReady).is_ok());
        assert!(may_restart(at(50), Some(at(100)), own(), Others::None).is_ok());
        assert!(may_restart(at(50), None, own(), BEHIND).is_ok());
    }

    #[test]
    fn one_ready_replica_is_not_enough_for_who_cannot_be_spared() {
        let own = || Own { spared: Err("1 of the 2 members needed would remain".into()), ..SERVES };
        let why = may_restart(at(50), None, own(), READY).unwrap_err();
        assert_eq!(why, "it cannot be spared: 1 of the 2 members needed would remain");
        assert!(may_restart(at(100), Some(at(100)), own(), READY).is_err(), "not even at the deadline");
    }

    #[test]
    fn a_restart_that_was_put_off_is_told_from_one_that_has_not_begun() {
        let board = StatusBoard::new("etcd-0", naming_contract::Component::Etcd, "1");
        let is = |state, pid, ready: bool| {
            board.enter(state, "test");
            board.child(pid);
            board.readiness(if ready { Ok(()) } else { Err("no".into()) });
            board.document()
        };
        let mut followed = Followed { before: Some(1), began: false };
        assert_eq!(followed.seen(&is(State::Running, Some(1), true)), None, "not taken up yet");
        assert_eq!(followed.seen(&is(State::Restarting, Some(1), true)), None, "held back");
        assert_eq!(followed.seen(&is(State::Running, Some(1), true)), Some(Outcome::PutOff));
        assert_eq!(followed.at_last(&is(State::Restarting, Some(1), true)), Outcome::PutOff);

        let mut followed = Followed { before: Some(1), began: false };
        assert_eq!(followed.seen(&is(State::Restarting, None, false)), None);
        assert_eq!(followed.seen(&is(State::Starting, Some(2), false)), None);
        assert_eq!(followed.at_last(&is(State::Starting, Some(2), false)), Outcome::Restarted);
        assert_eq!(followed.seen(&is(State::Running, Some(2), true)), Some(Outcome::Restarted));

        let mut nobody = Followed { before: None, began: false };
        assert_eq!(nobody.seen(&is(State::Waiting, None, false)), None);
        assert_eq!(nobody.at_last(&is(State::Waiting, None, false)), Outcome::Restarted);
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
