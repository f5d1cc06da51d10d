//! The record as a JSON file: atomic replacement under a lock file beside it.
//! Refuses to overwrite what it cannot read.

use std::path::{Path, PathBuf};
use std::time::Duration;

use conditions::Backoff;
use durable_files::{FileError, FileLock, read_limited, write_private};

use crate::{ClusterRecord, Creation, RecordError};

/// A record of five members has less than 1 KiB.
const SIZE_LIMIT: u64 = 256 * 1024;
/// A change takes milliseconds; a lock that is held longer belongs to a frozen process.
const LOCK_PATIENCE: Duration = Duration::from_secs(5);

/// A record in one file.
#[derive(Debug, Clone)]
pub struct FileRecord {
    path: PathBuf,
}

impl FileRecord {
    /// The record at `path`; nothing is touched yet.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into() }
    }

    /// Where it lies.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    pub(crate) fn read(&self) -> Result<Option<ClusterRecord>, RecordError> {
        match read_limited(&self.path, SIZE_LIMIT) {
            Ok(bytes) => ClusterRecord::parse(&bytes, &self.origin()).map(Some),
            Err(error) if error.is_not_found() => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    pub(crate) async fn create(&self, record: &ClusterRecord) -> Result<Creation, RecordError> {
        let _lock = self.lock().await?;
        if self.read()?.is_some() {
            return Ok(Creation::AlreadyThere);
        }
        self.write(record)?;
        Ok(Creation::Created)
    }

    /// Whether the record was still at `expected` and is replaced now.
    pub(crate) async fn replace(&self, expected: u64, record: &ClusterRecord) -> Result<bool, RecordError> {
        let _lock = self.lock().await?;
        match self.read()? {
            Some(present) if present.version == expected => self.write(record).map(|()| true),
            Some(_) => Ok(false),
            None => Err(RecordError::Missing { origin: self.origin() }),
        }
    }

    fn write(&self, record: &ClusterRecord) -> Result<(), RecordError> {
        Ok(write_private(&self.path, record.render(&self.origin())?.as_bytes())?)
    }

    async fn lock(&self) -> Result<FileLock, RecordError> {
        let mut path = self.path.clone().into_os_string();
        path.push(".lock");
        let path = PathBuf::from(path);
        let mut backoff = Backoff::new(Duration::from_millis(2), Duration::from_millis(20));
        let deadline = tokio::time::Instant::now() + LOCK_PATIENCE;
        loop {
            match FileLock::acquire(&path) {
                Ok(lock) => return Ok(lock),
                Err(error @ FileError::Locked { .. }) if tokio::time::Instant::now() >= deadline => {
                    return Err(RecordError::Contended { origin: self.origin(), detail: error.to_string() });
                }
                Err(FileError::Locked { .. }) => tokio::time::sleep(backoff.next_delay()).await,
                Err(error) => return Err(error.into()),
            }
        }
    }

    fn origin(&self) -> String {
        self.path.display().to_string()
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;
    use crate::{InitialMember, MemberLine, RecordStore};

    fn founders() -> Vec<InitialMember> {
        ["etcd-0", "etcd-1", "etcd-2"]
            .map(|name| InitialMember { name: name.into(), peer_url: format!("https://{name}:2380") })
            .to_vec()
    }

    fn put(path: &Path, text: &str) {
        std::fs::File::create(path).unwrap().write_all(text.as_bytes()).unwrap();
    }

    #[tokio::test]
    async fn the_first_creator_wins_and_others_read_its_record() {
        let directory = tempfile::tempdir().unwrap();
        let store = RecordStore::file(directory.path().join("cluster-record.json"));
        assert_eq!(store.read().await.unwrap(), None);
        let (first, second) =
            (ClusterRecord::for_founding(founders()), ClusterRecord::for_founding(founders()));
        assert_ne!(first.token, second.token);
        assert_eq!(store.create(&first).await.unwrap(), Creation::Created);
        assert_eq!(store.create(&second).await.unwrap(), Creation::AlreadyThere);
        assert_eq!(store.read().await.unwrap(), Some(first));
    }

    #[tokio::test]
    async fn concurrent_changes_are_all_kept() {
        let directory = tempfile::tempdir().unwrap();
        let store = RecordStore::file(directory.path().join("record"));
        store.create(&ClusterRecord::for_founding(founders())).await.unwrap();
        let line = |volume: &str| MemberLine { volume_id: Some(volume.into()), started: false };
        let write = async |name: &str| {
            store.change(|record| drop(record.members.insert(name.into(), line(name)))).await.unwrap()
        };
        tokio::join!(write("etcd-0"), write("etcd-1"), write("etcd-2"));
        let record = store.read().await.unwrap().unwrap();
        assert_eq!(record.version, 4);
        assert_eq!(record.members.len(), 3);
        let unchanged = store.change(|_| {}).await.unwrap();
        assert_eq!(unchanged.version, 4, "a change that changes nothing writes nothing");
    }

    #[tokio::test]
    async fn a_change_on_an_old_version_is_refused() {
        let directory = tempfile::tempdir().unwrap();
        let file = FileRecord::new(directory.path().join("record"));
        let record = ClusterRecord::for_founding(founders());
        file.create(&record).await.unwrap();
        assert!(file.replace(1, &ClusterRecord { version: 2, ..record.clone() }).await.unwrap());
        assert!(!file.replace(1, &ClusterRecord { version: 2, ..record }).await.unwrap());
    }

    #[tokio::test]
    async fn what_is_no_record_is_told_apart_and_never_overwritten() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("record");
        let store = RecordStore::file(&path);
        let whole = serde_json::to_string(&ClusterRecord::for_founding(founders())).unwrap();
        for (text, expected) in [
            (&whole[..whole.len() / 2], "is damaged"),
            ("", "is damaged"),
            (r#"{"kind":"Secret"}"#, "no formatVersion"),
            (r#"{"formatVersion":"one"}"#, "no number"),
            (r#"{"formatVersion":1,"version":1}"#, "missing field `token`"),
            (r#"{"formatVersion":2}"#, "use the newer version"),
        ] {
            put(&path, text);
            let error = store.read().await.unwrap_err().to_string();
            assert!(error.contains(expected) && error.contains("record"), "{text}: {error}");
            store.create(&ClusterRecord::for_founding(founders())).await.unwrap_err();
            assert_eq!(std::fs::read_to_string(&path).unwrap(), text);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_lock_that_is_never_released_is_an_error_that_names_its_holder() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("record");
        let _held = FileLock::acquire(&directory.path().join("record.lock")).unwrap();
        let error =
            RecordStore::file(&path).create(&ClusterRecord::for_founding(founders())).await.unwrap_err();
        assert!(error.to_string().contains(&std::process::id().to_string()), "{error}");
    }
}
