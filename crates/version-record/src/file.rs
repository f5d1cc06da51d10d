//! The record as a JSON file, written whole under a lock file beside it.
//! Refuses to overwrite what it cannot read.

use std::path::{Path, PathBuf};

use component_flags::Release;
use durable_files::{FileError, FileLock, read_limited, write_private};
use serde::{Deserialize, Serialize};

use crate::VersionRecordError;

/// It has one line.
const SIZE_LIMIT: u64 = 4096;

/// A record in one file.
#[derive(Debug, Clone)]
pub struct FileVersionRecord {
    path: PathBuf,
}

#[derive(Debug, Serialize, Deserialize)]
struct Content {
    kubernetes: String,
}

impl FileVersionRecord {
    /// The record at `path`; nothing is touched yet.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into() }
    }

    /// Where it lies.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    pub(crate) fn read(&self) -> Result<Option<Release>, VersionRecordError> {
        let bytes = match read_limited(&self.path, SIZE_LIMIT) {
            Ok(bytes) => bytes,
            Err(error) if error.is_not_found() => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        let content: Content = serde_json::from_slice(&bytes)
            .map_err(|source| VersionRecordError::Damaged { origin: self.origin(), source })?;
        let version = Release::parse(&content.kubernetes);
        version.map(Some).map_err(|source| VersionRecordError::Version { origin: self.origin(), source })
    }

    pub(crate) fn raise(&self, to: Release) -> Result<bool, VersionRecordError> {
        let mut lock = self.path.clone().into_os_string();
        lock.push(".lock");
        let _lock = match FileLock::acquire(Path::new(&lock)) {
            Ok(lock) => lock,
            Err(FileError::Locked { .. }) => return Ok(false),
            Err(error) => return Err(error.into()),
        };
        if self.read()? >= Some(to) {
            return Ok(true);
        }
        let content = Content { kubernetes: to.to_string() };
        let mut bytes = serde_json::to_vec(&content)
            .map_err(|source| VersionRecordError::Damaged { origin: self.origin(), source })?;
        bytes.push(b'\n');
        write_private(&self.path, &bytes)?;
        Ok(true)
    }

    fn origin(&self) -> String {
        self.path.display().to_string()
    }
}

#[cfg(test)]
mod tests {
    use crate::VersionRecord;

    use super::*;

    fn release(text: &str) -> Release {
        Release::parse(text).unwrap()
    }

    #[tokio::test]
    async fn it_only_rises() {
        let directory = tempfile::tempdir().unwrap();
        let record = VersionRecord::file(directory.path().join("version-record.json"));
        assert_eq!(record.read().await.unwrap(), None);
        for (to, then) in
            [("1.36.3", "1.36.3"), ("1.37.2", "1.37.2"), ("1.36.9", "1.37.2"), ("1.37.10", "1.37.10")]
        {
            assert!(record.raise(release(to)).await.unwrap());
            assert_eq!(record.read().await.unwrap(), Some(release(then)), "{to}");
        }
    }

    #[tokio::test]
    async fn who_holds_the_lock_goes_first() {
        let directory = tempfile::tempdir().unwrap();
        let record = VersionRecord::file(directory.path().join("record"));
        let held = FileLock::acquire(&directory.path().join("record.lock")).unwrap();
        assert!(!record.raise(release("1.37.2")).await.unwrap());
        drop(held);
        assert!(record.raise(release("1.37.2")).await.unwrap());
    }

    #[tokio::test]
    async fn what_is_no_record_is_told_and_never_overwritten() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("record");
        let record = VersionRecord::file(&path);
        for (text, expected) in
            [("", "no version record"), ("{\"kubernetes\":\"newest\"}", "names no version")]
        {
            write_private(&path, text.as_bytes()).unwrap();
            let error = record.read().await.unwrap_err().to_string();
            assert!(error.contains(expected) && error.contains(path.to_str().unwrap()), "{error}");
            record.raise(release("1.37.2")).await.unwrap_err();
            assert_eq!(std::fs::read_to_string(&path).unwrap(), text);
        }
    }
}
