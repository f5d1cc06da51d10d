//! What can be wrong with a record, naming where it lies and what to do.
//! Refuses to guess: a record that cannot be read is never replaced.

use durable_files::FileError;
use management_api::ManagementError;

/// Why the record could not be read or written. None of these stops a member that has its data.
#[derive(Debug, thiserror::Error)]
pub enum RecordError {
    /// The file system refused.
    #[error("the cluster record cannot be read or written")]
    File(#[from] FileError),
    /// The management cluster refused or did not answer.
    #[error("the cluster record cannot be read or written: {}", .0.told())]
    ManagementApi(ManagementError),
    /// Not JSON, or cut off.
    #[error(
        "the cluster record {origin} is damaged; put its last copy back, or, if every member still has its data, remove it: a member with data writes it anew"
    )]
    Damaged {
        /// Where the record lies.
        origin: String,
        /// What the parser says.
        #[source]
        source: serde_json::Error,
    },
    /// JSON that somebody else wrote.
    #[error(
        "{origin} is not a cluster record ({why}); point --cluster-record or --cluster-record-config-map at the right place"
    )]
    Foreign {
        /// Where it lies.
        origin: String,
        /// How that was seen.
        why: String,
    },
    /// Written by a newer version of Pilothouse.
    #[error(
        "the cluster record {origin} has format {found}, this version understands {supported}; use the newer version"
    )]
    Newer {
        /// Where it lies.
        origin: String,
        /// The version found.
        found: u64,
        /// The version understood.
        supported: u32,
    },
    /// A change was asked for, and there is no record.
    #[error("there is no cluster record at {origin}")]
    Missing {
        /// Where it should lie.
        origin: String,
    },
    /// Others kept changing it, or hold its lock.
    #[error("the cluster record {origin} is being changed by others all the time; {detail}")]
    Contended {
        /// Where it lies.
        origin: String,
        /// Who is in the way.
        detail: String,
    },
}

impl From<ManagementError> for RecordError {
    fn from(error: ManagementError) -> Self {
        Self::ManagementApi(error)
    }
}
