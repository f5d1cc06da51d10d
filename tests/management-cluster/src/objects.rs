//! What the management cluster itself keeps in its API: cluster DNS, the default storage class, the pools' volumes. Pure.
//! Refuses workloads.

use serde_json::{Value, json};

use crate::images::DNS_IMAGE;
use crate::layout::{CLUSTER_DOMAIN, DNS_ADDRESS, NodeNumber, STORAGE_CLASS, volume_inside, volume_name};
use crate::policies;

/// What every volume claims to hold; nothing enforces it.
const VOLUME_CAPACITY: &str = "16Gi";
/// Marks the volumes that the keeper empties and offers again.
pub(crate) const POOL_LABEL: &str = "pilothouse.test/pool";
/// Which node a volume lies on.
pub(crate) const NODE_LABEL: &str = "pilothouse.test/node";

/// Everything, as one list for `kubectl apply`.
pub(crate) fn all(nodes: &[NodeNumber], volumes_per_node: u32, policies_enforced: bool) -> Value {
    let mut items = if policies_enforced { policies::objects() } else { Vec::new() };
    items.push(storage_class());
    items.extend(nodes.iter().flat_map(|node| (1..=volumes_per_node).map(|index| volume(*node, index))));
    items.extend(cluster_dns());
    json!({ "apiVersion": "v1", "kind": "List", "items": items })
}

fn storage_class() -> Value {
    json!({
        "apiVersion": "storage.k8s.io/v1",
        "kind": "StorageClass",
        "metadata": {
            "name": STORAGE_CLASS,
            "annotations": { "storageclass.kubernetes.io/is-default-class": "true" },
        },
        "provisioner": "kubernetes.io/no-provisioner",
        "volumeBindingMode": "WaitForFirstConsumer",
        // Retain: nothing of Kubernetes deletes local volumes; the keeper empties them and offers them again.
        "reclaimPolicy": "Retain",
    })
}

fn volume(node: NodeNumber, index: u32) -> Value {
    let name = volume_name(node, index);
    json!({
        "apiVersion": "v1",
        "kind": "PersistentVolume",
        "metadata": { "name": name, "labels": { POOL_LABEL: STORAGE_CLASS, NODE_LABEL: node.name() } },
        "spec": {
            "capacity": { "storage": VOLUME_CAPACITY },
            "accessModes": ["ReadWriteOnce"],
            "persistentVolumeReclaimPolicy": "Retain",
            "storageClassName": STORAGE_CLASS,
            "local": { "path": volume_inside(&name).display().to_string() },
            "nodeAffinity": { "required": { "nodeSelectorTerms": [{ "matchExpressions": [{
                "key": "kubernetes.io/hostname", "operator": "In", "values": [node.name()],
            }] }] } },
        },
    })
}

fn cluster_dns() -> [Value; 6] {
    let meta =
        |name: &str| json!({ "name": name, "namespace": "kube-system", "labels": { "k8s-app": "kube-dns" } });
    [
        json!({ "apiVersion": "v1", "kind": "ServiceAccount", "metadata": meta("coredns") }),
        json!({
            "apiVersion": "rbac.authorization.k8s.io/v1",
            "kind": "ClusterRole",
            "metadata": { "name": "system:coredns" },
            "rules": [
                { "apiGroups": [""], "resources": ["endpoints", "services", "pods", "namespaces"], "verbs": ["list", "watch"] },
                { "apiGroups": ["discovery.k8s.io"], "resources": ["endpointslices"], "verbs": ["list", "watch"] },
            ],
        }),
        json!({
            "apiVersion": "rbac.authorization.k8s.io/v1",
            "kind": "ClusterRoleBinding",
            "metadata": { "name": "system:coredns" },
            "roleRef": { "apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "system:coredns" },
            "subjects": [{ "kind": "ServiceAccount", "name": "coredns", "namespace": "kube-system" }],
        }),
        json!({
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": meta("coredns"),
            "data": { "Corefile": corefile() },
        }),
        json!({
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": meta("kube-dns"),
            "spec": {
                "clusterIP": DNS_ADDRESS,
                "selector": { "k8s-app": "kube-dns" },
                "ports": [
                    { "name": "dns", "port": 53, "targetPort": "dns", "protocol": "UDP" },
                    { "name": "dns-tcp", "port": 53, "targetPort": "dns-tcp", "protocol": "TCP" },
                ],
            },
        }),
        deployment(&meta("coredns")),
    ]
}

fn corefile() -> String {
    // Above 1024, so that it needs no capability. A short cache: headless records must follow Pods.
    format!(
        ".:1053 {{\n  errors\n  health :8080\n  ready :8181\n  kubernetes {CLUSTER_DOMAIN} in-addr.arpa ip6.arpa {{\n    \
         pods insecure\n    ttl 5\n  }}\n  cache 5\n  loadbalance\n}}\n"
    )
}

fn deployment(metadata: &Value) -> Value {
    let tolerate = |key: &str| json!({ "key": key, "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 5 });
    json!({
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": metadata,
        "spec": {
            "replicas": 2,
            "selector": { "matchLabels": { "k8s-app": "kube-dns" } },
            "strategy": { "rollingUpdate": { "maxUnavailable": 1 } },
            "template": {
                "metadata": { "labels": { "k8s-app": "kube-dns" } },
                "spec": {
                    "serviceAccountName": "coredns",
                    "priorityClassName": "system-cluster-critical",
                    "dnsPolicy": "Default",
                    "terminationGracePeriodSeconds": 5,
                    // Soon elsewhere when a node dies.
                    "tolerations": [tolerate("node.kubernetes.io/not-ready"), tolerate("node.kubernetes.io/unreachable")],
                    "topologySpreadConstraints": [{
                        "maxSkew": 1,
                        "topologyKey": "kubernetes.io/hostname",
                        "whenUnsatisfiable": "ScheduleAnyway",
                        "labelSelector": { "matchLabels": { "k8s-app": "kube-dns" } },
                    }],
                    "containers": [{
                        "name": "coredns",
                        "image": DNS_IMAGE,
                        "imagePullPolicy": "IfNotPresent",
                        "args": ["-conf", "/etc/coredns/Corefile"],
                        "ports": [
                            { "name": "dns", "containerPort": 1053, "protocol": "UDP" },
                            { "name": "dns-tcp", "containerPort": 1053, "protocol": "TCP" },
                        ],
                        "readinessProbe": { "httpGet": { "path": "/ready", "port": 8181 }, "periodSeconds": 1 },
                        "livenessProbe": { "httpGet": { "path": "/health", "port": 8080 }, "periodSeconds": 10 },
                        "resources": { "requests": { "cpu": "10m", "memory": "40Mi" } },
                        "securityContext": {
                            "runAsNonRoot": true, "runAsUser": 65532, "readOnlyRootFilesystem": true,
                            "allowPrivilegeEscalation": false, "capabilities": { "drop": ["ALL"] },
                        },
                        "volumeMounts": [{ "name": "configuration", "mountPath": "/etc/coredns" }],
                    }],
                    "volumes": [{ "name": "configuration", "configMap": { "name": "coredns" } }],
                },
            },
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_node_has_its_pool() {
        let list = all(&[NodeNumber(1), NodeNumber(2)], 3, false);
        let volumes: Vec<_> = list["items"]
            .as_array()
            .unwrap()
            .iter()
            .filter(|item| item["kind"] == "PersistentVolume")
            .map(|item| {
                (item["metadata"]["name"].as_str().unwrap(), item["spec"]["local"]["path"].as_str().unwrap())
            })
            .collect();
        assert_eq!(volumes.len(), 6);
        assert!(volumes.contains(&("node-2-volume-3", "/var/lib/volumes/node-2-volume-3")));
    }
}
