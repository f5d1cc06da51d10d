//! With an empty etcd one API server starts ahead of the others; none waits for one that does not come up.
#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::unwrap_used,
    clippy::missing_panics_doc,
    reason = "test code: a broken expectation is a failed test, and measurements are printed"
)]

use std::time::Duration;

use end_to_end::{ControlPlane, Frozen, Instance};
use tokio::time::Instant;

const THREE: [&str; 4] = ["--api-servers=3", "--etcd=1", "--controller-managers=1", "--schedulers=1"];
/// A head start of 30 s, and a start beside other tests.
const WITHOUT_THE_FIRST_LIMIT: Duration = Duration::from_secs(90);

fn api_servers(instances: &[Instance]) -> Vec<&Instance> {
    instances.iter().filter(|instance| instance.component == "kube-apiserver").collect()
}

/// The time of the first line with this text, as it is written.
fn told(plane: &ControlPlane, instance: &str, text: &str) -> Option<String> {
    let log = plane.state_directory().join("instances").join(instance).join("log");
    let log = std::fs::read_to_string(log).unwrap();
    let line = log.lines().find(|line| line.contains(text))?;
    Some(line.split_whitespace().next().unwrap().to_owned())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_api_server_writes_what_every_cluster_begins_with_and_all_start_again_together() {
    let mut plane = ControlPlane::ready(&THREE).await;
    let names: Vec<String> =
        api_servers(&plane.status().await.unwrap()).iter().map(|it| it.name.clone()).collect();
    let first: Vec<&String> =
        names.iter().filter(|name| told(&plane, name, "the others wait for this one").is_some()).collect();
    let [first] = first[..] else { panic!("{first:?} started first") };
    let written = told(&plane, first, "what every cluster begins with is written").unwrap();
    for name in &names {
        let started = told(&plane, name, "from=Waiting to=Starting").unwrap();
        assert_eq!(started < written, name == first, "{name} at {started}, all was written at {written}");
    }

    plane.stop().await;
    plane.start();
    plane.until_ready(Duration::from_secs(120)).await;
    for name in &names {
        let log = plane.state_directory().join("instances").join(name).join("log");
        let log = std::fs::read_to_string(log).unwrap();
        let again = log.rsplit("state from=Bootstrapping").next().unwrap();
        assert!(!again.contains("first_start"), "nobody waits for a second first start: {again}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_first_api_server_that_hangs_is_not_waited_for() {
    let plane = ControlPlane::starting(&THREE);
    let begun = |instances: &[Instance]| api_servers(instances).iter().any(|it| it.pid.is_some());
    let instances = plane.until("an API server that has begun", Duration::from_secs(60), begun).await;
    let running: Vec<&Instance> = api_servers(&instances).into_iter().filter(|it| it.pid.is_some()).collect();
    let [first] = running[..] else { panic!("more than one begins: {instances:#?}") };
    let frozen = Frozen::of(first);
    let frozen_at = Instant::now();

    let waits = |it: &Instance| {
        it.last_observation
            .as_ref()
            .is_some_and(|seen| *seen == format!("{} starts first and is not ready yet", first.name))
    };
    plane
        .until("the others wait and say for whom", Duration::from_secs(20), |instances| {
            api_servers(instances).iter().filter(|it| waits(it)).count() == 2
        })
        .await;
    plane
        .until("the others are ready", WITHOUT_THE_FIRST_LIMIT, |instances| {
            api_servers(instances).iter().filter(|it| it.name != first.name && it.ready).count() == 2
        })
        .await;
    println!("two API servers were ready {:?} after the first had been frozen", frozen_at.elapsed());
    drop(frozen);
    plane.until_ready(Duration::from_secs(120)).await;
}
