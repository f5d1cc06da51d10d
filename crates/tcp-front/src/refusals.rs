//! Which servers refuse new connections: they end, or have ended. Open connections to one that ends are closed as soon as
//! nothing passes over them, where that is wanted. Refuses to take a slow server for one that ends.

use std::cell::Cell;
use std::collections::BTreeSet;
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use tokio::sync::{Notify, watch};
use tokio::time::{Instant, sleep_until};

/// What new connections learn about servers.
#[derive(Debug)]
pub(crate) struct Refusals {
    /// Notified whenever a server refuses: it may have ended a moment ago.
    doubts: Rc<Notify>,
    refusing: watch::Sender<BTreeSet<SocketAddr>>,
    close_after: Option<Duration>,
}

impl Refusals {
    /// Open connections to a server that refuses new ones are closed when nothing passed over them for `close_after`.
    pub(crate) fn new(doubts: Rc<Notify>, close_after: Option<Duration>) -> Self {
        Self { doubts, refusing: watch::Sender::default(), close_after }
    }

    pub(crate) fn accepted(&self, server: SocketAddr) {
        self.refusing.send_if_modified(|refusing| refusing.remove(&server));
    }

    pub(crate) fn refused(&self, server: SocketAddr, error: &io::Error) {
        // Anything else says more about the way there.
        if error.kind() == io::ErrorKind::ConnectionRefused {
            self.refusing.send_if_modified(|refusing| refusing.insert(server));
        }
        self.doubts.notify_waiters();
    }

    /// Ends when an open connection to `server`, over which something passed last at `passed`, should be closed.
    pub(crate) async fn until_quiet(&self, server: SocketAddr, passed: &Cell<Instant>) {
        let Some(close_after) = self.close_after else { return std::future::pending().await };
        let mut refusing = self.refusing.subscribe();
        loop {
            // The sender is ours, so there is no other end to this wait.
            drop(refusing.wait_for(|refusing| refusing.contains(&server)).await);
            let quiet_since = passed.get();
            sleep_until(quiet_since + close_after).await;
            if passed.get() == quiet_since && refusing.borrow().contains(&server) {
                return;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const QUIET: Duration = Duration::from_millis(200);

    fn server() -> SocketAddr {
        SocketAddr::from(([10, 0, 0, 1], 1))
    }

    fn of_kind(kind: io::ErrorKind) -> io::Error {
        io::Error::from(kind)
    }

    #[tokio::test(start_paused = true)]
    async fn a_connection_is_closed_when_its_server_refuses_others_and_nothing_passes_any_more() {
        let refusals = Refusals::new(Rc::default(), Some(QUIET));
        let began = Instant::now();
        let passed = Cell::new(began);
        let refuses_after_a_second = async {
            tokio::time::sleep(Duration::from_secs(1)).await;
            refusals.refused(server(), &of_kind(io::ErrorKind::ConnectionRefused));
            for _ in 0..9 {
                passed.set(Instant::now());
                tokio::time::sleep(QUIET / 2).await;
            }
        };
        let (at, ()) = tokio::join!(
            async {
                refusals.until_quiet(server(), &passed).await;
                began.elapsed()
            },
            refuses_after_a_second
        );
        assert_eq!(at, Duration::from_secs(1) + QUIET / 2 * 8 + QUIET);
    }

    #[tokio::test(start_paused = true)]
    async fn one_that_is_slow_or_back_or_another_keeps_its_connections() {
        let refusals = Refusals::new(Rc::default(), Some(QUIET));
        refusals.refused(server(), &of_kind(io::ErrorKind::TimedOut));
        refusals.refused(SocketAddr::from(([10, 0, 0, 1], 2)), &of_kind(io::ErrorKind::ConnectionRefused));
        let passed = Cell::new(Instant::now());
        let day = Duration::from_secs(86_400);
        let closed =
            async || tokio::time::timeout(day, refusals.until_quiet(server(), &passed)).await.is_ok();
        assert!(!closed().await);
        refusals.refused(server(), &of_kind(io::ErrorKind::ConnectionRefused));
        refusals.accepted(server());
        assert!(!closed().await);
        refusals.refused(server(), &of_kind(io::ErrorKind::ConnectionRefused));
        assert!(closed().await);
        let never = Refusals::new(Rc::default(), None);
        never.refused(server(), &of_kind(io::ErrorKind::ConnectionRefused));
        assert!(tokio::time::timeout(day, never.until_quiet(server(), &passed)).await.is_err());
    }
}
