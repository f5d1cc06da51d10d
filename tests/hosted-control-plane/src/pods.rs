//! Pods as the tests judge them: ready, restarted, where.
//! Refuses to judge: a view is plain data.

use k8s_openapi::api::core::v1::Pod;
use kube::api::{Api, ListParams};

/// One Pod.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PodView {
    /// Its name.
    pub name: String,
    /// Its UID: another Pod of the same name has another.
    pub uid: String,
    /// The component it runs, by its label.
    pub component: String,
    /// The image of its first container.
    pub image: String,
    /// The node that it is bound to.
    pub node: Option<String>,
    /// Its address.
    pub address: Option<String>,
    /// Whether its Ready condition is true.
    pub ready: bool,
    /// Restarts of all its containers.
    pub restarts: i32,
    /// Why containers wait, where they do: `ErrImagePull`, `ContainerCreating`.
    pub waiting: Vec<String>,
    /// Whether it is being deleted.
    pub going: bool,
}

/// The Pods of one release, by its name, in the order of their names.
pub async fn pod_views(pods: &Api<Pod>, release: &str) -> Vec<PodView> {
    let labelled = ListParams::default().labels(&format!("app.kubernetes.io/instance={release}"));
    let listed = pods.list(&labelled).await.expect("the Pods are listed");
    let mut views: Vec<PodView> = listed.items.into_iter().map(view).collect();
    views.sort_by(|one, other| one.name.cmp(&other.name));
    views
}

/// One Pod, by its name.
pub async fn pod_view(pods: &Api<Pod>, name: &str) -> PodView {
    view(pods.get(name).await.expect("the Pod is there"))
}

fn view(pod: Pod) -> PodView {
    let status = pod.status.unwrap_or_default();
    let all: Vec<_> =
        [status.init_container_statuses, status.container_statuses].into_iter().flatten().flatten().collect();
    let ready = |kind: &str, status: &str| (kind, status) == ("Ready", "True");
    PodView {
        name: pod.metadata.name.unwrap_or_default(),
        uid: pod.metadata.uid.unwrap_or_default(),
        component: pod
            .metadata
            .labels
            .and_then(|mut labels| labels.remove("app.kubernetes.io/component"))
            .unwrap_or_default(),
        image: pod.spec.as_ref().and_then(|spec| spec.containers.first()?.image.clone()).unwrap_or_default(),
        node: pod.spec.and_then(|spec| spec.node_name),
        address: status.pod_ip,
        ready: status.conditions.iter().flatten().any(|condition| ready(&condition.type_, &condition.status)),
        restarts: all.iter().map(|container| container.restart_count).sum(),
        waiting: all.into_iter().filter_map(|container| container.state?.waiting?.reason).collect(),
        going: pod.metadata.deletion_timestamp.is_some(),
    }
}
