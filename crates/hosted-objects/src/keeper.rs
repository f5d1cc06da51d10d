//! Rounds for ever, and how they go, told on the board.
//! Refuses to give up: an API server that is away is waited for, and what was right before stays right meanwhile.

use std::cell::RefCell;
use std::time::Duration;

use conditions::Backoff;
use health_endpoints::{State, StatusBoard};
use telemetry::error_chain;
use tokio::time::{Instant, interval, sleep};

use crate::{EndpointSource, HostedObjects, Outcome, Reconciler};

/// A deletion or a change by somebody else is repaired within this time.
const ROUND_EVERY: Duration = Duration::from_secs(5);
/// Longest pause after a failed round, before jitter: the first thing that is waited for is an API server that starts.
const AGAIN_AFTER: Duration = Duration::from_millis(500);
/// A round that takes longer has failed.
const ROUND_LIMIT: Duration = Duration::from_secs(20);
/// The last good round may be that old while we call ourselves ready.
const READY_FOR: Duration = Duration::from_secs(30);
/// The board counts readiness as stale after 2 s.
const TELL_EVERY: Duration = Duration::from_secs(1);

/// Keeps the objects in place, the endpoints of `kubernetes` with the addresses of `source`. Never returns; dropping it is
/// safe at any time.
pub async fn keep_in_place(
    reconciler: &Reconciler,
    source: &EndpointSource,
    api_server_port: u16,
    board: &StatusBoard,
) {
    let last = RefCell::new(Last { good: None, trouble: "the first round is not finished".to_owned() });
    let rounds = async {
        let mut backoff = Backoff::new(Duration::from_millis(200), AGAIN_AFTER);
        loop {
            let addresses = source.addresses().await;
            let objects = HostedObjects {
                // Without an address the endpoints stay as they are.
                api_server_addresses: addresses.clone().unwrap_or_default(),
                api_server_port,
            }
            .desired();
            let round = tokio::time::timeout(ROUND_LIMIT, reconciler.round(&objects)).await;
            let failure = match (round, addresses) {
                (Ok(Ok(outcomes)), Ok(_)) => {
                    succeeded(&last, board, &outcomes);
                    backoff.reset();
                    sleep(ROUND_EVERY).await;
                    continue;
                }
                (Ok(Ok(_)), Err(lacking)) => lacking,
                (Ok(Err(error)), _) => error_chain(&error),
                (Err(_elapsed), _) => {
                    format!("a round over {} objects took longer than {ROUND_LIMIT:?}", objects.len())
                }
            };
            let news = last.borrow().trouble != failure;
            if news {
                tracing::info!(failure, "not all hosted objects are in place; trying on");
                board.observed(&failure);
            }
            last.borrow_mut().trouble = failure;
            sleep(backoff.next_delay()).await;
        }
    };
    let telling = async {
        let mut ticks = interval(TELL_EVERY);
        loop {
            ticks.tick().await;
            board.readiness(last.borrow().readiness());
        }
    };
    tokio::join!(rounds, telling, source.keep_up());
}

struct Last {
    good: Option<Instant>,
    trouble: String,
}

impl Last {
    fn readiness(&self) -> Result<(), String> {
        match self.good {
            Some(good) if good.elapsed() <= READY_FOR => Ok(()),
            _ => Err(self.trouble.clone()),
        }
    }
}

fn succeeded(last: &RefCell<Last>, board: &StatusBoard, outcomes: &[Outcome]) {
    let mut last = last.borrow_mut();
    last.good = Some(Instant::now());
    last.trouble.clear();
    board.enter(State::Running, &format!("all {} objects are in place", outcomes.len()));
    board.readiness(Ok(()));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_good_round_counts_for_thirty_seconds() {
        let mut last = Last { good: None, trouble: "not yet".to_owned() };
        assert_eq!(last.readiness(), Err("not yet".to_owned()));
        last.good = Some(Instant::now());
        tokio::time::advance(Duration::from_secs(30)).await;
        assert_eq!(last.readiness(), Ok(()));
        tokio::time::advance(Duration::from_secs(1)).await;
        assert!(last.readiness().is_err());
    }
}
