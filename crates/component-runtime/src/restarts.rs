//! Restarts of the child for what it cannot reload: debounced, one replica at a time, never the last ready one,
//! never later than 80 % of a leaf's lifetime. Refuses to restart anything itself: it asks the driver.

use std::time::Duration;

use certificates::{Change, Changed, RestartCoordination};
use conditions::Silent;
use health_endpoints::{HealthClient, ReloadBehaviour, StatusBoard};
use supervision::RestartReason;
use time::OffsetDateTime;
use tokio::sync::mpsc;

/// How often the other replicas and our own child are looked at while a restart is wanted.
const LOOK_EVERY: Duration = Duration::from_millis(250);
/// A permit is given back after this time even if the child does not become ready again.
const PERMIT_LIMIT: Duration = Duration::from_secs(300);

/// What is known of the other replicas of the component.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Others {
    /// There are none, by configuration.
    None,
    /// None of them is ready.
    NoneReady,
    /// At least one is ready.
    SomeReady,
}

/// Whether a wanted restart may go ahead, or what it waits for.
fn may_restart(
    now: OffsetDateTime,
    restart_by: Option<OffsetDateTime>,
    others: Others,
) -> Result<(), &'static str> {
    if restart_by.is_some_and(|deadline| now >= deadline) {
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
    pub(crate) coordination: RestartCoordination,
    pub(crate) replicas: Vec<String>,
    pub(crate) board: StatusBoard,
    pub(crate) health: HealthClient,
}

impl Restarter {
    pub(crate) async fn follow(
        self,
        mut changes: mpsc::Receiver<Change>,
        restarts: mpsc::Sender<RestartReason>,
    ) {
        while let Some(change) = changes.recv().await {
            if change.reload != ReloadBehaviour::NeedsRestart {
                continue;
            }
            let mut reasons = vec![describe(change.what)];
            let mut restart_by = change.restart_by;
            let permit = self.coordination.permit(restart_by, &Silent).await;
            while let Ok(further) = changes.try_recv() {
                if further.reload == ReloadBehaviour::NeedsRestart {
                    reasons.push(describe(further.what));
                    restart_by = [restart_by, further.restart_by].into_iter().flatten().min();
                }
            }
            self.until_allowed(restart_by).await;
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
            if tokio::time::timeout(PERMIT_LIMIT, ready_again).await.is_err() {
                tracing::warn!(limit = ?PERMIT_LIMIT, "not ready again after a restart; other replicas may restart now");
            }
            drop(permit);
        }
    }

    async fn until_allowed(&self, restart_by: Option<OffsetDateTime>) {
        let mut told = "";
        loop {
            match may_restart(OffsetDateTime::now_utc(), restart_by, self.others().await) {
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

    async fn others(&self) -> Others {
        if self.replicas.is_empty() {
            return Others::None;
        }
        for replica in &self.replicas {
            if self.health.is_ready(replica).await {
                return Others::SomeReady;
            }
        }
        Others::NoneReady
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
        assert!(may_restart(at(99), Some(at(100)), Others::NoneReady).is_err());
        assert!(may_restart(at(99), None, Others::NoneReady).is_err());
        assert!(may_restart(at(100), Some(at(100)), Others::NoneReady).is_ok());
        assert!(may_restart(at(99), Some(at(100)), Others::SomeReady).is_ok());
    }

    #[test]
    fn a_single_replica_restarts_late_for_a_leaf_and_at_once_for_a_key() {
        assert!(may_restart(at(50), Some(at(100)), Others::None).is_err());
        assert!(may_restart(at(100), Some(at(100)), Others::None).is_ok());
        assert!(may_restart(at(50), None, Others::None).is_ok());
    }
}
