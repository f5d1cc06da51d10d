//! Pid files: which process runs an instance, so that `down`, `status` and a later `up` find what a killed one left.
//! Refuses to take a stranger with the same pid for ours: start time and boot are part of the identity.

use durable_files::FileError;
use process_control::ProcessIdentity;
use serde::{Deserialize, Serialize};

use crate::paths::StatePaths;

/// The content of a pid file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PidFile {
    /// Which process.
    pub process: ProcessIdentity,
    /// How often it was started again since `up`.
    #[serde(default)]
    pub restarts: u32,
    /// Of `pilothouse` itself: whether everything was ready once.
    #[serde(default)]
    pub ready: bool,
}

/// A pid file is about 150 bytes.
const LARGEST: u64 = 4096;

impl PidFile {
    /// Writes the pid file of an instance.
    pub fn write(&self, paths: &StatePaths, instance: &str) -> Result<(), FileError> {
        let text = serde_json::to_vec(self).unwrap_or_default();
        durable_files::write_private(&paths.pid_file(instance), &text)
    }

    /// Reads the pid file of an instance. One that is absent or damaged tells of no process.
    #[must_use]
    pub fn read(paths: &StatePaths, instance: &str) -> Option<Self> {
        let bytes = durable_files::read_limited(&paths.pid_file(instance), LARGEST).ok()?;
        serde_json::from_slice(&bytes).ok()
    }

    /// Reads it and tells whether that very process lives.
    #[must_use]
    pub fn read_living(paths: &StatePaths, instance: &str) -> Option<Self> {
        Self::read(paths, instance).filter(|file| file.process.is_alive().unwrap_or(false))
    }

    /// Removes the pid file of an instance, if there is one.
    pub fn remove(paths: &StatePaths, instance: &str) {
        if let Err(error) = std::fs::remove_file(paths.pid_file(instance))
            && error.kind() != std::io::ErrorKind::NotFound
        {
            // It tells of a process that is gone, which the next reader finds out by itself.
            tracing::debug!(instance, %error, "pid file not removed");
        }
    }
}
