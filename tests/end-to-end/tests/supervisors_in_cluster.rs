//! What supervisors need from the cluster that hosts them, with a real API server and no kubelet: members of a
//! StatefulSet, record, trust and turns in objects, replicas behind names; and what they do while the API is away.
#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::unwrap_used,
    clippy::missing_panics_doc,
    reason = "test code: a broken expectation is a failed test, and measurements are printed"
)]

#[path = "supervisors_in_cluster/hosting.rs"]
mod hosting;
#[path = "supervisors_in_cluster/pod.rs"]
mod pod;

use std::time::Duration;

use cluster_record::{ClusterRecord, Creation, InitialMember, MemberLine, RecordStore};
use end_to_end::{component, eventually, inside_namespaces};
use k8s_openapi::api::apps::v1::StatefulSet;
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::{ConfigMap, Endpoints, Service};
use kube::api::{Api, DeleteParams, Patch, PatchParams};
use naming_contract::Component;
use process_control::{ChildEnding, Signal};
use serde_json::json;
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::hosting::Hosting;
use crate::pod::Pod;

const LIMIT: Duration = Duration::from_secs(60);
const TEST_LIMIT: Duration = Duration::from_secs(420);
const PEERS: &str = "demo-etcd-peers.tenants.svc";

/// What the chart gives every component.
const TRUST: (&str, &str, &str, &[&str]) = ("", "configmaps", "demo-trust", &["get", "watch"]);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn etcd_members_are_the_pods_of_a_stateful_set() {
    let own_name = "etcd_members_are_the_pods_of_a_stateful_set";
    if !inside_namespaces(own_name, &["--net", "--mount"], TEST_LIMIT).await {
        return;
    }
    let mut hosting = Hosting::new(&[]).await;
    let mut pods = etcd_pods(&hosting).await;

    // Everything is missing: each wait says which object it waits for, and what is the matter with it.
    pods.iter_mut().for_each(Pod::start);
    for pod in &pods {
        pod.tells(&["ConfigMap tenants/demo-trust", "does not exist yet"], LIMIT).await;
    }
    hosting.publish_trust("").await;
    for pod in &pods {
        pod.tells(&["StatefulSet tenants/demo-etcd", "does not exist"], LIMIT).await;
    }
    let began = Instant::now();
    stateful_set(&hosting, 3).await;
    for pod in &pods {
        pod.ready(LIMIT).await;
    }
    println!("three members from the making of their StatefulSet to ready: {:?}", began.elapsed());
    let record = record(&hosting, &pods).await;
    let initial: Vec<&str> = record.initial_members.iter().map(|member| member.peer_url.as_str()).collect();
    assert_eq!(initial[2], format!("https://demo-etcd-2.{PEERS}:2380"));
    eventually("each member has its line", LIMIT, async || {
        let record = RecordStore::config_map(hosting.api_of("demo-etcd-0"), "demo-etcd-record").read().await;
        let record = record.unwrap().unwrap();
        if record.members.values().filter(|line| line.started).count() == 3 { Ok(()) } else { Err(record) }
    })
    .await;

    // The management cluster's API goes: nobody cares, and what ends starts again.
    hosting.plane.stop().await;
    let before = pods[0].status().await;
    let child = i32::try_from(before["pid"].as_i64().unwrap()).unwrap();
    nix::sys::signal::kill(nix::unistd::Pid::from_raw(child), Signal::SIGKILL).unwrap();
    eventually("the child is started again", LIMIT, async || {
        let now = pods[0].status().await;
        if now["ready"] == true && now["pid"] != before["pid"] { Ok(()) } else { Err(now) }
    })
    .await;
    pods[1].signal(Signal::SIGTERM);
    assert_eq!(pods[1].ended(LIMIT).await, ChildEnding::Exited(0), "{}", pods[1].tail());
    let began = Instant::now();
    pods[1].start();
    pods[1].ready(LIMIT).await;
    println!("a member with data, API away: ready after {:?}", began.elapsed());

    // It comes back with a new bundle, which etcd reads at its start only: one restart after the other, by the Lease.
    hosting.plane.start();
    hosting.plane.until_ready(LIMIT).await;
    let restarts_before: Vec<_> = restarts(&pods).await;
    hosting.publish_trust(&another_authority()).await;
    eventually("all take up the new bundle", Duration::from_secs(120), async || {
        // Away by state: while leadership moves, a running member answers no linearizable read for a moment.
        let (mut away, mut unready) = (Vec::new(), 0);
        for pod in &pods {
            let status = pod.status().await;
            if status["state"] != "Running" {
                away.push(pod.name.clone());
            }
            unready += usize::from(status["ready"] != true);
        }
        assert!(away.len() <= 1, "more than one is away: {away:?}");
        let now = restarts(&pods).await;
        let all = now.iter().zip(&restarts_before).all(|(now, before)| *now == before + 1);
        if all && unready == 0 { Ok(()) } else { Err(format!("{restarts_before:?} {now:?}")) }
    })
    .await;
    let leases: Api<Lease> = hosting.objects();
    eventually("the turn is given back", LIMIT, async || {
        let lease = leases.get("demo-restart-etcd").await.unwrap();
        let owners = lease.metadata.owner_references.unwrap_or_default();
        assert_eq!(owners[0].name, "demo-anchor", "it goes with the trust bundles");
        let lease = lease.spec.unwrap();
        if lease.holder_identity.is_none() { Ok(()) } else { Err(lease) }
    })
    .await;

    memory_is_small(&pods).await;
    departure_is_held_back_for_as_long_as_somebody_is_expected_back(&hosting, &mut pods).await;
}

/// The blueprint's budget: 12 MiB of memory that is nobody else's.
async fn memory_is_small(pods: &[Pod]) {
    let mut used = Vec::new();
    for pod in pods {
        let pid = pod.status().await["supervisorPid"].as_u64().unwrap();
        let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
        let kilobytes = |name: &str| -> u64 {
            let line = status.lines().find(|line| line.starts_with(name)).unwrap();
            line.split_whitespace().nth(1).unwrap().parse().unwrap()
        };
        used.push(kilobytes("RssAnon:") + kilobytes("RssShmem:"));
    }
    println!("memory of the supervisors (anonymous and shared): {used:?} KiB");
    assert!(used.iter().all(|used| *used < 12 * 1024), "{used:?}");
}

async fn departure_is_held_back_for_as_long_as_somebody_is_expected_back(
    hosting: &Hosting,
    pods: &mut [Pod],
) {
    pods[2].signal(Signal::SIGTERM);
    assert_eq!(pods[2].ended(LIMIT).await, ChildEnding::Exited(0));
    pods[0].signal(Signal::SIGTERM);
    pods[0].tells(&["enough other members", "demo-etcd-2"], LIMIT).await;
    let sets: Api<StatefulSet> = hosting.objects();
    let began = Instant::now();
    sets.delete("demo-etcd", &DeleteParams::background()).await.unwrap();
    assert_eq!(pods[0].ended(Duration::from_secs(20)).await, ChildEnding::Exited(0));
    println!("held back, then gone {:?} after its StatefulSet", began.elapsed());
    pods[1].signal(Signal::SIGTERM);
    pods[1].ended(Duration::from_secs(20)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_set_that_grows_gets_its_new_members() {
    if !inside_namespaces("a_set_that_grows_gets_its_new_members", &["--net", "--mount"], TEST_LIMIT).await {
        return;
    }
    let hosting = Hosting::new(&[]).await;
    let mut pods = etcd_pods(&hosting).await;
    hosting.publish_trust("").await;
    stateful_set(&hosting, 1).await;
    pods.iter_mut().for_each(Pod::start);
    pods[0].ready(LIMIT).await;
    for pod in &pods[1..] {
        pod.tells(&["StatefulSet tenants/demo-etcd", "it wants 1 member"], LIMIT).await;
    }
    let sets: Api<StatefulSet> = hosting.objects();
    let grown = Patch::Merge(json!({ "spec": { "replicas": 3 } }));
    sets.patch("demo-etcd", &PatchParams::default(), &grown).await.unwrap();
    let began = Instant::now();
    for pod in &pods {
        pod.ready(LIMIT).await;
    }
    println!("from one member to three: {:?}", began.elapsed());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn replicas_services_and_records_are_found_in_the_cluster() {
    let own_name = "replicas_services_and_records_are_found_in_the_cluster";
    if !inside_namespaces(own_name, &["--net", "--mount"], TEST_LIMIT).await {
        return;
    }
    let hosting = Hosting::new(&["--certificate-name", "demo-kube-apiserver.tenants.svc"]).await;
    hosting.publish_trust("").await;
    hosting.resolve("demo-kube-apiserver.tenants.svc", "127.0.0.1");
    many_create_one_record(&hosting).await;
    a_scheduler_waits_for_an_api_server_behind_a_name(&hosting).await;
    endpoints_follow_a_service(&hosting).await;
}

async fn many_create_one_record(hosting: &Hosting) {
    hosting.account("demo-etcd", &etcd_rules()).await;
    hosting.admit("demo-etcd-0", "demo-etcd", Component::Etcd, &[]).await;
    let stores: Vec<RecordStore> =
        (0..8).map(|_| RecordStore::config_map(hosting.api_of("demo-etcd-0"), "demo-etcd-record")).collect();
    let member = InitialMember { name: "demo-etcd-0".into(), peer_url: "https://demo-etcd-0:2380".into() };
    assert_eq!(stores[0].read().await.unwrap(), None, "there is no record yet");
    let mut creations = JoinSet::new();
    for store in stores.clone() {
        let record = ClusterRecord::for_founding(vec![member.clone()]);
        creations.spawn(async move { (store.create(&record).await.unwrap(), record.token) });
    }
    let creations = creations.join_all().await;
    let created: Vec<_> = creations.iter().filter(|(creation, _)| *creation == Creation::Created).collect();
    assert_eq!(created.len(), 1, "exactly one creates it: {creations:?}");
    let mut changes = JoinSet::new();
    for (number, store) in stores.clone().into_iter().enumerate() {
        changes.spawn(async move {
            let line = MemberLine { volume_id: None, started: true };
            let change =
                |record: &mut ClusterRecord| drop(record.members.insert(format!("m{number}"), line.clone()));
            store.change(change).await.unwrap();
        });
    }
    changes.join_all().await;
    let record = stores[0].read().await.unwrap().unwrap();
    assert_eq!((record.token, record.members.len(), record.version), (created[0].1.clone(), 8, 9));
}

async fn a_scheduler_waits_for_an_api_server_behind_a_name(hosting: &Hosting) {
    hosting.account("demo-kube-scheduler", &[TRUST]).await;
    hosting.admit("demo-kube-scheduler-0", "demo-kube-scheduler", Component::KubeScheduler, &[]).await;
    let replicas = format!("demo-kube-apiserver-replicas.tenants.svc:{}", hosting.plane.port());
    let server = format!("https://demo-kube-apiserver.tenants.svc:{}", hosting.plane.port());
    let program = component("kube-scheduler").display().to_string();
    let arguments = ["--api-server", &server, "--api-server-replicas", &replicas, "--", &program];
    let arguments: Vec<String> = arguments.iter().map(|&argument| argument.to_owned()).collect();
    let mut scheduler =
        Pod::new(hosting, "scheduler-supervisor", "demo-kube-scheduler-0", "127.0.1.4", &arguments);
    scheduler.start();
    scheduler.tells(&["to be ready", "demo-kube-apiserver-replicas.tenants.svc has no address"], LIMIT).await;
    hosting.resolve("demo-kube-apiserver-replicas.tenants.svc", "127.0.0.1");
    scheduler.ready(LIMIT).await;
    scheduler.signal(Signal::SIGTERM);
    assert_eq!(scheduler.ended(LIMIT).await, ChildEnding::Exited(0), "{}", scheduler.tail());
}

async fn endpoints_follow_a_service(hosting: &Hosting) {
    let rule = ("", "services", "demo-kube-apiserver", ["get", "watch"].as_slice());
    hosting.account("demo-cluster-bootstrap", &[TRUST, rule]).await;
    let account = "demo-cluster-bootstrap";
    hosting.admit("demo-cluster-bootstrap-0", account, Component::ClusterBootstrap, &[]).await;
    let server = format!("https://demo-kube-apiserver.tenants.svc:{}", hosting.plane.port());
    let arguments = ["--api-server", &server, "--endpoint-service", "demo-kube-apiserver"].map(str::to_owned);
    let mut bootstrap =
        Pod::new(hosting, "cluster-bootstrap", "demo-cluster-bootstrap-0", "127.0.1.5", &arguments);
    bootstrap.start();
    bootstrap.tells(&["Service tenants/demo-kube-apiserver", "it does not exist"], LIMIT).await;
    let service =
        json!({ "metadata": { "name": "demo-kube-apiserver" }, "spec": { "ports": [{ "port": 6443 }] } });
    let service: Service = hosting.create(service).await;
    let inside = service.spec.unwrap().cluster_ip.unwrap();
    bootstrap.ready(LIMIT).await;
    endpoints_are(hosting, &inside).await;

    let services: Api<Service> = hosting.objects();
    let balanced = json!({ "spec": { "type": "LoadBalancer" } });
    let parameters = PatchParams::default();
    services.patch("demo-kube-apiserver", &parameters, &Patch::Merge(balanced)).await.unwrap();
    let status = json!({ "status": { "loadBalancer": { "ingress": [{ "ip": "192.0.2.7" }] } } });
    services.patch_status("demo-kube-apiserver", &parameters, &Patch::Merge(status)).await.unwrap();
    endpoints_are(hosting, "192.0.2.7").await;
    bootstrap.signal(Signal::SIGTERM);
    assert_eq!(bootstrap.ended(LIMIT).await, ChildEnding::Exited(0));
}

async fn endpoints_are(hosting: &Hosting, address: &str) {
    let endpoints: Api<Endpoints> = Api::default_namespaced(hosting.client.clone());
    eventually(&format!("the endpoints of kubernetes are {address}"), LIMIT, async || {
        let found = endpoints.get_opt("kubernetes").await.map_err(|error| error.to_string())?;
        let found: Vec<String> = found
            .and_then(|found| found.subsets)
            .into_iter()
            .flatten()
            .flat_map(|subset| subset.addresses.into_iter().flatten().map(|address| address.ip))
            .collect();
        if found == [address] { Ok(()) } else { Err(format!("{found:?}")) }
    })
    .await;
}

async fn etcd_pods(hosting: &Hosting) -> Vec<Pod> {
    hosting.account("demo-etcd", &etcd_rules()).await;
    let mut pods = Vec::new();
    for ordinal in 0..3 {
        let (name, address) = (format!("demo-etcd-{ordinal}"), format!("127.0.1.{}", ordinal + 1));
        let stable = format!("{name}.{PEERS}");
        hosting.resolve(&stable, &address);
        hosting.resolve(PEERS, &address);
        hosting.admit(&name, "demo-etcd", Component::Etcd, &[&stable, &address]).await;
        let data = hosting.home(&name).join("data").display().to_string();
        let message = hosting.home(&name).join("termination-message").display().to_string();
        let program = component("etcd").display().to_string();
        let arguments: Vec<String> = [
            ["--data-directory", &data],
            ["--termination-message-path", &message],
            ["--cluster-record-config-map", "demo-etcd-record"],
            ["--stateful-set", "demo-etcd"],
            ["--peer-domain", PEERS],
            ["--restart-lease", "demo-restart-etcd"],
            ["--replica-service", &format!("{PEERS}:8686")],
            ["--listen-address", &address],
            ["--", &program],
        ]
        .concat()
        .iter()
        .map(|&argument| argument.to_owned())
        .collect();
        pods.push(Pod::new(hosting, "etcd-supervisor", &name, &address, &arguments));
    }
    pods
}

fn etcd_rules() -> [(&'static str, &'static str, &'static str, &'static [&'static str]); 4] {
    [
        TRUST,
        ("apps", "statefulsets", "demo-etcd", &["get"]),
        ("", "configmaps", "demo-etcd-record", &["get", "create", "patch", "update", "watch"]),
        ("coordination.k8s.io", "leases", "demo-restart-etcd", &["get", "create", "patch", "update"]),
    ]
}

async fn stateful_set(hosting: &Hosting, replicas: u32) {
    let labels = json!({ "app": "etcd" });
    hosting
        .create::<StatefulSet>(json!({
            "metadata": { "name": "demo-etcd" },
            "spec": {
                "replicas": replicas,
                "serviceName": "demo-etcd-peers",
                "podManagementPolicy": "Parallel",
                "selector": { "matchLabels": labels },
                "template": {
                    "metadata": { "labels": labels },
                    "spec": { "containers": [{ "name": "it", "image": "registry.example.com/it" }] }
                }
            }
        }))
        .await;
}

async fn record(hosting: &Hosting, pods: &[Pod]) -> ClusterRecord {
    let maps: Api<ConfigMap> = hosting.objects();
    let map = maps.get("demo-etcd-record").await.unwrap();
    assert_eq!(map.metadata.labels.unwrap()["app.kubernetes.io/instance"], "demo");
    assert_eq!(map.metadata.owner_references, None, "it is kept when the release goes");
    let record: ClusterRecord = serde_json::from_str(&map.data.unwrap()["record.json"]).unwrap();
    assert_eq!(record.initial_members.len(), pods.len());
    record
}

async fn restarts(pods: &[Pod]) -> Vec<u64> {
    let mut counts = Vec::new();
    for pod in pods {
        counts.push(pod.status().await["restarts"].as_u64().unwrap_or_default());
    }
    counts
}

fn another_authority() -> String {
    let mut parameters = rcgen::CertificateParams::default();
    parameters.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    parameters.self_signed(&rcgen::KeyPair::generate().unwrap()).unwrap().pem()
}
