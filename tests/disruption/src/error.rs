//! Why a run has no report.

use std::time::Duration;

use crate::traffic::{Server, ServerError, Trouble};

/// Why there is no report.
#[derive(Debug, thiserror::Error)]
pub enum DisruptionError {
    /// The server cannot even be tried.
    #[error(transparent)]
    Server(#[from] ServerError),
    /// Something before or after the load could not be done in time.
    #[error("cannot {what} at {server}: {kind}: {message}")]
    Check {
        /// What was to be done.
        what: &'static str,
        /// The first server address.
        server: String,
        /// How it failed.
        kind: String,
        /// What was said.
        message: String,
    },
    /// The watches did not begin in time.
    #[error("only {begun} of {wanted} watches at {server} began within {}: {last}", humane(*limit))]
    Watches {
        /// How many did.
        begun: usize,
        /// How many were asked for.
        wanted: usize,
        /// The first server address.
        server: String,
        /// How long they had.
        limit: Duration,
        /// The last failure.
        last: String,
    },
    /// A task of ours ended in a panic.
    #[error("a part of the load generator ended by itself")]
    Task(#[source] tokio::task::JoinError),
}

fn humane(limit: Duration) -> String {
    format!("{} s", limit.as_secs())
}

impl DisruptionError {
    pub(crate) fn check(what: &'static str, server: &Server, trouble: &Trouble) -> Self {
        Self::Check {
            what,
            server: server.addresses()[0].clone(),
            kind: trouble.kind.clone(),
            message: trouble.message.clone(),
        }
    }
}
