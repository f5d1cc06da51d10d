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
use hosted_control_plane::{Load, Release, Scene, Status, Tenant, chart, on_three_nodes};
use k8s_openapi::api::core::v1::Secret;
use tokio::time::Instant;

const PODS: usize = 9;
const READY_LIMIT: Duration = Duration::from_secs(240);
/// Two API servers restart three times, one after the other, and drain for 8 s and more each time.
const ROTATION_LIMIT: Duration = Duration::from_secs(400);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "takes six minutes; cargo xtask test --step hosted-faults"]
async fn both_keys_are_replaced_by_raising_two_values() {
    let settings = [
        "--set=etcd.replicas=1",
        "--set=scheduler.replicas=1",
        // Six restarts of API servers in all.
        "--set=apiServer.drain.delaySeconds=8",
        "--set=apiServer.drain.watchGraceSeconds=8",
        "--set=certificateAuthority.rotation.serviceAccountKeyOverlap=30s",
    ];
    on_three_nodes("keys", &settings, PODS, async |scene, tenant| {
        Box::pin(both_keys_are_replaced(scene, tenant)).await;
    })
    .await;
}

async fn both_keys_are_replaced(scene: &Scene<'_>, tenant: &Tenant) {
    let Scene { cluster, release, hosted, .. } = scene;
    let secrets = hosted.kubectl(1, &["get", "secrets", "--all-namespaces", "--output=name"]).await.unwrap();
    let before = keys(tenant, release).await;

    let load = Load::start(cluster, 1, hosted).await;
    load.mark("both values raised");
    let began = Instant::now();
    let raised = [
        "--set=certificateAuthority.rotation.serviceAccountKey=2",
        "--set=certificateAuthority.rotation.encryptionKey=2",
    ];
    release.upgrade(&chart(), &raised).await;
    let mut told = String::new();
    eventually("both rotations have ended", ROTATION_LIMIT, async || {
        let now = Status::of(release, tenant.kubeconfig()).await.rotations();
        let stages: Vec<&str> = now.values().map(|told| told.stage.as_str()).collect();
        if stages.join("; ") != told {
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
    assert_eq!((report.failed_reads(), report.failed_writes()), (0, 0), "{}", report.text());

    let after = keys(tenant, release).await;
    assert!(before.iter().all(|(name, value)| after[name] != *value), "both are other keys");
    let names = ["get", "secrets", "--all-namespaces", "--output=name"];
    assert_eq!(hosted.kubectl(1, &names).await.unwrap(), secrets, "every Secret is readable");
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
