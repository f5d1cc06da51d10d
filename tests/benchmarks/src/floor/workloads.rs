//! The objects of the floor: Pods with the probes and requests that kubeadm's static Pods have
//! (cmd/kubeadm/app/util/staticpod/utils.go), spread over nodes and stored as ours are. Pure.

use naming_contract::Component;
use serde_json::{Value, json};

use super::flags::{self, ETCD_DATA_DIRECTORY, ETCD_PKI_DIRECTORY, PKI_DIRECTORY};
use super::{ETCD_PKI, Images, KUBECONFIGS, MEMBERS, NAME, Names, PKI, REPLICAS};

/// Nobody's user, as ours run as users without rights; kubeadm can do the same (`RootlessControlPlane`).
const USER: u32 = 65532;
const PROBE_PORT: &str = "probe-port";

/// What differs between components.
struct Workload<'a> {
    component: Component,
    image: &'a str,
    command: Vec<String>,
    /// Scheme and port of its health endpoints, and the paths: at the start, for traffic, for life.
    health: (&'static str, u16),
    startup: &'static str,
    readiness: Option<&'static str>,
    liveness: &'static str,
    requests: Value,
    volumes: Vec<Value>,
    mounts: Vec<Value>,
}

pub(super) fn all(names: &Names<'_>, images: &Images) -> Vec<Value> {
    let image = |component| images.of(component).unwrap_or_default();
    let etcd = Workload {
        component: Component::Etcd,
        image: image(Component::Etcd),
        command: flags::etcd(names),
        health: ("HTTP", flags::ETCD_HEALTH_PORT),
        startup: "/readyz",
        readiness: Some("/readyz"),
        liveness: "/livez",
        requests: json!({ "cpu": "100m", "memory": "100Mi" }),
        volumes: vec![json!({ "name": "pki", "secret": { "secretName": ETCD_PKI } })],
        mounts: vec![
            mount("pki", ETCD_PKI_DIRECTORY),
            json!({ "name": "data", "mountPath": ETCD_DATA_DIRECTORY }),
        ],
    };
    let api_server = Workload {
        component: Component::KubeApiserver,
        image: image(Component::KubeApiserver),
        command: flags::kube_apiserver(names),
        health: ("HTTPS", flags::API_SERVER_PORT),
        startup: "/livez",
        readiness: Some("/readyz"),
        liveness: "/livez",
        requests: json!({ "cpu": "250m" }),
        volumes: vec![pki()],
        mounts: vec![mount("pki", PKI_DIRECTORY)],
    };
    let controller_manager = Workload {
        component: Component::KubeControllerManager,
        image: image(Component::KubeControllerManager),
        command: flags::kube_controller_manager(),
        health: ("HTTPS", flags::CONTROLLER_MANAGER_PORT),
        startup: "/healthz",
        readiness: None,
        liveness: "/healthz",
        requests: json!({ "cpu": "200m" }),
        volumes: vec![pki(), kubeconfigs()],
        mounts: vec![mount("pki", PKI_DIRECTORY), kubeconfig(flags::CONTROLLER_MANAGER_KUBECONFIG)],
    };
    let scheduler = Workload {
        component: Component::KubeScheduler,
        image: image(Component::KubeScheduler),
        command: flags::kube_scheduler(),
        health: ("HTTPS", flags::SCHEDULER_PORT),
        startup: "/livez",
        readiness: Some("/readyz"),
        liveness: "/livez",
        requests: json!({ "cpu": "100m" }),
        volumes: vec![kubeconfigs()],
        mounts: vec![kubeconfig(flags::SCHEDULER_KUBECONFIG)],
    };
    vec![
        etcd.members_service(),
        api_server.clients_service(),
        etcd.stateful_set(),
        api_server.deployment(),
        controller_manager.deployment(),
        scheduler.deployment(),
    ]
}

fn mount(volume: &str, path: &str) -> Value {
    json!({ "name": volume, "mountPath": path, "readOnly": true })
}

fn pki() -> Value {
    json!({ "name": "pki", "projected": { "sources": [
        { "secret": { "name": PKI } },
        { "secret": { "name": ETCD_PKI, "items": [{ "key": "ca.crt", "path": "etcd/ca.crt" }] } },
    ] } })
}

fn kubeconfigs() -> Value {
    json!({ "name": "kubeconfigs", "secret": { "secretName": KUBECONFIGS } })
}

fn kubeconfig(path: &str) -> Value {
    let file = path.rsplit('/').next().unwrap_or_default();
    json!({ "name": "kubeconfigs", "mountPath": path, "subPath": file, "readOnly": true })
}

impl Workload<'_> {
    fn metadata(&self) -> Value {
        json!({ "name": Names::component(self.component), "labels": self.labels() })
    }

    fn labels(&self) -> Value {
        json!({ "app.kubernetes.io/instance": NAME, "app.kubernetes.io/component": self.component.name() })
    }

    /// Names of members that are not ready yet, too: they found the cluster by them.
    fn members_service(&self) -> Value {
        json!({
            "apiVersion": "v1", "kind": "Service", "metadata": self.metadata(),
            "spec": {
                "clusterIP": "None",
                "publishNotReadyAddresses": true,
                "selector": self.labels(),
                "ports": [{ "name": "client", "port": 2379 }, { "name": "peer", "port": 2380 }],
            },
        })
    }

    fn clients_service(&self) -> Value {
        json!({
            "apiVersion": "v1", "kind": "Service", "metadata": self.metadata(),
            "spec": {
                "selector": self.labels(),
                "ports": [{ "name": "https", "port": flags::API_SERVER_PORT, "targetPort": PROBE_PORT }],
            },
        })
    }

    fn stateful_set(&self) -> Value {
        json!({
            "apiVersion": "apps/v1", "kind": "StatefulSet", "metadata": self.metadata(),
            "spec": {
                "replicas": MEMBERS,
                "serviceName": Names::component(self.component),
                "podManagementPolicy": "Parallel",
                "selector": { "matchLabels": self.labels() },
                "template": self.pod("DoNotSchedule"),
                "volumeClaimTemplates": [{
                    "metadata": { "name": "data" },
                    "spec": {
                        "accessModes": ["ReadWriteOnce"],
                        "resources": { "requests": { "storage": "1Gi" } },
                    },
                }],
            },
        })
    }

    fn deployment(&self) -> Value {
        json!({
            "apiVersion": "apps/v1", "kind": "Deployment", "metadata": self.metadata(),
            "spec": {
                "replicas": REPLICAS,
                "selector": { "matchLabels": self.labels() },
                "template": self.pod("ScheduleAnyway"),
            },
        })
    }

    fn pod(&self, spread: &str) -> Value {
        let field = |name: &str, path: &str| json!({ "name": name, "valueFrom": { "fieldRef": { "fieldPath": path } } });
        let mut container = json!({
            "name": self.component.name(),
            "image": self.image,
            "imagePullPolicy": "IfNotPresent",
            "command": self.command,
            "env": [field("POD_NAME", "metadata.name"), field("POD_IP", "status.podIP")],
            "ports": [{ "name": PROBE_PORT, "containerPort": self.health.1, "protocol": "TCP" }],
            "resources": { "requests": self.requests },
            "securityContext": { "allowPrivilegeEscalation": false, "capabilities": { "drop": ["ALL"] } },
            "startupProbe": self.probe(self.startup, 10, 24, 10),
            "livenessProbe": self.probe(self.liveness, 10, 8, 10),
            "volumeMounts": self.mounts,
        });
        if let Some(path) = self.readiness {
            container["readinessProbe"] = self.probe(path, 0, 3, 1);
        }
        json!({
            "metadata": { "labels": self.labels() },
            "spec": {
                "automountServiceAccountToken": false,
                "securityContext": {
                    "runAsNonRoot": true, "runAsUser": USER, "runAsGroup": USER, "fsGroup": USER,
                    "fsGroupChangePolicy": "OnRootMismatch",
                    "seccompProfile": { "type": "RuntimeDefault" },
                },
                "topologySpreadConstraints": [{
                    "topologyKey": "kubernetes.io/hostname",
                    "maxSkew": 1,
                    "whenUnsatisfiable": spread,
                    "labelSelector": { "matchLabels": self.labels() },
                }],
                "containers": [container],
                "volumes": self.volumes,
            },
        })
    }

    /// `createHTTPProbe` of kubeadm.
    fn probe(&self, path: &str, delay: u32, failures: u32, period: u32) -> Value {
        json!({
            "httpGet": { "path": path, "port": PROBE_PORT, "scheme": self.health.0 },
            "initialDelaySeconds": delay,
            "timeoutSeconds": 15,
            "failureThreshold": failures,
            "periodSeconds": period,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn objects() -> Vec<Value> {
        let images = ["etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler"];
        let images = Images::of_names(images.map(|name| format!("registry.k8s.io/{name}:v1")));
        all(&Names { namespace: "somewhere" }, &images)
    }

    #[test]
    fn probes_are_kubeadms() {
        let objects = objects();
        let pods: Vec<&Value> = objects
            .iter()
            .filter(|object| object["kind"] != "Service")
            .map(|object| &object["spec"]["template"]["spec"]["containers"][0])
            .collect();
        assert_eq!(pods.len(), 4);
        for container in pods {
            let numbers = |probe: &str| {
                let field = |name: &str| container[probe][name].as_u64().unwrap();
                [
                    field("initialDelaySeconds"),
                    field("periodSeconds"),
                    field("failureThreshold"),
                    field("timeoutSeconds"),
                ]
            };
            assert_eq!(numbers("startupProbe"), [10, 10, 24, 15]);
            assert_eq!(numbers("livenessProbe"), [10, 10, 8, 15]);
            if container["name"] == "kube-controller-manager" {
                assert!(container["readinessProbe"].is_null());
            } else {
                assert_eq!(numbers("readinessProbe"), [0, 1, 3, 15]);
            }
        }
    }

    #[test]
    fn members_know_each_other_by_the_names_of_their_service() {
        let objects = objects();
        let set = objects.iter().find(|object| object["kind"] == "StatefulSet").unwrap();
        let command = set["spec"]["template"]["spec"]["containers"][0]["command"].as_array().unwrap();
        let has = |flag: &str| command.iter().any(|argument| argument == flag);
        assert!(has("--initial-cluster=floor-etcd-0=https://floor-etcd-0.floor-etcd.somewhere.svc:2380,\
             floor-etcd-1=https://floor-etcd-1.floor-etcd.somewhere.svc:2380,\
             floor-etcd-2=https://floor-etcd-2.floor-etcd.somewhere.svc:2380"));
        assert!(has("--initial-advertise-peer-urls=https://$(POD_NAME).floor-etcd.somewhere.svc:2380"));
        assert_eq!(set["spec"]["serviceName"], "floor-etcd");
    }

    #[test]
    fn nothing_is_in_helms_own_language() {
        assert!(objects().iter().all(|object| !object.to_string().contains("{{")));
    }
}
