//! What was seen of a control plane as rows: what its Pods say, and what Kubernetes says of those that are silent, missing or
//! of old settings. Pure: Pods, workloads, answers and the present time are arguments. Refuses to hide what is not ready.

mod container;
mod pod;
mod workload;

use std::collections::BTreeMap;

use health_endpoints::StatusDocument;
use instance_status::InstanceStatus;
use k8s_openapi::api::apps::v1::{Deployment, StatefulSet};
use k8s_openapi::api::core::v1::{Container, Pod, PodSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, Time};
use naming_contract::{Component, labels, ports};
use time::OffsetDateTime;

use workload::Workload;

/// What a Pod said, or why it said nothing.
pub type Answer = Result<Box<StatusDocument>, String>;

/// All that was seen of one control plane in one look.
#[derive(Debug, Default)]
pub struct Observation {
    /// Pods with its label, also those that are none of ours.
    pub pods: Vec<Pod>,
    /// Likewise.
    pub deployments: Vec<Deployment>,
    /// Likewise.
    pub stateful_sets: Vec<StatefulSet>,
    /// Of the Pods that were asked, by their names.
    pub answers: BTreeMap<String, Answer>,
}

/// A row for each Pod, for each Pod that is wanted and not there, and for each workload that is being changed; in the order
/// in which components start.
#[must_use]
pub fn rows(observation: Observation, now: OffsetDateTime) -> Vec<InstanceStatus> {
    let Observation { mut pods, deployments, stateful_sets, mut answers } = observation;
    name_silent_nodes(&pods, &mut answers);
    pods.sort_by(|one, other| one.metadata.name.cmp(&other.metadata.name));
    let workloads: Vec<Workload> = deployments
        .iter()
        .filter_map(Workload::of_deployment)
        .chain(stateful_sets.iter().filter_map(Workload::of_stateful_set))
        .collect();
    let mut rows = Vec::new();
    for component in Component::ALL {
        let pods: Vec<&Pod> = pods.iter().filter(|pod| component_of_pod(pod) == Some(component)).collect();
        let workloads: Vec<&Workload> =
            workloads.iter().filter(|workload| workload.is_of(component)).collect();
        let living = pods.iter().filter(|pod| pod::is_alive(pod)).count();
        let wanted: usize = workloads.iter().map(|workload| workload.wanted()).sum();
        for pod in &pods {
            // An evicted Pod stays as a record of itself, which says nothing once it is replaced.
            if !pod::is_finished(pod) || living < wanted {
                let answer = answers.remove(name_of(&pod.metadata));
                rows.push(pod::row(pod, component, answer, now));
            }
        }
        // Whoever moves a change on says what it waits for.
        let mut of_component = rows.iter().filter(|row| row.component == component);
        let told = of_component.find_map(|row| row.details.get("update").cloned());
        rows.extend(workloads.iter().flat_map(|workload| workload.rows(&pods, told.as_deref())));
    }
    rows
}

/// Kubernetes takes most of a minute to call a node dead; that all its Pods are silent, and others are not, is seen at once.
fn name_silent_nodes(pods: &[Pod], answers: &mut BTreeMap<String, Answer>) {
    let mut by_node: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for pod in pods.iter().filter(|pod| answers.contains_key(name_of(&pod.metadata))) {
        let node = pod.spec.as_ref().and_then(|spec| spec.node_name.as_deref()).unwrap_or_default();
        by_node.entry(node).or_default().push(name_of(&pod.metadata));
    }
    if answers.values().all(Result::is_err) {
        return;
    }
    for (node, names) in by_node {
        if names.len() > 1 && names.iter().all(|name| answers[*name].is_err()) {
            for name in names {
                if let Some(Err(because)) = answers.get_mut(name) {
                    *because = format!("{because}; nor does any other Pod of {node}");
                }
            }
        }
    }
}

/// The port at which a Pod can be asked: its supervisor runs.
pub(crate) fn asked_at(pod: &Pod) -> Option<u16> {
    component_of_pod(pod)?;
    pod::is_running(pod).then(|| health_port(main_container(pod.spec.as_ref()?)?)).flatten()
}

fn component_of_pod(pod: &Pod) -> Option<Component> {
    component_of(&pod.metadata, pod.spec.as_ref()?)
}

/// Other Pods of the same Helm release bear its label too, and may be of somebody else's etcd.
fn component_of(metadata: &ObjectMeta, spec: &PodSpec) -> Option<Component> {
    main_container(spec)?;
    let label = metadata.labels.as_ref()?.get(labels::COMPONENT)?;
    Component::ALL.into_iter().find(|component| component.name() == label)
}

/// The container in which our process runs: it has the health endpoints.
fn main_container(spec: &PodSpec) -> Option<&Container> {
    spec.containers.iter().find(|container| health_port(container).is_some())
}

fn health_port(container: &Container) -> Option<u16> {
    let ports = container.ports.iter().flatten();
    let mut numbers = ports.map(|port| port.container_port).filter(|port| *port == i32::from(ports::HEALTH));
    numbers.next().map(|_| ports::HEALTH)
}

fn name_of(metadata: &ObjectMeta) -> &str {
    metadata.name.as_deref().unwrap_or_default()
}

/// A time that Kubernetes tells; none outside the years that can be shown.
fn moment(time: &Time) -> Option<OffsetDateTime> {
    OffsetDateTime::from_unix_timestamp_nanos(time.0.as_nanosecond()).ok()
}

#[cfg(test)]
mod tests;
