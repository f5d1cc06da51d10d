//! One replica at a time: who must restart its child to take up a change waits for a permit and holds it until the
//! child is ready again. Embedded: a lock file shared by the replicas. Refuses to restart anything itself.

use std::path::PathBuf;
use std::time::Duration;

use conditions::{Condition, Pace, Progress, Sighting, wait_for};
use durable_files::{FileError, FileLock};
use time::OffsetDateTime;

/// Changes that come together cause one restart.
const DEBOUNCE: Duration = Duration::from_secs(2);
/// A replica that held the permit for longer is not waited for: it would hold up everybody's certificates.
const HOLD_LIMIT: Duration = Duration::from_secs(5 * 60);

/// Gives permits to restart.
#[derive(Debug, Clone)]
pub struct RestartCoordination {
    lock_file: Option<PathBuf>,
}

/// Held from before the child's SIGTERM until it is ready again; dropping it lets the next replica go.
#[derive(Debug)]
pub struct RestartPermit {
    #[cfg_attr(not(test), expect(dead_code, reason = "held for its release on drop"))]
    lock: Option<FileLock>,
}

impl RestartCoordination {
    /// Coordinates with all replicas that are given the same `lock_file`; without one nobody is waited for.
    #[must_use]
    pub fn new(lock_file: Option<PathBuf>) -> Self {
        Self { lock_file }
    }

    /// Waits 2 s for further changes, then for the permit, but never beyond `restart_by` (80 % of the old leaf's life)
    /// nor for longer than 5 minutes. Dropping the future gives up the place.
    pub async fn permit(&self, restart_by: Option<OffsetDateTime>, progress: &dyn Progress) -> RestartPermit {
        tokio::time::sleep(DEBOUNCE).await;
        let Some(lock_file) = &self.lock_file else { return RestartPermit { lock: None } };
        if let Some(directory) = lock_file.parent()
            && let Err(error) = durable_files::create_private_directory(directory)
        {
            tracing::warn!(%error, "no place for the lock by which replicas take turns");
        }
        let left = restart_by.map_or(HOLD_LIMIT, |by| {
            Duration::try_from(by - OffsetDateTime::now_utc()).unwrap_or_default().min(HOLD_LIMIT)
        });
        let mut turn = Turn { lock_file: lock_file.clone() };
        let pace = Pace {
            first: Duration::from_millis(200),
            longest: Duration::from_millis(500),
            ..Pace::default()
        };
        match tokio::time::timeout(left, wait_for(&mut turn, pace, progress)).await {
            Ok(lock) => RestartPermit { lock: Some(lock) },
            Err(_elapsed) => {
                tracing::warn!(lock = %lock_file.display(), "restarting without the permit: it was not given in time");
                RestartPermit { lock: None }
            }
        }
    }
}

struct Turn {
    lock_file: PathBuf,
}

impl Condition for Turn {
    type Output = FileLock;

    fn awaits(&self) -> String {
        format!("the permit to restart, {}", self.lock_file.display())
    }

    async fn look(&mut self) -> Sighting<FileLock> {
        match FileLock::acquire(&self.lock_file) {
            Ok(lock) => Sighting::Holds(lock),
            Err(FileError::Locked { holder: Some(pid), .. }) => {
                Sighting::NotYet(format!("process {pid} is restarting its child"))
            }
            Err(error) => Sighting::NotYet(error.to_string()),
        }
    }
}

#[cfg(test)]
mod tests {
    use conditions::Silent;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn permits_are_given_one_at_a_time() {
        let root = tempfile::tempdir().unwrap();
        let coordination = RestartCoordination::new(Some(root.path().join("restart.lock")));
        let first = coordination.permit(None, &Silent).await;
        let second = coordination.permit(None, &Silent);
        tokio::pin!(second);
        let early = tokio::time::timeout(Duration::from_secs(60), &mut second).await;
        assert!(early.is_err(), "the first is not ready again");
        drop(first);
        let second = tokio::time::timeout(Duration::from_secs(2), second).await.unwrap();
        assert!(second.lock.is_some());
    }

    #[tokio::test(start_paused = true)]
    async fn nobody_waits_beyond_the_deadline_of_his_certificate() {
        let root = tempfile::tempdir().unwrap();
        let coordination = RestartCoordination::new(Some(root.path().join("restart.lock")));
        let _first = coordination.permit(None, &Silent).await;
        let deadline = OffsetDateTime::now_utc() + Duration::from_secs(10);
        let second = coordination.permit(Some(deadline), &Silent);
        let second = tokio::time::timeout(Duration::from_secs(13), second).await.unwrap();
        assert!(second.lock.is_none());
    }

    #[tokio::test(start_paused = true)]
    async fn without_a_lock_file_only_changes_are_collected() {
        let coordination = RestartCoordination::new(None);
        let begun = tokio::time::Instant::now();
        coordination.permit(None, &Silent).await;
        assert_eq!(begun.elapsed(), DEBOUNCE);
    }
}
