//! The history of a lease, as a watch shows it: who held it when, and whether anybody took it from a living holder.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use k8s_openapi::api::coordination::v1::Lease;
use kube::Client;
use kube::api::Api;
use tokio::task::JoinHandle;
use tokio::time::Instant;

/// One change of holder. An empty holder is a cleared lease.
#[derive(Debug, Clone)]
pub struct Held {
    /// When it was seen.
    pub at: Instant,
    /// `hostname_uuid`, or empty.
    pub holder: String,
}

/// Follows one lease in kube-system until dropped.
pub struct LeaseHistory {
    name: String,
    held: Arc<Mutex<Vec<Held>>>,
    task: JoinHandle<()>,
}

impl LeaseHistory {
    /// Begins to look at the lease every 50 ms, through whichever API server answers.
    #[must_use]
    pub fn follow(client: Client, name: &str) -> Self {
        let held: Arc<Mutex<Vec<Held>>> = Arc::default();
        let leases: Api<Lease> = Api::namespaced(client, "kube-system");
        let (seen, lease_name) = (Arc::clone(&held), name.to_owned());
        let task = tokio::spawn(async move {
            loop {
                if let Ok(Some(lease)) = leases.get_opt(&lease_name).await {
                    let holder = lease.spec.and_then(|spec| spec.holder_identity).unwrap_or_default();
                    let mut held = seen.lock().unwrap_or_else(PoisonError::into_inner);
                    if held.last().is_none_or(|last| last.holder != holder) {
                        held.push(Held { at: Instant::now(), holder });
                    }
                }
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        });
        Self { name: name.to_owned(), held, task }
    }

    /// All changes of holder so far.
    #[must_use]
    pub fn held(&self) -> Vec<Held> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The present holder; empty if none.
    #[must_use]
    pub fn holder(&self) -> String {
        self.held().last().map(|held| held.holder.clone()).unwrap_or_default()
    }

    /// The lease's name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }
}

impl Drop for LeaseHistory {
    fn drop(&mut self) {
        self.task.abort();
    }
}
