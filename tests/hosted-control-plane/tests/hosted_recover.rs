//! The volumes of two of three members of etcd are lost for good, and then all: the Pod that has its data becomes the cluster
//! again, and then a snapshot does, by the commands that the others name, through `kubectl exec`, and nothing else is typed.
#![allow(
    clippy::expect_used,
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "test code: a broken expectation is a failed test, and measurements are printed"
)]

use std::path::Path;
use std::time::Duration;

use end_to_end::{component, eventually};
use hosted_control_plane::{PodView, Scene, Status, Tenant, on_three_nodes};
use k8s_openapi::api::core::v1::{PersistentVolumeClaim, Pod};
use kube::api::DeleteParams;
use naming_contract::Component;
use process_control::{ChildEnding, Spawn, capture};
use tokio::time::Instant;

/// 3 etcd, 2 API servers, 2 controller-managers, 1 scheduler, 2 certificate-authorities, 1 cluster-bootstrap.
const PODS: usize = 11;
const LIMIT: Duration = Duration::from_secs(240);
const WRITTEN: [&str; 3] = ["one", "two", "three"];
const SURVIVOR: &str = "demo-etcd-0";
const LOST: [&str; 2] = ["demo-etcd-1", "demo-etcd-2"];
const BOTH_LOST: &str = "recover --lost demo-etcd-1 --lost demo-etcd-2";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "takes six minutes; cargo xtask test --step hosted-faults"]
async fn the_pod_that_has_its_data_becomes_the_cluster_again_and_then_a_snapshot_does() {
    on_three_nodes("recover", &["--set=scheduler.replicas=1"], PODS, async |scene, tenant| {
        Box::pin(a_majority_is_lost(scene, tenant)).await;
        Box::pin(all_is_lost_but_a_snapshot(scene, tenant)).await;
    })
    .await;
}

async fn a_majority_is_lost(scene: &Scene<'_>, tenant: &Tenant) {
    let hosted = scene.hosted;
    for name in WRITTEN {
        hosted.kubectl(1, &["create", "configmap", name]).await.unwrap();
    }
    let refused = exec(scene, &format!("{BOTH_LOST} --yes")).await.unwrap_err();
    assert!(refused.contains("serves with a quorum: there is nothing to recover"), "{refused}");

    lose_volumes(scene, tenant, &LOST).await;
    until_named(scene, tenant, BOTH_LOST).await;
    let refused = exec(scene, "recover --lost demo-etcd-1 --yes").await.unwrap_err();
    assert!(refused.contains("add --lost demo-etcd-2"), "{refused}");
    let printed = exec(scene, BOTH_LOST).await.unwrap();
    assert!(printed.contains("Nothing was changed"), "{printed}");

    let began = Instant::now();
    let printed = exec(scene, &format!("{BOTH_LOST} --yes")).await.unwrap();
    println!("a cluster of one after {:.1?}\n{printed}", began.elapsed());
    eventually("clients have all that was written", LIMIT, async || {
        hosted.kubectl(1, &[&["get", "configmaps"], &WRITTEN[..]].concat()).await
    })
    .await;
    println!("clients are served after {:.1?}", began.elapsed());
    scene.until_whole(LIMIT).await;
    println!("whole after {:.1?}", began.elapsed());
    hosted.kubectl(1, &["create", "configmap", "afterwards"]).await.unwrap();
}

/// The snapshot leaves its Pod by our own command, since the image has nothing that could carry a file out.
async fn all_is_lost_but_a_snapshot(scene: &Scene<'_>, tenant: &Tenant) {
    let hosted = scene.hosted;
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("backup.db");
    let said = piped(scene, "snapshot", '>', &file).await.unwrap();
    assert!(said.contains("bytes, whole"), "{said}");
    hosted.kubectl(1, &["create", "configmap", "too-late"]).await.unwrap();

    lose_volumes(scene, tenant, &[&[SURVIVOR], &LOST[..]].concat()).await;
    until_named(scene, tenant, "recover --snapshot").await;
    let began = Instant::now();
    let cut = directory.path().join("cut.db");
    std::fs::copy(&file, &cut).unwrap();
    std::fs::File::options().write(true).open(&cut).and_then(|file| file.set_len(100_000)).unwrap();
    let from_input = format!("{BOTH_LOST} --snapshot - --yes");
    let refused = piped(scene, &from_input, '<', &cut).await.unwrap_err();
    assert!(refused.contains("cut off"), "{refused}");
    let printed = piped(scene, &from_input, '<', &file).await.unwrap();
    println!("a cluster of one from the snapshot after {:.1?}\n{printed}", began.elapsed());
    eventually("clients have what the snapshot has", LIMIT, async || {
        hosted.kubectl(1, &[&["get", "configmaps", "afterwards"], &WRITTEN[..]].concat()).await
    })
    .await;
    println!("clients are served after {:.1?}", began.elapsed());
    scene.until_whole(LIMIT).await;
    println!("whole after {:.1?}", began.elapsed());
    let gone = hosted.kubectl(1, &["get", "configmap", "too-late"]).await.unwrap_err();
    assert!(gone.contains("NotFound"), "{gone}");
}

async fn until_named(scene: &Scene<'_>, tenant: &Tenant, command: &str) {
    eventually("whoever waits names the command", LIMIT, async || {
        let rows = Status::of(scene.release, tenant.kubeconfig()).await.rows;
        let mut seen = rows.iter().filter_map(|row| row.last_observation.as_deref());
        if seen.any(|seen| seen.contains(command)) { Ok(()) } else { Err(rows) }
    })
    .await;
}

/// At once, Pods and claims, as nodes with local disks go.
async fn lose_volumes(scene: &Scene<'_>, tenant: &Tenant, names: &[&str]) {
    let (claims, pods) = (tenant.objects::<PersistentVolumeClaim>(), tenant.objects::<Pod>());
    let at_once = DeleteParams { grace_period_seconds: Some(0), ..DeleteParams::default() };
    let members = scene.pods_of(Component::Etcd).await;
    for name in names {
        claims.delete(&format!("data-{name}"), &DeleteParams::default()).await.unwrap();
    }
    for name in names {
        pods.delete(name, &at_once).await.unwrap();
    }
    let lost = |pod: &&PodView| names.contains(&pod.name.as_str());
    for pod in members.iter().filter(lost) {
        scene.until_gone(pod, LIMIT).await;
    }
}

/// The arguments of kubectl for our binary in the survivor's Pod.
fn in_survivor(scene: &Scene<'_>, line: &str) -> Vec<String> {
    let namespace = format!("--namespace={}", scene.release.namespace());
    let exec = ["exec", "-i", &namespace, SURVIVOR, "--container=etcd", "--", "/pilothouse/etcd-supervisor"];
    exec.into_iter().chain(line.split(' ')).map(str::to_owned).collect()
}

/// With a file behind its standard output (`>`) or input (`<`), as a person's shell has it; all that it said otherwise.
async fn piped(scene: &Scene<'_>, line: &str, redirection: char, file: &Path) -> Result<String, String> {
    let (kubectl, kubeconfig) = (component("kubectl"), scene.cluster.kubeconfig());
    let [kubectl, kubeconfig, file] = [&kubectl, &kubeconfig, file].map(|path| path.display().to_string());
    let line = in_survivor(scene, line).join(" ");
    let script = format!("{kubectl} --kubeconfig={kubeconfig} {line} {redirection}{file}");
    let spawn = Spawn::new("/bin/sh").arguments(["-c", &script]).from_thread_that_outlives_it();
    let captured = capture(&spawn, LIMIT).await.expect("a shell runs");
    let said = String::from_utf8_lossy(&[captured.stdout, captured.stderr].concat()).into_owned();
    if captured.ending == ChildEnding::Exited(0) { Ok(said) } else { Err(said) }
}

/// Standard output, or all that it said when it refused.
async fn exec(scene: &Scene<'_>, line: &str) -> Result<String, String> {
    let ran = scene.cluster.kubectl(in_survivor(scene, line)).await;
    ran.map(|ran| ran.output).map_err(|error| error.to_string())
}
