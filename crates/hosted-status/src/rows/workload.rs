//! What a Deployment or StatefulSet wants and has not got: Pods that are missing, and Pods of settings that were replaced.
//! Refuses to guess at causes: where the API tells none, the row says where to look.

use instance_status::InstanceStatus;
use k8s_openapi::api::apps::v1::{Deployment, StatefulSet};
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use naming_contract::Component;

use super::{component_of, name_of, pod};

/// A Deployment or a StatefulSet.
#[derive(Debug)]
pub(super) struct Workload {
    component: Component,
    name: String,
    kind: Kind,
    wanted: i32,
    /// Pods that its controller counts, and those of the latest settings among them.
    pods: i32,
    updated: i32,
    /// Whether its controller has seen the latest settings.
    observed: bool,
    /// Why its controller cannot go on, or was told not to.
    hindrance: Option<String>,
}

#[derive(Debug)]
enum Kind {
    Deployment,
    /// Its Pods are named by ordinals, from this one on.
    StatefulSet {
        first: i32,
    },
}

impl Workload {
    /// None if it is not of a control plane's component.
    pub(super) fn of_deployment(deployment: &Deployment) -> Option<Self> {
        let spec = deployment.spec.as_ref()?;
        let status = deployment.status.clone().unwrap_or_default();
        let failed = status
            .conditions
            .into_iter()
            .flatten()
            .find(|condition| condition.type_ == "ReplicaFailure" && condition.status == "True");
        let paused = spec.paused.unwrap_or(false).then(|| "it is paused".to_owned());
        Some(Self {
            component: component_of(&deployment.metadata, spec.template.spec.as_ref()?)?,
            name: name_of(&deployment.metadata).to_owned(),
            kind: Kind::Deployment,
            wanted: spec.replicas.unwrap_or(1),
            pods: status.replicas.unwrap_or(0),
            updated: status.updated_replicas.unwrap_or(0),
            observed: is_observed(&deployment.metadata, status.observed_generation),
            hindrance: failed.and_then(|condition| condition.message).or(paused),
        })
    }

    /// None if it is not of a control plane's component.
    pub(super) fn of_stateful_set(set: &StatefulSet) -> Option<Self> {
        let spec = set.spec.as_ref()?;
        let status = set.status.clone().unwrap_or_default();
        Some(Self {
            component: component_of(&set.metadata, spec.template.spec.as_ref()?)?,
            name: name_of(&set.metadata).to_owned(),
            kind: Kind::StatefulSet {
                first: spec.ordinals.as_ref().and_then(|ordinals| ordinals.start).unwrap_or(0),
            },
            wanted: spec.replicas.unwrap_or(1),
            pods: status.replicas,
            updated: status.updated_replicas.unwrap_or(0),
            observed: is_observed(&set.metadata, status.observed_generation),
            hindrance: None,
        })
    }

    /// Whether it is this component's.
    pub(super) fn is_of(&self, component: Component) -> bool {
        self.component == component
    }

    /// How many Pods it wants.
    pub(super) fn wanted(&self) -> usize {
        usize::try_from(self.wanted).unwrap_or(0)
    }

    /// What is missing or old, beside the rows of its component's Pods.
    /// `told` is what the one says who moves a change on, if somebody of ours does.
    pub(super) fn rows(&self, pods: &[&Pod], told: Option<&str>) -> Vec<InstanceStatus> {
        let mut rows = match self.kind {
            Kind::Deployment => self.missing_of_deployment(pods),
            Kind::StatefulSet { first } => self.missing_of_stateful_set(first, pods),
        };
        rows.extend(self.change(told));
        rows
    }

    fn missing_of_stateful_set(&self, first: i32, pods: &[&Pod]) -> Vec<InstanceStatus> {
        let there = |name: &str| pods.iter().any(|pod| name_of(&pod.metadata) == name);
        let names =
            (first..first.saturating_add(self.wanted)).map(|ordinal| format!("{}-{ordinal}", self.name));
        let reason = format!("wanted and not there yet; {}", self.where_to_look());
        names
            .filter(|name| !there(name))
            .map(|name| InstanceStatus::new(name, self.component, "Absent", &reason))
            .collect()
    }

    /// One row: the Pods of a Deployment have no names before they are there.
    fn missing_of_deployment(&self, pods: &[&Pod]) -> Vec<InstanceStatus> {
        let living = pods.iter().filter(|pod| pod::is_alive(pod)).count();
        let missing = self.wanted().saturating_sub(living);
        if missing == 0 {
            return Vec::new();
        }
        let reason =
            format!("{missing} of {} wanted Pods not there yet; {}", self.wanted, self.where_to_look());
        vec![InstanceStatus::new(&self.name, self.component, "Absent", reason)]
    }

    /// Pods whose settings were replaced, or settings that nobody has seen yet.
    fn change(&self, told: Option<&str>) -> Option<InstanceStatus> {
        let old = self.pods - self.updated;
        let reason = if !self.observed {
            "its controller has not seen its latest settings yet".to_owned()
        } else if old > 0 {
            let settings = format!("{old} of {} Pods still have older settings", self.pods);
            told.map_or(settings.clone(), |told| format!("{settings}; {told}"))
        } else {
            return None;
        };
        let reason = self.hindrance.iter().fold(reason, |reason, hindrance| reason + "; " + hindrance);
        Some(InstanceStatus::new(&self.name, self.component, "Updating", reason))
    }

    fn where_to_look(&self) -> String {
        let kind = match self.kind {
            Kind::Deployment => "deployment",
            Kind::StatefulSet { .. } => "statefulset",
        };
        self.hindrance.clone().unwrap_or_else(|| format!("`kubectl describe {kind} {}` tells why", self.name))
    }
}

fn is_observed(metadata: &ObjectMeta, observed: Option<i64>) -> bool {
    observed.unwrap_or(0) >= metadata.generation.unwrap_or(0)
}
