//! One Pod as a row. What its supervisor says comes first; Kubernetes is heard where the supervisor cannot be, and where the
//! two differ. Refuses to call ready what gets no requests: a Pod that is going, or that its kubelet does not call ready.

use instance_status::InstanceStatus;
use k8s_openapi::api::core::v1::{ContainerStatus, Pod, PodCondition, PodStatus};
use naming_contract::Component;
use time::{Duration, OffsetDateTime};

use super::container::{ending, in_an_init_container, in_its_container};
use super::{Answer, health_port, main_container, moment, name_of};

/// How long after the end of its grace period a Pod may still be there: kubelets confirm an end within seconds.
const CONFIRMATION: Duration = Duration::seconds(30);

/// What can be told without the supervisor.
pub(super) struct Circumstance {
    state: String,
    reason: String,
    since: Option<OffsetDateTime>,
}

impl Circumstance {
    pub(super) fn new(
        state: impl Into<String>,
        reason: impl Into<String>,
        since: Option<OffsetDateTime>,
    ) -> Self {
        Self { state: state.into(), reason: reason.into(), since }
    }
}

/// The row of a Pod.
pub(super) fn row(
    pod: &Pod,
    component: Component,
    answer: Option<Answer>,
    now: OffsetDateTime,
) -> InstanceStatus {
    let (document, failure) = match answer {
        Some(Ok(document)) => (Some(document), None),
        Some(Err(failure)) => (None, Some(failure)),
        None => (None, None),
    };
    let Circumstance { state, reason, since } = circumstance(pod, component, failure, now);
    let known = InstanceStatus {
        since,
        node: pod.spec.as_ref().and_then(|spec| spec.node_name.clone()),
        endpoint: endpoint(pod),
        data_directory: data_directory(pod).map(Into::into),
        supervisor_restarts: main_status(pod).map_or(0, |status| status.restart_count.max(0).cast_unsigned()),
        ..InstanceStatus::new(name_of(&pod.metadata), component, state, reason)
    };
    let Some(document) = document else { return known };
    let told = known.told_by(*document);
    match objection(pod, component, now) {
        // What an earlier wait saw is not why.
        Some(objection) if told.ready => {
            InstanceStatus { ready: false, reason: objection, last_observation: None, ..told }
        }
        _ => told,
    }
}

/// Whether it is neither finished nor going.
pub(super) fn is_alive(pod: &Pod) -> bool {
    !is_finished(pod) && pod.metadata.deletion_timestamp.is_none()
}

/// Whether it has ended for good, as after an eviction.
pub(super) fn is_finished(pod: &Pod) -> bool {
    let phase = pod.status.as_ref().and_then(|status| status.phase.as_deref());
    matches!(phase, Some("Failed" | "Succeeded"))
}

/// Whether our process runs, as far as the kubelet has told.
pub(super) fn is_running(pod: &Pod) -> bool {
    main_status(pod).is_some_and(|status| status.state.as_ref().is_some_and(|state| state.running.is_some()))
}

/// Why a Pod that calls itself ready gets no requests.
fn objection(pod: &Pod, component: Component, now: OffsetDateTime) -> Option<String> {
    let kubernetes = going(pod, now).or_else(|| on_a_silent_node(pod, component));
    if let Some(circumstance) = kubernetes {
        return Some(circumstance.reason);
    }
    let ready = condition(pod, "Ready");
    if ready.is_some_and(|ready| ready.status == "True") {
        return None;
    }
    let because = ready.and_then(|ready| ready.message.as_deref()).unwrap_or("it has not looked yet");
    Some(format!("calls itself ready, but its kubelet does not: {because}"))
}

/// The first thing that explains why nothing answers.
fn circumstance(
    pod: &Pod,
    component: Component,
    failure: Option<String>,
    now: OffsetDateTime,
) -> Circumstance {
    going(pod, now)
        .or_else(|| finished(pod))
        .or_else(|| unbound(pod))
        .or_else(|| on_a_silent_node(pod, component))
        .or_else(|| in_an_init_container(pod))
        .or_else(|| in_its_container(pod))
        .unwrap_or_else(|| {
            let failure = failure.unwrap_or_else(|| "they were not asked".to_owned());
            let began = main_status(pod).and_then(|status| status.state.as_ref()?.running.as_ref());
            let began = began.and_then(|running| running.started_at.as_ref()).and_then(moment);
            Circumstance::new("Unresponsive", format!("its health endpoints do not answer: {failure}"), began)
        })
}

fn going(pod: &Pod, now: OffsetDateTime) -> Option<Circumstance> {
    // When it is to be gone at the latest: the end of its grace period.
    let due = moment(pod.metadata.deletion_timestamp.as_ref()?)?;
    let grace = Duration::seconds(pod.metadata.deletion_grace_period_seconds.unwrap_or(0));
    let reason = if now > due + CONFIRMATION {
        format!(
            "should be gone, but {} does not confirm it; if that node is dead, delete the Node object, or taint it \
             node.kubernetes.io/out-of-service",
            node(pod)
        )
    } else if silent_since(pod).is_some() {
        format!("is being deleted, and {} does not report any more", node(pod))
    } else {
        "is being deleted".to_owned()
    };
    Some(Circumstance::new("Terminating", reason, Some(due - grace)))
}

fn finished(pod: &Pod) -> Option<Circumstance> {
    let status = pod.status.as_ref().filter(|_| is_finished(pod))?;
    let terminated = main_status(pod).and_then(|status| status.state.as_ref()?.terminated.as_ref());
    let told = status.message.clone().or_else(|| terminated.map(ending));
    let phase = status.phase.clone().unwrap_or_default();
    Some(Circumstance::new(
        status.reason.clone().unwrap_or(phase),
        told.unwrap_or_else(|| "has ended for good".to_owned()),
        terminated.and_then(|terminated| moment(terminated.finished_at.as_ref()?)),
    ))
}

fn unbound(pod: &Pod) -> Option<Circumstance> {
    if pod.spec.as_ref().is_some_and(|spec| spec.node_name.is_some()) {
        return None;
    }
    let scheduled = condition(pod, "PodScheduled");
    let state = scheduled.and_then(|condition| condition.reason.clone());
    let reason = scheduled.and_then(|condition| condition.message.clone());
    Some(Circumstance::new(
        state.unwrap_or_else(|| "Pending".to_owned()),
        reason.unwrap_or_else(|| "no scheduler has looked for a node yet".to_owned()),
        scheduled.and_then(since),
    ))
}

fn on_a_silent_node(pod: &Pod, component: Component) -> Option<Circumstance> {
    let silent = silent_since(pod)?;
    let what_follows = if component == Component::Etcd {
        "its volume keeps it there; if that node is dead for good, delete the Node object, or taint it \
         node.kubernetes.io/out-of-service"
    } else {
        "another Pod replaces it soon"
    };
    let reason = format!("{} does not report any more; {what_follows}", node(pod));
    Some(Circumstance::new("NodeLost", reason, since(silent)))
}

/// A node that reports no more is known by the mark that Kubernetes leaves: the Pod is not ready any more, without a reason
/// and although its containers are, as the kubelet would never say.
fn silent_since(pod: &Pod) -> Option<&PodCondition> {
    condition(pod, "ContainersReady").filter(|containers| containers.status == "True")?;
    condition(pod, "Ready").filter(|ready| ready.status != "True" && ready.reason.is_none())
}

pub(super) fn main_status(pod: &Pod) -> Option<&ContainerStatus> {
    let name = &main_container(pod.spec.as_ref()?)?.name;
    status(pod)?.container_statuses.iter().flatten().find(|container| &container.name == name)
}

fn status(pod: &Pod) -> Option<&PodStatus> {
    pod.status.as_ref()
}

pub(super) fn condition<'pod>(pod: &'pod Pod, kind: &str) -> Option<&'pod PodCondition> {
    status(pod)?.conditions.iter().flatten().find(|condition| condition.type_ == kind)
}

pub(super) fn since(condition: &PodCondition) -> Option<OffsetDateTime> {
    moment(condition.last_transition_time.as_ref()?)
}

pub(super) fn node(pod: &Pod) -> String {
    let name = pod.spec.as_ref().and_then(|spec| spec.node_name.as_deref());
    name.map_or_else(|| "its node".to_owned(), |name| format!("its node {name}"))
}

fn endpoint(pod: &Pod) -> Option<String> {
    let address = status(pod)?.pod_ip.as_ref()?;
    let port = health_port(main_container(pod.spec.as_ref()?)?)?;
    Some(if address.contains(':') {
        format!("http://[{address}]:{port}")
    } else {
        format!("http://{address}:{port}")
    })
}

/// What an etcd member was told to keep its data in, as its Pod sees it.
fn data_directory(pod: &Pod) -> Option<&str> {
    let mut arguments = main_container(pod.spec.as_ref()?)?.args.iter().flatten();
    arguments.find_map(|argument| argument.strip_prefix("--data-directory="))
}
