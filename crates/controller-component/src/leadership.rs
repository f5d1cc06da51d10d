//! Who leads, told on the board, and the lease handed on when our child is dead for certain.
//! Refuses to clear anything when the hostname does not tell our child apart from its twins.

use std::rc::Rc;
use std::time::Duration;

use health_endpoints::StatusBoard;
use leader_lease::{Clearing, LeaderLease, is_ours_to_clear};
use telemetry::error_chain;
use tokio::task::JoinHandle;

use crate::hostname::own_hostname;

/// How often the lease is looked at; a standby of the component itself looks every 1.0 to 2.2 s.
const LOOK_EVERY: Duration = Duration::from_secs(2);

/// The component's lease as its supervisor sees it.
pub(crate) struct Leadership {
    lease: LeaderLease,
    board: StatusBoard,
    /// The hostname that tells our child from others; else why leases are left alone.
    hostname: Result<String, String>,
}

/// Ends the background looks when it is dropped.
pub(crate) struct Observation(JoinHandle<()>);

impl Drop for Observation {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Leadership {
    pub(crate) fn new(lease: LeaderLease, board: StatusBoard, instance: &str) -> Self {
        let hostname = own_hostname(instance);
        if let Err(why) = &hostname {
            tracing::warn!(why, "leader leases are left to expire: a failover takes 15 s instead of 3 s");
            board.detail("leaseClearing", &format!("off: {why}"));
        }
        Self { lease, board, hostname }
    }

    /// Looks at the lease every two seconds until the returned value is dropped. Must run in a `LocalSet`.
    pub(crate) fn observe(self: Rc<Self>) -> Observation {
        Observation(tokio::task::spawn_local(async move {
            loop {
                self.look().await;
                tokio::time::sleep(LOOK_EVERY).await;
            }
        }))
    }

    async fn look(&self) {
        match self.lease.holder().await {
            Ok(holder) => self.tell(holder.as_deref()),
            Err(error) => {
                tracing::debug!(error = error_chain(&error), "the lease cannot be read");
                // Unknown is not false: somebody may still lead.
                self.board.detail("leader", "");
            }
        }
    }

    fn tell(&self, holder: Option<&str>) {
        let runs = self.board.document().pid.is_some();
        let leader = match (&self.hostname, holder) {
            (Ok(hostname), Some(holder)) => Some(runs && is_ours_to_clear(holder, hostname)),
            (_, None) => Some(false),
            // All twins carry this hostname: the lease does not tell which of them leads.
            (Err(_), Some(_)) => None,
        };
        self.board.detail("leader", leader.map_or("", |leads| if leads { "true" } else { "false" }));
        self.board.detail("leaseHolder", holder.unwrap_or_default());
    }

    /// Hands the lease on if our child, which the caller knows to be dead, held it.
    pub(crate) async fn hand_on(&self, limit: Duration) {
        let Ok(hostname) = &self.hostname else { return };
        match self.lease.clear_if_held_by(hostname, limit).await {
            Ok(Clearing::Cleared { holder }) => {
                tracing::info!(holder, "the leader lease of our dead child is cleared");
                self.tell(None);
            }
            Ok(Clearing::HeldByOther { holder }) => self.tell(Some(&holder)),
            Ok(Clearing::Free | Clearing::Absent) => self.tell(None),
            Err(error) => {
                tracing::warn!(error = error_chain(&error), "the leader lease may have to expire by itself");
            }
        }
    }
}
