//! The management cluster itself: comes up, loses nodes and its API server, gets over both, leaves nothing behind.
//! Refuses to test what is hosted on it.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test ends by panicking")]

use std::path::{Path, PathBuf};
use std::time::Duration;

use management_cluster::{
    Binaries, ManagementCluster, NodeMonitor, Options, default_image_cache, remove_leftovers,
};

const NAME: &str = "own-test";
const LIMIT: Duration = Duration::from_secs(90);

fn options(directory: &Path) -> Options {
    let set = |variable: &str| {
        PathBuf::from(
            std::env::var_os(variable)
                .unwrap_or_else(|| panic!("{variable} is not set; use cargo xtask test")),
        )
    };
    let binaries = Binaries {
        policy_tools: None,
        ours: set("PILOTHOUSE_BINARIES"),
        components: set("PILOTHOUSE_COMPONENTS"),
        node_tools: set("PILOTHOUSE_NODE_TOOLS"),
    };
    Options {
        name: NAME.to_owned(),
        nodes: 2,
        volumes_per_node: 1,
        node_monitor: Some(NodeMonitor {
            grace_period: Duration::from_secs(6),
            toleration: Duration::from_secs(2),
        }),
        tells: true,
        ..Options::new(directory.to_owned(), default_image_cache(), binaries)
    }
}

/// A directory of a fixed name, so that a killed run's cluster is found and removed by the next one.
fn directory() -> PathBuf {
    std::env::temp_dir().join("pilothouse-management-test")
}

/// Waits until kubectl says this.
async fn until(cluster: &ManagementCluster, arguments: &[&str], expected: &str) {
    let deadline = tokio::time::Instant::now() + LIMIT;
    loop {
        let said = cluster.kubectl(arguments).await.map_or_else(|error| error.to_string(), |ran| ran.output);
        if said.trim() == expected {
            return;
        }
        assert!(
            tokio::time::Instant::now() < deadline,
            "kubectl {arguments:?} says {said:?}, not {expected:?}"
        );
        tokio::time::sleep(Duration::from_millis(300)).await;
    }
}

async fn apply(cluster: &ManagementCluster, object: &serde_json::Value) {
    let file = directory().join("applied.json");
    durable_files::write_private(&file, object.to_string().as_bytes()).unwrap();
    cluster.kubectl(["apply", "-f", file.to_str().unwrap()]).await.unwrap();
}

/// An etcd with a volume of node 2's pool.
fn stateful_set() -> serde_json::Value {
    serde_json::json!({
        "apiVersion": "apps/v1", "kind": "StatefulSet", "metadata": { "name": "s", "namespace": "default" },
        "spec": {
            "serviceName": "s", "replicas": 1, "selector": { "matchLabels": { "a": "s" } },
            "template": { "metadata": { "labels": { "a": "s" } }, "spec": {
                "nodeSelector": { "kubernetes.io/hostname": "node-2" },
                "terminationGracePeriodSeconds": 1,
                "containers": [{
                    "name": "etcd", "image": ETCD_IMAGE.replace("VERSION", &etcd_version()),
                    "command": ["/usr/local/bin/etcd", "--data-dir=/data/etcd"],
                    "volumeMounts": [{ "name": "data", "mountPath": "/data" }],
                }],
            } },
            "volumeClaimTemplates": [{ "metadata": { "name": "data" }, "spec": {
                "accessModes": ["ReadWriteOnce"], "resources": { "requests": { "storage": "1Gi" } },
            } }],
        },
    })
}

const ETCD_IMAGE: &str = "registry.k8s.io/etcd:VERSION-0";

fn etcd_version() -> String {
    let etcd = PathBuf::from(std::env::var_os("PILOTHOUSE_COMPONENTS").unwrap()).join("etcd");
    let said = std::process::Command::new(etcd).arg("--version").output().unwrap().stdout;
    let said = String::from_utf8(said).unwrap();
    said.lines().next().unwrap().split_whitespace().last().unwrap().to_owned()
}

fn left_behind() -> Vec<PathBuf> {
    let cgroups = std::fs::read_dir("/sys/fs/cgroup").unwrap().flatten();
    let groups = cgroups.map(|entry| entry.path().join(format!("pilothouse-{NAME}")));
    groups.chain([directory()]).filter(|path| path.exists()).collect()
}

#[tokio::test]
#[ignore = "needs root and the real binaries; run by `cargo xtask test --step end-to-end`"]
async fn nodes_die_and_come_back_and_nothing_is_left() {
    let cluster = ManagementCluster::up(options(&directory())).await.unwrap();
    apply(&cluster, &stateful_set()).await;
    let phase = ["get", "pod", "s-0", "-o=jsonpath={.status.conditions[?(@.type==\"Ready\")].status}"];
    until(&cluster, &phase, "True").await;
    let uid = cluster.kubectl(["get", "pod", "s-0", "-o=jsonpath={.metadata.uid}"]).await.unwrap().output;
    let processes = cluster.pod_processes(2, &uid).unwrap();
    assert!(processes.iter().any(|process| process.command == "etcd"), "{processes:?}");

    // The API server is away; nodes and Pods go on.
    cluster.stop_api_server().await.unwrap();
    assert!(cluster.kubectl(["get", "--raw=/readyz"]).await.is_err());
    assert_eq!(cluster.pod_processes(2, &uid).unwrap(), processes);
    cluster.start_api_server().await.unwrap();

    // Sudden death is noticed; the node comes back with its disk.
    cluster.kill_node(2).await.unwrap();
    assert!(!cluster.node_states()[1].runs);
    let ready = ["get", "node", "node-2", "-o=jsonpath={.status.conditions[?(@.type==\"Ready\")].status}"];
    until(&cluster, &ready, "Unknown").await;
    assert!(cluster.kill_node(2).await.is_ok(), "killing a dead node changes nothing");
    cluster.revive_node(2).await.unwrap();
    until(&cluster, &phase, "True").await;
    let again = cluster.revive_node(2).await.unwrap_err().to_string();
    assert_eq!(again, "node-2 runs already");

    // A volume whose claim is deleted is offered again, empty.
    let volume = directory().join("machines/node-2/disk/var-lib/volumes/node-2-volume-1");
    assert!(volume.join("etcd").is_dir());
    cluster.kubectl(["delete", "statefulset", "s"]).await.unwrap();
    cluster.kubectl(["delete", "pvc", "data-s-0"]).await.unwrap();
    let phase = ["get", "pv", "node-2-volume-1", "-o=jsonpath={.status.phase}"];
    until(&cluster, &phase, "Available").await;
    assert_eq!(std::fs::read_dir(&volume).unwrap().count(), 0);

    // A node is itself and nothing else.
    let whoami = ["auth", "whoami", "-o=jsonpath={.status.userInfo.username}", "--kubeconfig"];
    let credentials = directory().join("machines/node-1/credentials/kubelet.kubeconfig");
    let kubectl = PathBuf::from(std::env::var_os("PILOTHOUSE_COMPONENTS").unwrap()).join("kubectl");
    let said = cluster
        .node_exec(1, &kubectl, whoami.into_iter().chain([credentials.to_str().unwrap()]))
        .await
        .unwrap();
    assert_eq!(said.output, "system:node:node-1");

    drop(cluster);
    assert_eq!(left_behind(), Vec::<PathBuf>::new());
    remove_leftovers(&directory(), NAME).await.unwrap();
}
