//! A majority of etcd is lost for good under API servers that run on: the way out is a command, which refuses as long as it
//! can, and what API servers tell afterwards is what etcd has, from their caches too.
#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::unwrap_used,
    clippy::missing_panics_doc,
    reason = "test code: a broken expectation is a failed test, and measurements are printed"
)]

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::time::Duration;

use end_to_end::{ControlPlane, Instance, binary, client, component, create_namespace, eventually};
use k8s_openapi::api::core::v1::ConfigMap;
use kube::api::{Api, DeleteParams, ListParams, ObjectMeta, PostParams};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use process_control::{ChildEnding, Spawn, capture};

const BOTH_LOST: [&str; 4] = ["--lost", "etcd-0", "--lost", "etcd-1"];
const BACK: Duration = Duration::from_secs(90);
/// The controller-manager puts it into every namespace, whenever it comes to that; everything else is the test's.
const NOT_OURS: &str = "kube-root-ca.crt";

/// Runs a program to its end; exit code and all that it printed.
async fn run(program: PathBuf, arguments: &[&str]) -> (i32, String) {
    let spawn = Spawn::new(program).arguments(arguments).from_thread_that_outlives_it();
    let captured = capture(&spawn, Duration::from_secs(180)).await.expect("it runs");
    let code = match captured.ending {
        ChildEnding::Exited(code) => code,
        ChildEnding::Signalled(signal) => 128 + signal,
    };
    let printed = [captured.stdout, captured.stderr].concat();
    (code, String::from_utf8_lossy(&printed).into_owned())
}

async fn recover(plane: &ControlPlane, member: &str, arguments: &[&str]) -> (i32, String) {
    let data = plane.instance(member).await.data_directory.expect("the status tells where etcd's data is");
    let data = data.display().to_string();
    let all = [&["recover", "--data-directory", data.as_str()], arguments].concat();
    run(binary("etcd-supervisor"), &all).await
}

/// Kills a member's etcd and supervisor after its volume was emptied; `pilothouse up` starts a new one.
fn destroy(member: &Instance) {
    let data = member.data_directory.clone().expect("the status tells where etcd's data is");
    for pid in [member.supervisor_pid, member.pid].into_iter().flatten() {
        // The child dies with its supervisor, perhaps before it is signalled.
        let _gone = kill(Pid::from_raw(pid.cast_signed()), Signal::SIGKILL);
    }
    // What dies may still write; it is gone long before a new one is started.
    while data.exists() {
        let _not_empty = std::fs::remove_dir_all(&data);
    }
}

async fn write(maps: &Api<ConfigMap>, prefix: &str, count: usize) -> BTreeMap<String, i64> {
    let mut acknowledged = BTreeMap::new();
    for number in 0..count {
        let name = format!("{prefix}-{number}");
        let metadata = ObjectMeta { name: Some(name.clone()), ..ObjectMeta::default() };
        let map = ConfigMap { metadata, ..ConfigMap::default() };
        let made = maps.create(&PostParams::default(), &map).await.unwrap();
        acknowledged.insert(name, made.metadata.resource_version.unwrap().parse().unwrap());
    }
    acknowledged
}

async fn names(maps: &Api<ConfigMap>, parameters: &ListParams) -> Result<BTreeSet<String>, kube::Error> {
    let list = maps.list(parameters).await?;
    Ok(list.items.into_iter().filter_map(|map| map.metadata.name).filter(|name| name != NOT_OURS).collect())
}

/// The names that etcd itself has.
async fn in_etcd(plane: &ControlPlane, namespace: &str) -> BTreeSet<String> {
    let prefix = format!("/registry/configmaps/{namespace}/");
    let (code, printed) = etcdctl(plane, &["get", &prefix, "--prefix", "--keys-only"]).await;
    assert_eq!(code, 0, "{printed}");
    let names = printed.lines().filter_map(|line| line.strip_prefix(&prefix));
    names.filter(|name| *name != NOT_OURS).map(str::to_owned).collect()
}

async fn etcdctl(plane: &ControlPlane, arguments: &[&str]) -> (i32, String) {
    let etcd = plane.instance("etcd-2").await;
    let runtime = plane.state_directory().join("instances/etcd-2/runtime");
    let at = |path: &str| runtime.join(path).display().to_string();
    let argv = std::fs::read(format!("/proc/{}/cmdline", etcd.pid.expect("etcd-2 runs"))).unwrap();
    let argv = String::from_utf8_lossy(&argv).into_owned();
    let endpoint = argv.split('\0').find_map(|word| word.strip_prefix("--advertise-client-urls=")).unwrap();
    let access = [
        format!("--endpoints={endpoint}"),
        format!("--cacert={}", at("trust/etcd.crt")),
        format!("--cert={}", at("certificates/etcd-member-client/tls.crt")),
        format!("--key={}", at("certificates/etcd-member-client/tls.key")),
    ];
    let mut all: Vec<&str> = access.iter().map(String::as_str).collect();
    all.extend(arguments);
    run(component("etcdctl"), &all).await
}

/// The revision up to which the report promises that nothing is lost.
fn promised(report: &str) -> i64 {
    let rest = report.split("every write after revision ").nth(1).expect(report);
    rest.split_whitespace().next().unwrap().parse().unwrap()
}

/// etcd is another cluster, so both API servers are replaced by themselves; then everything is ready.
async fn until_back(plane: &ControlPlane, before: &[Instance]) {
    let servers = |instances: &[Instance]| -> BTreeMap<String, Option<u32>> {
        let servers = instances.iter().filter(|instance| instance.component == "kube-apiserver");
        servers.map(|instance| (instance.name.clone(), instance.pid)).collect()
    };
    let old = servers(before);
    plane
        .until("API servers replaced", BACK, |instances| {
            servers(instances).iter().all(|(name, pid)| pid.is_some() && *pid != old[name])
        })
        .await;
    plane.until_ready(BACK).await;
}

/// Lists from every API server's cache and from etcd through it; all must say what etcd has.
async fn api_servers_tell_what_etcd_has(plane: &ControlPlane, maps: &Api<ConfigMap>, namespace: &str) {
    let stored = in_etcd(plane, namespace).await;
    let cached = ListParams { resource_version: Some("0".to_owned()), ..ListParams::default() };
    // The front gives each new connection to another one.
    for _server in 0..4 {
        let maps: Api<ConfigMap> = Api::namespaced(client(&plane.kubeconfig()).await, namespace);
        assert_eq!(names(&maps, &ListParams::default()).await.unwrap(), stored, "a consistent list");
        // A cache may be a moment behind the last write, but not for good.
        eventually("the cache has what etcd has", Duration::from_secs(10), async || {
            let told = names(&maps, &cached).await.map_err(|error| error.to_string())?;
            if told == stored { Ok(()) } else { Err(format!("{told:?}")) }
        })
        .await;
    }
    maps.delete("after-0", &DeleteParams::default()).await.unwrap();
    eventually("the caches follow", Duration::from_secs(10), async || {
        let names = names(maps, &cached).await.map_err(|error| error.to_string())?;
        if names.contains("after-0") { Err("it is still there".to_owned()) } else { Ok(()) }
    })
    .await;
}

async fn until_told(plane: &ControlPlane, command: &str) {
    plane
        .until("the way out is named", Duration::from_secs(60), |instances| {
            let mut seen = instances.iter().filter_map(|instance| instance.last_observation.as_ref());
            seen.any(|seen| seen.contains(command))
        })
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_survivor_is_the_cluster_again_and_then_a_snapshot_is() {
    let plane = ControlPlane::ready(&[]).await;
    let admin = client(&plane.kubeconfig()).await;
    create_namespace(&admin, "writes").await;
    let maps: Api<ConfigMap> = Api::namespaced(admin, "writes");
    let written = write(&maps, "before", 100).await;
    let (code, printed) = recover(&plane, "etcd-2", &[&BOTH_LOST[..], &["--yes"]].concat()).await;
    assert!(code == 1 && printed.contains("serves with a quorum: there is nothing to recover"), "{printed}");

    println!("two of three are lost");
    for member in ["etcd-0", "etcd-1"] {
        destroy(&plane.instance(member).await);
    }
    until_told(&plane, "etcd-supervisor recover --lost etcd-0 --lost etcd-1` beside etcd-2").await;
    let (code, printed) = recover(&plane, "etcd-2", &["--yes"]).await;
    assert!(code == 1 && printed.contains("add --lost etcd-0"), "{printed}");
    let before = plane.status().await.unwrap();
    let (code, printed) = recover(&plane, "etcd-2", &BOTH_LOST).await;
    assert!(code == 0 && printed.contains("Nothing was changed"), "{printed}");
    let began = tokio::time::Instant::now();
    let (code, printed) = recover(&plane, "etcd-2", &[&BOTH_LOST[..], &["--yes"]].concat()).await;
    assert_eq!(code, 0, "{printed}");
    println!("a cluster of one after {:?}", began.elapsed());
    until_back(&plane, &before).await;
    println!("everything ready after {:?}", began.elapsed());
    let up_to = promised(&printed);
    let found = in_etcd(&plane, "writes").await;
    assert!(written.iter().all(|(name, at)| *at > up_to || found.contains(name)), "promised up to {up_to}");
    let admin = client(&plane.kubeconfig()).await;
    let maps: Api<ConfigMap> = Api::namespaced(admin, "writes");
    write(&maps, "after", 3).await;
    api_servers_tell_what_etcd_has(&plane, &maps, "writes").await;

    println!("all three are lost");
    let snapshot = plane.state_directory().join("snapshot.db");
    save_snapshot(&plane, &snapshot).await;
    let in_snapshot = in_etcd(&plane, "writes").await;
    write(&maps, "too-late", 20).await;
    for member in ["etcd-0", "etcd-1", "etcd-2"] {
        destroy(&plane.instance(member).await);
    }
    until_told(&plane, "etcd-supervisor recover --snapshot FILE --lost etcd-0").await;
    let before = plane.status().await.unwrap();
    let file = snapshot.display().to_string();
    let began = tokio::time::Instant::now();
    let arguments = [&BOTH_LOST[..], &["--snapshot", &file, "--yes"]].concat();
    let (code, printed) = recover(&plane, "etcd-2", &arguments).await;
    assert_eq!(code, 0, "{printed}");
    println!("a cluster of one from the snapshot after {:?}", began.elapsed());
    until_back(&plane, &before).await;
    println!("everything ready after {:?}", began.elapsed());
    let found = in_etcd(&plane, "writes").await;
    assert_eq!(found, in_snapshot, "everything up to the snapshot, and nothing that came later");
    let maps: Api<ConfigMap> = Api::namespaced(client(&plane.kubeconfig()).await, "writes");
    create_again(&maps, "after-0").await;
    api_servers_tell_what_etcd_has(&plane, &maps, "writes").await;
}

async fn create_again(maps: &Api<ConfigMap>, name: &str) {
    let metadata = ObjectMeta { name: Some(name.to_owned()), ..ObjectMeta::default() };
    maps.create(&PostParams::default(), &ConfigMap { metadata, ..ConfigMap::default() }).await.unwrap();
}

async fn save_snapshot(plane: &ControlPlane, to: &Path) {
    let (code, printed) = etcdctl(plane, &["snapshot", "save", &to.display().to_string()]).await;
    assert_eq!(code, 0, "{printed}");
}
