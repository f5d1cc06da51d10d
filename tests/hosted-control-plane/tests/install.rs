//! From `helm install` by somebody who holds nothing but `admin` in a namespace, to a control plane that works; then away
//! with it and back again.
#![allow(
    clippy::expect_used,
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "test code: a broken expectation is a failed test, and measurements are printed"
)]

#[path = "install/what_status_tells.rs"]
mod what_status_tells;

use std::time::Duration;

use end_to_end::eventually;
use hosted_control_plane::{Helm, Hosted, Release, Stage, Tenant, helm_binary};
use k8s_openapi::api::core::v1::{ConfigMap, PersistentVolumeClaim, Secret};
use kube::api::ListParams;
use management_cluster::ManagementCluster;
use serde_json::json;
use tokio::time::Instant;

/// 3 etcd, 2 API servers, 2 and 2 controllers, 2 certificate-authorities, 1 cluster-bootstrap.
const HIGHLY_AVAILABLE: usize = 12;
const READY_LIMIT: Duration = Duration::from_secs(240);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_namespace_admin_gets_a_whole_control_plane_and_has_it_back_after_uninstalling() {
    let stage = Stage::up("install", None).await;
    let cluster = &stage.cluster;
    let tenant = Tenant::new(&cluster.kubeconfig(), "tenant").await;
    let helm = Helm::new(helm_binary(), tenant.kubeconfig());
    let values = Release::values_file("values-ha.yaml");
    let settings = [values.as_str(), "--set=etcd.storage.size=1Gi", "--set=etcd.quota=512Mi"];
    let release = Release::new(&tenant, &helm, "demo", &settings);

    let began = Instant::now();
    release.install().await;
    let hosted = Hosted::new(cluster, &tenant, &release, READY_LIMIT).await;
    eventually("the API answers through the Service", READY_LIMIT, async || {
        hosted.kubectl(1, &["get", "--raw=/readyz"]).await
    })
    .await;
    let api = began.elapsed();
    release.until_ready(HIGHLY_AVAILABLE, READY_LIMIT).await;
    println!(
        "install: the API answered through the Service after {api:.1?}, all Pods were Ready after {:.1?}",
        began.elapsed()
    );
    for pod in release.pods().await {
        assert_eq!(pod.restarts, 0, "a fresh install restarts nothing: {pod:?}");
    }

    what_status_tells::of_a_control_plane_and_what_ails_it(&tenant, &helm, &release).await;

    let told = release.test().await;
    assert!(told.succeeded, "helm test: {}{}", told.output, told.errors);
    schedules(&hosted).await;
    hosted.kubectl(2, &["create", "namespace", "kept"]).await.unwrap();

    let began = Instant::now();
    let told = release.uninstall().await;
    // helm does not wait for what Kubernetes deletes after it: Pods.
    let left = Duration::from_secs(60).saturating_sub(began.elapsed());
    eventually("no Pod is left", left, async || {
        let pods = release.pods().await;
        if pods.is_empty() { Ok(()) } else { Err(pods) }
    })
    .await;
    println!(
        "helm uninstall --wait took {:.1?}, the last Pod was gone after {:.1?}",
        told.took,
        began.elapsed()
    );
    what_is_kept(cluster, &tenant).await;

    // This time our images are mounted themselves.
    let settings = [&settings[..], &["--set=images.supervisors=ImageVolume"]].concat();
    let release = Release::new(&tenant, &helm, "demo", &settings);
    release.install().await;
    release.until_ready(HIGHLY_AVAILABLE, READY_LIMIT).await;
    for pod in release.pods().await {
        assert_eq!(pod.restarts, 0, "a reinstallation restarts nothing: {pod:?}");
    }
    let again = Hosted::new(cluster, &tenant, &release, READY_LIMIT).await;
    let kept = again.kubectl(3, &["get", "namespace", "kept", "--output=name"]).await;
    assert_eq!(kept.unwrap().trim(), "namespace/kept", "the same cluster with the same data");
    stage.cluster.down().await.unwrap();
}

/// A Deployment's Pods are bound to a Node that somebody registered.
async fn schedules(hosted: &Hosted<'_>) {
    let node = json!({
        "apiVersion": "v1", "kind": "Node", "metadata": {"name": "worker"},
        "status": {
            "capacity": {"cpu": "4", "memory": "8Gi", "pods": "110"},
            "allocatable": {"cpu": "4", "memory": "8Gi", "pods": "110"},
            "conditions": [{"type": "Ready", "status": "True"}],
        },
    });
    let deployment = json!({
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web", "namespace": "default"},
        "spec": {
            "replicas": 2,
            "selector": {"matchLabels": {"app": "web"}},
            "template": {
                "metadata": {"labels": {"app": "web"}},
                "spec": {
                    "containers": [{"name": "web", "image": "web"}],
                    "tolerations": [{"operator": "Exists"}],
                },
            },
        },
    });
    hosted.apply(1, &json!({"apiVersion": "v1", "kind": "List", "items": [node, deployment]})).await;
    eventually("both Pods are bound to the node", Duration::from_secs(60), async || {
        let line = [
            "get",
            "pods",
            "--namespace=default",
            "--selector=app=web",
            "--output=jsonpath={.items[*].spec.nodeName}",
        ];
        match hosted.kubectl(1, &line).await {
            Ok(nodes) if nodes.trim() == "worker worker" => Ok(()),
            other => Err(other),
        }
    })
    .await;
}

/// Volumes, CA and key Secrets and the cluster record stay; everything else of the release is gone.
async fn what_is_kept(cluster: &ManagementCluster, tenant: &Tenant) {
    let names = |metadata: kube::core::ObjectMeta| metadata.name.unwrap_or_default();
    let secrets = tenant.objects::<Secret>();
    eventually("only keys are kept", Duration::from_secs(60), async || {
        let listed = secrets.list(&ListParams::default()).await.unwrap().items;
        let mut kept: Vec<String> = listed.into_iter().map(|secret| names(secret.metadata)).collect();
        kept.sort();
        let wanted = [
            "ca-cluster",
            "ca-etcd",
            "ca-etcd-peer",
            "ca-front-proxy",
            "keys-encryption",
            "keys-service-account",
        ]
        .map(|suffix| format!("demo-{suffix}"));
        if kept == wanted { Ok(()) } else { Err(kept) }
    })
    .await;
    let maps = tenant.objects::<ConfigMap>();
    eventually("only the cluster record is kept", Duration::from_secs(60), async || {
        let listed = maps.list(&ListParams::default()).await.unwrap().items;
        let mut kept: Vec<String> = listed.into_iter().map(|map| names(map.metadata)).collect();
        kept.sort();
        if kept == ["demo-etcd-record", "demo-version-record", "kube-root-ca.crt"] {
            Ok(())
        } else {
            Err(kept)
        }
    })
    .await;
    let claims = tenant.objects::<PersistentVolumeClaim>().list(&ListParams::default()).await.unwrap().items;
    assert_eq!(claims.len(), 3);
    // Also what supervisors made while they ran.
    let others = "services,statefulsets,deployments,serviceaccounts,roles,rolebindings,leases,poddisruptionbudgets,networkpolicies";
    let line = ["get", others, "--output=name", "--namespace", tenant.namespace()];
    eventually("nothing else of the release is left", Duration::from_secs(60), async || {
        let left = cluster.kubectl(line).await.map_err(|error| format!("{error:#}"))?.output;
        let left: Vec<String> =
            left.lines().filter(|name| name.contains("/demo")).map(str::to_owned).collect();
        if left.is_empty() { Ok(()) } else { Err(format!("{left:?}")) }
    })
    .await;
}
