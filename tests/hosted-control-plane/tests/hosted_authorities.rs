//! All CAs of a hosted control plane are replaced by raising one Helm value, while clients work that are given their new
//! kubeconfig as its Secret has it.
#![allow(
    clippy::expect_used,
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "test code: a broken expectation is a failed test, and measurements are printed"
)]

use std::collections::BTreeMap;
use std::time::Duration;

use certificates::{Authority, LeafFacts, bundle_certificates};
use end_to_end::eventually;
use hosted_control_plane::{Load, Release, Scene, Status, Tenant, chart, on_three_nodes};
use k8s_openapi::api::core::v1::ConfigMap;
use tokio::time::Instant;

const PODS: usize = 11;
const READY_LIMIT: Duration = Duration::from_secs(240);
/// Two rounds of restarts of etcd and API servers, a minute in which leaves are certainly read anew, twice the overlap.
const ROTATION_LIMIT: Duration = Duration::from_secs(480);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "takes eight minutes; cargo xtask test --step hosted-faults"]
async fn all_cas_are_replaced_by_raising_one_value() {
    let settings = [
        "--set=scheduler.replicas=1",
        // Four restarts of API servers in all.
        "--set=apiServer.drain.delaySeconds=8",
        "--set=apiServer.drain.watchGraceSeconds=8",
        "--set=certificateAuthority.rotation.certificateAuthorityOverlap=30s",
    ];
    on_three_nodes("authorities", &settings, PODS, async |scene, tenant| {
        Box::pin(all_cas_are_replaced(scene, tenant)).await;
    })
    .await;
}

async fn all_cas_are_replaced(scene: &Scene<'_>, tenant: &Tenant) {
    let Scene { cluster, release, hosted, .. } = scene;
    let before = bundles(tenant, release).await;
    let old = std::fs::read(hosted.kubeconfig()).unwrap();

    let load = Load::start(cluster, 1, hosted).await;
    load.mark("value raised");
    let began = Instant::now();
    release.upgrade(&chart(), &["--set=certificateAuthority.rotation.certificateAuthorities=2"]).await;
    let mut stages: Vec<String> = Vec::new();
    eventually("the rotation has ended", ROTATION_LIMIT, async || {
        hosted.fetch_again(tenant, release).await;
        let mut rotations = Status::of(release, tenant.kubeconfig()).await.rotations();
        let told = rotations.remove("certificate-authorities").ok_or("nobody tells")?;
        if stages.last() != Some(&told.stage) {
            println!("{:.0?}: {}", began.elapsed(), told.stage);
            stages.push(told.stage.clone());
        }
        if told.key == 2 && !told.under_way { Ok(()) } else { Err(format!("{told:?}")) }
    })
    .await;
    scene.until_whole(READY_LIMIT).await;
    let report = load.end(&format!("all CAs replaced (in {:.0?})", began.elapsed())).await;
    assert_eq!(report.failed_reads(), 0, "{}", report.text());
    // etcd's leadership moves twice, once for each bundle.
    assert!(report.failed_writes() <= 2, "{}", report.text());
    assert!(stages.iter().any(|stage| stage.contains("CA 1 is dropped")), "{stages:?}");

    let after = bundles(tenant, release).await;
    for authority in Authority::ALL {
        let name = authority.name();
        assert_ne!(before[name], after[name], "{name}");
        let certificates = bundle_certificates(after[name].as_bytes()).unwrap();
        assert_eq!(certificates.len(), 1, "{name}: {}", after[name]);
        let facts = LeafFacts::parse(after[name].as_bytes(), None, None).unwrap();
        assert_eq!(facts.contents.common_name, format!("pilothouse {name} CA 2"));
    }
    let get = ["get", "namespaces", "--output=name"];
    hosted.fetch_again(tenant, release).await;
    hosted.kubectl(1, &get).await.unwrap();
    hosted.hand_out(&old);
    let refused = hosted.kubectl(1, &get).await.unwrap_err();
    assert!(refused.contains("certificate signed by unknown authority"), "{refused}");
}

/// The bundles that everybody trusts, by CA.
async fn bundles(tenant: &Tenant, release: &Release<'_>) -> BTreeMap<&'static str, String> {
    let map = tenant.objects::<ConfigMap>().get(&release.objects().trust()).await.unwrap();
    let mut data = map.data.unwrap();
    Authority::ALL.into_iter().map(|it| (it.name(), data.remove(it.bundle()).unwrap())).collect()
}
