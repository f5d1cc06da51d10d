//! From nothing to a control plane that works: API servers ready, leases held, Pods bound to a node.
#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::unwrap_used,
    clippy::missing_panics_doc,
    reason = "test code: a broken expectation is a failed test, and measurements are printed"
)]

use std::time::Duration;

use end_to_end::{ControlPlane, client, component, eventually, lease_holder};
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::{Node, Pod, ServiceAccount};
use kube::api::{Api, ListParams, Patch, PatchParams, PostParams};
use process_control::{ChildEnding, Spawn, capture};
use serde_json::json;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_control_plane_from_nothing_schedules_pods() {
    let plane = ControlPlane::ready(&[]).await;

    let instances = plane.status().await.unwrap();
    for (component, count) in [
        ("certificate-authority", 1),
        ("etcd", 3),
        ("kube-apiserver", 2),
        ("kube-controller-manager", 2),
        ("kube-scheduler", 2),
        ("cluster-bootstrap", 1),
    ] {
        let found = instances.iter().filter(|instance| instance.component == component).count();
        assert_eq!(found, count, "{component}: {instances:#?}");
    }
    assert!(instances.iter().all(|instance| instance.restarts == 0), "{instances:#?}");
    let leaders = |component: &str| {
        instances.iter().filter(|it| it.component == component && it.leader == Some(true)).count()
    };
    assert_eq!(leaders("etcd"), 1, "{instances:#?}");

    // As a person would, with the printed kubeconfig.
    let (code, printed, _) = plane.command(&["kubeconfig", "--path"]).await;
    assert_eq!((code, printed.trim()), (0, plane.kubeconfig().to_str().unwrap()));
    let spawn = Spawn::new(component("kubectl"))
        .arguments(["--kubeconfig", printed.trim(), "get", "--raw", "/readyz"])
        .from_thread_that_outlives_it();
    let answer = capture(&spawn, Duration::from_secs(20)).await.unwrap();
    assert_eq!(answer.ending, ChildEnding::Exited(0), "{answer:?}");
    assert_eq!(answer.stdout, b"ok");

    let client = client(&plane.kubeconfig()).await;
    for lease in ["kube-controller-manager", "kube-scheduler"] {
        eventually(&format!("lease {lease} is held"), Duration::from_secs(20), async || match lease_holder(
            &client, lease,
        )
        .await
        {
            Ok(Some(holder)) => Ok(holder),
            other => Err(other),
        })
        .await;
    }
    eventually("the default ServiceAccount is there", Duration::from_secs(20), async || {
        Api::<ServiceAccount>::default_namespaced(client.clone()).get("default").await
    })
    .await;

    register_node(&client).await;
    let deployment: Deployment = serde_json::from_value(json!({
        "metadata": {"name": "three"},
        "spec": {
            "replicas": 3,
            "selector": {"matchLabels": {"app": "three"}},
            "template": {
                "metadata": {"labels": {"app": "three"}},
                "spec": {"containers": [{"name": "main", "image": "example.invalid/nothing"}]}
            }
        }
    }))
    .unwrap();
    Api::default_namespaced(client.clone()).create(&PostParams::default(), &deployment).await.unwrap();
    eventually("three Pods bound to the node", Duration::from_secs(60), async || {
        let pods = Api::<Pod>::default_namespaced(client.clone()).list(&ListParams::default()).await;
        let bound: Vec<_> =
            pods.iter().flatten().filter_map(|pod| pod.spec.as_ref()?.node_name.clone()).collect();
        if bound.len() == 3 && bound.iter().all(|node| node == "node-0") { Ok(()) } else { Err(bound) }
    })
    .await;
}

/// A Node object as a kubelet would report it; no kubelet runs here.
async fn register_node(client: &kube::Client) {
    let nodes: Api<Node> = Api::all(client.clone());
    let node: Node = serde_json::from_value(json!({"metadata": {"name": "node-0"}})).unwrap();
    nodes.create(&PostParams::default(), &node).await.unwrap();
    let now = "2026-01-01T00:00:00Z";
    let status = json!({"status": {
        "capacity": {"cpu": "4", "memory": "8Gi", "pods": "110"},
        "allocatable": {"cpu": "4", "memory": "8Gi", "pods": "110"},
        "conditions": [{
            "type": "Ready", "status": "True", "reason": "KubeletReady", "message": "reported by a test",
            "lastHeartbeatTime": now, "lastTransitionTime": now
        }]
    }});
    nodes.patch_status("node-0", &PatchParams::default(), &Patch::Merge(status)).await.unwrap();
}
