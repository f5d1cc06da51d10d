//! One directory for all temporary files of a run, gone when the run ends, and those of killed runs before it.
//! Refuses to touch the directory of a run that still lives: it holds a lock on a file in there.

use std::fs::{File, TryLockError};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

const PREFIX: &str = "pilothouse-run-";
const LOCK: &str = "lock";

/// This run's directory.
pub(crate) struct Scratch {
    directory: tempfile::TempDir,
    _lock: File,
}

impl Scratch {
    /// Makes one beside the temporary directories of others.
    pub(crate) fn claim() -> Result<Self> {
        Self::claim_in(&std::env::temp_dir())
    }

    fn claim_in(parent: &Path) -> Result<Self> {
        for left in left_behind(parent)? {
            eprintln!("removing {}, left behind by a killed run", left.display());
            std::fs::remove_dir_all(&left).with_context(|| format!("cannot remove {}", left.display()))?;
        }
        let directory = tempfile::Builder::new()
            .prefix(PREFIX)
            .tempdir_in(parent)
            .with_context(|| format!("cannot make a directory in {}", parent.display()))?;
        let path = directory.path().join(LOCK);
        let lock = File::create(&path).with_context(|| format!("cannot create {}", path.display()))?;
        lock.lock().with_context(|| format!("cannot lock {}", path.display()))?;
        Ok(Self { directory, _lock: lock })
    }

    pub(crate) fn path(&self) -> &Path {
        self.directory.path()
    }
}

/// One without a lock file may have been made by a run that has not come to it yet: it is empty and left alone.
fn left_behind(parent: &Path) -> Result<Vec<PathBuf>> {
    let entries = std::fs::read_dir(parent).with_context(|| format!("cannot list {}", parent.display()))?;
    let ours = |path: &PathBuf| {
        path.file_name().and_then(|name| name.to_str()).is_some_and(|name| name.starts_with(PREFIX))
    };
    let abandoned = |path: &PathBuf| {
        let lock = File::open(path.join(LOCK));
        lock.is_ok_and(|lock| !matches!(lock.try_lock(), Err(TryLockError::WouldBlock)))
    };
    Ok(entries.flatten().map(|entry| entry.path()).filter(ours).filter(abandoned).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_killed_run_left_is_removed_and_what_a_living_one_uses_is_not() {
        let parent = tempfile::tempdir().unwrap();
        let living = Scratch::claim_in(parent.path()).unwrap();
        let killed = parent.path().join("pilothouse-run-killed");
        std::fs::create_dir_all(killed.join("state")).unwrap();
        File::create(killed.join(LOCK)).unwrap();
        let somebodys = parent.path().join("somebodys");
        std::fs::create_dir(&somebodys).unwrap();

        let second = Scratch::claim_in(parent.path()).unwrap();
        assert!(living.path().is_dir() && second.path().is_dir() && somebodys.is_dir());
        assert!(!killed.exists());
        let gone = second.path().to_owned();
        drop(second);
        assert!(!gone.exists());
    }
}
