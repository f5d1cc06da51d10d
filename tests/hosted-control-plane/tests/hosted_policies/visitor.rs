//! A Pod from whose network connections are tried: whatever enforces policies takes them for the Pod's own.
//! Refuses to look at what is said on a connection, but for the API's.

use std::time::Duration;

use end_to_end::eventually;
use hosted_control_plane::{Hosted, NodeNetwork, PodView, pod_view};
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::Pod;
use kube::api::{Api, PostParams};
use management_cluster::ManagementCluster;
use serde_json::json;
use tokio::net::TcpStream;

/// A visitor's own port, where whoever comes is let in: it runs cluster DNS's program, at another port than that.
pub(crate) const WELCOME: u16 = 1054;
/// A Pod starts, and whom it is taken for is known on all nodes.
const LIMIT: Duration = Duration::from_secs(90);
/// What is dropped is sent again after one second and three.
const PATIENCE: Duration = Duration::from_millis(3500);

/// A Pod, and its network.
pub(crate) struct Visitor {
    pub(crate) pod: PodView,
    network: NodeNetwork,
}

impl Visitor {
    /// Makes one, whose label `role` is its name.
    pub(crate) async fn new(
        cluster: &ManagementCluster,
        client: &kube::Client,
        namespace: &str,
        name: &str,
    ) -> Self {
        let pods: Api<Pod> = Api::namespaced(client.clone(), namespace);
        let pod = specification(name, &program(client).await);
        pods.create(&PostParams::default(), &pod).await.unwrap();
        let pod = eventually(&format!("{name} runs"), LIMIT, async || {
            let view = pod_view(&pods, name).await;
            if view.ready { Ok(view) } else { Err(view) }
        })
        .await;
        Self::of_pod(cluster, &pod)
    }

    /// A Pod that is there.
    pub(crate) fn of_pod(cluster: &ManagementCluster, pod: &PodView) -> Self {
        Self { pod: pod.clone(), network: NodeNetwork::of_pod(cluster, pod) }
    }

    pub(crate) fn address(&self) -> String {
        self.pod.address.clone().expect("a Pod that runs")
    }

    pub(crate) async fn until_reaches(&self, address: &str, port: u16) {
        self.until(address, port, true).await;
    }

    pub(crate) async fn until_refused(&self, address: &str, port: u16) {
        self.until(address, port, false).await;
    }

    async fn until(&self, address: &str, port: u16, wanted: bool) {
        let word = if wanted { "reaches" } else { "does not reach" };
        eventually(&format!("{} {word} {address}:{port}", self.pod.name), LIMIT, async || {
            if self.reaches(address, port).await == wanted { Ok(()) } else { Err(()) }
        })
        .await;
    }

    pub(crate) async fn reaches(&self, address: &str, port: u16) -> bool {
        self.network.run(is_open(format!("{address}:{port}"))).await
    }

    /// As an administrator, through the Service.
    pub(crate) async fn uses_the_api(&self, hosted: &Hosted<'_>) {
        let configuration = hosted.configuration().await;
        let asked = async move {
            let client = kube::Client::try_from(configuration)?;
            client.apiserver_version().await
        };
        let version = self.network.run(asked).await.expect("the API answers");
        println!("{} talks to {}", self.pod.name, version.git_version);
    }
}

/// Whether a connection is made from where this runs.
pub(crate) async fn is_open(address: String) -> bool {
    matches!(tokio::time::timeout(PATIENCE, TcpStream::connect(address)).await, Ok(Ok(_)))
}

/// An image that is there, and stays when it is started: cluster DNS's.
async fn program(client: &kube::Client) -> String {
    let deployments: Api<Deployment> = Api::namespaced(client.clone(), "kube-system");
    let pod = deployments.get("coredns").await.unwrap().spec.unwrap().template.spec.unwrap();
    pod.containers[0].image.clone().unwrap()
}

fn specification(name: &str, image: &str) -> Pod {
    let port = format!("-dns.port={WELCOME}");
    serde_json::from_value(json!({
        "metadata": {"name": name, "labels": {"role": name}},
        "spec": {
            "terminationGracePeriodSeconds": 1,
            "automountServiceAccountToken": false,
            "securityContext": {
                "runAsNonRoot": true, "runAsUser": 65532, "seccompProfile": {"type": "RuntimeDefault"},
            },
            "containers": [{
                "name": "listens",
                "image": image,
                "args": [port],
                "readinessProbe": {"tcpSocket": {"port": WELCOME}, "periodSeconds": 1},
                "securityContext": {"allowPrivilegeEscalation": false, "capabilities": {"drop": ["ALL"]}},
            }],
        },
    }))
    .unwrap()
}
