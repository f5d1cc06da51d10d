//! The lease in the API server: who holds it, and the Update that clears it.
//! Refuses patches (the components' own roles may not) and refuses to write what it has not just read.

use std::cell::RefCell;
use std::time::Duration;

use conditions::Backoff;
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use k8s_openapi::jiff::Timestamp;
use kube::api::{Api, PostParams};
use mutual_tls::{TlsError, TlsFiles, kubernetes_client};

use crate::{is_ours_to_clear, released};

/// One component's lease, seen with that component's own client certificate.
pub struct LeaderLease {
    server: String,
    server_name: Option<String>,
    files: TlsFiles,
    namespace: &'static str,
    name: &'static str,
    client: RefCell<Option<kube::Client>>,
}

/// What came of an attempt to clear.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Clearing {
    /// It was ours and is free now.
    Cleared {
        /// Who held it.
        holder: String,
    },
    /// Somebody else leads; left alone.
    HeldByOther {
        /// Who.
        holder: String,
    },
    /// Nobody leads.
    Free,
    /// Nobody ever led.
    Absent,
}

/// Why a lease cannot be read or cleared now.
#[derive(Debug, thiserror::Error)]
pub enum LeaseError {
    /// No client can be made of the files.
    #[error("no client for the lease {lease}")]
    Client {
        /// Namespace and name.
        lease: String,
        /// What is wrong with the files.
        #[source]
        source: TlsError,
    },
    /// The API server refused or did not answer.
    #[error("the API server at {server} gives no access to the lease {lease}")]
    Request {
        /// The API server's URL.
        server: String,
        /// Namespace and name.
        lease: String,
        /// What it said.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// Not done in time.
    #[error("the lease {lease} could not be cleared within {limit:?}")]
    Limit {
        /// Namespace and name.
        lease: String,
        /// How long was tried.
        limit: Duration,
        /// What went wrong last, if anything did.
        #[source]
        source: Option<Box<LeaseError>>,
    },
}

impl LeaderLease {
    /// The lease `namespace`/`name` at `server`, whose certificate is checked for `server_name` instead of the URL's host if
    /// there is one, with the identity in `files`.
    #[must_use]
    pub fn new(
        server: String,
        server_name: Option<String>,
        files: TlsFiles,
        namespace: &'static str,
        name: &'static str,
    ) -> Self {
        Self { server, server_name, files, namespace, name, client: RefCell::new(None) }
    }

    /// Who holds it; none when nobody does.
    pub async fn holder(&self) -> Result<Option<String>, LeaseError> {
        let api = self.api()?;
        let lease = self.noting_failure(api.get_opt(self.name).await)?;
        Ok(lease.as_ref().map(holder_of).filter(|holder| !holder.is_empty()).map(str::to_owned))
    }

    /// Clears the lease if a child of the host with this name holds it. The caller knows that the child is dead.
    /// Conflicts are read again and failures repeated until `limit` is over.
    pub async fn clear_if_held_by(&self, hostname: &str, limit: Duration) -> Result<Clearing, LeaseError> {
        let last_failure = RefCell::new(None);
        let attempts = async {
            let mut backoff = Backoff::new(Duration::from_millis(50), Duration::from_millis(500));
            loop {
                match self.try_clear(hostname).await {
                    Ok(Some(clearing)) => return clearing,
                    Ok(None) => {}
                    Err(error) => *last_failure.borrow_mut() = Some(Box::new(error)),
                }
                tokio::time::sleep(backoff.next_delay()).await;
            }
        };
        let attempted = tokio::time::timeout(limit, attempts).await;
        attempted.map_err(|_elapsed| LeaseError::Limit {
            lease: self.described(),
            limit,
            source: last_failure.take(),
        })
    }

    /// One attempt; none when somebody else wrote in between.
    async fn try_clear(&self, hostname: &str) -> Result<Option<Clearing>, LeaseError> {
        let api = self.api()?;
        let Some(mut lease) = self.noting_failure(api.get_opt(self.name).await)? else {
            return Ok(Some(Clearing::Absent));
        };
        let holder = holder_of(&lease).to_owned();
        if holder.is_empty() {
            return Ok(Some(Clearing::Free));
        }
        if !is_ours_to_clear(&holder, hostname) {
            return Ok(Some(Clearing::HeldByOther { holder }));
        }
        lease.spec = lease.spec.map(|spec| released(&spec, &MicroTime(Timestamp::now())));
        // The object carries the resourceVersion that was read: a lease that moved on meanwhile is a conflict.
        match api.replace(self.name, &PostParams::default(), &lease).await {
            Ok(_) => Ok(Some(Clearing::Cleared { holder })),
            Err(kube::Error::Api(status)) if status.code == 409 || status.code == 404 => Ok(None),
            Err(error) => self.noting_failure(Err(error)),
        }
    }

    fn api(&self) -> Result<Api<Lease>, LeaseError> {
        let mut cached = self.client.borrow_mut();
        let client = if let Some(client) = &*cached {
            client.clone()
        } else {
            let client = kubernetes_client(&self.server, self.server_name.as_deref(), &self.files)
                .map_err(|source| LeaseError::Client { lease: self.described(), source })?;
            cached.insert(client).clone()
        };
        Ok(Api::namespaced(client, self.namespace))
    }

    /// A client that failed is made anew next time: its certificate may have been renewed since.
    fn noting_failure<T>(&self, answer: Result<T, kube::Error>) -> Result<T, LeaseError> {
        answer.map_err(|source| {
            self.client.borrow_mut().take();
            LeaseError::Request {
                server: self.server.clone(),
                lease: self.described(),
                source: cause(source),
            }
        })
    }

    fn described(&self) -> String {
        format!("{}/{}", self.namespace, self.name)
    }
}

fn holder_of(lease: &Lease) -> &str {
    lease.spec.as_ref().and_then(|spec| spec.holder_identity.as_deref()).unwrap_or_default()
}

/// kube's own text repeats the text of its cause.
fn cause(error: kube::Error) -> Box<dyn std::error::Error + Send + Sync> {
    match error {
        kube::Error::Service(cause) => cause,
        kube::Error::Api(status) => status,
        other => Box::new(other),
    }
}
