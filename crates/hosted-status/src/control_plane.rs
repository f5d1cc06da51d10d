//! Looks at one control plane: lists its Pods and workloads, asks every Pod that runs, all at once.
//! Decides nothing: what was seen becomes rows in `rows`.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::time::Duration;

use instance_status::InstanceStatus;
use k8s_openapi::NamespaceResourceScope;
use k8s_openapi::api::apps::v1::{Deployment, StatefulSet};
use k8s_openapi::api::core::v1::{Namespace, Pod};
use kube::api::{Api, ListParams};
use kube::{Client, Resource, ResourceExt as _};
use naming_contract::labels;
use serde::de::DeserializeOwned;
use time::OffsetDateTime;
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::access::{Access, said};
use crate::error::{HostedError, Said};
use crate::question::{Unanswered, ask};
use crate::rows::{Answer, Observation, asked_at, rows};

/// One control plane in a management cluster.
pub struct HostedControlPlane {
    client: Client,
    server: String,
    namespace: String,
    release: String,
    limit: Duration,
}

impl HostedControlPlane {
    /// Reads the kubeconfig; whether the control plane is there is seen by the first [`status`](Self::status).
    pub async fn open(access: &Access) -> Result<Self, HostedError> {
        let connection = access.connect().await?;
        Ok(Self {
            client: connection.client,
            server: connection.server,
            namespace: connection.namespace,
            release: access.release.to_string(),
            limit: access.limit,
        })
    }

    /// A row for each instance that is there or wanted, and for each workload that is being changed. Takes two limits at
    /// most.
    pub async fn status(&self) -> Result<Vec<InstanceStatus>, HostedError> {
        let (pods, deployments, stateful_sets) = tokio::try_join!(
            self.list::<Pod>("pods"),
            self.list::<Deployment>("deployments"),
            self.list::<StatefulSet>("statefulsets"),
        )?;
        let answers = self.answers(&pods).await?;
        let rows = rows(Observation { pods, deployments, stateful_sets, answers }, OffsetDateTime::now_utc());
        if rows.is_empty() { Err(self.nothing().await?) } else { Ok(rows) }
    }

    async fn answers(&self, pods: &[Pod]) -> Result<BTreeMap<String, Answer>, HostedError> {
        let mut questions = JoinSet::new();
        for pod in pods {
            let Some(port) = asked_at(pod) else { continue };
            let (api, name, limit) = (self.objects::<Pod>(), pod.name_any(), self.limit);
            questions.spawn(async move {
                let answer = timeout(limit, ask(&api, &name, port)).await;
                let silent = |_| Err(Unanswered::Because(format!("no answer within {limit:?}")));
                (name, answer.unwrap_or_else(silent))
            });
        }
        let mut answers = BTreeMap::new();
        while let Some(answered) = questions.join_next().await {
            let Ok((name, answer)) = answered else { continue };
            let answer = match answer {
                Ok(document) => Ok(Box::new(document)),
                Err(Unanswered::Because(because)) => Err(because),
                // kube asks by GET; since 1.35 `create` is demanded as well, as of SPDY's POST.
                Err(Unanswered::Forbidden) => {
                    return Err(self.forbidden("get and create", "pods/portforward"));
                }
            };
            answers.insert(name, answer);
        }
        Ok(answers)
    }

    async fn list<K>(&self, resource: &'static str) -> Result<Vec<K>, HostedError>
    where
        K: Clone + Debug + DeserializeOwned + Resource<Scope = NamespaceResourceScope, DynamicType = ()>,
    {
        let labelled = ListParams::default().labels(&format!("{}={}", labels::INSTANCE, self.release));
        let action = || format!("list {resource} in namespace {}", self.namespace);
        let listed = timeout(self.limit, self.objects::<K>().list(&labelled)).await;
        let listed = listed.map_err(|_elapsed| self.silent(action()))?;
        Ok(listed.map_err(|error| self.failed("list", resource, action(), &error))?.items)
    }

    fn objects<K>(&self) -> Api<K>
    where
        K: Resource<Scope = NamespaceResourceScope, DynamicType = ()>,
    {
        Api::namespaced(self.client.clone(), &self.namespace)
    }

    /// What is wrong when nothing is there: the namespace or the name.
    async fn nothing(&self) -> Result<HostedError, HostedError> {
        let namespaces = Api::<Namespace>::all(self.client.clone());
        let namespace = timeout(self.limit, namespaces.get_opt(&self.namespace)).await;
        // Whoever may not read namespaces may still have named an existing one.
        if matches!(namespace, Ok(Ok(None))) {
            return Ok(HostedError::NoNamespace {
                namespace: self.namespace.clone(),
                server: self.server.clone(),
            });
        }
        let labelled = ListParams::default().labels(&format!("{}={}", labels::NAME, labels::CHART));
        let action = || format!("list pods in namespace {}", self.namespace);
        let listed = timeout(self.limit, self.objects::<Pod>().list(&labelled)).await;
        let listed = listed.map_err(|_elapsed| self.silent(action()))?;
        let listed = listed.map_err(|error| self.failed("list", "pods", action(), &error))?;
        let mut others: Vec<&String> =
            listed.items.iter().filter_map(|pod| pod.labels().get(labels::INSTANCE)).collect();
        others.sort();
        others.dedup();
        let there = match others.as_slice() {
            [] => "none is there: look for it with `helm list --all-namespaces`".to_owned(),
            others => {
                let names: Vec<&str> = others.iter().map(|name| name.as_str()).collect();
                format!("there is {}: name one with --release", names.join(", "))
            }
        };
        Ok(HostedError::NoRelease { release: self.release.clone(), namespace: self.namespace.clone(), there })
    }

    fn failed(
        &self,
        verb: &'static str,
        resource: &'static str,
        action: String,
        error: &kube::Error,
    ) -> HostedError {
        match error {
            kube::Error::Api(status) if status.code == 403 => self.forbidden(verb, resource),
            kube::Error::Api(status) if status.code == 401 => {
                HostedError::Unauthorized { server: self.server.clone() }
            }
            error => HostedError::Call { action, server: self.server.clone(), source: Said(said(error)) },
        }
    }

    fn forbidden(&self, verb: &'static str, resource: &'static str) -> HostedError {
        HostedError::Forbidden { verb, resource, namespace: self.namespace.clone() }
    }

    fn silent(&self, action: String) -> HostedError {
        HostedError::Silent { action, server: self.server.clone(), limit: self.limit }
    }
}

#[cfg(test)]
mod tests;
