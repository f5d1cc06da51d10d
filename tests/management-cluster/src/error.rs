//! What can go wrong with a management cluster, each with the thing and what to look at.
//! Refuses to repeat causes in its own texts.

use std::path::PathBuf;
use std::time::Duration;

/// The result of nearly everything here.
pub type Result<T> = std::result::Result<T, ClusterError>;

/// Why a management cluster is not what it should be.
#[derive(Debug, thiserror::Error)]
pub enum ClusterError {
    /// The options contradict each other or the machine.
    #[error("{0}")]
    Options(String),
    /// There is no such cluster.
    #[error("no management cluster runs in {}; start one with `cargo xtask management-cluster up`", directory.display())]
    Absent {
        /// Where it was looked for.
        directory: PathBuf,
    },
    /// A node number that does not exist, or is in the wrong state.
    #[error("{node} {problem}")]
    Node {
        /// Its name.
        node: String,
        /// What is wrong.
        problem: String,
    },
    /// A file.
    #[error(transparent)]
    File(#[from] durable_files::FileError),
    /// A file or directory, by what the kernel said.
    #[error("cannot {what} {}", path.display())]
    Path {
        /// What was to be done.
        what: &'static str,
        /// To which.
        path: PathBuf,
        /// Why not.
        #[source]
        source: std::io::Error,
    },
    /// A file of ours that is not as we write it.
    #[error("{} is not as this program writes it; `cargo xtask management-cluster down` removes everything", path.display())]
    Content {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: serde_json::Error,
    },
    /// A command could not be run.
    #[error("cannot run `{line}`")]
    Command {
        /// The command.
        line: String,
        /// Why.
        #[source]
        source: process_control::CaptureError,
    },
    /// A command failed.
    #[error("`{line}` failed ({ending}): {said}")]
    Failed {
        /// The command.
        line: String,
        /// How it ended.
        ending: String,
        /// The end of what it wrote.
        said: String,
    },
    /// A process could not be started or followed.
    #[error("the first process of {machine} cannot be started")]
    Start {
        /// Which machine.
        machine: String,
        /// Why.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// A machine's first process does not answer.
    #[error("{machine} does not answer at {}; see {}", socket.display(), log.display())]
    NoAnswer {
        /// Which machine.
        machine: String,
        /// Its control socket.
        socket: PathBuf,
        /// What it wrote.
        log: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// It answers, but with a refusal.
    #[error("{machine} refuses `{request}`: {answer}")]
    Refused {
        /// Which machine.
        machine: String,
        /// What it was asked.
        request: String,
        /// What it said.
        answer: String,
    },
    /// A process whose identity cannot be told.
    #[error(transparent)]
    Identity(#[from] process_control::IdentityError),
    /// Something did not happen in time.
    #[error("waited {limit:?} for {what}; last seen: {last_seen}; logs are in {}", logs.display())]
    Deadline {
        /// For what.
        what: String,
        /// How long.
        limit: Duration,
        /// What was seen last.
        last_seen: String,
        /// Where to look.
        logs: PathBuf,
    },
    /// The API of the cluster.
    #[error("the management cluster's API does not do `{what}`")]
    Api {
        /// What.
        what: String,
        /// Why.
        #[source]
        source: Box<kube::Error>,
    },
}

impl ClusterError {
    pub(crate) fn path(what: &'static str, path: impl Into<PathBuf>) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.into();
        move |source| Self::Path { what, path, source }
    }
}
