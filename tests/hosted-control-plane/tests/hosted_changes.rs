//! Changes of which no client may notice anything: new Pods of API servers and controllers, a controller that the kernel kills
//! for want of memory, a node taken out of service.
//! And what a crash costs where there is one API server only, which must be noticed, but not for long.
//! The long table beside plain Pods is made by `cargo xtask bench disruption`.
#![allow(
    clippy::panic,
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "test code: a broken expectation is a failed test, and measurements are printed"
)]

use std::time::Duration;

use hosted_control_plane::{Load, Release, Scene, chart, node_of, on_three_nodes};
use naming_contract::Component;
use tokio::time::Instant;

const HIGHLY_AVAILABLE: usize = 12;
const READY_LIMIT: Duration = Duration::from_secs(240);
/// A machine with two processors runs three nodes, two control planes and the clients.
const LONGEST_PAUSE: f64 = 5.0;
/// The pause after a crash of an only one is 0.2 s; kube-apiserver starts within 5 s, and readiness and endpoints follow.
const LONGEST_GAP_OF_ONE: f64 = 20.0;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_notices_that_api_servers_and_controllers_are_replaced() {
    let values = Release::values_file("values-ha.yaml");
    on_three_nodes("changes", &[&values], HIGHLY_AVAILABLE, async |scene, _| {
        Box::pin(all_is_replaced(scene)).await;
        Box::pin(one_api_server(scene)).await;
    })
    .await;
}

async fn all_is_replaced(scene: &Scene<'_>) {
    unnoticed(scene, "API servers rolled", 1, async || {
        scene.roll(Component::KubeApiserver, READY_LIMIT).await;
    })
    .await;
    unnoticed(scene, "controllers rolled", 1, async || {
        scene.roll(Component::KubeControllerManager, READY_LIMIT).await;
        scene.roll(Component::KubeScheduler, READY_LIMIT).await;
    })
    .await;
    let leader = scene.leader(1, Component::KubeControllerManager).await;
    unnoticed(scene, "the leading controller-manager out of memory", 1, async || {
        scene.kill_for_memory(&leader).await;
    })
    .await;
    // Where an API server is and no leader of etcd: that one's going is measured elsewhere, it cannot go unnoticed.
    let leads = scene.etcd_leader().await;
    let servers = scene.pods_of(Component::KubeApiserver).await;
    let node = servers.iter().map(node_of).find(|node| *node != node_of(&leads));
    let node = node.unwrap_or_else(|| panic!("{servers:?} are all beside {leads:?}"));
    unnoticed(scene, "node drained", node % 3 + 1, async || {
        println!("the drain took {:.1?}", scene.take_out(node).await);
        // It took a member of etcd along, which can be nowhere else: no other may go, least of all the leader.
        scene.budget_refuses(node_of(&leads), Component::Etcd).await;
        scene.give_back(node).await;
    })
    .await;
}

/// With one replica nothing is lost while it is replaced; killed, it is missed for as long as another process takes to start.
async fn one_api_server(of_two: &Scene<'_>) {
    of_two.release.upgrade(&chart(), &["--set=apiServer.replicas=1"]).await;
    let scene = Scene { pods: HIGHLY_AVAILABLE - 1, ..*of_two };
    scene.until_whole(READY_LIMIT).await;
    unnoticed(&scene, "the only API server rolled", 1, async || {
        scene.roll(Component::KubeApiserver, READY_LIMIT).await;
    })
    .await;
    let load = Load::start(scene.cluster, 1, scene.hosted).await;
    let pods = scene.pods_of(Component::KubeApiserver).await;
    let [pod] = pods.as_slice() else { panic!("{pods:?}") };
    assert!(scene.kill_child(pod).await, "it had a child");
    scene.until_whole(READY_LIMIT).await;
    let report = load.end("the only API server killed").await;
    assert!(report.longest_gap_of_reads.seconds <= LONGEST_GAP_OF_ONE, "{}", report.text());
}

/// Load from a node before, while and after; not one request may fail.
async fn unnoticed(scene: &Scene<'_>, what: &str, node: u8, change: impl AsyncFnOnce()) {
    let load = Load::start(scene.cluster, node, scene.hosted).await;
    load.mark(what);
    let began = Instant::now();
    change().await;
    scene.until_whole(READY_LIMIT).await;
    let report = load.end(&format!("{what} (whole after {:.1?})", began.elapsed())).await;
    assert_eq!((report.failed_reads(), report.failed_writes()), (0, 0), "{}", report.text());
    assert!(report.longest_controller_pause() <= LONGEST_PAUSE, "{}", report.text());
}
