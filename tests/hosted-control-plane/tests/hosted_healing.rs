//! A hosted control plane is hurt in every way that a management cluster knows, while clients work and check. Nothing
//! acknowledged is lost, no event is missed, and how long clients stood without an answer is printed.
#![allow(
    clippy::expect_used,
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "test code: a broken expectation is a failed test, and measurements are printed"
)]

use std::collections::BTreeSet;
use std::time::Duration;

use disruption::Report;
use end_to_end::eventually;
use hosted_control_plane::{
    COMPONENTS, Load, PodView, Release, Scene, Status, StatusRow, Tenant, node_of, on_three_nodes,
};
use k8s_openapi::api::core::v1::{Node, PersistentVolumeClaim, Pod};
use kube::api::{Api, DeleteParams};
use naming_contract::Component;
use serde_json::json;
use tokio::time::Instant;

const HIGHLY_AVAILABLE: usize = 12;
const READY_LIMIT: Duration = Duration::from_secs(240);
/// How long the management cluster's API server is away while nothing else happens, and then until a container of etcd
/// has been started again.
const API_SERVER_AWAY: Duration = Duration::from_secs(120);
/// How long the controllers may pause when a node dies that their leaders are not on, in seconds.
const LONGEST_PAUSE: f64 = 10.0;
/// etcd's own metrics, as `etcd.metricsPort` opens them.
const ETCD_METRICS: u16 = 2382;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "takes nine minutes; cargo xtask test --step hosted-faults"]
async fn nothing_acknowledged_is_lost_whatever_happens_to_pods_nodes_and_the_management_cluster() {
    let values = Release::values_file("values-ha.yaml");
    let metrics = format!("--set=etcd.metricsPort={ETCD_METRICS}");
    on_three_nodes("healing", &[&values, &metrics], HIGHLY_AVAILABLE, async |scene, tenant| {
        Box::pin(everything_is_hurt(scene, tenant)).await;
    })
    .await;
}

async fn everything_is_hurt(scene: &Scene<'_>, tenant: &Tenant) {
    timed("volume", Box::pin(a_member_loses_its_volume(scene, tenant))).await;
    timed("management", Box::pin(the_management_cluster_is_away(scene))).await;
    timed("pods", Box::pin(pods_are_deleted(scene, tenant))).await;
    timed("processes", Box::pin(processes_are_killed(scene))).await;
    timed("node", Box::pin(a_node_dies(scene, tenant))).await;
    timed("drain", Box::pin(a_node_is_drained(scene))).await;
    timed("dark", Box::pin(all_nodes_die(scene))).await;
}

async fn timed(what: &str, step: impl Future<Output = ()>) {
    let began = Instant::now();
    step.await;
    println!("[{what} took {:.0?}]", began.elapsed());
}

/// Load from `node` before, while and after `hurt`, which returns when all is whole again.
async fn under_load(scene: &Scene<'_>, what: &str, node: u8, hurt: impl AsyncFnOnce()) -> Report {
    let load = Load::start(scene.cluster, node, scene.hosted).await;
    load.mark(what);
    let began = Instant::now();
    hurt().await;
    let what = format!("{what} (whole after {:.1?})", began.elapsed());
    load.end(&what).await
}

async fn pods_are_deleted(scene: &Scene<'_>, tenant: &Tenant) {
    let pods = tenant.objects::<Pod>();
    for component in COMPONENTS {
        let leads = matches!(component, Component::KubeControllerManager | Component::KubeScheduler);
        let victim =
            if leads { scene.leader(1, component).await } else { scene.pods_of(component).await.remove(0) };
        let what = if leads { "leading Pod deleted" } else { "Pod deleted" };
        under_load(scene, &format!("{what}: {component}"), 1, async || {
            pods.delete(&victim.name, &DeleteParams::default()).await.unwrap();
            scene.until_gone(&victim, READY_LIMIT).await;
            scene.until_whole(READY_LIMIT).await;
        })
        .await;
    }
}

async fn processes_are_killed(scene: &Scene<'_>) {
    for component in COMPONENTS {
        let pods = scene.pods_of(component).await;
        under_load(scene, &format!("every process killed once: {component}"), 1, async || {
            for pod in &pods {
                if scene.kill_child(pod).await {
                    let now = view(scene, pod).await;
                    assert_eq!(now.restarts, pod.restarts, "started again in place: {now:?}");
                }
                scene.kill_container(pod).await;
                eventually("the kubelet tells of the restart", READY_LIMIT, async || {
                    let now = view(scene, pod).await;
                    if now.restarts == pod.restarts + 1 { Ok(()) } else { Err(now) }
                })
                .await;
                scene.until_whole(READY_LIMIT).await;
            }
        })
        .await;
    }
}

async fn view(scene: &Scene<'_>, pod: &PodView) -> PodView {
    let now = scene.release.pods().await;
    now.into_iter().find(|view| view.uid == pod.uid).expect("the same Pod")
}

async fn a_member_loses_its_volume(scene: &Scene<'_>, tenant: &Tenant) {
    let members = scene.pods_of(Component::Etcd).await;
    let victim = &members[1];
    let claim = format!("data-{}", victim.name);
    let claims = tenant.objects::<PersistentVolumeClaim>();
    let before = claims.get(&claim).await.unwrap().metadata.uid;
    under_load(scene, "Pod of etcd deleted with its volume", 1, async || {
        claims.delete(&claim, &DeleteParams::default()).await.unwrap();
        tenant.objects::<Pod>().delete(&victim.name, &DeleteParams::default()).await.unwrap();
        eventually("another claim is there", READY_LIMIT, async || {
            let now = claims.get_opt(&claim).await.unwrap().and_then(|claim| claim.metadata.uid);
            if now.is_some() && now != before { Ok(()) } else { Err(now) }
        })
        .await;
        scene.until_whole(READY_LIMIT).await;
    })
    .await;
    let members = scene.pods_of(Component::Etcd).await;
    let mut keys = Vec::new();
    for member in &members {
        let metrics = scene.get(member, ETCD_METRICS, "/metrics").await.unwrap();
        let value = |name: &str| {
            let line = metrics.lines().find_map(|line| line.strip_prefix(&format!("{name} ")));
            line.and_then(|value| value.parse::<f64>().ok()).expect("etcd tells it")
        };
        assert!(value("etcd_server_is_learner") < 0.5, "{} votes", member.name);
        keys.push(value("etcd_debugging_mvcc_keys_total"));
    }
    println!("keys of the members: {keys:?}");
    // They were not asked at the same moment, and leases go on being renewed: keys hardly change by it.
    assert!(keys.iter().all(|count| *count > 100.0 && (count - keys[0]).abs() < 50.0), "{keys:?}");
}

async fn the_management_cluster_is_away(scene: &Scene<'_>) {
    let member = scene.pods_of(Component::Etcd).await.remove(0);
    let report = under_load(scene, "management cluster's API server away", 1, async || {
        scene.cluster.stop_api_server().await.unwrap();
        // Nothing can be waited for: this is how long nothing may happen.
        tokio::time::sleep(API_SERVER_AWAY).await;
    })
    .await;
    assert_eq!((report.failed_reads(), report.failed_writes(), report.watch_breaks()), (0, 0, 0));
    under_load(scene, "container of etcd killed meanwhile", 1, async || {
        scene.kill_container(&member).await;
    })
    .await;
    scene.cluster.start_api_server().await.unwrap();
    scene.until_whole(READY_LIMIT).await;
}

async fn a_node_is_drained(scene: &Scene<'_>) {
    let node = node_of(&scene.pods_of(Component::KubeApiserver).await[0]);
    let name = format!("node-{node}");
    under_load(scene, &format!("{name} drained"), another_node(node), async || {
        println!("the drain took {:.1?}", scene.drain(node).await);
        scene.until_whole(READY_LIMIT).await;
    })
    .await;
}

fn another_node(node: u8) -> u8 {
    node % 3 + 1
}

async fn a_node_dies(scene: &Scene<'_>, tenant: &Tenant) {
    // What clients feel is the loss of an API server; the leaders are to be elsewhere.
    let victim = node_of(&scene.pods_of(Component::KubeApiserver).await[0]);
    for component in [Component::KubeControllerManager, Component::KubeScheduler] {
        eventually("the leader is elsewhere", READY_LIMIT, async || {
            let leader = scene.leader(1, component).await;
            if node_of(&leader) != victim {
                return Ok(());
            }
            tenant.objects::<Pod>().delete(&leader.name, &DeleteParams::default()).await.unwrap();
            scene.until_gone(&leader, READY_LIMIT).await;
            scene.until_whole(READY_LIMIT).await;
            Err(leader)
        })
        .await;
    }
    let holds = scene.release.pods().await.iter().filter(|pod| node_of(pod) == victim).count();
    let name = format!("node-{victim}");
    let nodes: Api<Node> = Api::all(tenant.administrator().clone());
    let what = format!(
        "node killed with {holds} Pods, an API server among them, noticed after upstream's 50 s, revived"
    );
    let report = under_load(scene, &what, another_node(victim), async || {
        scene.cluster.kill_node(victim).await.unwrap();
        eventually("its death is noticed", READY_LIMIT, async || {
            let conditions = nodes.get(&name).await.unwrap().status.and_then(|status| status.conditions);
            let ready = conditions.into_iter().flatten().find(|condition| condition.type_ == "Ready");
            match ready {
                Some(ready) if ready.status != "True" => Ok(()),
                other => Err(other),
            }
        })
        .await;
        status_names_the_dead_node(scene, tenant, victim).await;
        scene.cluster.revive_node(victim).await.unwrap();
        scene.until_whole(READY_LIMIT).await;
    })
    .await;
    assert!(report.longest_controller_pause() <= LONGEST_PAUSE, "{}", report.text());
}

/// Kubernetes says nothing of it in a Pod but that it is not ready any more.
async fn status_names_the_dead_node(scene: &Scene<'_>, tenant: &Tenant, victim: u8) {
    let node = format!("node-{victim}");
    eventually("status names the dead node", READY_LIMIT, async || {
        let status = Status::of(scene.release, tenant.kubeconfig()).await;
        let there = |row: &&StatusRow| row.node.as_deref() == Some(&node) && row.state == "NodeLost";
        let sentence = format!("its node {node} does not report any more");
        let told =
            status.rows.iter().filter(there).any(|row| !row.ready && row.reason.starts_with(&sentence));
        if told { Ok(()) } else { Err(status.not_ready()) }
    })
    .await;
}

async fn all_nodes_die(scene: &Scene<'_>) {
    let map = |number: u32| {
        json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": format!("kept-{number}"),
               "namespace": "default"}, "data": {"number": number.to_string()}})
    };
    let maps: Vec<_> = (0..50).map(map).collect();
    scene.hosted.apply(1, &json!({"apiVersion": "v1", "kind": "List", "items": maps})).await;
    let addresses = |pods: Vec<PodView>| -> BTreeSet<_> { pods.into_iter().map(|pod| pod.address).collect() };
    let before = addresses(scene.release.pods().await);
    for node in 1..=3 {
        scene.cluster.kill_node(node).await.unwrap();
    }
    let began = Instant::now();
    let revive = |node| scene.cluster.revive_node(node);
    tokio::try_join!(revive(1), revive(2), revive(3)).unwrap();
    let revived = began.elapsed();
    let line = ["get", "configmaps", "--namespace=default", "--output=jsonpath={.items[*].data.number}"];
    let numbers =
        eventually("the API answers", READY_LIMIT, async || scene.hosted.kubectl(1, &line).await).await;
    let served = began.elapsed();
    scene.until_whole(READY_LIMIT).await;
    let numbers: BTreeSet<u32> = numbers.split_whitespace().map(|number| number.parse().unwrap()).collect();
    assert_eq!(numbers, (0..50).collect(), "all that was acknowledged");
    let kept = before.intersection(&addresses(scene.release.pods().await)).count();
    println!(
        "all nodes killed: revived after {revived:.1?}, the API answered after {served:.1?}, whole after {:.1?}; {kept} \
         addresses of Pods are as before",
        began.elapsed()
    );
}
