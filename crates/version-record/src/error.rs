//! What can be wrong with a version record, naming where it lies and what to do.
//! Refuses to guess: a record that cannot be read is never replaced.

use component_flags::VersionError;
use durable_files::FileError;
use management_api::ManagementError;

/// Why the record could not be read or written.
#[derive(Debug, thiserror::Error)]
pub enum VersionRecordError {
    /// The file system refused.
    #[error("the version record cannot be read or written")]
    File(#[from] FileError),
    /// The management cluster refused or did not answer.
    #[error("the version record cannot be read or written: {}", .0.told())]
    ManagementApi(ManagementError),
    /// Not JSON.
    #[error("{origin} is no version record; remove it, it is written anew")]
    Damaged {
        /// Where it lies.
        origin: String,
        /// What the parser says.
        #[source]
        source: serde_json::Error,
    },
    /// A `ConfigMap` of somebody else.
    #[error(
        "{origin} is no version record: it has no key {key}; point --version-record-config-map elsewhere"
    )]
    Foreign {
        /// Where it lies.
        origin: String,
        /// What is missing.
        key: &'static str,
    },
    /// Something else than a version is recorded.
    #[error("{origin} names no version")]
    Version {
        /// Where it lies.
        origin: String,
        /// What it names.
        #[source]
        source: VersionError,
    },
}

impl From<ManagementError> for VersionRecordError {
    fn from(error: ManagementError) -> Self {
        Self::ManagementApi(error)
    }
}
