//! Leaves are renewed under a steady client: no failed request, no restart where the component reloads.
#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::unwrap_used,
    clippy::missing_panics_doc,
    reason = "test code: a broken expectation is a failed test, and measurements are printed"
)]

use std::collections::BTreeMap;
use std::time::Duration;

use end_to_end::{ControlPlane, Instance, Listener, Writer, client, create_namespace};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

/// Leaves that components reload at once may be very short.
const SHORT: &[&str] = &[
    "--lifetime",
    "etcd-server=20s",
    "--lifetime",
    "etcd-peer=20s",
    "--lifetime",
    "etcd-member-client=20s",
    "--lifetime",
    "apiserver-serving=20s",
    "--lifetime",
    "apiserver-etcd-client=20s",
    "--lifetime",
    "apiserver-front-proxy-client=20s",
    "--lifetime",
    "controller-manager-serving=20s",
    "--lifetime",
    "scheduler-serving=20s",
];

/// Leaves used through client-go, which looks for new ones every five minutes only.
const LATE: &[&str] = &[
    "--lifetime",
    "apiserver-kubelet-client=12m",
    "--lifetime",
    "controller-manager-client=12m",
    "--lifetime",
    "scheduler-client=12m",
];

/// Steady writes for `length`: none fails, nobody is restarted, every leaf of `profiles` is another afterwards and in use.
async fn renewed_without_a_trace(plane: &ControlPlane, profiles: &[&str], namespace: &str, length: Duration) {
    create_namespace(&client(&plane.kubeconfig()).await, namespace).await;
    let before = plane.status().await.unwrap();
    let expiries_before = expiries(plane, profiles).await;

    let writer = Writer::reconnecting(&plane.kubeconfig(), 10, namespace, Duration::from_millis(100));
    tokio::time::sleep(length).await;
    let report = writer.stop_and_check().await;
    println!(
        "renewal of {profiles:?} for {length:?}: {} writes, longest gap {:?}, failed: {:?}",
        report.acknowledged.len(),
        report.longest_gap,
        report.failed
    );
    assert!(report.failed.is_empty(), "{report:?}");

    let expiries_after = expiries(plane, profiles).await;
    for (instance, leaves) in &expiries_before {
        for (profile, expiry) in leaves {
            assert_ne!(&expiries_after[instance][profile], expiry, "{profile} of {instance} was not renewed");
        }
    }
    for before in before {
        let now = plane.instance(&before.name).await;
        assert_eq!((now.pid, now.restarts), (before.pid, before.restarts), "{} was restarted", before.name);
        assert!(now.ready, "{now:?}");
        for listener in Listener::all_of(&now, &plane.state_directory()) {
            listener.shows_what_lies_on_disk().await;
        }
        // What a supervisor shows to others is renewed, too: none of them may have become a stranger.
        for front in ["apiServers", "etcdMembers"] {
            let told = now.details.get(front).map_or("", String::as_str);
            assert!(!told.contains("not"), "{}: {told}", now.name);
        }
    }
}

/// Ends one etcd after the other. Afterwards no connection between members is older than that, nor one of an API server
/// to etcd: all were made with renewed leaves, at both ends.
async fn every_etcd_restarts(plane: &ControlPlane) {
    for before in plane.status().await.unwrap().iter().filter(|instance| instance.component == "etcd") {
        kill(Pid::from_raw(before.pid.unwrap().cast_signed()), Signal::SIGTERM).unwrap();
        let restarted = |instances: &[Instance]| {
            instances.iter().all(|now| now.ready && (now.name != before.name || now.pid != before.pid))
        };
        plane
            .until(&format!("{} is back and all are ready", before.name), Duration::from_secs(30), restarted)
            .await;
    }
}

/// Expiry by instance and profile, of the named profiles only.
async fn expiries(plane: &ControlPlane, profiles: &[&str]) -> BTreeMap<String, BTreeMap<String, String>> {
    let (_code, output, error) = plane.command(&["status", "-o", "json"]).await;
    let rows: Vec<serde_json::Value> =
        serde_json::from_str(&output).unwrap_or_else(|_| panic!("{output}{error}"));
    let mut found: BTreeMap<String, BTreeMap<String, String>> = BTreeMap::new();
    for row in rows {
        for certificate in row["certificates"].as_array().into_iter().flatten() {
            let profile = certificate["profile"].as_str().unwrap();
            if profiles.contains(&profile) {
                found
                    .entry(row["name"].as_str().unwrap().to_owned())
                    .or_default()
                    .insert(profile.to_owned(), certificate["notAfter"].as_str().unwrap().to_owned());
            }
        }
    }
    let seen: std::collections::BTreeSet<_> =
        found.values().flat_map(BTreeMap::keys).map(String::as_str).collect();
    assert_eq!(seen.len(), profiles.len(), "every profile is in use: {seen:?} of {profiles:?}");
    found
}

fn profiles(lifetimes: &[&'static str]) -> Vec<&'static str> {
    lifetimes.iter().filter_map(|argument| argument.split_once('=')).map(|(profile, _)| profile).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn leaves_of_twenty_seconds_for_two_minutes() {
    let plane = ControlPlane::ready(SHORT).await;
    renewed_without_a_trace(&plane, &profiles(SHORT), "first", Duration::from_secs(60)).await;
    every_etcd_restarts(&plane).await;
    renewed_without_a_trace(&plane, &profiles(SHORT), "second", Duration::from_secs(60)).await;
}

/// Runs beside the other tests (it only waits); `cargo xtask test` starts it first and looks at it last.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "takes 13 minutes; `cargo xtask test` runs it beside the others"]
async fn leaves_of_twelve_minutes_through_client_go() {
    // Beyond the end of the first leaves: whoever did not take up new ones fails from then on.
    let plane = ControlPlane::ready(LATE).await;
    renewed_without_a_trace(&plane, &profiles(LATE), "writes", Duration::from_secs(13 * 60)).await;
}
