//! Where `pilothouse up` writes its own log: into its state directory, beside those of the instances.
//! Refuses the terminal, which shows the instances.

use std::fs::OpenOptions;
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;

use telemetry::{LogArguments, TelemetryError};

use crate::paths::{SELF, StatePaths};

/// Why nothing can be logged.
#[derive(Debug, thiserror::Error)]
pub enum OwnLogError {
    /// The log file.
    #[error("cannot write the log {}", path.display())]
    File {
        /// The log.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The filter, or a second call.
    #[error(transparent)]
    Telemetry(#[from] TelemetryError),
}

/// Sends the log lines of this process to its file, from now on.
pub fn log_to_state_directory(arguments: &LogArguments, paths: &StatePaths) -> Result<(), OwnLogError> {
    let path = paths.log(SELF);
    let opened = OpenOptions::new().create(true).append(true).mode(0o600).open(&path);
    let file = opened.map_err(|source| OwnLogError::File { path, source })?;
    Ok(arguments.install_to(file)?)
}
