//! Waiting for conditions with a deadline; the last thing seen is in the panic.

use std::fmt::Debug;
use std::time::Duration;

use tokio::time::Instant;

/// Looks every 100 ms until `look` gives `Ok`; panics after `limit` with what was last seen.
pub async fn eventually<T, E: Debug>(
    what: &str,
    limit: Duration,
    mut look: impl AsyncFnMut() -> Result<T, E>,
) -> T {
    let deadline = Instant::now() + limit;
    loop {
        match look().await {
            Ok(found) => return found,
            Err(seen) => {
                assert!(Instant::now() < deadline, "{what}: not within {limit:?}; last seen: {seen:?}");
            }
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// The median of some durations.
#[must_use]
pub fn median(durations: &[Duration]) -> Duration {
    let mut sorted = durations.to_vec();
    sorted.sort();
    sorted[sorted.len() / 2]
}
