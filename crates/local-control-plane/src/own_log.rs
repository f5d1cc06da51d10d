//! Where `pilothouse up` writes its own log: into its state directory, beside those of the instances.
//! Refuses the terminal, which shows the instances.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;
use std::sync::Mutex;

use telemetry::{LogArguments, LogFormat};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::util::SubscriberInitExt;

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
    /// The filter does not parse.
    #[error(
        "--log-level `{filter}` is no level and no filter; give for example info or info,supervision=debug"
    )]
    Filter {
        /// What was given.
        filter: String,
        /// What the parser says.
        #[source]
        source: tracing_subscriber::filter::ParseError,
    },
}

/// Sends the log lines of this process to its file, from now on. A second call changes nothing.
pub fn log_to_state_directory(arguments: &LogArguments, paths: &StatePaths) -> Result<(), OwnLogError> {
    let filter = EnvFilter::try_new(&arguments.log_level)
        .map_err(|source| OwnLogError::Filter { filter: arguments.log_level.clone(), source })?;
    let path = paths.log(SELF);
    let file = open(&path).map_err(|source| OwnLogError::File { path, source })?;
    let lines =
        tracing_subscriber::fmt().with_env_filter(filter).with_writer(Mutex::new(file)).with_ansi(false);
    let _second_call = match arguments.log_format {
        LogFormat::Text => lines.finish().try_init(),
        LogFormat::Json => lines.json().flatten_event(true).with_current_span(false).finish().try_init(),
    };
    Ok(())
}

fn open(path: &PathBuf) -> io::Result<File> {
    OpenOptions::new().create(true).append(true).mode(0o600).open(path)
}
