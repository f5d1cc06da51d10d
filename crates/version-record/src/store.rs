//! One face for both places of the record.
//! Refuses to lower it: two API servers that write at once leave the higher version.

use std::path::PathBuf;

use component_flags::Release;
use management_api::ManagementApi;

use crate::{ConfigMapVersionRecord, FileVersionRecord, VersionRecordError};

/// Where the record lies.
#[derive(Debug, Clone)]
pub enum VersionRecord {
    /// In a file that all API servers' supervisors share.
    File(FileVersionRecord),
    /// In a `ConfigMap` of the management cluster.
    ConfigMap(ConfigMapVersionRecord),
}

impl VersionRecord {
    /// A record in this file.
    #[must_use]
    pub fn file(path: impl Into<PathBuf>) -> Self {
        Self::File(FileVersionRecord::new(path))
    }

    /// A record in this `ConfigMap`.
    #[must_use]
    pub fn config_map(api: ManagementApi, name: &str) -> Self {
        Self::ConfigMap(ConfigMapVersionRecord::new(api, name))
    }

    /// The version; none before all API servers ran one. An unreadable record is an error, never none.
    pub async fn read(&self) -> Result<Option<Release>, VersionRecordError> {
        match self {
            Self::File(file) => file.read(),
            Self::ConfigMap(map) => map.read().await,
        }
    }

    /// Writes `to` unless as much is there already. False when somebody else wrote at the same time: look again.
    pub async fn raise(&self, to: Release) -> Result<bool, VersionRecordError> {
        match self {
            Self::File(file) => file.raise(to),
            Self::ConfigMap(map) => map.raise(to).await,
        }
    }

    /// Where it lies, for people.
    #[must_use]
    pub fn origin(&self) -> String {
        match self {
            Self::File(file) => file.path().display().to_string(),
            Self::ConfigMap(map) => map.origin(),
        }
    }
}
