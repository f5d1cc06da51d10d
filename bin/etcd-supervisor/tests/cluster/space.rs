//! The size of databases: a full quota; files of which much is free, rewritten one member after the other under writes; a
//! rewrite that takes long.

use std::collections::BTreeMap;
use std::time::Duration;

use etcd_client::{Client, CompactionOptions, DeleteOptions, Txn, TxnOp};
use health_endpoints::StatusDocument;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::Instant;

use crate::harness::{Cluster, Writer};

const SOON: Duration = Duration::from_secs(60);
const MIB: u64 = 1024 * 1024;

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs PILOTHOUSE_COMPONENTS"]
async fn a_full_quota_is_emptied_of_history_and_disarmed() {
    let mut cluster = Cluster::new(1, &["--quota-backend-bytes", "16777216"]);
    cluster.start_all();
    cluster.until_whole(SOON).await;
    let mut client = cluster.client_of(0).await;
    let value = vec![b'x'; 1024 * 1024];
    let mut refused = false;
    for _ in 0..40 {
        refused |= client
            .put("same", value.clone(), None)
            .await
            .is_err_and(|error| error.to_string().contains("space"));
    }
    assert!(refused, "the alarm never came");
    let deadline = Instant::now() + SOON;
    while client.put("after", "alarm", None).await.is_err() {
        assert!(Instant::now() < deadline, "{}", cluster.log(0));
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    cluster
        .until("no alarm told", Duration::from_secs(15), |all| {
            all.iter().all(|it| !it.details.contains_key("alarm"))
        })
        .await;
}

/// A wait that counts.
const LONG: Duration = Duration::from_millis(100);

/// What clients of one member saw.
struct Watched {
    waits: Vec<Duration>,
    failed: usize,
    writes: usize,
}

/// Writes by one member alone, so that what its clients wait for is seen.
async fn clients_of(cluster: &Cluster, member: usize, stop: watch::Receiver<bool>) -> JoinHandle<Watched> {
    let mut client = cluster.client_of(member).await;
    tokio::spawn(async move {
        let mut watched = Watched { waits: Vec::new(), failed: 0, writes: 0 };
        let mut last = Instant::now();
        while !*stop.borrow() {
            match client.put(format!("beside/{member}"), "x", None).await {
                Ok(_) => watched.writes += 1,
                Err(error) => {
                    println!("a write by etcd-{member} failed: {error}");
                    watched.failed += 1;
                }
            }
            watched.waits.extend(Some(last.elapsed()).filter(|wait| *wait > LONG));
            last = Instant::now();
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        watched
    })
}

async fn database_mib(client: &mut Client) -> Option<u64> {
    let status = tokio::time::timeout(Duration::from_millis(500), client.status()).await.ok()?.ok()?;
    Some(u64::try_from(status.db_size()).unwrap() / MIB)
}

/// Fills every member's database, deletes most of what was written and compacts: the files keep their size.
async fn fill_and_empty(cluster: &Cluster, kept_mib: u64, mib: u64) {
    let mut client = cluster.client_of(0).await;
    let value = vec![b'x'; 256 * 1024];
    for number in 0..4 * (kept_mib + mib) {
        let directory = if number < 4 * kept_mib { "kept" } else { "ballast" };
        client.put(format!("{directory}/{number:05}"), value.clone(), None).await.unwrap();
    }
    let deleted = client.delete("ballast/", Some(DeleteOptions::new().with_prefix())).await.unwrap();
    let revision = deleted.header().unwrap().revision();
    client.compact(revision, Some(CompactionOptions::new().with_physical())).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs PILOTHOUSE_COMPONENTS"]
async fn files_of_which_much_is_free_are_rewritten_one_after_the_other_under_writes() {
    let megabytes = |name: &str| std::env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
    let kept = megabytes("PILOTHOUSE_KEPT_MIB").unwrap_or(16);
    let mib = megabytes("PILOTHOUSE_BALLAST_MIB").unwrap_or(64);
    let settle = ["--defragment-free-bytes", "33554432", "--defragment-settle", "6"];
    let mut cluster = Cluster::new(3, &settle);
    cluster.start_all();
    cluster.until_whole(SOON).await;
    let leads = |document: &StatusDocument| document.details.get("leader").is_some_and(|it| it == "true");
    cluster.until("one leader", SOON, |all| all.iter().filter(|it| leads(it)).count() == 1).await;
    let leader = cluster.statuses().await.into_iter().find(leads).unwrap().name;
    let writer = Writer::start(&cluster).await;
    let (stop, stopped) = watch::channel(false);
    fill_and_empty(&cluster, kept, mib).await;
    let mut watched = Vec::new();
    for member in 0..3 {
        watched.push(clients_of(&cluster, member, stopped.clone()).await);
    }
    let mut clients = Vec::new();
    for member in 0..3 {
        clients.push(cluster.client_of(member).await);
    }
    let began = Instant::now();
    let mut order: Vec<(usize, Duration)> = Vec::new();
    let mut full: BTreeMap<usize, u64> = BTreeMap::new();
    while order.len() < 3 {
        for (member, client) in clients.iter_mut().enumerate() {
            let Some(now) = database_mib(client).await else { continue };
            let most = full.entry(member).or_default();
            *most = now.max(*most);
            if *most >= kept + mib && now < kept + mib / 2 && order.iter().all(|(done, _)| *done != member) {
                println!("etcd-{member} from {most} to {now} MiB after {:?}", began.elapsed());
                order.push((member, began.elapsed()));
            }
        }
        assert!(began.elapsed() < Duration::from_secs(120), "{order:?} of {full:?}\n{}", cluster.logs());
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    cluster
        .until("nothing more to do", SOON, |all| {
            all.iter().all(|it| !it.details.contains_key("defragmentation"))
        })
        .await;
    stop.send(true).unwrap();
    for (member, watched) in watched.into_iter().enumerate() {
        let watched = watched.await.unwrap();
        println!(
            "clients of etcd-{member}: {} writes, {} failed, waits above {LONG:?}: {:?}",
            watched.writes, watched.failed, watched.waits
        );
        assert_eq!(watched.failed, 0);
    }
    println!("{} writes", writer.check(&cluster).await);
    let leader_now = cluster.statuses().await.into_iter().find(leads).unwrap().name;
    assert_eq!(leader_now, leader, "leadership moved");
    assert_eq!(format!("etcd-{}", order[2].0), leader, "{order:?}");
    let calm = order.windows(2).map(|two| two[1].1.saturating_sub(two[0].1)).min().unwrap();
    assert!(calm >= Duration::from_secs(6), "{calm:?} between two");
    let lines = cluster.logs().matches("defragmented\"").count();
    assert_eq!(lines, 3, "once each:\n{}", cluster.logs());
    assert!(cluster.statuses().await.iter().all(|it| it.restarts == 0));
}

/// A member that is silent for 10 s is killed, if nobody knows why.
const KILLED_AFTER: Duration = Duration::from_secs(12);

/// Lets a process run for 5 ms in 200, as on a machine forty times as slow, until told to end.
fn slowed(pid: u32, end: watch::Receiver<bool>) -> JoinHandle<()> {
    let process = Pid::from_raw(pid.cast_signed());
    tokio::spawn(async move {
        while !*end.borrow() {
            kill(process, Signal::SIGSTOP).unwrap();
            tokio::time::sleep(Duration::from_millis(195)).await;
            kill(process, Signal::SIGCONT).unwrap();
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
}

/// What rewriting a database costs is the number of its keys.
async fn many_keys(cluster: &Cluster, attempt: usize) {
    let mut client = cluster.client_of(0).await;
    for batch in 0..2800 {
        let puts = (0..100).map(|number| TxnOp::put(format!("small/{attempt}/{batch}/{number}"), "x", None));
        client.txn(Txn::new().and_then(puts.collect::<Vec<_>>())).await.unwrap();
    }
}

/// How long a member was silent.
async fn slowly_rewritten(cluster: &Cluster, member: usize, pid: u32) -> Duration {
    let (end, ended) = watch::channel(false);
    let slow = slowed(pid, ended);
    let mut silent = Duration::ZERO;
    {
        let mut defragmenting =
            std::pin::pin!(cluster.etcdctl(member, &["defrag", "--command-timeout=120s"]));
        let began = Instant::now();
        loop {
            tokio::select! {
                () = &mut defragmenting => break,
                () = tokio::time::sleep(Duration::from_millis(100)) => {}
            }
            let Some(document) = cluster.status(member).await else { continue };
            if document.not_ready_because.starts_with("it is being defragmented") {
                silent = began.elapsed();
            }
        }
    }
    end.send(true).unwrap();
    slow.await.unwrap();
    silent
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs PILOTHOUSE_COMPONENTS"]
async fn a_member_that_is_rewritten_for_long_is_not_taken_for_one_that_hangs() {
    let mut cluster = Cluster::new(3, &[]);
    cluster.start_all();
    cluster.until_whole(SOON).await;
    let leads = |document: &StatusDocument| document.details.get("leader").is_some_and(|it| it == "true");
    cluster.until("a leader", SOON, |all| all.iter().any(leads)).await;
    let statuses = cluster.statuses().await;
    let follower = statuses.iter().position(|document| !leads(document)).unwrap();
    let pid = statuses[follower].pid.unwrap();
    let mut silent = Duration::ZERO;
    // How long it takes is the machine's to say: a fast one is given more to do.
    for attempt in 0..4 {
        many_keys(&cluster, attempt).await;
        silent = slowly_rewritten(&cluster, follower, pid).await;
        println!("silent for {silent:?}");
        if silent > KILLED_AFTER {
            break;
        }
    }
    assert!(silent > KILLED_AFTER, "nobody would have killed it after {silent:?}");
    cluster.until_whole(SOON).await;
    let after = cluster.status(follower).await.unwrap();
    assert_eq!((after.restarts, after.pid), (0, Some(pid)), "{}", cluster.log(follower));
}
