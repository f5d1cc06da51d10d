//! The chart's network policies where they are enforced, by Cilium on each of three nodes: a control plane becomes and stays
//! ready behind them, who needs to gets in, and nobody else. First it is shown that policies are enforced there at all.
#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "test code: a broken expectation is a failed test, and measurements are printed"
)]

#[path = "hosted_policies/doors.rs"]
mod doors;
#[path = "hosted_policies/visitor.rs"]
mod visitor;

use std::time::Duration;

use hosted_control_plane::{Helm, Release, Scene, Stage, Tenant, chart, helm_binary, on_stage};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use k8s_openapi::api::networking::v1::NetworkPolicy;
use kube::api::{Api, DeleteParams, ListParams, PostParams};
use naming_contract::Component;
use serde_json::json;
use tokio::time::Instant;

use doors::{Doors, ETCD_METRICS, Guest};
use visitor::{Visitor, WELCOME};

const HIGHLY_AVAILABLE: usize = 12;
const LIMIT: Duration = Duration::from_secs(240);
/// The label of whoever may read metrics here.
const SCRAPER: &str = "scraper";
/// The namespace of whoever may use the API when not everybody may.
const ELSEWHERE: &str = "elsewhere";

/// One of each component but for a cloud-controller-manager.
const SMALL: usize = 6;
const INVITED: Guest = Guest { api: true, metrics: false };
const NOBODY: Guest = Guest { api: false, metrics: false };

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "takes three minutes; cargo xtask test --step hosted-faults"]
async fn policies_let_in_who_needs_to_and_nobody_else() {
    let stage = Stage::with_policies_enforced("policies").await;
    Box::pin(policies_are_enforced(&stage)).await;
    let metrics = format!(
        r#"--set-json=networkPolicies.metricsFrom=[{{"podSelector":{{"matchLabels":{{"role":"{SCRAPER}"}}}}}}]"#
    );
    let etcd_metrics = format!("--set=etcd.metricsPort={ETCD_METRICS}");
    let values = [&Release::values_file("values-ha.yaml"), metrics.as_str(), &etcd_metrics];
    on_stage(stage, &values, HIGHLY_AVAILABLE, async |scene, tenant| {
        let guests = Guests::invite(scene, tenant).await;
        Box::pin(behind_ingress_policies(scene, &guests)).await;
        Box::pin(behind_all_policies(scene, tenant, &guests)).await;
    })
    .await;
}

/// A policy of the test's own cuts off a Pod that was reachable, and only while it is there. Without this all refusals below
/// might be anything.
async fn policies_are_enforced(stage: &Stage) {
    let client = end_to_end::client(&stage.cluster.kubeconfig()).await;
    end_to_end::create_namespace(&client, "trial").await;
    let (one, other) = (
        Visitor::new(&stage.cluster, &client, "trial", "one").await,
        Visitor::new(&stage.cluster, &client, "trial", "other").await,
    );
    one.until_reaches(&other.address(), WELCOME).await;
    let policies: Api<NetworkPolicy> = Api::namespaced(client, "trial");
    let nobody = json!({
        "metadata": {"name": "nobody"},
        "spec": {"podSelector": {"matchLabels": {"role": "other"}}, "policyTypes": ["Ingress"]},
    });
    let nobody: NetworkPolicy = serde_json::from_value(nobody).unwrap();
    policies.create(&PostParams::default(), &nobody).await.unwrap();
    one.until_refused(&other.address(), WELCOME).await;
    other.until_reaches(&one.address(), WELCOME).await;
    policies.delete("nobody", &DeleteParams::default()).await.unwrap();
    one.until_reaches(&other.address(), WELCOME).await;
    println!("a policy cut a Pod off, and gave it back when it went");
}

/// Who wants something of the control plane and is no part of it.
struct Guests {
    /// In the release's namespace, without a label that any policy knows.
    stranger: Visitor,
    /// In another namespace.
    foreigner: Visitor,
    /// Who reads metrics.
    scraper: Visitor,
}

impl Guests {
    async fn invite(scene: &Scene<'_>, tenant: &Tenant) -> Self {
        let client = tenant.administrator();
        end_to_end::create_namespace(client, ELSEWHERE).await;
        let own = tenant.namespace();
        Self {
            stranger: Visitor::new(scene.cluster, client, own, "stranger").await,
            foreigner: Visitor::new(scene.cluster, client, ELSEWHERE, "foreigner").await,
            scraper: Visitor::new(scene.cluster, client, own, SCRAPER).await,
        }
    }

    fn all(&self, foreigner: Guest, others: Guest) -> [(&Visitor, Guest); 3] {
        let scraper = Guest { metrics: true, ..others };
        [(&self.stranger, others), (&self.foreigner, foreigner), (&self.scraper, scraper)]
    }
}

/// The defaults: whoever wants to may talk to the API servers, and metrics are for whom they are meant.
async fn behind_ingress_policies(scene: &Scene<'_>, guests: &Guests) {
    nothing_restarted(scene.release).await;
    let doors = Doors::of(scene.release).await;
    doors.are_there(scene.cluster).await;
    doors.let_in(scene.cluster, &guests.all(INVITED, INVITED), INVITED).await;
    guests.foreigner.uses_the_api(scene.hosted).await;
    guests.stranger.uses_the_api(scene.hosted).await;
    passes_its_own_test(scene).await;
}

/// All of them: API servers for one namespace alone, and nothing outside within reach but what must be.
async fn behind_all_policies(scene: &Scene<'_>, tenant: &Tenant, guests: &Guests) {
    let inside = Visitor::of_pod(scene.cluster, &scene.pods_of(Component::KubeScheduler).await[0]);
    let (dns, dns_port) = behind(tenant, "kube-system", "kube-dns").await;
    inside.until_reaches(&guests.stranger.address(), WELCOME).await;
    inside.until_reaches(&dns, dns_port).await;
    let (address, port) = behind(tenant, "default", "kubernetes").await;
    let management_api = json!([{
        "to": [{"ipBlock": {"cidr": format!("{address}/32")}}],
        "ports": [{"protocol": "TCP", "port": port}],
    }]);
    let mut values = vec![
        format!(
            "--set-json=networkPolicies.apiServerFrom={}",
            json!([{"namespaceSelector": {"matchLabels": {
                "kubernetes.io/metadata.name": ELSEWHERE,
            }}}])
        ),
        "--set=networkPolicies.egress.enabled=true".to_owned(),
        format!("--set-json=networkPolicies.egress.to={management_api}"),
    ];
    upgrade(scene, &values).await;
    inside.until_refused(&guests.stranger.address(), WELCOME).await;
    // Here DNS does not listen at 53, and that is what policies look at.
    inside.until_refused(&dns, dns_port).await;
    values.push(format!("--set-json=networkPolicies.egress.dnsPorts=[{dns_port}]"));
    upgrade(scene, &values).await;
    inside.until_reaches(&dns, dns_port).await;
    until_the_api_is_for_who_is_invited(scene, guests).await;
    passes_its_own_test(scene).await;
    one_of_each_is_replaced(scene).await;
    nothing_restarted(scene.release).await;
    until_the_api_is_for_who_is_invited(scene, guests).await;
    assert!(!inside.reaches(&guests.stranger.address(), WELCOME).await, "a stranger is within reach again");
    another_beside_it(scene, tenant, &values).await;
}

/// A release in the same namespace that has all these policies before any of its Pods: it becomes whole, and the two have
/// nothing to do with each other.
async fn another_beside_it(scene: &Scene<'_>, tenant: &Tenant, values: &[String]) {
    let small = Release::values_file("values-small.yaml");
    let etcd_metrics = format!("--set=etcd.metricsPort={ETCD_METRICS}");
    let mut arguments = vec![small.as_str(), etcd_metrics.as_str(), "--set=etcd.quota=512Mi"];
    arguments.extend(values.iter().map(String::as_str));
    let helm = Helm::new(helm_binary(), tenant.kubeconfig());
    let other = Release::new(tenant, &helm, "other", &arguments);
    other.install().await;
    let took = other.until_ready(SMALL, LIMIT).await;
    println!("a control plane of one each was ready behind all policies after {took:.1?}");
    nothing_restarted(&other).await;
    let both = [Doors::of(scene.release).await, Doors::of(&other).await];
    for (doors, neighbours) in [(&both[0], &both[1]), (&both[1], &both[0])] {
        let neighbours = neighbours.residents(scene.cluster);
        let neighbours: Vec<_> = neighbours.iter().map(|neighbour| (neighbour, NOBODY)).collect();
        doors.let_in(scene.cluster, &neighbours, NOBODY).await;
    }
}

async fn upgrade(scene: &Scene<'_>, values: &[String]) {
    let values: Vec<&str> = values.iter().map(String::as_str).collect();
    scene.release.upgrade(&chart(), &values).await;
}

async fn passes_its_own_test(scene: &Scene<'_>) {
    let told = scene.release.test().await;
    assert!(told.succeeded, "{}{}", told.output, told.errors);
}

async fn until_the_api_is_for_who_is_invited(scene: &Scene<'_>, guests: &Guests) {
    let doors = Doors::of(scene.release).await;
    doors.let_in(scene.cluster, &guests.all(INVITED, NOBODY), NOBODY).await;
    guests.foreigner.uses_the_api(scene.hosted).await;
}

/// What a node's death takes at once, and what comes in its place.
async fn one_of_each_is_replaced(scene: &Scene<'_>) {
    let began = Instant::now();
    let mut victims = Vec::new();
    for component in Component::ALL {
        victims.extend(scene.pods_of(component).await.into_iter().next());
    }
    let namespace = format!("--namespace={}", scene.release.namespace());
    for victim in &victims {
        let line = ["delete", "pod", &victim.name, &namespace, "--wait=false"];
        scene.cluster.kubectl(line).await.unwrap();
    }
    for victim in &victims {
        scene.until_gone(victim, LIMIT).await;
    }
    scene.until_whole(LIMIT).await;
    println!("{} Pods, one of each component, were replaced in {:.1?}", victims.len(), began.elapsed());
}

/// An address and port behind a Service, as an operator finds them.
async fn behind(tenant: &Tenant, namespace: &str, service: &str) -> (String, u16) {
    let slices: Api<EndpointSlice> = Api::namespaced(tenant.administrator().clone(), namespace);
    let of_service = ListParams::default().labels(&format!("kubernetes.io/service-name={service}"));
    let slice = slices.list(&of_service).await.unwrap().items.remove(0);
    let address = slice.endpoints[0].addresses[0].clone();
    let ports = slice.ports.unwrap();
    let tcp = ports.iter().find(|port| port.protocol.as_deref() == Some("TCP")).expect("a port of TCP");
    (address, u16::try_from(tcp.port.unwrap()).unwrap())
}

/// The kubelets' probes get through everywhere, and no supervisor gave up a wait.
async fn nothing_restarted(release: &Release<'_>) {
    let pods = release.pods().await;
    let restarted: Vec<_> = pods.iter().filter(|pod| pod.restarts > 0).collect();
    assert!(restarted.is_empty(), "{restarted:?}");
    assert!(pods.iter().all(|pod| pod.ready), "{pods:?}");
}
