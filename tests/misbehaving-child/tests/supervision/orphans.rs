//! What a child leaves behind does not outlive it.

use health_endpoints::State;
use process_control::{ChildEnding, ProcessIdentity, Signal};

use crate::harness::{Run, Supervised, until_gone};

/// The orphan's process, once it has written its pid.
async fn orphan(supervised: &Supervised) -> ProcessIdentity {
    supervised
        .until("an orphan", || {
            let pid = supervised.read("orphan").lines().last()?.parse().ok()?;
            ProcessIdentity::of(pid).unwrap()
        })
        .await
}

#[tokio::test]
async fn an_orphan_ends_with_the_child_and_is_reaped() {
    let mut run = Run::new();
    run.child.orphan = Some(run.path("orphan"));
    let mut supervised = run.start();
    supervised.until_state(State::Running).await;
    let first = orphan(&supervised).await;
    assert!(first.is_alive().unwrap());
    supervised.child().open().unwrap().unwrap().signal(Signal::SIGKILL).unwrap();
    until_gone(&first).await;
    supervised.until_status("the second life", |status| status.restarts == 1).await;
    // A zombie is a directory below /proc, too.
    supervised
        .until("the orphan reaped", || {
            (!std::path::Path::new(&format!("/proc/{}", first.pid)).exists()).then_some(())
        })
        .await;
    supervised
        .until("the second orphan", || (supervised.read("orphan").lines().count() == 2).then_some(()))
        .await;
    let second = orphan(&supervised).await;
    supervised.terminate();
    assert_eq!(supervised.ending().await, ChildEnding::Exited(0), "{}", supervised.account());
    until_gone(&second).await;
}

#[tokio::test]
async fn orphans_that_end_by_themselves_leave_no_zombies_and_the_childs_status_is_not_stolen() {
    let mut run = Run::new();
    run.child.short_orphans = 20;
    run.child.drain_exit_code = 7;
    let mut supervised = run.start();
    supervised.until_state(State::Running).await;
    let parent = supervised.process.pid();
    supervised.until("no zombies", || (zombies_of(parent) == 0).then_some(())).await;
    supervised.terminate();
    assert_eq!(supervised.ending().await, ChildEnding::Exited(7), "{}", supervised.account());
}

fn zombies_of(parent: u32) -> usize {
    std::fs::read_dir("/proc")
        .unwrap()
        .filter_map(|entry| std::fs::read_to_string(entry.ok()?.path().join("stat")).ok())
        .filter(|stat| {
            stat.rsplit_once(") ").is_some_and(|(_, rest)| rest.starts_with(&format!("Z {parent} ")))
        })
        .count()
}
