//! The way out of a lost majority, with real supervisors and etcds: refused while it can be, then one cluster again with all
//! that the survivor or the snapshot had, whatever crashes meanwhile.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use etcd_client::GetOptions;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::harness::{Cluster, ended};

const SOON: Duration = Duration::from_secs(60);
const AFTER: Duration = Duration::from_secs(120);

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// Writes `count` numbers; what was acknowledged, with the revision of each.
async fn write(cluster: &Cluster, name: &str, count: usize) -> BTreeMap<String, i64> {
    let mut client = cluster.client().await;
    let mut acknowledged = BTreeMap::new();
    for number in 0..count {
        let key = format!("{name}/{number:05}");
        let put = client.put(key.clone(), number.to_string(), None).await.unwrap();
        acknowledged.insert(key, put.header().unwrap().revision());
    }
    acknowledged
}

/// The keys below `name`, and the revision of the store.
async fn stored(cluster: &Cluster, name: &str) -> (Vec<String>, i64) {
    let mut client = cluster.client().await;
    let answer = client.get(format!("{name}/"), Some(GetOptions::new().with_prefix())).await.unwrap();
    let keys = answer.kvs().iter().map(|entry| entry.key_str().unwrap().to_owned()).collect();
    (keys, answer.header().unwrap().revision())
}

fn record(cluster: &Cluster) -> serde_json::Value {
    serde_json::from_str(&std::fs::read_to_string(cluster.record()).unwrap()).unwrap()
}

/// Three members of which two are killed and lose their volumes at once; they run again, empty.
async fn two_of_three_lost() -> (Cluster, BTreeMap<String, i64>) {
    let mut cluster = Cluster::new(3, &[]);
    cluster.start_all();
    cluster.until_whole(SOON).await;
    let written = write(&cluster, "before", 300).await;
    for member in [0, 1] {
        cluster.kill_supervisor(member);
        std::fs::remove_dir_all(cluster.volume(member)).unwrap();
    }
    cluster.start(0);
    cluster.start(1);
    cluster
        .until("two waiting with the command", seconds(30), |all| {
            let told = "`etcd-supervisor recover --lost etcd-0 --lost etcd-1` beside etcd-2";
            let waits = |it: &&health_endpoints::StatusDocument| {
                it.last_observation.as_ref().is_some_and(|seen| seen.contains(told))
            };
            all.iter().filter(waits).count() == 2
        })
        .await;
    (cluster, written)
}

const BOTH_LOST: [&str; 4] = ["--lost", "etcd-0", "--lost", "etcd-1"];

fn and<'a>(arguments: &[&'a str], more: &[&'a str]) -> Vec<&'a str> {
    [arguments, more].concat()
}

/// The revision up to which the report promises that nothing is lost.
fn promised(report: &str) -> i64 {
    let rest = report.split("every write after revision ").nth(1).expect(report);
    rest.split_whitespace().next().unwrap().parse().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs PILOTHOUSE_COMPONENTS"]
async fn a_survivor_becomes_the_cluster_that_the_others_join() {
    let mut cluster = Cluster::new(3, &[]);
    cluster.start_all();
    cluster.until_whole(SOON).await;
    for arguments in
        [&["--yes"][..], &["--lost", "etcd-0", "--lost", "etcd-1", "--yes"], &["--found-anew", "--yes"]]
    {
        let (code, printed) = cluster.recover(2, arguments).await;
        assert!(
            code == 1 && printed.contains("serves with a quorum: there is nothing to recover"),
            "{printed}"
        );
    }
    drop(cluster);

    let (mut cluster, written) = two_of_three_lost().await;
    let before = record(&cluster);
    let (code, printed) = cluster.recover(2, &["--yes"]).await;
    assert!(
        code == 1 && printed.contains("add --lost etcd-0") && printed.contains("add --lost etcd-1"),
        "{printed}"
    );
    let (code, printed) = cluster.recover(0, &["--lost", "etcd-1", "--lost", "etcd-2", "--yes"]).await;
    assert!(code == 1 && printed.contains("etcd-0 has no data"), "{printed}");
    assert!(printed.contains("etcd-2 was named as lost, and it answers and has data"), "{printed}");
    let (code, printed) = cluster.recover(2, &BOTH_LOST).await;
    assert!(code == 0 && printed.contains("Nothing was changed"), "{printed}");
    println!("{printed}");
    assert_eq!(record(&cluster), before, "only --yes changes anything");
    let old_ids = cluster.cluster_ids().await;

    let began = tokio::time::Instant::now();
    let (code, printed) = cluster.recover(2, &and(&BOTH_LOST, &["--yes"])).await;
    assert_eq!(code, 0, "{printed}\n{}", cluster.logs());
    println!("a cluster of one after {:?}; {}", began.elapsed(), printed.lines().last().unwrap());
    cluster.until_whole(AFTER).await;
    println!("three voters after {:?}", began.elapsed());

    let (keys, revision) = stored(&cluster, "before").await;
    let up_to = promised(&printed);
    let kept: Vec<&String> = written.iter().filter(|(_, at)| **at <= up_to).map(|(key, _)| key).collect();
    println!("{} of {} acknowledged writes are within the promise", kept.len(), written.len());
    assert!(kept.iter().all(|key| keys.contains(key)), "promised up to {up_to}");
    assert!(revision > up_to + 1_000_000_000, "{revision}");
    let ids = cluster.cluster_ids().await;
    assert!(ids.len() == 1 && ids != old_ids, "{old_ids:?} {ids:?}");
    assert_eq!(record(&cluster)["givenUp"].as_array().unwrap().len(), 1);
    let old_watch =
        cluster.client().await.get("before/00000", Some(GetOptions::new().with_revision(up_to))).await;
    assert!(
        old_watch.unwrap_err().to_string().contains("compacted"),
        "old revisions are refused, not answered"
    );
    let (code, printed) = cluster.recover(2, &and(&BOTH_LOST, &["--yes"])).await;
    assert!(code == 1 && printed.contains("serves with a quorum"), "{printed}");
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs PILOTHOUSE_COMPONENTS"]
async fn a_supervisor_that_is_killed_in_any_phase_goes_on_where_it_was() {
    let (mut cluster, written) = two_of_three_lost().await;
    let volume = cluster.volume(2);
    let command = cluster.recovering(2, &and(&BOTH_LOST, &["--yes"]));
    let mark = volume.join("recovery.json");
    let phase = |wanted: &str| std::fs::read_to_string(&mark).is_ok_and(|mark| mark.contains(wanted));
    let built = volume.join("member-data.recovered");
    // The last moments are short; what is missed was done before, and the kill hits what came after it.
    let moments: [(&str, &dyn Fn() -> bool); 4] = [
        ("the mark", &|| mark.exists()),
        ("half a copy", &|| built.exists()),
        ("a whole copy", &|| phase("built") || phase("switched") || !mark.exists()),
        ("the switch", &|| phase("switched") || !mark.exists()),
    ];
    for (what, reached) in moments {
        let began = tokio::time::Instant::now();
        while !reached() {
            assert!(began.elapsed() < SOON, "not at {what}\n{}", cluster.logs());
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        cluster.kill_supervisor(2);
        println!(
            "killed at {what}, {}",
            std::fs::read_to_string(&mark).map_or("without a mark".to_owned(), |mark| {
                mark.lines().find(|line| line.contains("phase")).unwrap_or("no phase").trim().to_owned()
            })
        );
        cluster.start(2);
    }
    let (code, printed) = ended(command, Vec::new()).await;
    assert_eq!(code, 0, "{printed}\n{}", cluster.logs());
    cluster.until_whole(AFTER).await;
    let (keys, _) = stored(&cluster, "before").await;
    let up_to = promised(&printed);
    assert!(written.iter().all(|(key, at)| *at > up_to || keys.contains(key)));
    assert_eq!(record(&cluster)["givenUp"].as_array().unwrap().len(), 1, "one recovery");
    assert!(!built.exists() && !mark.exists());
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs PILOTHOUSE_COMPONENTS"]
async fn a_snapshot_becomes_the_cluster_when_every_volume_is_gone() {
    let mut cluster = Cluster::new(3, &[]);
    cluster.start_all();
    cluster.until_whole(SOON).await;
    let written = write(&cluster, "before", 100).await;
    let snapshot = cluster.directory().join("snapshot.db");
    cluster.etcdctl(0, &["snapshot", "save", &snapshot.display().to_string()]).await;
    write(&cluster, "after", 20).await;
    for member in 0..3 {
        cluster.kill_supervisor(member);
        std::fs::remove_dir_all(cluster.volume(member)).unwrap();
    }
    cluster.start_all();
    cluster
        .until("waiting with both commands", seconds(30), |all| {
            all.iter().filter_map(|it| it.last_observation.as_ref()).any(|seen| {
                seen.contains("recover --snapshot FILE --lost etcd-0")
                    && seen.contains("recover --found-anew")
            })
        })
        .await;
    let others = ["--lost", "etcd-0", "--lost", "etcd-2"];
    let whole = std::fs::read(&snapshot).unwrap();
    let mut damaged = whole.clone();
    damaged[8000] ^= 1;
    for (input, why) in [(whole[..whole.len() - 100].to_vec(), "cut off"), (damaged, "damaged")] {
        let command = cluster.recovering(1, &and(&others, &["--snapshot", "-", "--yes"]));
        let (code, printed) = ended(command, input).await;
        assert!(code == 1 && printed.contains(why), "{printed}");
    }
    let left = std::fs::read_dir(cluster.volume(1)).unwrap().flatten();
    let left: Vec<PathBuf> = left.map(|entry| entry.path()).collect();
    assert!(!left.iter().any(|path| path.display().to_string().contains("recovery-snapshot")), "{left:?}");
    let path = snapshot.display().to_string();
    let (code, printed) = cluster.recover(1, &and(&others, &["--snapshot", &path])).await;
    assert!(code == 0 && printed.contains("The snapshot is whole: revision"), "{printed}");
    let began = tokio::time::Instant::now();
    let command = cluster.recovering(1, &and(&others, &["--snapshot", "-", "--yes"]));
    let (code, printed) = ended(command, whole).await;
    assert_eq!(code, 0, "{printed}\n{}", cluster.logs());
    println!("{printed}a cluster of one after {:?}", began.elapsed());
    cluster.until_whole(AFTER).await;
    println!("three voters after {:?}", began.elapsed());
    let (keys, revision) = stored(&cluster, "before").await;
    assert_eq!(keys, written.keys().cloned().collect::<Vec<_>>());
    assert!(revision > 1_000_000_000);
    assert!(stored(&cluster, "after").await.0.is_empty());
}

/// The person erred, or the node came back: both lost members have their data still and would be a quorum of the old cluster.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs PILOTHOUSE_COMPONENTS"]
async fn lost_members_that_come_back_with_their_data_never_serve_it_again() {
    let mut cluster = Cluster::new(3, &[]);
    cluster.start_all();
    cluster.until_whole(SOON).await;
    write(&cluster, "before", 50).await;
    for member in [0, 1] {
        cluster.kill_supervisor(member);
    }
    let (code, printed) = cluster.recover(2, &and(&BOTH_LOST, &["--yes"])).await;
    assert_eq!(code, 0, "{printed}\n{}", cluster.logs());
    let written = write_to(&cluster, 2, "after", 50).await;
    cluster.start(0);
    cluster.start(1);
    cluster.until_whole(AFTER).await;
    assert_eq!(cluster.cluster_ids().await.len(), 1);
    for member in 0..3 {
        let mut client = cluster.client_of(member).await;
        let answer = client.get("after/", Some(GetOptions::new().with_prefix())).await.unwrap();
        assert_eq!(answer.kvs().len(), written, "etcd-{member}");
    }
    for member in [0, 1] {
        let aside = std::fs::read_dir(cluster.volume(member)).unwrap().flatten();
        let aside = aside.filter(|entry| entry.file_name().to_string_lossy().contains("aside-given-up"));
        assert_eq!(aside.count(), 1, "its data is set aside, not deleted");
    }
}

/// Frozen, or behind a cut network: they come back as a running quorum of the old cluster.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs PILOTHOUSE_COMPONENTS"]
async fn lost_members_that_were_only_away_give_up_their_quorum_and_join() {
    let mut cluster = Cluster::new(3, &[]);
    cluster.start_all();
    cluster.until_whole(SOON).await;
    let recorded = || record(&cluster)["clusterId"].is_string();
    cluster.until("the cluster's id recorded", seconds(30), |_| recorded()).await;
    write(&cluster, "before", 50).await;
    let mut children = Vec::new();
    for member in [0, 1] {
        children.push(cluster.signal_child(member, Signal::SIGSTOP).await);
        cluster.signal_supervisor(member, Signal::SIGSTOP);
    }
    let began = tokio::time::Instant::now();
    loop {
        // Until it has noticed that it has no quorum.
        let (code, printed) = cluster.recover(2, &and(&BOTH_LOST, &["--yes"])).await;
        if code == 0 {
            break;
        }
        assert!(
            printed.contains("serves with a quorum") && began.elapsed() < SOON,
            "{printed}\n{}",
            cluster.logs()
        );
    }
    let written = write_to(&cluster, 2, "after", 20).await;
    for (member, child) in [0, 1].into_iter().zip(children) {
        kill(Pid::from_raw(child.cast_signed()), Signal::SIGCONT).unwrap();
        cluster.signal_supervisor(member, Signal::SIGCONT);
    }
    let began = tokio::time::Instant::now();
    // They are ready at once, as the old cluster.
    let cluster_of = |it: &health_endpoints::StatusDocument| it.details.get("clusterId").cloned();
    cluster
        .until("one cluster", AFTER, |all| {
            all.len() == 3 && all.iter().all(|it| it.ready && cluster_of(it) == cluster_of(&all[0]))
        })
        .await;
    cluster.until_whole(AFTER).await;
    println!("one cluster {:?} after they were back", began.elapsed());
    assert_eq!(cluster.cluster_ids().await.len(), 1);
    for member in 0..3 {
        let mut client = cluster.client_of(member).await;
        let answer = client.get("after/", Some(GetOptions::new().with_prefix())).await.unwrap();
        assert_eq!(answer.kvs().len(), written, "etcd-{member}");
    }
}

async fn write_to(cluster: &Cluster, member: usize, name: &str, count: usize) -> usize {
    let mut client = cluster.client_of(member).await;
    for number in 0..count {
        client.put(format!("{name}/{number:05}"), "x", None).await.unwrap();
    }
    count
}

/// The second survivor runs on while the first becomes the cluster; it must give up and join.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs PILOTHOUSE_COMPONENTS"]
async fn of_two_survivors_of_five_the_other_one_gives_up_and_joins() {
    let mut cluster = Cluster::new(5, &[]);
    cluster.start_all();
    cluster.until_whole(SOON).await;
    let written = write(&cluster, "before", 50).await;
    for member in [0, 1, 2] {
        cluster.kill_supervisor(member);
        std::fs::remove_dir_all(cluster.volume(member)).unwrap();
        cluster.start(member);
    }
    cluster
        .until("three waiting", seconds(30), |all| {
            let waits = |it: &&health_endpoints::StatusDocument| {
                it.last_observation.as_ref().is_some_and(|seen| seen.contains("etcd-supervisor recover"))
            };
            all.iter().filter(waits).count() == 3
        })
        .await;
    let lost = ["--lost", "etcd-0", "--lost", "etcd-1", "--lost", "etcd-2"];
    let (_, plan) = cluster.recover(3, &lost).await;
    println!("{plan}");
    // The other one may have heard of one write more.
    let chosen = if plan.contains("run this beside etcd-4 instead") { 4 } else { 3 };
    let (code, printed) = cluster.recover(chosen, &and(&lost, &["--yes"])).await;
    assert_eq!(code, 0, "{printed}\n{}", cluster.logs());
    cluster.until_whole(AFTER).await;
    let (keys, _) = stored(&cluster, "before").await;
    let up_to = promised(&printed);
    assert!(written.iter().all(|(key, at)| *at > up_to || keys.contains(key)));
    assert_eq!(cluster.cluster_ids().await.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs PILOTHOUSE_COMPONENTS"]
async fn volumes_deleted_by_hand_are_founded_anew_on_command_only() {
    let mut cluster = Cluster::new(3, &[]);
    cluster.start_all();
    cluster.until_whole(SOON).await;
    let token = record(&cluster)["token"].clone();
    for member in 0..3 {
        cluster.kill_supervisor(member);
        std::fs::remove_dir_all(cluster.volume(member)).unwrap();
    }
    cluster.start_all();
    cluster
        .until("waiting with the command", seconds(30), |all| {
            let seen = all.iter().filter_map(|it| it.last_observation.as_ref());
            seen.filter(|seen| seen.contains("recover --found-anew")).count() == 3
        })
        .await;
    let (code, printed) = cluster.recover(0, &["--found-anew", "--lost", "etcd-1", "--yes"]).await;
    assert!(code == 1 && printed.contains("add --lost etcd-2"), "{printed}");
    assert_eq!(record(&cluster)["token"], token);
    let (code, printed) =
        cluster.recover(0, &["--found-anew", "--lost", "etcd-1", "--lost", "etcd-2", "--yes"]).await;
    assert_eq!(code, 0, "{printed}\n{}", cluster.logs());
    cluster.until_whole(SOON).await;
    assert_ne!(record(&cluster)["token"], token);
    write(&cluster, "again", 5).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs PILOTHOUSE_COMPONENTS"]
async fn whoever_asks_where_nobody_runs_is_told_so() {
    let cluster = Cluster::new(1, &[]);
    let (code, printed) = cluster.recover(0, &["--yes"]).await;
    assert!(code == 1 && printed.contains("is no volume of an etcd-supervisor"), "{printed}");
    let mut cluster = cluster;
    cluster.start(0);
    cluster.until_whole(SOON).await;
    cluster.kill_supervisor(0);
    let (code, printed) = cluster.recover(0, &["--yes"]).await;
    assert!(code == 1 && printed.contains("no etcd-supervisor runs on"), "{printed}");
}
