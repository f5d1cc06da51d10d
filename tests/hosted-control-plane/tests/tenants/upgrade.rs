//! Another version of the chart with about every value changed that may be: nothing is refused, everything rolls, the data
//! stays; and back again.

use std::path::Path;
use std::time::Duration;

use end_to_end::eventually;
use hosted_control_plane::{Helm, Hosted, Release, Tenant, chart};
use k8s_openapi::api::apps::v1::{Deployment, StatefulSet};
use k8s_openapi::api::core::v1::Pod;
use kube::api::ListParams;
use management_cluster::ManagementCluster;
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::{READY_LIMIT, SMALL};

const VERSION: &str = "9.8.7";
const LABEL: &str = "example.com/tier";
const LIMIT: Duration = Duration::from_secs(60);

pub(crate) async fn everything_mutable_changes_and_changes_back(
    cluster: &ManagementCluster,
    tenant: &Tenant,
    helm: &Helm,
    release: &Release<'_>,
) {
    let hosted = Hosted::new(cluster, tenant, release, LIMIT).await;
    hosted.kubectl(1, &["create", "namespace", "kept"]).await.unwrap();
    let directory = tempfile::tempdir().unwrap();
    let other = directory.path().join("chart");
    copy(&chart(), &other);
    let description = std::fs::read_to_string(other.join("Chart.yaml")).unwrap();
    let description = description.lines().map(|line| {
        if line.starts_with("version: ") { format!("version: {VERSION}\n") } else { format!("{line}\n") }
    });
    std::fs::write(other.join("Chart.yaml"), description.collect::<String>()).unwrap();
    let values = directory.path().join("values.json");
    std::fs::write(&values, changed().to_string()).unwrap();

    let began = Instant::now();
    release.upgrade(&other, &[&format!("--values={}", values.display())]).await;
    until_rolled(tenant, release, SMALL + 1, true).await;
    println!("an upgrade with everything changed took {:.1?}", began.elapsed());
    labelled(tenant, VERSION).await;
    still_there(&hosted).await;

    let began = Instant::now();
    helm.succeeds(&["rollback", release.name(), "--namespace", tenant.namespace()], READY_LIMIT).await;
    until_rolled(tenant, release, SMALL, false).await;
    println!("and the way back {:.1?}", began.elapsed());
    still_there(&hosted).await;
    for pod in release.pods().await {
        assert_eq!(pod.restarts, 0, "{pod:?}");
    }
}

/// Data of before the upgrade, and room for more.
async fn still_there(hosted: &Hosted<'_>) {
    eventually("the API answers through the Service", LIMIT, async || {
        hosted.kubectl(1, &["get", "--raw=/readyz"]).await
    })
    .await;
    let found = hosted.kubectl(2, &["get", "namespace", "kept", "--output=name"]).await;
    assert_eq!(found.unwrap().trim(), "namespace/kept");
    hosted.kubectl(2, &["annotate", "--overwrite", "namespace", "kept", "touched=again"]).await.unwrap();
}

/// `count` Pods, all Ready, each with or without the label of the upgrade, and no workload with a step to go.
async fn until_rolled(tenant: &Tenant, release: &Release<'_>, count: usize, upgraded: bool) {
    eventually("every Pod is another", READY_LIMIT, async || {
        let selector =
            ListParams::default().labels(&format!("app.kubernetes.io/instance={}", release.name()));
        let pods = tenant.objects::<Pod>().list(&selector).await.unwrap().items;
        let wrong: Vec<_> = pods
            .iter()
            .filter(|pod| pod.metadata.labels.iter().flatten().any(|(name, _)| name == LABEL) != upgraded)
            .filter_map(|pod| pod.metadata.name.clone())
            .collect();
        let views = release.pods().await;
        let ready = views.iter().filter(|pod| pod.ready && !pod.going).count();
        if wrong.is_empty() && (ready, views.len()) == (count, count) { Ok(()) } else { Err((wrong, views)) }
    })
    .await;
}

/// The recommended labels tell the chart that is installed; selectors did not hold the old one.
async fn labelled(tenant: &Tenant, version: &str) {
    let wanted = format!("hosted-control-plane-{version}");
    let tells = |labels: Option<std::collections::BTreeMap<String, String>>| {
        labels.and_then(|mut labels| labels.remove("helm.sh/chart"))
    };
    let etcd = tenant.objects::<StatefulSet>().get("demo-etcd").await.unwrap();
    assert_eq!(tells(etcd.metadata.labels).as_deref(), Some(wanted.as_str()));
    let api = tenant.objects::<Deployment>().get("demo-kube-apiserver").await.unwrap();
    assert_eq!(tells(api.metadata.labels).as_deref(), Some(wanted.as_str()));
    assert_eq!(api.spec.unwrap().replicas, Some(2));
}

/// What may be changed in place, changed.
fn changed() -> Value {
    let resources =
        |memory: &str| json!({"requests": {"cpu": "15m", "memory": "40Mi"}, "limits": {"memory": memory}});
    let environment = json!([{"name": "EXAMPLE", "value": "changed"}]);
    let controller = |memory| {
        json!({
            "resources": resources(memory), "extraArgs": ["--v=1"], "extraEnv": environment,
            "pod": {"annotations": {"example.com/own": "yes"}, "spreadOverNodes": "None"},
        })
    };
    json!({
        "featureGates": {"AllAlpha": false},
        "logging": {"level": "debug", "format": "text"},
        "pods": {
            "labels": {LABEL: "upgraded"},
            "annotations": {"example.com/note": "changed"},
            "nodeSelector": {"kubernetes.io/os": "linux"},
            "tolerations": [{"key": "example.com/reserved", "operator": "Exists"}],
            "affinity": {"podAntiAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": [{
                "weight": 1,
                "podAffinityTerm": {
                    "topologyKey": "kubernetes.io/hostname",
                    "labelSelector": {"matchLabels": {"example.com/tier": "other"}},
                },
            }]}},
            "spreadOverZones": "None",
            "volumes": [{"name": "further", "emptyDir": {}}],
            "volumeMounts": [{"name": "further", "mountPath": "/further"}],
        },
        "serviceAccountAnnotations": {"example.com/identity": "changed"},
        "nodeFailureSeconds": 45,
        "podDisruptionBudgets": true,
        "networkPolicies": {"metricsFrom": [{"namespaceSelector": {}}]},
        "network": {"podSubnets": ["10.200.0.0/16"]},
        "etcd": {
            "quota": "700Mi", "metricsPort": 2382, "terminationGracePeriodSeconds": 100,
            "resources": resources("600Mi"), "extraArgs": ["--log-level=warn"], "extraEnv": environment,
        },
        "apiServer": {
            "replicas": 2,
            "service": {"annotations": {"example.com/pool": "a"}},
            "externalAddresses": ["api.example.com", "203.0.113.8"],
            "certificateNames": ["203.0.113.7"],
            "serviceAccountIssuers": ["https://issuer.example.com", "https://kubernetes.default.svc"],
            "jwtAuthenticators": [{
                "issuer": {"url": "https://login.example.com", "audiences": ["kubernetes"]},
                "claimMappings": {"username": {"claim": "sub", "prefix": "login:"}},
            }],
            "audit": {"enabled": true, "rules": [{"level": "None", "users": ["nobody"]}, {"level": "Metadata"}]},
            "drain": {"delaySeconds": 2, "watchGraceSeconds": 3, "sendRetryAfter": true},
            "terminationGracePeriodSeconds": 90,
            "goawayChance": 0.01,
            "resources": resources("1200Mi"), "extraArgs": ["--v=1"], "extraEnv": environment,
        },
        "controllerManager": controller("400Mi"),
        "scheduler": controller("300Mi"),
        "certificateAuthority": {
            "lifetimes": {"etcd-server": "48h"}, "resources": resources("80Mi"), "extraEnv": environment,
        },
        "clusterBootstrap": {"resources": resources("80Mi"), "extraEnv": environment},
    })
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &target);
        } else {
            std::fs::copy(entry.path(), &target).unwrap();
        }
    }
}
