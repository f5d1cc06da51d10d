//! Why a look was not possible at all, with what to do about it.
//! A Pod that does not answer is no error: it is a row.

use std::path::PathBuf;

/// What somebody else said, as text: kube's errors repeat their causes in their own text.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct Said(pub(crate) String);

/// Why nothing can be told.
#[derive(Debug, thiserror::Error)]
pub enum HostedError {
    /// The file is not there.
    #[error(
        "there is no kubeconfig {}; name the management cluster's with --kubeconfig or the variable KUBECONFIG",
        path.display()
    )]
    NoKubeconfig {
        /// Where it was looked for.
        path: PathBuf,
    },
    /// It is there and cannot be used.
    #[error("cannot use {origin}; name another file with --kubeconfig, or another context with --context")]
    Kubeconfig {
        /// The file, and the context if one was named.
        origin: String,
        /// What is wrong with it.
        #[source]
        source: Said,
    },
    /// The management cluster's API cannot be asked.
    #[error("cannot {action} at the management cluster's API server {server}")]
    Call {
        /// Verb and object.
        action: String,
        /// Its URL.
        server: String,
        /// What the client says.
        #[source]
        source: Said,
    },
    /// It does not answer in time.
    #[error(
        "cannot {action}: the management cluster's API server {server} has not answered within {limit:?}; \
         --timeout allows more"
    )]
    Silent {
        /// Verb and object.
        action: String,
        /// Its URL.
        server: String,
        /// How long was waited.
        limit: std::time::Duration,
    },
    /// The credentials count for nothing.
    #[error(
        "the management cluster's API server {server} does not know who asks; log in again, or name another context \
         with --context"
    )]
    Unauthorized {
        /// Its URL.
        server: String,
    },
    /// A right is missing.
    #[error(
        "you may not {verb} {resource} in namespace {namespace}; ask its administrator for a role with that right, such \
         as the built-in role `edit`"
    )]
    Forbidden {
        /// As in a Role.
        verb: &'static str,
        /// As in a Role.
        resource: &'static str,
        /// Where.
        namespace: String,
    },
    /// There is nothing to tell of.
    #[error(
        "there is no namespace {namespace} at {server}; name another with --namespace, or another cluster with --context"
    )]
    NoNamespace {
        /// The one asked for.
        namespace: String,
        /// URL of the API server.
        server: String,
    },
    /// There is nothing to tell of.
    #[error("there is no control plane {release} in namespace {namespace}; {there}")]
    NoRelease {
        /// The one asked for.
        release: String,
        /// Where.
        namespace: String,
        /// Which ones there are, and what to do.
        there: String,
    },
}
