//! One replica at a time: who must restart its child to take up a change waits for its turn and keeps it until the
//! child is ready again. Turns lie in a lock file here, in a Lease elsewhere. Refuses to restart anything itself.

use std::future::Future;
use std::path::PathBuf;
use std::time::Duration;

use conditions::{Condition, Pace, Progress, Sighting, wait_for};
use durable_files::{FileError, FileLock};
use time::OffsetDateTime;

/// Changes that come together cause one restart.
const DEBOUNCE: Duration = Duration::from_secs(2);
/// A replica that holds a lock file for longer is not waited for: it would hold up everybody's certificates.
const HOLD_LIMIT: Duration = Duration::from_secs(5 * 60);

/// Something of which one replica at a time has hold.
pub trait Turns {
    /// Held from before the child's SIGTERM until it is ready again; dropping it lets the next replica go, at once or later.
    type Turn;

    /// Where turns are taken, for people: a file, a Lease.
    fn described(&self) -> String;

    /// After this time whoever waits goes without a turn; none: only the deadline of a certificate ends the wait.
    fn patience(&self) -> Option<Duration>;

    /// Takes the turn if it is free; otherwise who has it, or why that cannot be known.
    fn try_take(&mut self) -> impl Future<Output = Result<Self::Turn, String>>;
}

/// Waits 2 s for further changes, then for the turn, but never beyond `restart_by` (80 % of the old leaf's life) nor for
/// longer than the turns' patience; none when that was over first. Dropping the future gives up the place.
pub async fn turn_to_restart<T: Turns>(
    turns: &mut T,
    restart_by: Option<OffsetDateTime>,
    progress: &dyn Progress,
) -> Option<T::Turn> {
    tokio::time::sleep(DEBOUNCE).await;
    let until_deadline =
        restart_by.map(|by| Duration::try_from(by - OffsetDateTime::now_utc()).unwrap_or_default());
    let limit = [until_deadline, turns.patience()].into_iter().flatten().min();
    let described = turns.described();
    let mut turn = MyTurn { turns };
    let pace =
        Pace { first: Duration::from_millis(200), longest: Duration::from_millis(500), ..Pace::default() };
    let waiting = wait_for(&mut turn, pace, progress);
    let Some(limit) = limit else { return Some(waiting.await) };
    match tokio::time::timeout(limit, waiting).await {
        Ok(turn) => Some(turn),
        Err(_elapsed) => {
            tracing::warn!(turns = described, "restarting without a turn: it did not come in time");
            None
        }
    }
}

/// Turns by a lock file that all replicas on one machine are given.
#[derive(Debug, Clone)]
pub struct FileTurns {
    lock_file: PathBuf,
}

impl FileTurns {
    /// Nothing is touched yet.
    #[must_use]
    pub fn new(lock_file: PathBuf) -> Self {
        Self { lock_file }
    }
}

impl Turns for FileTurns {
    type Turn = FileLock;

    fn described(&self) -> String {
        self.lock_file.display().to_string()
    }

    fn patience(&self) -> Option<Duration> {
        Some(HOLD_LIMIT)
    }

    async fn try_take(&mut self) -> Result<FileLock, String> {
        if let Some(directory) = self.lock_file.parent() {
            durable_files::create_private_directory(directory).map_err(|error| error.to_string())?;
        }
        match FileLock::acquire(&self.lock_file) {
            Ok(lock) => Ok(lock),
            Err(FileError::Locked { holder: Some(pid), .. }) => {
                Err(format!("process {pid} is restarting its child"))
            }
            Err(error) => Err(error.to_string()),
        }
    }
}

struct MyTurn<'a, T> {
    turns: &'a mut T,
}

impl<T: Turns> Condition for MyTurn<'_, T> {
    type Output = T::Turn;

    fn awaits(&self) -> String {
        format!("the turn to restart, {}", self.turns.described())
    }

    async fn look(&mut self) -> Sighting<T::Turn> {
        match self.turns.try_take().await {
            Ok(turn) => Sighting::Holds(turn),
            Err(why) => Sighting::NotYet(why),
        }
    }
}

#[cfg(test)]
mod tests {
    use conditions::Silent;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn turns_are_taken_one_at_a_time() {
        let root = tempfile::tempdir().unwrap();
        let (mut mine, mut yours) = (turns(&root), turns(&root));
        let begun = tokio::time::Instant::now();
        let first = turn_to_restart(&mut mine, None, &Silent).await.unwrap();
        assert_eq!(begun.elapsed(), DEBOUNCE, "changes are collected");
        let second = turn_to_restart(&mut yours, None, &Silent);
        tokio::pin!(second);
        let early = tokio::time::timeout(Duration::from_secs(60), &mut second).await;
        assert!(early.is_err(), "the first is not ready again");
        drop(first);
        let second = tokio::time::timeout(Duration::from_secs(2), second).await.unwrap();
        assert!(second.is_some());
    }

    #[tokio::test(start_paused = true)]
    async fn nobody_waits_beyond_the_deadline_of_his_certificate() {
        let root = tempfile::tempdir().unwrap();
        let _first = turn_to_restart(&mut turns(&root), None, &Silent).await;
        let deadline = OffsetDateTime::now_utc() + Duration::from_secs(10);
        let mut yours = turns(&root);
        let second = turn_to_restart(&mut yours, Some(deadline), &Silent);
        let second = tokio::time::timeout(Duration::from_secs(13), second).await.unwrap();
        assert!(second.is_none());
    }

    #[tokio::test(start_paused = true)]
    async fn nobody_waits_for_ever_for_a_frozen_replica_on_the_same_machine() {
        let root = tempfile::tempdir().unwrap();
        let _first = turn_to_restart(&mut turns(&root), None, &Silent).await;
        let begun = tokio::time::Instant::now();
        assert!(turn_to_restart(&mut turns(&root), None, &Silent).await.is_none());
        assert!(begun.elapsed() >= HOLD_LIMIT);
    }

    fn turns(root: &tempfile::TempDir) -> FileTurns {
        FileTurns::new(root.path().join("locks/restart.lock"))
    }
}
