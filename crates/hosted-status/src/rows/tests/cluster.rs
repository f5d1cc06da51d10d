//! A release of the chart as its API objects and its Pods' answers, healthy until a test changes it.

use std::collections::BTreeMap;

use health_endpoints::{State, StatusDocument};
use instance_status::InstanceStatus;
use k8s_openapi::api::apps::v1::{Deployment, StatefulSet};
use k8s_openapi::api::core::v1::Pod;
use naming_contract::Component;
use serde_json::{Value, json};
use time::OffsetDateTime;
use time::macros::datetime;

use crate::rows::{Observation, rows};

pub(super) const NOW: OffsetDateTime = datetime!(2026-11-23 02:00:00 UTC);

/// Objects as JSON: what a test changes, it changes where the API has it.
pub(super) struct Cluster {
    pub(super) pods: BTreeMap<String, Value>,
    pub(super) deployments: Vec<Value>,
    pub(super) stateful_sets: Vec<Value>,
    pub(super) answers: BTreeMap<String, Result<StatusDocument, String>>,
}

impl Cluster {
    pub(super) fn empty() -> Self {
        Self {
            pods: BTreeMap::new(),
            deployments: Vec::new(),
            stateful_sets: Vec::new(),
            answers: BTreeMap::new(),
        }
    }

    /// 3 etcd, 2 API servers, all ready.
    pub(super) fn healthy() -> Self {
        let mut cluster = Self::empty();
        cluster.stateful_sets.push(workload(Component::Etcd, 3));
        cluster.deployments.push(workload(Component::KubeApiserver, 2));
        for name in ["demo-etcd-0", "demo-etcd-1", "demo-etcd-2"] {
            cluster.add(name, Component::Etcd);
        }
        for name in ["demo-kube-apiserver-5c4b-aaaaa", "demo-kube-apiserver-5c4b-bbbbb"] {
            cluster.add(name, Component::KubeApiserver);
        }
        cluster
    }

    /// A Pod that runs, is ready and says so.
    pub(super) fn add(&mut self, name: &str, component: Component) {
        self.pods.insert(name.to_owned(), pod(name, component));
        self.answers.insert(name.to_owned(), Ok(document(name, component)));
    }

    /// A Pod that says nothing, with another `status` and further changes.
    pub(super) fn silence(&mut self, name: &str, status: Value) {
        self.answers.remove(name);
        self.pods.get_mut(name).unwrap()["status"] = status;
    }

    pub(super) fn rows(&self) -> Vec<InstanceStatus> {
        let observation = Observation {
            pods: self.pods.values().map(|pod| serde_json::from_value::<Pod>(pod.clone()).unwrap()).collect(),
            deployments: self
                .deployments
                .iter()
                .map(|one| serde_json::from_value::<Deployment>(one.clone()).unwrap())
                .collect(),
            stateful_sets: self
                .stateful_sets
                .iter()
                .map(|one| serde_json::from_value::<StatefulSet>(one.clone()).unwrap())
                .collect(),
            answers: self
                .answers
                .iter()
                .map(|(name, answer)| (name.clone(), answer.clone().map(Box::new)))
                .collect(),
        };
        rows(observation, NOW)
    }

    /// The row of this name, which there must be exactly once.
    pub(super) fn row(&self, name: &str) -> InstanceStatus {
        let mut rows: Vec<_> = self.rows().into_iter().filter(|row| row.name == name).collect();
        assert_eq!(rows.len(), 1, "{name}: {rows:?}");
        rows.remove(0)
    }
}

fn labels(component: Component) -> Value {
    json!({
        "app.kubernetes.io/name": "hosted-control-plane",
        "app.kubernetes.io/instance": "demo",
        "app.kubernetes.io/component": component.name(),
    })
}

fn specification(component: Component) -> Value {
    json!({
        "initContainers": [{"name": "install"}],
        "containers": [
            {"name": "sidecar", "ports": [{"containerPort": 9000}]},
            {
                "name": component.name(),
                "args": ["run", "--data-directory=/var/lib/etcd"],
                "ports": [{"name": "health", "containerPort": 8686}],
            },
        ],
    })
}

pub(super) fn workload(component: Component, replicas: i32) -> Value {
    json!({
        "metadata": {"name": format!("demo-{}", component.name()), "generation": 4, "labels": labels(component)},
        "spec": {
            "replicas": replicas,
            "selector": {},
            "template": {"spec": specification(component)},
        },
        "status": {"observedGeneration": 4, "replicas": replicas, "updatedReplicas": replicas},
    })
}

fn pod(name: &str, component: Component) -> Value {
    let mut specification = specification(component);
    specification["nodeName"] = json!("node-1");
    json!({
        "metadata": {"name": name, "labels": labels(component)},
        "spec": specification,
        "status": {
            "phase": "Running",
            "podIP": "10.1.1.7",
            "conditions": [
                {"type": "PodScheduled", "status": "True"},
                {"type": "Ready", "status": "True", "lastTransitionTime": "2026-11-23T01:00:00Z"},
                {"type": "ContainersReady", "status": "True"},
            ],
            "initContainerStatuses": [container("install", &json!({"terminated": {"exitCode": 0}}))],
            "containerStatuses": [
                container("sidecar", &json!({"running": {}})),
                container(component.name(), &json!({"running": {"startedAt": "2026-11-23T01:30:00Z"}})),
            ],
        },
    })
}

/// A container's status with its state.
pub(super) fn container(name: &str, state: &Value) -> Value {
    json!({
        "name": name, "image": "", "imageID": "", "ready": state.get("running").is_some(), "restartCount": 0,
        "state": state,
    })
}

/// What a ready supervisor says.
pub(super) fn document(name: &str, component: Component) -> StatusDocument {
    StatusDocument {
        name: name.to_owned(),
        component,
        version: "0.1.0".to_owned(),
        state: State::Running,
        reason: "serves".to_owned(),
        since: NOW - time::Duration::hours(1),
        last_observation: None,
        ready: true,
        not_ready_because: String::new(),
        pid: Some(12),
        supervisor_pid: 1,
        restarts: 0,
        certificates: Vec::new(),
        key_generations: BTreeMap::new(),
        authorities: BTreeMap::new(),
        rotations: Vec::new(),
        details: BTreeMap::new(),
    }
}
