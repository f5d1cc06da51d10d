//! Configuration is written before a child starts. A full disk is waited out and said: it is trouble that passes.
//! Refuses to wait for anything else that files can suffer from.

use conditions::{Condition, Pace, Progress, Sighting, wait_for};

/// Calls `write` until it no longer fails because a disk is full; hands over how it ended. `disk_full` knows that
/// trouble.
pub async fn when_there_is_space<E: std::error::Error>(
    progress: &dyn Progress,
    mut write: impl FnMut() -> Result<(), E>,
    disk_full: impl Fn(&E) -> bool,
) -> Result<(), E> {
    // The usual case says nothing: a wait that is over at once would only blink on the board.
    match write() {
        Err(error) if disk_full(&error) => {
            wait_for(&mut Space { write, disk_full }, Pace::default(), progress).await
        }
        written => written,
    }
}

struct Space<W, F> {
    write: W,
    disk_full: F,
}

impl<E, W, F> Condition for Space<W, F>
where
    E: std::error::Error,
    W: FnMut() -> Result<(), E>,
    F: Fn(&E) -> bool,
{
    type Output = Result<(), E>;

    fn awaits(&self) -> String {
        "space for configuration files".to_owned()
    }

    async fn look(&mut self) -> Sighting<Self::Output> {
        match (self.write)() {
            Err(error) if (self.disk_full)(&error) => Sighting::NotYet(telemetry::error_chain(&error)),
            written => Sighting::Holds(written),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::ErrorKind;
    use std::path::PathBuf;

    use conditions::Silent;
    use durable_files::FileError;

    use super::*;

    fn full() -> FileError {
        FileError::DiskFull {
            action: "write",
            path: PathBuf::from("/run/pilothouse/kubeconfig"),
            source: ErrorKind::StorageFull.into(),
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_full_disk_is_waited_out_and_other_trouble_is_not() {
        let mut answers = vec![Ok(()), Err(full()), Err(full())];
        when_there_is_space(&Silent, || answers.pop().unwrap(), FileError::is_disk_full).await.unwrap();
        assert!(answers.is_empty());

        let other = || FileError::Io {
            action: "write",
            path: PathBuf::from("/run/pilothouse/kubeconfig"),
            source: ErrorKind::PermissionDenied.into(),
        };
        let mut answers = vec![Ok(()), Err(other()), Err(full())];
        when_there_is_space(&Silent, || answers.pop().unwrap(), FileError::is_disk_full).await.unwrap_err();
        assert_eq!(answers.len(), 1);
    }
}
