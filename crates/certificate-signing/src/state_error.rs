//! What can be wrong with the directory of CA keys, each with its remedy.
//! Refuses to heal: a CA that changes by itself locks a whole cluster out.

use std::path::PathBuf;

use durable_files::FileError;
use time::OffsetDateTime;

/// Why the CA keys cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum StateError {
    /// A file or directory cannot be read or written, or lies open.
    #[error(transparent)]
    File(#[from] FileError),
    /// A file of the set is gone.
    #[error("{} is missing, the rest of the set is there; restore it from a backup of the directory", path.display())]
    Missing {
        /// The file.
        path: PathBuf,
    },
    /// A file is truncated or was changed.
    #[error("{} is damaged: {why}; restore it from a backup of the directory", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// Another CA lies where ours should be.
    #[error(
        "{} is another certificate than the one this control plane was founded with; put back the right one from a backup of the directory",
        path.display()
    )]
    Swapped {
        /// The file.
        path: PathBuf,
    },
    /// A key that is not its certificate's.
    #[error("{} is not the key of {}; put back the right one from a backup of the directory", key.display(), certificate.display())]
    Mismatch {
        /// The key's file.
        key: PathBuf,
        /// The certificate's file.
        certificate: PathBuf,
    },
    /// The whole directory belongs to another control plane.
    #[error(
        "{} does not hold the certificate in {}: these keys belong to another control plane; give the right --state-directory, or remove the published file if the keys are right",
        published.display(), certificate.display()
    )]
    Foreign {
        /// What was published before.
        published: PathBuf,
        /// The certificate that is not in it.
        certificate: PathBuf,
    },
    /// Made by a version that this one does not know.
    #[error("{} has format version {found}, this version knows {known}; use the version that made it", path.display())]
    Version {
        /// The manifest.
        path: PathBuf,
        /// The version in it.
        found: u32,
        /// Ours.
        known: u32,
    },
    /// A key or certificate cannot be made.
    #[error(transparent)]
    Make(#[from] MakeError),
}

/// Why a key or certificate cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum MakeError {
    /// A pair cannot be made.
    #[error("cannot make {what}")]
    Key {
        /// Of what.
        what: String,
        /// Why.
        #[source]
        source: rcgen::Error,
    },
    /// The clock cannot be right.
    #[error(
        "cannot make a CA: this machine's clock says {now}, and this version was made after {at_least}: set the clock right"
    )]
    Clock {
        /// What the clock says.
        now: OffsetDateTime,
        /// What a right clock says at least.
        at_least: OffsetDateTime,
    },
    /// The system gives no random bytes.
    #[error("cannot make an encryption key: the system gives no random bytes")]
    Randomness,
}
