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

use end_to_end::{ControlPlane, Instance, client, component, eventually, lease_holder};
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::{Node, Pod, ServiceAccount};
use kube::api::{Api, ListParams, Patch, PatchParams, PostParams};
use naming_contract::environment::{GOMEMLIMIT, HTTP2_PING_TIMEOUT_SECONDS, HTTP2_READ_IDLE_TIMEOUT_SECONDS};
use naming_contract::files;
use process_control::{ChildEnding, Spawn, capture};
use serde_json::json;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_control_plane_from_nothing_schedules_pods() {
    let mut plane = ControlPlane::planned(&[]);
    // What somebody sets for a component is not ours to change.
    plane.set_environment(&[(GOMEMLIMIT, "1900MiB"), (HTTP2_PING_TIMEOUT_SECONDS, "4")]);
    plane.start();
    plane.until_ready(Duration::from_secs(120)).await;

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

    let controllers = ["kube-controller-manager", "kube-scheduler"];
    for controller in instances.iter().filter(|it| controllers.contains(&it.component.as_str())) {
        let environment = controller.child_environment();
        for (name, value) in [
            (HTTP2_READ_IDLE_TIMEOUT_SECONDS, "5"),
            (HTTP2_PING_TIMEOUT_SECONDS, "4"),
            (GOMEMLIMIT, "1900MiB"),
        ] {
            let found = environment.get(name).map(String::as_str);
            assert_eq!(found, Some(value), "{name} of {}", controller.name);
        }
    }
    strangers_see_health_and_nothing_else(&plane, &instances).await;

    // As a person would, with the printed kubeconfig, and as nobody without it may.
    let (code, printed, _) = plane.command(&["kubeconfig", "--path"]).await;
    assert_eq!((code, printed.trim()), (0, plane.kubeconfig().to_str().unwrap()));
    let spawn = Spawn::new(component("kubectl"))
        .arguments(["--kubeconfig", printed.trim(), "get", "namespaces", "--output", "name"])
        .from_thread_that_outlives_it();
    let answer = capture(&spawn, Duration::from_secs(20)).await.unwrap();
    assert_eq!(answer.ending, ChildEnding::Exited(0), "{answer:?}");
    let namespaces = String::from_utf8(answer.stdout).unwrap();
    assert!(namespaces.lines().any(|namespace| namespace == "namespace/kube-system"), "{namespaces}");

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

/// Whoever shows no credentials is nobody but at four paths; what he may do there is for RBAC to say.
async fn strangers_see_health_and_nothing_else(plane: &ControlPlane, instances: &[Instance]) {
    let bundle = plane.state_directory().join(files::TRUST).join(files::CLUSTER_BUNDLE);
    let stranger = mutual_tls::http_client(&bundle, None, Duration::from_secs(10)).unwrap();
    for server in instances.iter().filter(|instance| instance.component == "kube-apiserver") {
        let port = server.child_flag("secure-port").unwrap();
        for (path, code) in [
            ("/livez", 200),
            ("/readyz", 200),
            ("/healthz", 200),
            // Known as system:anonymous, to whom kubeadm would give this object; here nobody does.
            ("/api/v1/namespaces/kube-public/configmaps/cluster-info", 403),
            ("/api/v1/namespaces/kube-public/configmaps", 401),
            ("/api", 401),
            ("/version", 401),
            ("/livez/ping", 401),
        ] {
            let answer = stranger.get(format!("https://127.0.0.1:{port}{path}")).send().await.unwrap();
            let (found, body) = (answer.status().as_u16(), answer.text().await.unwrap());
            assert_eq!(found, code, "{path} of {}: {body}", server.name);
            assert_eq!(found == 403, body.contains("system:anonymous"), "{path}: {body}");
        }
    }
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
