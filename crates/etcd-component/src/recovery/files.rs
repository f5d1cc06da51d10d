//! What lies on the volume during a recovery: the request of a person, the supervisor's answer, the mark of a recovery that
//! goes on, a copy of the snapshot, the new data directory. Refuses to judge what it finds.

use std::path::PathBuf;
use std::time::SystemTime;

use durable_files::write_private;
use etcd_membership::ClusterId;
use etcd_membership::recovery::{Phase, Position, RecoveryRequest};
use serde::{Deserialize, Serialize};

use crate::volume::{VolumeError, VolumeFiles, io_error, remove_directory};

const REQUEST: &str = "recovery-request.json";
const ANSWER: &str = "recovery-answer.json";
const MARK: &str = "recovery.json";
const SNAPSHOT: &str = "recovery-snapshot-";
const BUILT: &str = "member-data.recovered";

/// What a person asks for, as the command writes it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Asked {
    /// Tells this recovery from every other one.
    pub(crate) nonce: String,
    pub(crate) request: RecoveryRequest,
    pub(crate) bump_revision: u64,
    /// Without it only the report is wanted.
    pub(crate) confirmed: bool,
}

/// A recovery that was allowed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Mark {
    pub(crate) asked: Asked,
    pub(crate) phase: Phase,
    /// The new cluster's token.
    pub(crate) token: String,
    /// The recovery that the record named when this one was allowed.
    pub(crate) former: Option<String>,
    /// What the person was told.
    pub(crate) report: String,
    /// How far this member was: its etcd cannot be asked any more.
    pub(crate) position: Option<KnownPosition>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct KnownPosition {
    cluster: u64,
    revision: i64,
    applied: Option<u64>,
}

/// What the supervisor says to a request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Answer {
    pub(crate) nonce: String,
    pub(crate) stand: Stand,
    pub(crate) text: String,
}

/// How far a request got.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) enum Stand {
    /// It would be allowed; a confirmation is missing.
    Planned,
    /// It is not allowed, or not any more.
    Refused,
    /// It is being carried out.
    Going,
    /// All is in place; etcd does not serve yet.
    InPlace,
    /// The new cluster serves.
    Serves,
}

impl From<Position> for KnownPosition {
    fn from(it: Position) -> Self {
        Self { cluster: it.cluster.0, revision: it.revision, applied: it.applied }
    }
}

impl From<KnownPosition> for Position {
    fn from(it: KnownPosition) -> Self {
        Self { cluster: ClusterId(it.cluster), revision: it.revision, applied: it.applied }
    }
}

impl VolumeFiles {
    pub(crate) fn recovery_request(&self) -> Result<Option<Asked>, VolumeError> {
        self.json(REQUEST)
    }

    pub(crate) fn write_recovery_request(&self, asked: &Asked) -> Result<(), VolumeError> {
        self.write_json(REQUEST, asked)
    }

    pub(crate) fn remove_recovery_request(&self) -> Result<(), VolumeError> {
        self.remove_file(REQUEST)
    }

    pub(crate) fn recovery_answer(&self) -> Result<Option<Answer>, VolumeError> {
        self.json(ANSWER)
    }

    pub(crate) fn write_recovery_answer(&self, answer: &Answer) -> Result<(), VolumeError> {
        self.write_json(ANSWER, answer)
    }

    pub(crate) fn recovery_mark(&self) -> Result<Option<Mark>, VolumeError> {
        self.json(MARK)
    }

    pub(crate) fn write_recovery_mark(&self, mark: &Mark) -> Result<(), VolumeError> {
        self.write_json(MARK, mark)
    }

    pub(crate) fn remove_recovery_mark(&self) -> Result<(), VolumeError> {
        self.remove_file(MARK)
    }

    /// Where the command puts its copy of the snapshot.
    pub(crate) fn recovery_snapshot(&self, nonce: &str) -> PathBuf {
        self.root.join(format!("{SNAPSHOT}{nonce}.db"))
    }

    /// Removes all copies of snapshots, also those of commands that were killed.
    pub(crate) fn remove_recovery_snapshots(&self) -> Result<(), VolumeError> {
        for entry in Self::entries(&self.root)? {
            let name = entry.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
            if name.starts_with(SNAPSHOT) {
                self.remove_file(&name)?;
            }
        }
        Ok(())
    }

    /// The new data directory.
    pub(crate) fn built(&self) -> PathBuf {
        self.root.join(BUILT)
    }

    pub(crate) fn remove_built(&self) -> Result<(), VolumeError> {
        remove_directory(&self.built())
    }

    /// The database of a data directory that no etcd uses.
    pub(crate) fn database(&self) -> PathBuf {
        self.data().join("member/snap/db")
    }

    /// When it was last written.
    pub(crate) fn database_written(&self) -> Option<SystemTime> {
        self.database().metadata().ok()?.modified().ok()
    }

    /// Forgets whom the old data belonged to, and puts the new data in its place.
    pub(crate) fn put_in_place(&self) -> Result<(), VolumeError> {
        self.forget_identity()?;
        std::fs::rename(self.built(), self.data()).map_err(io_error("put in place", &self.built()))?;
        self.sync()
    }

    /// Everything on the volume, whoever wrote it.
    pub(crate) fn sync(&self) -> Result<(), VolumeError> {
        let directory = std::fs::File::open(&self.root).map_err(io_error("open", &self.root))?;
        nix::unistd::syncfs(directory).map_err(|errno| io_error("sync", &self.root)(errno.into()))
    }

    fn write_json<T: Serialize>(&self, name: &str, value: &T) -> Result<(), VolumeError> {
        let path = self.root.join(name);
        let mut bytes = serde_json::to_vec_pretty(value)
            .map_err(|source| VolumeError::Damaged { path: path.clone(), source })?;
        bytes.push(b'\n');
        Ok(write_private(&path, &bytes)?)
    }
}
