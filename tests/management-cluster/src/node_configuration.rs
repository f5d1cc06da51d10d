//! What a node's programs are told: containerd, CNI, kubelet, kube-proxy. Pure.
//! Refuses secrets: it names the files of the node's credentials.

use std::path::Path;

use local_control_plane::node_files;
use serde_json::{Value, json};

use crate::images::SANDBOX_IMAGE;
use crate::layout::{CLUSTER_DOMAIN, DNS_ADDRESS, NodeNumber, POD_SUBNET};
use crate::policies;

pub(crate) const CONTAINERD_SOCKET: &str = "/run/containerd/containerd.sock";
/// The file of the agent that enforces policies.
pub(crate) const POLICIES: &str = "policies.json";

/// What differs from node to node.
#[derive(Debug, Clone, Copy)]
pub(crate) struct NodeConfiguration<'a> {
    pub(crate) number: NodeNumber,
    pub(crate) node_tools: &'a Path,
    pub(crate) policy_tools: Option<&'a Path>,
    /// The directory of these files.
    pub(crate) directory: &'a Path,
    pub(crate) credentials: &'a Path,
    pub(crate) cgroup: &'a str,
}

impl NodeConfiguration<'_> {
    /// All files: name below the directory, and content.
    pub(crate) fn files(&self) -> Vec<(&'static str, String)> {
        let kubeconfig = self.credentials.join(node_files::KUBELET_KUBECONFIG);
        let policies = self.policy_tools.map(|tools| policies::configuration(tools, &kubeconfig));
        let mut files = vec![
            ("containerd.toml", self.containerd()),
            ("cni/10-pods.conflist", pretty(&self.cni())),
            ("kubelet.json", pretty(&self.kubelet())),
            ("kube-proxy.json", pretty(&self.kube_proxy())),
            // Nothing outside the cluster can be resolved.
            ("resolv.conf", String::new()),
        ];
        files.extend(policies.map(|policies| (POLICIES, pretty(&policies))));
        files
    }

    fn containerd(&self) -> String {
        format!(
            r#"version = 3
root = "/var/lib/containerd"
state = "/run/containerd"
disabled_plugins = ["io.containerd.nri.v1.nri"]

[grpc]
address = "{CONTAINERD_SOCKET}"

[plugins.'io.containerd.cri.v1.images'.pinned_images]
sandbox = "{SANDBOX_IMAGE}"

[plugins.'io.containerd.cri.v1.runtime']
restrict_oom_score_adj = true

[plugins.'io.containerd.cri.v1.runtime'.cni]
bin_dirs = {tools:?}
conf_dir = "{directory}/cni"

[plugins.'io.containerd.cri.v1.runtime'.containerd.runtimes.runc]
runtime_type = "io.containerd.runc.v2"

[plugins.'io.containerd.cri.v1.runtime'.containerd.runtimes.runc.options]
SystemdCgroup = false
"#,
            tools = [Some(self.node_tools), self.policy_tools].into_iter().flatten().collect::<Vec<_>>(),
            directory = self.directory.display(),
        )
    }

    /// Routed, not bridged: a Pod that reaches itself or its neighbour through a Service then needs no `br_netfilter`.
    fn cni(&self) -> Value {
        let mut plugins = vec![
            json!({
                "type": "ptp",
                "ipMasq": false,
                "mtu": 1500,
                "ipam": {
                    "type": "host-local",
                    "ranges": [[{ "subnet": self.number.pod_subnet() }]],
                    "routes": [{ "dst": "0.0.0.0/0" }],
                    "dataDir": "/var/lib/cni/networks",
                },
            }),
            json!({ "type": "portmap", "capabilities": { "portMappings": true }, "backend": "nftables" }),
        ];
        plugins.extend(self.policy_tools.map(|_| policies::plugin()));
        json!({ "cniVersion": "1.0.0", "name": "pods", "plugins": plugins })
    }

    fn kubelet(&self) -> Value {
        let credential = |file: &str| self.credentials.join(file).display().to_string();
        json!({
            "apiVersion": "kubelet.config.k8s.io/v1beta1",
            "kind": "KubeletConfiguration",
            "authentication": {
                "anonymous": { "enabled": false },
                "webhook": { "enabled": true },
                "x509": { "clientCAFile": credential(node_files::CLUSTER_AUTHORITY) },
            },
            "authorization": { "mode": "Webhook" },
            "tlsCertFile": credential(node_files::KUBELET_SERVING_CERTIFICATE),
            "tlsPrivateKeyFile": credential(node_files::KUBELET_SERVING_KEY),
            "containerRuntimeEndpoint": format!("unix://{CONTAINERD_SOCKET}"),
            "clusterDomain": CLUSTER_DOMAIN,
            "clusterDNS": [DNS_ADDRESS],
            "resolvConf": self.directory.join("resolv.conf").display().to_string(),
            "cgroupDriver": "cgroupfs",
            "cgroupRoot": self.cgroup,
            "failCgroupV1": false,
            "failSwapOn": false,
            // Those of the machine that carries all nodes are none of a node's business.
            "makeIPTablesUtilChains": false,
            "localStorageCapacityIsolation": true,
            "evictionHard": { "memory.available": "100Mi", "nodefs.available": "200Mi", "imagefs.available": "200Mi" },
            // Nothing can be pulled again.
            "imageGCHighThresholdPercent": 100,
            "imageGCLowThresholdPercent": 99,
            "maxPods": 200,
        })
    }

    fn kube_proxy(&self) -> Value {
        json!({
            "apiVersion": "kubeproxy.config.k8s.io/v1alpha1",
            "kind": "KubeProxyConfiguration",
            "mode": "nftables",
            "clientConnection": {
                "kubeconfig": self.credentials.join(node_files::KUBE_PROXY_KUBECONFIG).display().to_string(),
            },
            "hostnameOverride": self.number.name(),
            "clusterCIDR": POD_SUBNET,
            // Those settings are the whole machine's, not a network namespace's.
            "conntrack": {
                "maxPerCore": 0,
                "min": 0,
                "tcpEstablishedTimeout": "0s",
                "tcpCloseWaitTimeout": "0s",
                "udpTimeout": "0s",
                "udpStreamTimeout": "0s",
            },
            // A Service whose only endpoint is ready answers a moment later.
            "nftables": { "minSyncPeriod": "100ms", "syncPeriod": "30s" },
        })
    }
}

fn pretty(value: &Value) -> String {
    format!("{value:#}\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn files(policy_tools: Option<&Path>) -> Vec<(&'static str, String)> {
        NodeConfiguration {
            number: NodeNumber(2),
            node_tools: Path::new("/tools"),
            policy_tools,
            directory: Path::new("/state/machines/node-2/configuration"),
            credentials: Path::new("/state/machines/node-2/credentials"),
            cgroup: "/pilothouse-management/node-2",
        }
        .files()
    }

    #[test]
    fn a_node_changes_nothing_that_is_the_whole_machines() {
        let files = files(None);
        let [_, _, (_, kubelet), (_, proxy), _] = files.as_slice() else { panic!("{files:?}") };
        let proxy: Value = serde_json::from_str(proxy).unwrap();
        assert_eq!(proxy["conntrack"]["maxPerCore"], 0);
        assert_eq!(proxy["conntrack"]["min"], 0);
        assert!(kubelet.contains("\"/pilothouse-management/node-2\""));
    }

    #[test]
    fn pods_of_a_node_have_addresses_of_the_node() {
        let files = files(None);
        let cni = &files[1].1;
        assert!(cni.contains("10.244.2.0/24"), "{cni}");
        assert!(!cni.contains(policies::PLUGIN), "{cni}");
    }

    #[test]
    fn whoever_enforces_policies_sees_every_pod_last() {
        let files = files(Some(Path::new("/policies")));
        assert!(files[0].1.contains(r#"bin_dirs = ["/tools", "/policies"]"#), "{}", files[0].1);
        let cni: Value = serde_json::from_str(&files[1].1).unwrap();
        assert_eq!(cni["plugins"].as_array().unwrap().last().unwrap()["type"], policies::PLUGIN);
        assert_eq!(files.last().unwrap().0, POLICIES);
    }
}
