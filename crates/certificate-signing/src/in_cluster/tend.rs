//! Keeping one object as it should be: looked at when it changes, when something else says so, and every minute.
//! Refuses to fight: whoever changes it again and again is answered more and more slowly.

use std::time::Duration;

use conditions::Backoff;
use management_api::{Followed, ManagementApi, ManagementError, Object, follow};
use tokio::sync::Notify;
use tokio::time::Instant;

/// Missed changes are found after this, and leaves become due.
const LOOK_EVERY: Duration = Duration::from_secs(60);
/// What is waited for comes within a minute.
const LOOK_AGAIN_AFTER: Duration = Duration::from_secs(3);
/// The first repair comes at once; one after the other comes later and later.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(60);
/// After so long without a repair the next one comes at once again.
const PEACE: Duration = Duration::from_secs(5 * 60);

/// What one look at an object did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Tended {
    /// Nothing was to be done.
    Right,
    /// Nothing could be done yet.
    LookAgain,
    /// It was written, by us or by somebody who was faster; it is looked at again.
    Written,
}

/// Why an object is not as it should be.
#[derive(Debug, thiserror::Error)]
pub(super) enum TendError {
    /// The API does not answer, or refuses.
    #[error(transparent)]
    Api(#[from] ManagementError),
    /// What belongs into it cannot be made.
    #[error(transparent)]
    Issue(#[from] crate::IssueError),
    /// A key cannot be made.
    #[error("cannot make a key")]
    Key(#[source] rcgen::Error),
    /// Something else is in its place.
    #[error("{0}")]
    InTheWay(String),
}

/// Keeps the object `name` of kind `K` by `reconcile`; tells each outcome. Never returns.
pub(super) async fn tend<K: Object>(
    api: &ManagementApi,
    name: &str,
    wake: &Notify,
    tell: impl Fn(Result<(), String>),
    reconcile: impl AsyncFn() -> Result<Tended, TendError>,
) -> std::convert::Infallible {
    let changed = Notify::new();
    let following = follow::<K>(api, name, |seen| {
        if !matches!(seen, Followed::Trouble(_)) {
            changed.notify_one();
        }
    });
    let tending = async {
        let mut pauses = Backoff::new(FIRST_PAUSE, LONGEST_PAUSE);
        let mut failures = Backoff::new(Duration::from_millis(500), Duration::from_secs(5));
        let mut last_write = Instant::now();
        loop {
            let outcome = reconcile().await;
            tell(outcome.as_ref().map(drop).map_err(TendError::told));
            let look_after = match outcome {
                Ok(Tended::Written) => {
                    last_write = Instant::now();
                    tokio::time::sleep(pauses.next_delay()).await;
                    continue;
                }
                Ok(Tended::Right) => LOOK_EVERY,
                Ok(Tended::LookAgain) => LOOK_AGAIN_AFTER,
                Err(_told) => {
                    tokio::time::sleep(failures.next_delay()).await;
                    continue;
                }
            };
            failures.reset();
            if last_write.elapsed() > PEACE {
                pauses.reset();
            }
            tokio::select! {
                () = changed.notified() => {}
                () = wake.notified() => {}
                () = tokio::time::sleep(look_after) => {}
            }
        }
    };
    tokio::select! {
        never = following => match never {},
        never = tending => never,
    }
}

impl TendError {
    pub(super) fn told(&self) -> String {
        match self {
            // An API that was silent has said nothing to add.
            Self::Api(error @ ManagementError::Silent { .. }) => error.to_string(),
            Self::Api(error) => format!("{error}: {}", error.told()),
            other => telemetry::error_chain(other),
        }
    }
}
