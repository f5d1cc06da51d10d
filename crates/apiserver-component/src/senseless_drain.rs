//! A draining API server without an etcd quorum can serve nobody and, as was seen, may stand for minutes.
//! Refuses haste: an election takes a second or two, so quorum must be away for ten in a row.

use std::time::Duration;

use tokio::time::{Instant, sleep, timeout};

/// Without quorum for so long, waiting is senseless.
const PATIENCE: Duration = Duration::from_secs(10);
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// A read that takes longer counts as failed.
const LOOK_LIMIT: Duration = Duration::from_secs(3);

/// Resolves, with the reason, once `look` has failed for ten seconds in a row.
pub(crate) async fn no_quorum(mut look: impl AsyncFnMut() -> Result<(), String>) -> String {
    let mut failing_since: Option<Instant> = None;
    loop {
        let began = Instant::now();
        let seen =
            timeout(LOOK_LIMIT, look()).await.unwrap_or_else(|_elapsed| Err("no answer in time".to_owned()));
        match seen {
            Ok(()) => failing_since = None,
            Err(why) => {
                let since = *failing_since.get_or_insert(began);
                if since.elapsed() >= PATIENCE {
                    return format!("etcd has had no quorum for {PATIENCE:?} ({why})");
                }
            }
        }
        sleep(LOOK_EVERY).await;
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn ten_seconds_without_quorum_are_enough() {
        let began = Instant::now();
        let why = no_quorum(async || Err("connection refused".to_owned())).await;
        assert_eq!(why, "etcd has had no quorum for 10s (connection refused)");
        assert!((10..13).contains(&began.elapsed().as_secs()));
    }

    #[tokio::test(start_paused = true)]
    async fn a_read_that_hangs_is_no_quorum() {
        let began = Instant::now();
        let why = no_quorum(async || std::future::pending().await).await;
        assert!(why.contains("no answer in time"));
        assert!((10..16).contains(&began.elapsed().as_secs()));
    }

    #[tokio::test(start_paused = true)]
    async fn an_election_in_between_begins_the_patience_anew() {
        let began = Instant::now();
        let looks = Cell::new(0);
        let flapping = async || {
            looks.set(looks.get() + 1);
            if looks.get() % 8 == 0 && looks.get() < 40 { Ok(()) } else { Err("no leader".to_owned()) }
        };
        no_quorum(flapping).await;
        assert!(began.elapsed().as_secs() >= 40);
    }
}
