//! What can go wrong between a Pod and the API that hosts it, naming the object and the remedy.
//! Refuses to tell temporary from lasting trouble by guess: the API's own status code is kept.

use std::path::PathBuf;

use mutual_tls::TlsError;

/// Why the management API could not be asked, or refused.
#[derive(Debug, thiserror::Error)]
pub enum ManagementError {
    /// Neither flag nor environment names a server.
    #[error("no management API server is known outside a Pod; name one with --management-api-server")]
    NoServer,
    /// The credentials' directory is not complete.
    #[error(
        "cannot read the Pod's namespace from {}; mount a projected volume with token, ca.crt and namespace there, or name it with --management-credentials",
        path.display()
    )]
    Namespace {
        /// The file.
        path: PathBuf,
        /// What the system says.
        #[source]
        source: std::io::Error,
    },
    /// No client can be made.
    #[error(transparent)]
    Client(#[from] TlsError),
    /// The API did not do what it was asked.
    #[error("cannot {action} {object}")]
    Call {
        /// "read", "create", "replace".
        action: &'static str,
        /// Kind, namespace and name.
        object: String,
        /// What the client says.
        #[source]
        source: Box<kube::Error>,
    },
    /// The API did not answer at all.
    #[error("cannot {action} {object}: no answer within {limit:?}")]
    Silent {
        /// "read", "create", "replace".
        action: &'static str,
        /// Kind, namespace and name.
        object: String,
        /// How long was waited.
        limit: std::time::Duration,
    },
}

impl ManagementError {
    /// Whether a right is missing: 403.
    #[must_use]
    pub fn is_forbidden(&self) -> bool {
        self.code() == Some(403)
    }

    /// Whether somebody else has changed or made the object: 409.
    #[must_use]
    pub fn is_conflict(&self) -> bool {
        self.code() == Some(409)
    }

    /// Whether the credentials count for nothing: 401, as after the end of their `ServiceAccount` or Pod.
    #[must_use]
    pub fn is_unauthorized(&self) -> bool {
        self.code() == Some(401)
    }

    /// Whether there is no such object: 404.
    #[must_use]
    pub fn is_not_found(&self) -> bool {
        self.code() == Some(404)
    }

    /// Whether it may be asked again later: 429, as when a disruption budget is used up.
    #[must_use]
    pub fn is_too_many_requests(&self) -> bool {
        self.code() == Some(429)
    }

    /// What the API said, in few words for somebody who waits: its own sentence, or why there was no answer.
    #[must_use]
    pub fn told(&self) -> String {
        match self {
            Self::Call { source, .. } => match source.as_ref() {
                kube::Error::Api(status) => {
                    let causes = status.details.iter().flat_map(|details| &details.causes);
                    let told = causes.filter(|cause| !status.message.contains(&cause.message));
                    told.fold(format!("{} {}", status.code, status.message), |told, cause| {
                        format!("{told} {}", cause.message)
                    })
                }
                // kube's own text repeats the text of its cause.
                kube::Error::Service(cause) => telemetry::error_chain(cause.as_ref()),
                other => telemetry::error_chain(other),
            },
            other => telemetry::error_chain(other),
        }
    }

    fn code(&self) -> Option<u16> {
        match self {
            Self::Call { source, .. } => match source.as_ref() {
                kube::Error::Api(status) => Some(status.code),
                _ => None,
            },
            _ => None,
        }
    }
}
