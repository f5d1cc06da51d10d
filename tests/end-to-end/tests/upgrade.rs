//! One machine's control plane goes from one minor version to the next, with its data; and not back: neither by `up`, nor by
//! supervisors that are left alone with binaries of the old version.
#![allow(
    clippy::disallowed_methods,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "test code: a broken expectation is a failed test, measurements are printed, and a file is damaged as people do it"
)]

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::time::Duration;

use end_to_end::{ControlPlane, client, components, components_before, create_namespace, eventually};
use k8s_openapi::api::core::v1::Namespace;
use kube::Api;
use process_control::{ChildEnding, Spawn, capture};
use tokio::time::Instant;

const LIMIT: Duration = Duration::from_secs(120);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs two versions: cargo xtask test --step hosted-faults"]
async fn an_upgrade_keeps_everything_and_nothing_goes_back() {
    let (before, after) = (components_before(), components());
    let old = [version(&before, "kube-apiserver").await, version(&before, "etcd").await];
    let new = [version(&after, "kube-apiserver").await, version(&after, "etcd").await];
    println!("from Kubernetes {} and etcd {} to {} and {}", old[0], old[1], new[0], new[1]);

    let mut plane = ControlPlane::planned(&[]);
    plane.set_components(&before);
    plane.start();
    plane.until_ready(LIMIT).await;
    create_namespace(&client(&plane.kubeconfig()).await, "kept").await;
    settled(&plane, &old).await;
    plane.stop().await;

    let began = Instant::now();
    plane.set_components(&after);
    plane.start();
    plane.until_ready(LIMIT).await;
    println!("everything was ready with the new version {:.1?} after `up`", began.elapsed());
    kept(&plane).await;
    settled(&plane, &new).await;
    plane.stop().await;

    // `up` itself says no, and touches nothing.
    plane.set_components(&before);
    plane.start();
    let ending = plane.ended().await;
    assert!(matches!(ending, ChildEnding::Exited(code) if code != 0), "{ending:?}");
    let told = plane.output();
    assert!(told.contains(&format!("but this control plane has run {}", new[0])), "{told}");

    // Whoever gets around that is told by etcd's supervisors, and with the new etcd by those of the API servers.
    forget_versions(&plane);
    if series(&old[1]) != series(&new[1]) {
        plane.start();
        refused(&plane, "etcd", &["is refused", "has gone over to", "set"]).await;
        plane.stop().await;
    }
    let mixed = tempfile::tempdir().unwrap();
    for entry in fs::read_dir(&before).unwrap() {
        let name = entry.unwrap().file_name();
        let from = if name.to_string_lossy().starts_with("etcd") { &after } else { &before };
        symlink(fs::canonicalize(from.join(&name)).unwrap(), mixed.path().join(&name)).unwrap();
    }
    plane.set_components(mixed.path());
    plane.start();
    let has_run = format!("has run {}", new[0]);
    refused(&plane, "kube-apiserver", &[&format!("Kubernetes {} is refused", old[0]), &has_run]).await;
    plane.stop().await;

    plane.set_components(&after);
    plane.start();
    plane.until_ready(LIMIT).await;
    kept(&plane).await;
    plane.stop().await;
}

/// 3.6 of 3.6.16: Kubernetes 1.35 and 1.36 come with the same one, which goes back.
fn series(version: &str) -> &str {
    version.rsplit_once('.').unwrap().0
}

/// What a binary says that it is.
async fn version(components: &Path, name: &str) -> String {
    let spawn = Spawn::new(components.join(name)).arguments(["--version"]).from_thread_that_outlives_it();
    let captured = capture(&spawn, LIMIT).await.unwrap();
    let printed = String::from_utf8(captured.stdout).unwrap();
    let first = printed.lines().next().unwrap();
    first.split_whitespace().last().unwrap().trim_start_matches('v').to_owned()
}

/// Waits until API servers and etcd have written down that all of them run these versions.
async fn settled(plane: &ControlPlane, [kubernetes, etcd]: &[String; 2]) {
    let record = plane.state_directory().join("version-record.json");
    let began = Instant::now();
    eventually("the version is written down", LIMIT, async || {
        let text = fs::read_to_string(&record).map_err(|error| error.to_string())?;
        if text.contains(&format!("\"{kubernetes}\"")) { Ok(()) } else { Err(text) }
    })
    .await;
    println!("recorded {:.1?} after everything was ready", began.elapsed());
    let series = series(etcd);
    plane
        .until("all of etcd's members agree", LIMIT, |instances| {
            instances
                .iter()
                .filter(|instance| instance.component == "etcd")
                .all(|member| member.details.get("clusterVersion").is_some_and(|version| version == series))
        })
        .await;
    for instance in plane.status().await.unwrap() {
        if let Some(version) = instance.details.get("kubernetesVersion") {
            assert_eq!(version, kubernetes, "{instance:?}");
        }
    }
}

async fn kept(plane: &ControlPlane) {
    let namespaces: Api<Namespace> = Api::all(client(&plane.kubeconfig()).await);
    namespaces.get("kept").await.expect("what was there before is there");
}

/// Waits until every instance of a component waits, because of a sentence with all of these words.
async fn refused(plane: &ControlPlane, component: &str, words: &[&str]) {
    let instances = plane
        .until("the supervisors refuse", LIMIT, |instances| {
            let mut those = instances.iter().filter(|instance| instance.component == component);
            those.all(|instance| {
                let seen = instance.last_observation.as_deref().unwrap_or_default();
                instance.state == "Waiting" && words.iter().all(|word| seen.contains(word))
            })
        })
        .await;
    let one = instances.iter().find(|instance| instance.component == component).unwrap();
    println!(
        "{} {}: {} (saw: {})",
        one.name,
        one.state,
        one.reason,
        one.last_observation.as_deref().unwrap()
    );
    assert!(instances.iter().all(|instance| instance.restarts == 0), "nobody crashes: {instances:?}");
}

/// As if `up` had never seen the new version.
fn forget_versions(plane: &ControlPlane) {
    let manifest = plane.state_directory().join("pilothouse.json");
    let mut content: serde_json::Value = serde_json::from_slice(&fs::read(&manifest).unwrap()).unwrap();
    content.as_object_mut().unwrap().remove("versions").expect("the versions are recorded");
    fs::write(&manifest, content.to_string()).unwrap();
}
