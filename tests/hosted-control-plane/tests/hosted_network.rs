//! The network between members of etcd on three nodes is cut and made bad, while their clients reach all of them: a member
//! that leads nobody must not keep its clients waiting.
#![allow(
    clippy::expect_used,
    clippy::print_stdout,
    reason = "test code: a broken expectation is a failed test, and measurements are printed"
)]

use std::time::Duration;

use end_to_end::eventually;
use hosted_control_plane::{BadNetwork, Load, PodView, Scene, on_three_nodes};
use naming_contract::Component;

/// 3 etcd, 2 API servers, 2 controller-managers, 1 scheduler, 2 certificate-authorities, 1 cluster-bootstrap.
const PODS: usize = 11;
const LIMIT: Duration = Duration::from_secs(240);
/// Longer than a lease lives and a connection is given up.
const LASTS: Duration = Duration::from_secs(25);
/// Of packets, in hundred: TCP goes on, at a fraction of its pace.
const LOSS: u32 = 20;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "takes four minutes; cargo xtask test --step hosted-faults"]
async fn members_that_do_not_reach_each_other_cost_their_clients_little() {
    on_three_nodes("network", &["--set=scheduler.replicas=1"], PODS, async |scene, _| {
        Box::pin(members_are_cut_off(scene)).await;
    })
    .await;
}

async fn members_are_cut_off(scene: &Scene<'_>) {
    let leader = scene.etcd_leader().await;
    under_load(scene, "etcd's leader cut off from its peers", &leader, 100, async || {
        eventually("another member leads", LIMIT, async || {
            let leads = scene.etcd_leader().await;
            if leads.uid == leader.uid { Err(leads.name) } else { Ok(()) }
        })
        .await;
    })
    .await;
    let follower = other_than(scene, &scene.etcd_leader().await).await;
    under_load(scene, "a follower cut off from its peers", &follower, 100, async || ()).await;
    let what = format!("{LOSS} % of the packets between a follower and its peers lost");
    under_load(scene, &what, &follower, LOSS, async || ()).await;
}

/// The load runs before, while and after; `meanwhile` must come true while the network is bad.
async fn under_load(
    scene: &Scene<'_>,
    what: &str,
    member: &PodView,
    percent: u32,
    meanwhile: impl AsyncFnOnce(),
) {
    let load = Load::start(scene.cluster, 1, scene.hosted).await;
    load.mark(what);
    let bad = BadNetwork::around(scene, member, percent).await;
    // Nothing is waited for: so long the network is bad.
    tokio::join!(tokio::time::sleep(LASTS), meanwhile());
    bad.mend(scene).await;
    load.mark("mended");
    scene.until_whole(LIMIT).await;
    let report = load.end(what).await;
    // Which requests fail is told by `end`; a gap as long as the trouble would mean that nobody went elsewhere.
    let longest = report.longest_gap_of_reads.seconds.max(report.longest_gap_of_writes.seconds);
    assert!(longest < LASTS.as_secs_f64() / 2.0, "{what}: {}", report.text());
}

async fn other_than(scene: &Scene<'_>, leader: &PodView) -> PodView {
    let members = scene.pods_of(Component::Etcd).await;
    members.into_iter().find(|member| member.uid != leader.uid).expect("three members")
}
