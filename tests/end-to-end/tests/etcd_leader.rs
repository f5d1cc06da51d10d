//! The leader of etcd is stopped in peace, again and again, under load: what that costs clients.
#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::unwrap_used,
    clippy::missing_panics_doc,
    reason = "test code: a broken expectation is a failed test, and measurements are printed"
)]

use std::time::Duration;

use disruption::{Disruption, Settings};
use end_to_end::{ControlPlane, Instance, eventually};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tokio::time::Instant;

const MOVES: u32 = 6;
const LIMIT: Duration = Duration::from_secs(60);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_leader_that_stops_hands_over_and_no_write_is_left_without_an_answer() {
    let plane = ControlPlane::ready(&[]).await;
    let run = Disruption::start(Settings::light(plane.kubeconfig())).await.expect("the load begins");
    let mut moves = Vec::new();
    for number in 1..=MOVES {
        let all = plane.until("all is well, and somebody leads", LIMIT, |all| {
            all.iter().all(|instance| instance.ready) && all.iter().any(leads)
        });
        let leader = all.await.into_iter().find(leads).unwrap();
        let (before, _) = run.so_far();
        eventually("the load goes on", LIMIT, async || match run.so_far() {
            (succeeded, _) if succeeded > before + 40 => Ok(()),
            so_far => Err(so_far),
        })
        .await;
        run.mark(&format!("leader {number}, {}, is stopped", leader.name));
        let supervisor = leader.supervisor_pid.expect("it runs");
        let began = Instant::now();
        kill(Pid::from_raw(supervisor.cast_signed()), Signal::SIGTERM).expect("it can be stopped");
        let another = |instance: &Instance| leads(instance) && instance.name != leader.name;
        plane.until("another leads", LIMIT, |all| all.iter().any(another)).await;
        moves.push(began.elapsed());
    }
    plane.until_ready(LIMIT).await;
    let report = run.stop().await.expect("the checks succeed");
    println!("{}", report.text());
    moves.sort_unstable();
    println!("from SIGTERM until another member says that it leads: {moves:.1?}");
    assert_eq!(report.broken_promises(), [""; 0]);
    assert_eq!(report.failed_reads(), 0, "{report:#?}");
    assert!(report.failed_writes() <= u64::from(MOVES), "{report:#?}");
    // What raft drops while leadership moves is given up by etcd after seven seconds, with these words.
    let unanswered: Vec<_> =
        report.examples.values().filter(|said| said.contains("request timed out")).collect();
    assert!(unanswered.is_empty(), "{unanswered:?}");
    // With connections that stay open it waits for their ends, three seconds and more.
    assert!(moves[moves.len() / 2] < Duration::from_millis(2500), "{moves:?}");
    assert!(report.longest_gap_of_writes.seconds < 3.0, "{:?}", report.longest_gap_of_writes);
}

fn leads(instance: &Instance) -> bool {
    instance.component == "etcd" && instance.leader == Some(true)
}
