//! Why the containers of a Pod do not run, in Kubernetes' words: state, message, how the last life ended.
//! Refuses to tell how long a kubelet waits where it is known for what.

use k8s_openapi::api::core::v1::{ContainerStateTerminated, ContainerStatus, Pod};

use super::pod::{Circumstance, condition, main_status, node, since};
use super::{moment, name_of};

pub(super) fn in_an_init_container(pod: &Pod) -> Option<Circumstance> {
    let status = pod.status.as_ref()?;
    let unfinished = status.init_container_statuses.iter().flatten().find(|container| !is_done(container))?;
    let running = unfinished.state.as_ref()?.running.as_ref();
    Some(match running {
        Some(running) => Circumstance::new(
            "Pending",
            format!("its init container {} runs", unfinished.name),
            running.started_at.as_ref().and_then(moment),
        ),
        None => trouble(pod, unfinished, "init container")?,
    })
}

/// Ended well, or a sidecar that has started.
fn is_done(container: &ContainerStatus) -> bool {
    let state = container.state.as_ref();
    let ended = state.and_then(|state| state.terminated.as_ref());
    ended.is_some_and(|ended| ended.exit_code == 0)
        || (container.started == Some(true) && state.is_some_and(|state| state.running.is_some()))
}

pub(super) fn in_its_container(pod: &Pod) -> Option<Circumstance> {
    match main_status(pod) {
        Some(status) => trouble(pod, status, "container"),
        None => Some(Circumstance::new(
            "Pending",
            format!("the kubelet of {} has not begun with it", node(pod)),
            condition(pod, "PodScheduled").and_then(since),
        )),
    }
}

/// Why a container does not run.
fn trouble(pod: &Pod, container: &ContainerStatus, kind: &str) -> Option<Circumstance> {
    let state = container.state.clone().unwrap_or_default();
    let since_not_ready = condition(pod, "Ready").and_then(since);
    if let Some(ended) = state.terminated {
        let told = format!("its {kind} {} {}", container.name, ending(&ended));
        let word = ended.reason.clone().unwrap_or_else(|| "Error".to_owned());
        return Some(Circumstance::new(word, told, ended.finished_at.as_ref().and_then(moment)));
    }
    let waiting = state.waiting?;
    let word = waiting.reason.unwrap_or_else(|| "Pending".to_owned());
    if matches!(word.as_str(), "ContainerCreating" | "PodInitializing" | "Pending") {
        let told = format!(
            "{} prepares its volumes, network and images; `kubectl describe pod {}` tells if one of them is missing",
            node(pod),
            name_of(&pod.metadata)
        );
        return Some(Circumstance::new("Pending", told, since_not_ready));
    }
    let last = container.last_state.as_ref().and_then(|state| state.terminated.as_ref());
    let told = match (last, waiting.message) {
        // Kubernetes' own sentence tells how long it waits, and not for what.
        (Some(last), _) => format!("its {kind} {} {}", container.name, ending(last)),
        (None, Some(message)) => format!("its {kind} {}: {message}", container.name),
        (None, None) => format!("its {kind} {} does not start", container.name),
    };
    let since = last.and_then(|last| moment(last.finished_at.as_ref()?)).or(since_not_ready);
    Some(Circumstance::new(word, told, since))
}

/// How a container ended, with what it left as its termination message: its last line, for that of a log has many.
pub(super) fn ending(ended: &ContainerStateTerminated) -> String {
    let how = match ended.signal {
        Some(signal) if signal != 0 => format!("was ended by signal {signal}"),
        _ => format!("ended with code {}", ended.exit_code),
    };
    let why = ended.reason.as_deref().filter(|reason| !matches!(*reason, "Error" | "Completed"));
    let last_line = ended.message.as_deref().and_then(|message| message.trim_end().lines().next_back());
    [why, last_line].into_iter().flatten().fold(how, |told, more| told + ": " + more)
}
