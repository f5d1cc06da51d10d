//! etcd under the API servers: a lost volume heals by itself, a frozen majority harms nobody but readiness.
#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::unwrap_used,
    clippy::missing_panics_doc,
    reason = "test code: a broken expectation is a failed test, and measurements are printed"
)]

use std::time::Duration;

use end_to_end::{
    ControlPlane, Frozen, Instance, Writer, client, create_namespace, eventually, processes_of,
};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tokio::time::Instant;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_member_whose_data_is_deleted_is_a_voter_again_without_a_hand() {
    let plane = ControlPlane::ready(&[]).await;
    let client = client(&plane.kubeconfig()).await;
    create_namespace(&client, "writes").await;
    let writer = Writer::start(client, "writes", Duration::from_millis(20));

    let victim = plane.instance("etcd-1").await;
    let data = victim.data_directory.clone().expect("the status tells where etcd's data is");
    for entry in std::fs::read_dir(&data).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            std::fs::remove_dir_all(path).unwrap();
        } else {
            std::fs::remove_file(path).unwrap();
        }
    }
    kill(Pid::from_raw(victim.pid.unwrap().cast_signed()), Signal::SIGKILL).unwrap();

    plane
        .until("etcd-1 is a voter again", Duration::from_secs(60), |instances| {
            instances.iter().any(|now| now.name == "etcd-1" && now.ready && now.pid != victim.pid)
        })
        .await;
    plane.until_ready(Duration::from_secs(30)).await;
    let report = writer.stop_and_check().await;
    println!("lost volume: {} writes acknowledged, failed: {:?}", report.acknowledged.len(), report.failed);
}

/// The kernel of a frozen member goes on acknowledging, so nothing but a question tells; etcd's supervisor kills it after
/// ten seconds, and until then the API servers must do without it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_frozen_member_is_left_for_another_within_seconds() {
    let plane = ControlPlane::ready(&[]).await;
    let before = plane.status().await.unwrap();
    let follower = before
        .iter()
        .find(|instance| instance.component == "etcd" && instance.leader == Some(false))
        .expect("a member that does not lead");
    // One connection each: the front in front of the API servers gives them to both.
    let mut writers = Vec::new();
    for namespace in ["first", "second"] {
        let client = client(&plane.kubeconfig()).await;
        create_namespace(&client, namespace).await;
        writers.push(Writer::start(client, namespace, Duration::from_millis(20)));
    }
    kill(Pid::from_raw(follower.pid.unwrap().cast_signed()), Signal::SIGSTOP).unwrap();
    plane
        .until("the frozen member is replaced", Duration::from_secs(60), |instances| {
            let now = |instance: &&Instance| instance.name == follower.name;
            instances.iter().find(now).is_some_and(|now| now.ready && now.pid != follower.pid)
        })
        .await;
    for writer in writers {
        let report = writer.stop_and_check().await;
        println!("frozen member: longest gap {:?}, failed: {:?}", report.longest_gap, report.failed);
        assert!(report.longest_gap < Duration::from_secs(7), "{:?}", report.longest_gap);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn api_servers_outlive_a_frozen_majority() {
    mutual_tls::install_provider();
    let plane = ControlPlane::ready(&[]).await;
    let before = plane.status().await.unwrap();
    let etcds: Vec<Pid> = before
        .iter()
        .filter(|instance| instance.component == "etcd")
        .map(|instance| Pid::from_raw(instance.pid.unwrap().cast_signed()))
        .collect();
    let servers: Vec<_> = before.iter().filter(|instance| instance.component == "kube-apiserver").collect();
    for pid in &etcds[..2] {
        kill(*pid, Signal::SIGSTOP).unwrap();
    }

    let probe = async |endpoint: &str, path: &str| {
        let answer = reqwest::get(format!("{endpoint}{path}")).await.map_err(|error| error.to_string())?;
        Ok::<_, String>((answer.status().as_u16(), answer.text().await.unwrap_or_default()))
    };
    for server in &servers {
        eventually("readiness is 503 and names etcd", Duration::from_secs(30), async || {
            let alive = probe(&server.endpoint, "/livez").await?;
            assert_eq!(alive.0, 200, "liveness must not depend on etcd: {alive:?}");
            match probe(&server.endpoint, "/readyz").await? {
                (503, text) if text.contains("etcd") => Ok(()),
                other => Err(format!("{other:?}")),
            }
        })
        .await;
    }
    // Long enough for a plain liveness probe to have restarted the API servers (failure threshold 3 at 10 s).
    let until = Instant::now() + Duration::from_secs(32);
    while Instant::now() < until {
        for server in &servers {
            assert_eq!(probe(&server.endpoint, "/livez").await.unwrap().0, 200);
        }
        tokio::time::sleep(Duration::from_millis(500)).await;
    }

    for pid in &etcds[..2] {
        kill(*pid, Signal::SIGCONT).unwrap();
    }
    eventually(
        "everything is ready again, and API servers live meanwhile",
        Duration::from_secs(60),
        async || {
            for server in &servers {
                assert_eq!(probe(&server.endpoint, "/livez").await.unwrap().0, 200);
            }
            let (code, table, _) = plane.command(&["status"]).await;
            if code == 0 { Ok(()) } else { Err(table) }
        },
    )
    .await;
    for server in servers {
        let now = plane.instance(&server.name).await;
        assert_eq!((now.pid, now.restarts), (server.pid, server.restarts), "{} was restarted", server.name);
    }
}

/// kube-apiserver's own drain waits for etcd, which does not come back.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_api_server_that_does_not_end_because_etcd_is_gone_is_killed() {
    let plane =
        ControlPlane::ready(&["--etcd=1", "--api-servers=1", "--controller-managers=1", "--schedulers=1"])
            .await;
    let (etcd, server) = (plane.instance("etcd-0").await, plane.instance("kube-apiserver-0").await);
    // It would replace a frozen etcd after ten seconds.
    let frozen_supervisor = Frozen::supervisor_of(&etcd);
    let frozen = Frozen::of(&etcd);
    let asked = Instant::now();
    let (supervisor, child) = (server.supervisor_pid.unwrap(), server.pid.unwrap());
    kill(Pid::from_raw(supervisor.cast_signed()), Signal::SIGTERM).unwrap();
    eventually("the API server and its supervisor end", Duration::from_secs(20), async || {
        let left = processes_of(&plane.state_directory());
        let left: Vec<_> =
            left.into_iter().filter(|(pid, _)| [supervisor, child].contains(&pid.cast_unsigned())).collect();
        if left.is_empty() { Ok(()) } else { Err(left) }
    })
    .await;
    println!("an API server without etcd ended {:?} after SIGTERM", asked.elapsed());
    let log = plane.state_directory().join("instances/kube-apiserver-0/log");
    let log = std::fs::read_to_string(log).unwrap();
    let reason = "SIGKILL sent: further waiting is senseless: etcd has had no quorum for 10s";
    assert!(log.contains(reason), "{log}");
    drop(frozen);
    drop(frozen_supervisor);
    plane.until_ready(Duration::from_secs(60)).await;
}
