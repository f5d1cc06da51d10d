//! Restarts of the child for what it cannot reload: debounced, one replica at a time, never the last ready one,
//! never later than 80 % of a leaf's lifetime. Refuses to restart anything itself: it asks the driver.

use std::time::Duration;

use certificates::{Change, Changed, turn_to_restart};
use conditions::Silent;
use health_endpoints::{HealthClient, ReloadBehaviour, StatusBoard};
use supervision::RestartReason;
use time::OffsetDateTime;
use tokio::sync::mpsc;

use crate::replicas::{Lookout, Others, Replicas};
use crate::restart_turns::{RestartTurn, RestartTurns};

/// How often the other replicas and our own child are looked at while a restart is wanted.
const LOOK_EVERY: Duration = Duration::from_millis(250);
/// A turn is given back after this time even if the child does not become ready again.
const TURN_LIMIT: Duration = Duration::from_secs(300);

/// Whether a wanted restart may go ahead, or what it waits for.
fn may_restart(
    now: OffsetDateTime,
    restart_by: Option<OffsetDateTime>,
    serves: bool,
    others: Others,
) -> Result<(), &'static str> {
    // A child that serves nobody costs nothing by its restart, and may need it to serve again.
    if !serves || restart_by.is_some_and(|deadline| now >= deadline) {
        return Ok(());
    }
    match others {
        // Alone, every restart is a gap: a leaf waits for its deadline; a key without one cannot wait.
        Others::None if restart_by.is_some() => {
            Err("it is the only replica and the old certificate is still good")
        }
        Others::None | Others::SomeReady => Ok(()),
        Others::NoneReady => Err("no other replica is ready"),
    }
}

/// Turns changes into restarts until dropped.
pub(crate) struct Restarter {
    pub(crate) turns: RestartTurns,
    pub(crate) replicas: Replicas,
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
            if change.reload != ReloadBehaviour::NeedsRestart {
                continue;
            }
            let mut reasons = vec![describe(change.what)];
            let mut restart_by = change.restart_by;
            let mut lookout = Lookout::new(self.replicas.clone(), self.health.clone());
            let turn = loop {
                self.until_allowed(restart_by, &mut lookout).await;
                let turn = turn_to_restart(&mut self.turns, restart_by, &Silent).await;
                while let Ok(further) = changes.try_recv() {
                    if further.reload == ReloadBehaviour::NeedsRestart {
                        reasons.push(describe(further.what));
                        restart_by = [restart_by, further.restart_by].into_iter().flatten().min();
                    }
                }
                if self.allowed(restart_by, &mut lookout).await.is_ok() {
                    break turn;
                }
                // Whom we would wait for now may need the turn to become ready.
                give_back(turn).await;
            };
            let before = self.board.document().pid;
            if restarts.send(RestartReason(format!("to take up {}", reasons.join(", ")))).await.is_err() {
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

    async fn until_allowed(&self, restart_by: Option<OffsetDateTime>, lookout: &mut Lookout) {
        let mut told = "";
        loop {
            match self.allowed(restart_by, lookout).await {
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

    async fn allowed(
        &self,
        restart_by: Option<OffsetDateTime>,
        lookout: &mut Lookout,
    ) -> Result<(), &'static str> {
        let serves = self.board.document().ready;
        may_restart(OffsetDateTime::now_utc(), restart_by, serves, lookout.look().await)
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

    fn at(seconds: i64) -> OffsetDateTime {
        OffsetDateTime::UNIX_EPOCH + time::Duration::seconds(seconds)
    }

    #[test]
    fn the_last_ready_replica_stays_until_the_deadline() {
        assert!(may_restart(at(99), Some(at(100)), true, Others::NoneReady).is_err());
        assert!(may_restart(at(99), None, true, Others::NoneReady).is_err());
        assert!(may_restart(at(100), Some(at(100)), true, Others::NoneReady).is_ok());
        assert!(may_restart(at(99), Some(at(100)), true, Others::SomeReady).is_ok());
    }

    #[test]
    fn who_serves_nobody_waits_for_nobody() {
        assert!(may_restart(at(99), None, false, Others::NoneReady).is_ok());
        assert!(may_restart(at(50), Some(at(100)), false, Others::None).is_ok());
    }

    #[test]
    fn a_single_replica_restarts_late_for_a_leaf_and_at_once_for_a_key() {
        assert!(may_restart(at(50), Some(at(100)), true, Others::None).is_err());
        assert!(may_restart(at(100), Some(at(100)), true, Others::None).is_ok());
        assert!(may_restart(at(50), None, true, Others::None).is_ok());
    }
}
