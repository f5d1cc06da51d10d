//! One face for every place where a record can lie: a file, a `ConfigMap`.
//! Refuses blind writes: creation never replaces, and a change names the version that it changes.

use std::path::PathBuf;
use std::time::Duration;

use conditions::Backoff;
use management_api::ManagementApi;

use crate::{ClusterRecord, ConfigMapRecord, FileRecord, RecordError};

/// How often a change is tried again when another writer was faster.
const CHANGE_ATTEMPTS: u32 = 20;

/// Where the record lies.
#[derive(Debug, Clone)]
pub enum RecordStore {
    /// In a file that all members' supervisors share.
    File(FileRecord),
    /// In a `ConfigMap` of the management cluster.
    ConfigMap(ConfigMapRecord),
}

/// What came of creating a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Creation {
    /// It is ours.
    Created,
    /// Somebody was faster; theirs holds.
    AlreadyThere,
}

impl RecordStore {
    /// A record in this file.
    #[must_use]
    pub fn file(path: impl Into<PathBuf>) -> Self {
        Self::File(FileRecord::new(path))
    }

    /// A record in this `ConfigMap`.
    #[must_use]
    pub fn config_map(api: ManagementApi, name: &str) -> Self {
        Self::ConfigMap(ConfigMapRecord::new(api, name))
    }

    /// How often somebody who has nothing to change looks whether the record is still there.
    #[must_use]
    pub fn look_every(&self) -> Duration {
        match self {
            Self::File(_) => Duration::from_secs(10),
            // Three members of each of a hundred control planes ask one API server.
            Self::ConfigMap(_) => Duration::from_secs(60),
        }
    }

    /// The record; none when there is none. An unreadable one is an error, never none.
    pub async fn read(&self) -> Result<Option<ClusterRecord>, RecordError> {
        match self {
            Self::File(file) => file.read(),
            Self::ConfigMap(map) => map.read().await,
        }
    }

    /// Writes the record unless there is one.
    pub async fn create(&self, record: &ClusterRecord) -> Result<Creation, RecordError> {
        match self {
            Self::File(file) => file.create(record).await,
            Self::ConfigMap(map) => map.create(record).await,
        }
    }

    /// Changes the record that is there, beginning anew when another writer was faster; returns what was written.
    /// A change that changes nothing writes nothing.
    pub async fn change(&self, change: impl Fn(&mut ClusterRecord)) -> Result<ClusterRecord, RecordError> {
        let mut backoff = Backoff::new(Duration::from_millis(5), Duration::from_millis(200));
        for _attempt in 0..CHANGE_ATTEMPTS {
            let before = self.read().await?.ok_or_else(|| RecordError::Missing { origin: self.origin() })?;
            let mut after = before.clone();
            change(&mut after);
            if after == before {
                return Ok(before);
            }
            after.version = before.version + 1;
            if self.replace(before.version, &after).await? {
                return Ok(after);
            }
            tokio::time::sleep(backoff.next_delay()).await;
        }
        let detail = format!("{CHANGE_ATTEMPTS} changes in a row were overtaken");
        Err(RecordError::Contended { origin: self.origin(), detail })
    }

    /// Where the record lies, for people.
    #[must_use]
    pub fn origin(&self) -> String {
        match self {
            Self::File(file) => file.path().display().to_string(),
            Self::ConfigMap(map) => map.origin(),
        }
    }

    async fn replace(&self, expected: u64, record: &ClusterRecord) -> Result<bool, RecordError> {
        match self {
            Self::File(file) => file.replace(expected, record).await,
            Self::ConfigMap(map) => map.replace(expected, record).await,
        }
    }
}
