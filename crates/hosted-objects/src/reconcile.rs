//! One round: every desired object is looked at, and made or repaired where it differs.
//! Refuses to delete anything but what Kubernetes does not let us change (a binding's role, a slice's family) and slices
//! of our own that are not needed any more.

use kube::api::{Api, ApiResource, DeleteParams, DynamicObject, Patch, PatchParams, Preconditions};
use kube::core::GroupVersionKind;
use mutual_tls::{TlsError, TlsFiles, kubernetes_client};

use crate::likeness::is_like;
use crate::{Desired, Resource};

/// Owner of our fields in the hosted cluster.
const FIELD_MANAGER: &str = "pilothouse-cluster-bootstrap";

/// Makes objects what they must be.
#[derive(Debug, Clone)]
pub struct Reconciler {
    server: String,
    files: TlsFiles,
}

/// What one round did to one object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// It was as it must be.
    AlreadyThere,
    /// It did not exist.
    Made,
    /// Somebody had changed it, or it is not to exist any more.
    Repaired,
}

/// Why a round could not be finished.
#[derive(Debug, thiserror::Error)]
pub enum ReconcileError {
    /// No client can be made of the files.
    #[error("no client for the API server")]
    Client(#[source] TlsError),
    /// The desired object is malformed.
    #[error("{object} cannot be written as an object")]
    Object {
        /// Kind and name.
        object: String,
        /// What is wrong.
        #[source]
        source: serde_json::Error,
    },
    /// The API server refused or did not answer.
    #[error("the API server at {server} did not take {object}")]
    Request {
        /// The API server's URL.
        server: String,
        /// Kind and name.
        object: String,
        /// What it said.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

impl Reconciler {
    /// Against the API server at `server`, with the identity in `files`.
    #[must_use]
    pub fn new(server: String, files: TlsFiles) -> Self {
        Self { server, files }
    }

    /// One round over all objects, in their order. The client is made anew: its certificate may have been renewed.
    pub async fn round(&self, list: &[Desired]) -> Result<Vec<Outcome>, ReconcileError> {
        let client = kubernetes_client(&self.server, None, &self.files).map_err(ReconcileError::Client)?;
        let mut outcomes = Vec::with_capacity(list.len());
        for desired in list {
            let outcome = self.reconcile(&client, desired).await?;
            if outcome != Outcome::AlreadyThere {
                tracing::info!(object = desired.described(), ?outcome, "hosted object");
            }
            outcomes.push(outcome);
        }
        Ok(outcomes)
    }

    async fn reconcile(&self, client: &kube::Client, desired: &Desired) -> Result<Outcome, ReconcileError> {
        let failed = |source| ReconcileError::Request {
            server: self.server.clone(),
            object: desired.described(),
            source: cause(source),
        };
        let malformed = |source| ReconcileError::Object { object: desired.described(), source };
        let api = api(client, desired);
        let live = api.get_opt(&desired.name).await.map_err(failed)?;
        let outcome = match &live {
            Some(live) if !desired.exists && is_ours(live) => {
                let parameters = DeleteParams::default().preconditions(exactly(live));
                return match api.delete(&desired.name, &parameters).await {
                    Ok(_) => Ok(Outcome::Repaired),
                    Err(error) => Err(failed(error)),
                };
            }
            _ if !desired.exists => return Ok(Outcome::AlreadyThere),
            None => Outcome::Made,
            Some(live) if is_like(&serde_json::to_value(live).map_err(malformed)?, &desired.body) => {
                return Ok(Outcome::AlreadyThere);
            }
            Some(_) => Outcome::Repaired,
        };
        let parameters = PatchParams::apply(FIELD_MANAGER).force();
        let applied = api.patch(&desired.name, &parameters, &Patch::Apply(&desired.body)).await;
        match (applied, live) {
            (Ok(_), _) => Ok(outcome),
            // What cannot be changed is replaced, and only that very one.
            (Err(kube::Error::Api(status)), Some(live))
                if status.code == 422 && has_an_immutable_field(desired.resource) =>
            {
                let parameters = DeleteParams::default().preconditions(exactly(&live));
                api.delete(&desired.name, &parameters).await.map_err(failed)?;
                let parameters = PatchParams::apply(FIELD_MANAGER).force();
                api.patch(&desired.name, &parameters, &Patch::Apply(&desired.body)).await.map_err(failed)?;
                Ok(outcome)
            }
            (Err(error), _) => Err(failed(error)),
        }
    }
}

/// The role of a binding, the address family of a slice.
fn has_an_immutable_field(resource: Resource) -> bool {
    matches!(resource, Resource::ClusterRoleBinding | Resource::RoleBinding | Resource::EndpointSlice)
}

fn is_ours(live: &DynamicObject) -> bool {
    let managers = live.metadata.managed_fields.iter().flatten();
    managers.filter_map(|entry| entry.manager.as_deref()).any(|manager| manager == FIELD_MANAGER)
}

fn exactly(live: &DynamicObject) -> Preconditions {
    Preconditions { uid: live.metadata.uid.clone(), resource_version: live.metadata.resource_version.clone() }
}

fn api(client: &kube::Client, desired: &Desired) -> Api<DynamicObject> {
    let api_version = desired.resource.api_version();
    let (group, version) = api_version.split_once('/').unwrap_or(("", api_version));
    let kind = GroupVersionKind::gvk(group, version, desired.resource.kind());
    let resource = ApiResource::from_gvk_with_plural(&kind, desired.resource.plural());
    match desired.namespace {
        Some(namespace) => Api::namespaced_with(client.clone(), namespace, &resource),
        None => Api::all_with(client.clone(), &resource),
    }
}

/// kube's own text repeats the text of its cause.
pub(crate) fn cause(error: kube::Error) -> Box<dyn std::error::Error + Send + Sync> {
    match error {
        kube::Error::Service(cause) => cause,
        kube::Error::Api(status) => status,
        other => Box::new(other),
    }
}
