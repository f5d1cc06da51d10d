//! What must hold with the real binaries. One scenario is one life of a cluster.

use std::time::Duration;

use nix::sys::signal::Signal;

use crate::harness::{Cluster, Writer};

const SOON: Duration = Duration::from_secs(60);

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs PILOTHOUSE_COMPONENTS"]
async fn three_are_founded_restarted_at_once_and_stopped_together() {
    let mut cluster = Cluster::new(3, &[]);
    cluster.start_all();
    println!("founded after {:?}", cluster.until_whole(SOON).await);
    let writer = Writer::start(&cluster).await;
    cluster
        .until("one leader", SOON, |all| {
            all.iter().filter(|it| it.details.get("leader").is_some_and(|leads| leads == "true")).count() == 1
        })
        .await;
    assert_eq!(cluster.cluster_ids().await.len(), 1);
    for member in 0..3 {
        cluster.kill_supervisor(member);
    }
    cluster.start_all();
    println!("whole again after {:?}", cluster.until_whole(SOON).await);
    println!("{} writes", writer.check(&cluster).await);
    let record = std::fs::read_to_string(cluster.record()).unwrap();
    cluster
        .until("recorded", seconds(15), |_| {
            std::fs::read_to_string(cluster.record()).unwrap().matches("\"started\": true").count() == 3
        })
        .await;
    assert!(record.contains("etcd-2"), "{record}");
    cluster.terminate_all();
    let began = tokio::time::Instant::now();
    for member in 0..3 {
        assert_eq!(cluster.stopped(member, seconds(25)).await, Some(0), "{}", cluster.log(member));
    }
    println!("stopped after {:?}", began.elapsed());
    cluster.start_all();
    cluster.until_whole(SOON).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs PILOTHOUSE_COMPONENTS"]
async fn a_deleted_data_directory_is_replaced_without_a_hand() {
    let mut cluster = Cluster::new(3, &[]);
    cluster.start_all();
    cluster.until_whole(SOON).await;
    let writer = Writer::start(&cluster).await;
    let before = cluster.member_id(1).await;
    println!("the whole volume, etcd running on");
    std::fs::remove_dir_all(cluster.volume(1)).unwrap();
    cluster
        .until("another member id", SOON, |all| {
            all.iter().any(|it| {
                it.name == "etcd-1" && it.ready && it.details.get("memberId").is_some_and(|id| *id != before)
            })
        })
        .await;
    println!("three voters again after {:?}", cluster.until_whole(SOON).await);
    println!("the data only, and the child killed at once");
    std::fs::remove_dir_all(cluster.volume(2).join("member-data")).unwrap();
    cluster.signal_child(2, Signal::SIGKILL).await;
    cluster.until("not ready", seconds(5), |all| all.iter().any(|it| it.name == "etcd-2" && !it.ready)).await;
    println!("three voters again after {:?}", cluster.until_whole(SOON).await);
    println!("{} writes", writer.check(&cluster).await);
    assert_eq!(cluster.cluster_ids().await.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs PILOTHOUSE_COMPONENTS"]
async fn two_of_five_lose_their_volumes_at_once() {
    let mut cluster = Cluster::new(5, &[]);
    cluster.start_all();
    println!("founded after {:?}", cluster.until_whole(SOON).await);
    let writer = Writer::start(&cluster).await;
    for member in [1, 3] {
        cluster.kill_supervisor(member);
        std::fs::remove_dir_all(cluster.volume(member)).unwrap();
    }
    for member in [1, 3] {
        cluster.start(member);
    }
    println!("five voters again after {:?}", cluster.until_whole(seconds(90)).await);
    println!("{} writes", writer.check(&cluster).await);
    assert_eq!(cluster.cluster_ids().await.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs PILOTHOUSE_COMPONENTS"]
async fn a_lost_majority_waits_says_so_and_founds_nothing() {
    let mut cluster = Cluster::new(3, &[]);
    cluster.start_all();
    cluster.until_whole(SOON).await;
    let record = std::fs::read_to_string(cluster.record()).unwrap();
    for member in [0, 1] {
        cluster.kill_supervisor(member);
        std::fs::remove_dir_all(cluster.volume(member)).unwrap();
    }
    cluster.start(0);
    cluster.start(1);
    cluster
        .until("waiting with the way out", seconds(20), |all| {
            let waits = |name: &str| {
                all.iter().any(|it| {
                    it.name == name
                        && it.pid.is_none()
                        && it
                            .last_observation
                            .as_ref()
                            .is_some_and(|seen| seen.contains("the data of a majority is missing"))
                })
            };
            waits("etcd-0") && waits("etcd-1")
        })
        .await;
    for member in 0..3 {
        cluster.kill_supervisor(member);
        cluster.start(member);
    }
    cluster
        .until("waiting again", seconds(20), |all| {
            all.len() == 3
                && all
                    .iter()
                    .filter(|it| it.pid.is_none() && it.state == health_endpoints::State::Waiting)
                    .count()
                    == 2
        })
        .await;
    assert!(cluster.statuses().await.iter().all(|it| !it.ready));
    let token = |record: &str| serde_json::from_str::<serde_json::Value>(record).unwrap()["token"].clone();
    assert_eq!(token(&record), token(&std::fs::read_to_string(cluster.record()).unwrap()));
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs PILOTHOUSE_COMPONENTS"]
async fn a_removed_member_comes_back_as_a_new_one() {
    let mut cluster = Cluster::new(3, &[]);
    cluster.start_all();
    cluster.until_whole(SOON).await;
    let writer = Writer::start(&cluster).await;
    let before = cluster.member_id(2).await;
    let id = u64::from_str_radix(&before, 16).unwrap();
    // The cluster must be 5 s old before etcd removes an active member.
    let mut client = cluster.client_of(0).await;
    let deadline = tokio::time::Instant::now() + seconds(20);
    while let Err(error) = client.member_remove(id).await {
        assert!(tokio::time::Instant::now() < deadline, "{error}");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    cluster
        .until("another member id", SOON, |all| {
            all.iter().any(|it| {
                it.name == "etcd-2" && it.ready && it.details.get("memberId").is_some_and(|id| *id != before)
            })
        })
        .await;
    println!("three voters again after {:?}", cluster.until_whole(SOON).await);
    println!("{} writes", writer.check(&cluster).await);
    let aside = std::fs::read_dir(cluster.volume(2))
        .unwrap()
        .any(|entry| entry.unwrap().file_name().to_string_lossy().contains("aside-removed"));
    assert!(aside, "the old data is kept");
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs PILOTHOUSE_COMPONENTS"]
async fn a_single_member_starts_again_and_never_founds_twice() {
    let mut cluster = Cluster::new(1, &[]);
    cluster.start_all();
    println!("founded after {:?}", cluster.until_whole(SOON).await);
    let writer = Writer::start(&cluster).await;
    cluster
        .until("recorded", seconds(15), |_| {
            std::fs::read_to_string(cluster.record()).unwrap().contains("\"started\": true")
        })
        .await;
    cluster.signal_child(0, Signal::SIGKILL).await;
    cluster.until("restarted", SOON, |all| all.iter().any(|it| it.ready && it.restarts == 1)).await;
    println!("{} writes", writer.check(&cluster).await);
    cluster.terminate_all();
    assert_eq!(cluster.stopped(0, seconds(25)).await, Some(0));
    std::fs::remove_dir_all(cluster.volume(0)).unwrap();
    cluster.start(0);
    cluster
        .until("waiting", seconds(20), |all| {
            all.iter().any(|it| {
                it.last_observation
                    .as_ref()
                    .is_some_and(|seen| seen.contains("the data of a majority is missing"))
            })
        })
        .await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs PILOTHOUSE_COMPONENTS"]
async fn a_frozen_member_is_killed_while_its_peers_have_quorum() {
    let mut cluster = Cluster::new(3, &[]);
    cluster.start_all();
    cluster.until_whole(SOON).await;
    let writer = Writer::start(&cluster).await;
    let began = tokio::time::Instant::now();
    let frozen = cluster.signal_child(0, Signal::SIGSTOP).await;
    cluster
        .until("another child", seconds(40), |all| {
            all.iter().any(|it| it.name == "etcd-0" && it.pid.is_some_and(|pid| pid != frozen) && it.ready)
        })
        .await;
    println!("replaced after {:?}", began.elapsed());
    println!("{} writes", writer.check(&cluster).await);
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs PILOTHOUSE_COMPONENTS"]
async fn a_frozen_majority_is_left_alone_and_a_stop_is_held_back_for_a_member_that_comes_back() {
    let mut cluster = Cluster::new(3, &[]);
    cluster.start_all();
    cluster.until_whole(SOON).await;
    let frozen =
        [cluster.signal_child(0, Signal::SIGSTOP).await, cluster.signal_child(1, Signal::SIGSTOP).await];
    cluster.until("unready", seconds(20), |all| all.iter().all(|it| !it.ready)).await;
    let until = tokio::time::Instant::now() + seconds(15);
    while tokio::time::Instant::now() < until {
        let statuses = cluster.statuses().await;
        assert_eq!(statuses.len(), 3);
        assert!(statuses.iter().all(|it| it.restarts == 0), "{statuses:#?}");
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
    cluster.signal_child(0, Signal::SIGCONT).await;
    cluster.signal_child(1, Signal::SIGCONT).await;
    println!("whole after {:?}", cluster.until_whole(SOON).await);
    assert_eq!(
        [cluster.status(0).await.unwrap().pid, cluster.status(1).await.unwrap().pid],
        frozen.map(Some)
    );
    println!("one is frozen, another is asked to stop");
    cluster.signal_child(0, Signal::SIGSTOP).await;
    cluster.until("unready", seconds(20), |all| all.iter().any(|it| it.name == "etcd-0" && !it.ready)).await;
    cluster.signal_supervisor(1, Signal::SIGTERM);
    cluster
        .until("holding back", seconds(5), |all| {
            all.iter().any(|it| it.name == "etcd-1" && it.pid.is_some() && it.reason.contains("quorum"))
        })
        .await;
    // If the frozen one led, the others elect first.
    let until = tokio::time::Instant::now() + seconds(8);
    while cluster.voters().await != Some(3) {
        assert!(tokio::time::Instant::now() < until, "two serve on");
    }
    assert_eq!(cluster.stopped(1, seconds(60)).await, Some(0), "{}", cluster.log(1));
    assert!(cluster.status(0).await.unwrap().ready, "it stopped before the frozen one was back");
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs PILOTHOUSE_COMPONENTS"]
async fn damaged_data_is_set_aside_and_replaced_when_the_others_have_quorum() {
    let mut cluster = Cluster::new(3, &[]);
    cluster.start_all();
    cluster.until_whole(SOON).await;
    let writer = Writer::start(&cluster).await;
    cluster.kill_supervisor(1);
    let log = cluster.volume(1).join("member-data/member/wal/0000000000000000-0000000000000000.wal");
    let bytes = std::fs::read(&log).unwrap();
    let damaged: Vec<u8> = bytes
        .iter()
        .enumerate()
        .map(|(at, byte)| if (64..4096).contains(&at) { !byte } else { *byte })
        .collect();
    std::io::Write::write_all(&mut std::fs::File::create(&log).unwrap(), &damaged).unwrap();
    cluster.start(1);
    println!("three voters again after {:?}", cluster.until_whole(seconds(120)).await);
    println!("{} writes", writer.check(&cluster).await);
    let aside = std::fs::read_dir(cluster.volume(1))
        .unwrap()
        .any(|entry| entry.unwrap().file_name().to_string_lossy().contains("aside-rejected"));
    assert!(aside, "the damaged data is kept");
}

/// Faults at random moments, also in the middle of a rejoin; never more than one member is without its data.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs PILOTHOUSE_COMPONENTS"]
async fn random_faults_one_member_at_a_time_lose_nothing() {
    use rand::{RngExt as _, SeedableRng as _};
    let seed =
        std::env::var("PILOTHOUSE_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or_else(rand::random);
    println!("PILOTHOUSE_SEED={seed}");
    let mut random = rand::rngs::StdRng::seed_from_u64(seed);
    let mut cluster = Cluster::new(3, &["--crash-limit", "20"]);
    cluster.start_all();
    cluster.until_whole(SOON).await;
    let writer = Writer::start(&cluster).await;
    let mut victim = 0;
    for fault in 0..14 {
        let whole = cluster.statuses().await.iter().filter(|it| it.ready).count() == 3
            && cluster.voters().await == Some(3);
        if whole {
            victim = random.random_range(0..3);
        }
        let kind = random.random_range(0..5);
        println!(
            "{fault}: kind {kind} on etcd-{victim} ({})",
            if whole { "all well" } else { "while it comes back" }
        );
        match kind {
            0 => cluster.kill_supervisor(victim),
            1 => {
                cluster.kill_supervisor(victim);
                std::fs::remove_dir_all(cluster.volume(victim)).unwrap();
            }
            2 => {
                cluster.kill_supervisor(victim);
                let data = cluster.volume(victim).join("member-data");
                if data.exists() {
                    std::fs::remove_dir_all(data).unwrap();
                }
            }
            3 => cluster.kill_child_if_any(victim).await,
            _ => cluster.signal_supervisor(victim, Signal::SIGTERM),
        }
        if kind < 3 {
            cluster.start(victim);
        }
        // When the next fault comes is part of what is random.
        tokio::time::sleep(Duration::from_millis(random.random_range(0..6000))).await;
        cluster.restart_ended();
    }
    println!("whole after {:?}", cluster.until_whole(seconds(120)).await);
    println!("{} writes", writer.check(&cluster).await);
    assert_eq!(cluster.cluster_ids().await.len(), 1);
}
