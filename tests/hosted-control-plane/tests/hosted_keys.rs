//! The keys that components share are replaced by raising two Helm values, while clients work and check.
#![allow(
    clippy::expect_used,
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "test code: a broken expectation is a failed test, and measurements are printed"
)]

use std::collections::BTreeMap;
use std::time::Duration;

use end_to_end::eventually;
use hosted_control_plane::{Helm, Hosted, Load, Release, Scene, Stage, Status, Tenant, chart, helm_binary};
use k8s_openapi::api::core::v1::Secret;
use tokio::time::Instant;

const PODS: usize = 9;
const READY_LIMIT: Duration = Duration::from_secs(240);
/// Two API servers restart three times, one after the other, and drain for 8 s and more each time.
const ROTATION_LIMIT: Duration = Duration::from_secs(400);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "takes six minutes; cargo xtask test --step hosted-faults"]
async fn both_keys_are_replaced_by_raising_two_values() {
    let stage = Stage::up("keys", None).await;
    let cluster = &stage.cluster;
    let tenant = Tenant::new(&cluster.kubeconfig(), "tenant").await;
    let helm = Helm::new(helm_binary(), tenant.kubeconfig());
    let settings = [
        "--set=etcd.replicas=1",
        "--set=etcd.storage.size=1Gi",
        "--set=etcd.quota=512Mi",
        "--set=scheduler.replicas=1",
        // Six restarts of API servers in all.
        "--set=apiServer.drain.delaySeconds=8",
        "--set=apiServer.drain.watchGraceSeconds=8",
        "--set=certificateAuthority.rotation.serviceAccountKeyOverlap=30s",
    ];
    let release = Release::new(&tenant, &helm, "demo", &settings);
    release.install().await;
    let hosted = Hosted::new(cluster, &tenant, &release, READY_LIMIT).await;
    let scene = Scene { cluster, release: &release, hosted: &hosted, pods: PODS };
    scene.until_whole(READY_LIMIT).await;
    let secrets = hosted.kubectl(1, &["get", "secrets", "--all-namespaces", "--output=name"]).await.unwrap();
    let before = keys(&tenant, &release).await;

    let load = Load::start(cluster, 1, &hosted).await;
    load.mark("both values raised");
    let began = Instant::now();
    let raised = [
        "--set=certificateAuthority.rotation.serviceAccountKey=2",
        "--set=certificateAuthority.rotation.encryptionKey=2",
    ];
    release.upgrade(&chart(), &raised).await;
    let mut told = String::new();
    eventually("both rotations have ended", ROTATION_LIMIT, async || {
        let now = Status::of(&release, tenant.kubeconfig()).await.rotations();
        let stages: Vec<&str> = now.values().map(|told| told.stage.as_str()).collect();
        if stages.len() == 2 && stages.join("; ") != told {
            told = stages.join("; ");
            println!("{:.0?}: {told}", began.elapsed());
        }
        let ended = now.values().filter(|told| told.key == 2 && !told.under_way).count();
        if ended == 2 { Ok(()) } else { Err(now) }
    })
    .await;
    scene.until_whole(READY_LIMIT).await;
    let what = format!("service-account key and encryption key replaced (in {:.0?})", began.elapsed());
    let report = load.end(&what).await;
    assert_eq!(report.failed_reads(), 0, "{}", report.text());

    let after = keys(&tenant, &release).await;
    assert!(before.iter().all(|(name, value)| after[name] != *value), "both are other keys");
    let names = ["get", "secrets", "--all-namespaces", "--output=name"];
    assert_eq!(hosted.kubectl(1, &names).await.unwrap(), secrets, "every Secret is readable");
    stage.cluster.down().await.unwrap();
}

/// The values of the keys in use.
async fn keys(tenant: &Tenant, release: &Release<'_>) -> BTreeMap<String, Vec<u8>> {
    let objects = release.objects();
    let mut found = BTreeMap::new();
    for (set, file) in [("service-account", "signing.key"), ("encryption", "keys.json")] {
        let secret = tenant.objects::<Secret>().get(&objects.shared_key_secret(set)).await.unwrap();
        found.insert(set.to_owned(), secret.data.unwrap()[file].0.clone());
    }
    found
}
