//! What enforces network policies, where somebody asked for it: Cilium's agent on each node, chained behind the same CNI
//! plugins, beside the same kube-proxy. What it is told, and what it needs in the API. Pure.
//! Refuses everything else that Cilium can do: no tunnels, no addresses, no Services, no proxy, no policies of its own kinds.

use std::path::Path;

use serde_json::{Value, json};

/// The agent, and its service on a node.
pub(crate) const AGENT: &str = "cilium-agent";
/// Its CNI plugin, the last of the chain.
pub(crate) const PLUGIN: &str = "cilium-cni";
/// It compiles its programs for the kernel with the clang that it finds first, and is tested with this one.
pub(crate) const COMPILER_DIRECTORY: &str = "/usr/lib/llvm-19/bin";
/// What it sets for the whole machine, with the values that it wants.
pub(crate) const KERNEL_SETTINGS: [(&str, &str); 2] =
    [("kernel/unprivileged_bpf_disabled", "1"), ("kernel/timer_migration", "0")];

/// Behind plugins that make a pair of interfaces for each Pod.
const CHAINING: &str = "generic-veth";
/// An address that it wants for an interface of its own; nothing is ever sent there.
const ROUTER_ADDRESS: &str = "169.254.90.1";
/// Kinds that it waits for or writes: plural, kind, version, whether they are namespaced.
const KINDS: [(&str, &str, &str, bool); 6] = [
    ("ciliumendpoints", "CiliumEndpoint", "v2", true),
    ("ciliumidentities", "CiliumIdentity", "v2", false),
    ("ciliumloadbalancerippools", "CiliumLoadBalancerIPPool", "v2", false),
    ("ciliumnodes", "CiliumNode", "v2", false),
    ("ciliuml2announcementpolicies", "CiliumL2AnnouncementPolicy", "v2alpha1", false),
    ("ciliumpodippools", "CiliumPodIPPool", "v2alpha1", false),
];

/// Its part of the CNI configuration.
pub(crate) fn plugin() -> Value {
    json!({ "type": PLUGIN, "chaining-mode": CHAINING })
}

/// The agent's configuration: where its source code is, and a kubeconfig.
pub(crate) fn configuration(tools: &Path, kubeconfig: &Path) -> Value {
    json!({
        "k8s-kubeconfig-path": kubeconfig.display().to_string(),
        "lib-dir": tools.display().to_string(),
        "identity-allocation-mode": "crd",
        "enable-ipv4": true,
        "enable-ipv6": false,
        // Addresses, routes and Services are others' business.
        "cni-chaining-mode": CHAINING,
        "cni-exclusive": false,
        "cni-external-routing": true,
        "ipam": "delegated-plugin",
        "local-router-ipv4": ROUTER_ADDRESS,
        "routing-mode": "native",
        "enable-local-node-route": false,
        "enable-host-legacy-routing": true,
        "enable-ipv4-masquerade": false,
        // They mark what comes from the node itself, such as kubelets' probes, which is always let in.
        "install-iptables-rules": true,
        "kube-proxy-replacement": false,
        "devices": "eth0",
        // It has no ConfigMap to follow.
        "enable-dynamic-config": false,
        // NetworkPolicies alone.
        "enable-cilium-network-policy": false,
        "enable-cilium-clusterwide-network-policy": false,
        "enable-l7-proxy": false,
        "enable-health-checking": false,
        "enable-endpoint-health-checking": false,
        "enable-hubble": false,
        // The nodes share one machine's memory.
        "bpf-ct-global-tcp-max": 16384,
        "bpf-ct-global-any-max": 8192,
        "bpf-nat-global-max": 16384,
        "bpf-neigh-global-max": 4096,
    })
}

/// Its kinds, open: nothing but the agents writes them; and the rights of nodes to do what the agents do.
pub(crate) fn objects() -> Vec<Value> {
    let mut objects: Vec<Value> = KINDS
        .into_iter()
        .map(|(plural, kind, version, namespaced)| definition(plural, kind, version, namespaced))
        .collect();
    let rule = |groups: &[&str], resources: &[&str], verbs: &[&str]| json!({ "apiGroups": groups, "resources": resources, "verbs": verbs });
    let read = ["get", "list", "watch"];
    objects.push(json!({
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "ClusterRole",
        "metadata": { "name": AGENT },
        "rules": [
            rule(&[""], &["namespaces", "services", "pods", "nodes"], &read),
            rule(&["discovery.k8s.io"], &["endpointslices"], &read),
            rule(&["networking.k8s.io"], &["networkpolicies"], &read),
            rule(&["apiextensions.k8s.io"], &["customresourcedefinitions"], &read),
            rule(&["cilium.io"], &["*"], &["get", "list", "watch", "create", "update", "patch", "delete"]),
        ],
    }));
    objects.push(json!({
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "ClusterRoleBinding",
        "metadata": { "name": AGENT },
        "roleRef": { "apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": AGENT },
        "subjects": [{ "apiGroup": "rbac.authorization.k8s.io", "kind": "Group", "name": "system:nodes" }],
    }));
    objects
}

fn definition(plural: &str, kind: &str, version: &str, namespaced: bool) -> Value {
    let mut definition = json!({
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": { "name": format!("{plural}.cilium.io") },
        "spec": {
            "group": "cilium.io",
            "scope": if namespaced { "Namespaced" } else { "Cluster" },
            "names": { "plural": plural, "singular": kind.to_lowercase(), "kind": kind, "listKind": format!("{kind}List") },
            "versions": [{
                "name": version,
                "served": true,
                "storage": true,
                "schema": { "openAPIV3Schema": { "type": "object", "x-kubernetes-preserve-unknown-fields": true } },
            }],
        },
    });
    // Upstream's have it, but for endpoints, whose status is written with the rest.
    if !namespaced {
        definition["spec"]["versions"][0]["subresources"] = json!({ "status": {} });
    }
    definition
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_of_its_own_is_as_upstream_has_it() {
        let objects = objects();
        let with_status: Vec<_> = objects
            .iter()
            .filter(|object| object["spec"]["versions"][0]["subresources"]["status"].is_object())
            .map(|object| object["metadata"]["name"].as_str().unwrap())
            .collect();
        assert!(with_status.contains(&"ciliumnodes.cilium.io"), "{with_status:?}");
        assert!(!with_status.contains(&"ciliumendpoints.cilium.io"), "{with_status:?}");
    }

    #[test]
    fn it_leaves_addresses_and_services_to_others() {
        let configuration = configuration(Path::new("/tools"), Path::new("/kubeconfig"));
        assert_eq!(configuration["kube-proxy-replacement"], false);
        assert_eq!(configuration["ipam"], "delegated-plugin");
    }
}
