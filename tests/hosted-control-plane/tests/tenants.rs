//! Several control planes on the same three nodes: kept from each other, without their certificate-authority for a while,
//! upgraded, installed wrongly, installed by other means, and somebody's own chart.
#![allow(
    clippy::disallowed_methods,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "test code: a broken expectation is a failed test, measurements are printed, and charts for a test are no secrets"
)]

#[path = "tenants/absence.rs"]
mod absence;
#[path = "tenants/bad_days.rs"]
mod bad_days;
#[path = "tenants/custom_chart.rs"]
mod custom_chart;
#[path = "tenants/gitops.rs"]
mod gitops;
#[path = "tenants/isolation.rs"]
mod isolation;
#[path = "tenants/party.rs"]
mod party;
#[path = "tenants/upgrade.rs"]
mod upgrade;

use std::time::Duration;

use hosted_control_plane::{Helm, Hosted, Release, Stage, Tenant, helm_binary};
use tokio::time::Instant;

/// One of each: etcd, API server, both controllers, certificate-authority, cluster-bootstrap.
const SMALL: usize = 6;
/// Four control planes start at once on a machine that may have two processors.
const READY_LIMIT: Duration = Duration::from_secs(300);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "takes seven minutes; cargo xtask test --step hosted-faults"]
async fn control_planes_of_several_tenants_live_beside_each_other() {
    let stage = Stage::up("tenants", None).await;
    let cluster = &stage.cluster;
    let administrators = cluster.kubeconfig();
    let first = Tenant::new(&administrators, "first").await;
    let second = Tenant::new(&administrators, "second").await;
    let (first_helm, second_helm) =
        (Helm::new(helm_binary(), first.kubeconfig()), Helm::new(helm_binary(), second.kubeconfig()));
    let small = Release::values_file("values-small.yaml");
    let began = Instant::now();

    // The same name in two namespaces, and two names in one namespace of which one begins as objects of the other do.
    let short_lived = absence::values();
    let short_lived: Vec<&str> = short_lived.iter().map(String::as_str).collect();
    let demo = Release::new(&first, &first_helm, "demo", &short_lived);
    let volume = "--set=etcd.storage.emptyDir=false";
    let kept = Release::new(&second, &second_helm, "demo", &[&small, volume]);
    gitops::install(&first, &first_helm, "demo", &short_lived).await;
    kept.install().await;
    demo.until_ready(SMALL, READY_LIMIT).await;
    println!("the first of two control planes was ready {:.1?} after helm began", began.elapsed());

    let hosted = Hosted::new(cluster, &first, &demo, READY_LIMIT).await;
    gitops::is_settled(&first, &first_helm, "demo", &short_lived).await;
    let absence = absence::begin(cluster, &first, &demo, &hosted).await;
    let meanwhile = async {
        let parent = gitops::parent_chart(&first_helm).await;
        let neighbour = Release::new(&first, &first_helm, "demo-etcd", &[]).from_chart(parent.path());
        neighbour.install().await;
        let example = custom_chart::release(&second, &second_helm);
        example.install().await;
        kept.until_ready(SMALL, READY_LIMIT).await;
        gitops::may_be_taken_over(&second, &second_helm, "demo", &[volume]).await;
        custom_chart::its_api_works(cluster, &second, &example).await;
        bad_days::people_see_what_is_missing(&second, &second_helm).await;
        Box::pin(upgrade::everything_mutable_changes_and_changes_back(cluster, &second, &second_helm, &kept))
            .await;
        neighbour.until_ready(SMALL, READY_LIMIT).await;
    };
    Box::pin(async { tokio::join!(absence.end(), meanwhile) }).await;

    let neighbour = Release::new(&first, &first_helm, "demo-etcd", &[]);
    Box::pin(isolation::nobody_gets_anything_of_another(
        cluster,
        &[(&first, &demo), (&first, &neighbour), (&second, &kept)],
    ))
    .await;
    println!("all of it without the start of the management cluster: {:.1?}", began.elapsed());
    stage.cluster.down().await.unwrap();
}
