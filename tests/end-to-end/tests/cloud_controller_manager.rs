//! A cloud controller manager, twice: one leads and gives Services their addresses; when it dies, another one does.
#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::unwrap_used,
    clippy::missing_panics_doc,
    reason = "test code: a broken expectation is a failed test, and measurements are printed"
)]

use std::time::Duration;

use end_to_end::{ControlPlane, Instance, LeaseHistory, client, component, eventually};
use k8s_openapi::api::core::v1::Service;
use kube::Client;
use kube::api::{Api, PostParams};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::json;
use tokio::time::Instant;

const COMPONENT: &str = "cloud-controller-manager";
/// What upstream's fake cloud gives to every load balancer (tests/components/cloud-controller-manager-fake).
const ADDRESS: &str = "203.0.113.10";
/// Upstream's own answer is 15 s and more: the lease duration.
const FAILOVER_LIMIT: Duration = Duration::from_secs(3);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn services_get_their_addresses_also_after_the_leader_is_killed() {
    let binary = component(COMPONENT);
    let plane = ControlPlane::ready(&[
        "--etcd=1",
        "--api-servers=1",
        "--controller-managers=1",
        "--schedulers=1",
        "--cloud-controller-manager",
        binary.to_str().unwrap(),
        "--cloud-controller-manager-argument=--cloud-provider=fake",
    ])
    .await;
    let sizes = |instances: &[Instance], component: &str| {
        instances.iter().filter(|instance| instance.component == component).count()
    };
    let instances = plane.status().await.unwrap();
    for component in ["etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler"] {
        assert_eq!(sizes(&instances, component), 1, "{instances:#?}");
    }
    assert_eq!(sizes(&instances, COMPONENT), 2, "{instances:#?}");

    let client = client(&plane.kubeconfig()).await;
    let history = LeaseHistory::follow(client.clone(), COMPONENT);
    let leads = eventually("one of the two leads", Duration::from_secs(30), async || {
        let holder = history.holder();
        let instances = plane.status().await?;
        let leads = instances.iter().find(|instance| holder.starts_with(&format!("{}_", instance.name)));
        leads.cloned().ok_or_else(|| format!("holder {holder:?}"))
    })
    .await;
    gets_its_address(&client, "before").await;

    let holder = history.holder();
    let killed_at = Instant::now();
    kill(Pid::from_raw(leads.pid.unwrap().cast_signed()), Signal::SIGKILL).unwrap();
    // Whoever is first: the twin at its next look at the lease (2 s), or the killed one's successor.
    let next = eventually("another one leads", Duration::from_secs(30), async || {
        let other = history
            .held()
            .into_iter()
            .find(|held| held.at > killed_at && !held.holder.is_empty() && held.holder != holder);
        other.ok_or_else(|| history.held())
    })
    .await;
    let took = next.at - killed_at;
    gets_its_address(&client, "after").await;
    println!(
        "failover of {COMPONENT}: {took:?}; the next Service had its address {:?} after the kill",
        killed_at.elapsed()
    );
    assert!(took <= FAILOVER_LIMIT, "{took:?}: {:#?}", history.held());
}

/// Creates a Service of type `LoadBalancer` and waits for its address.
async fn gets_its_address(client: &Client, name: &str) {
    let services: Api<Service> = Api::default_namespaced(client.clone());
    let service: Service = serde_json::from_value(json!({
        "metadata": {"name": name},
        "spec": {"type": "LoadBalancer", "selector": {"app": name}, "ports": [{"port": 80}]}
    }))
    .unwrap();
    services.create(&PostParams::default(), &service).await.unwrap();
    eventually(&format!("Service {name} has its address"), Duration::from_secs(30), async || {
        let status = services.get(name).await.map_err(|error| error.to_string())?.status;
        let balancer = status.and_then(|status| status.load_balancer);
        let given = balancer.and_then(|balancer| balancer.ingress).unwrap_or_default();
        if given.iter().any(|ingress| ingress.ip.as_deref() == Some(ADDRESS)) {
            Ok(())
        } else {
            Err(format!("{given:?}"))
        }
    })
    .await;
}
