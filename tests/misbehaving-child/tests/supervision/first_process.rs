//! As PID 1 of a fresh process namespace, which is how a supervisor runs in a container.

use health_endpoints::State;
use nix::sys::signal::kill;
use nix::unistd::{Pid, geteuid};
use process_control::{ChildEnding, Signal};

use crate::harness::{Run, Supervised};

async fn start(run: Run) -> Supervised {
    let namespaces: &[&str] = if geteuid().is_root() {
        &["/usr/bin/unshare", "--pid", "--mount-proc", "--fork", "--kill-child", "--"]
    } else {
        &[
            "/usr/bin/unshare",
            "--user",
            "--map-root-user",
            "--pid",
            "--mount-proc",
            "--fork",
            "--kill-child",
            "--",
        ]
    };
    let supervised = run.start_below(namespaces);
    let status = supervised
        .until("a status of PID 1 (this test needs root or user namespaces)", || {
            let log = supervised.read("log");
            assert!(!log.contains("unshare:"), "this test needs root or user namespaces: {log}");
            supervised.status()
        })
        .await;
    assert_eq!(status.supervisor_pid, 1);
    supervised
}

/// unshare's only child, seen from outside; it cannot be reaped before unshare ends, so its pid is not reused.
fn first_process(supervised: &Supervised) -> i32 {
    children_of(supervised.process.pid().cast_signed())[0]
}

fn terminate_first_process(supervised: &Supervised) {
    kill(Pid::from_raw(first_process(supervised)), Signal::SIGTERM).unwrap();
}

fn children_of(pid: i32) -> Vec<i32> {
    let children = std::fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
    children.split_ascii_whitespace().map(|child| child.parse().unwrap()).collect()
}

#[tokio::test]
async fn pid_1_gets_sigterm_drains_its_child_and_ends_with_zero() {
    let mut run = Run::new();
    run.child.drain = 300;
    let mut supervised = start(run).await;
    supervised.until_state(State::Running).await;
    terminate_first_process(&supervised);
    assert_eq!(supervised.ending().await, ChildEnding::Exited(0), "{}", supervised.account());
    assert_eq!(supervised.count("record", "SIGTERM 1"), 1);
    assert_eq!(supervised.count("record", "drained"), 1);
}

#[tokio::test]
async fn pid_1_passes_the_childs_code_on() {
    let mut run = Run::new();
    run.child.drain_exit_code = 9;
    run.child.short_orphans = 20;
    let mut supervised = start(run).await;
    supervised.until_state(State::Running).await;
    terminate_first_process(&supervised);
    assert_eq!(supervised.ending().await, ChildEnding::Exited(9), "{}", supervised.account());
}

#[tokio::test]
async fn pid_1_reaps_adopted_orphans_and_keeps_the_living_child() {
    let mut run = Run::new();
    run.child.short_orphans = 20;
    let mut supervised = start(run).await;
    supervised.until_state(State::Running).await;
    let first = first_process(&supervised);
    supervised
        .until("PID 1 having one child, which is no zombie", || {
            let [child] = children_of(first)[..] else { return None };
            let stat = std::fs::read_to_string(format!("/proc/{child}/stat")).ok()?;
            (!stat.contains(") Z ")).then_some(())
        })
        .await;
    terminate_first_process(&supervised);
    assert_eq!(supervised.ending().await, ChildEnding::Exited(0), "{}", supervised.account());
}

#[tokio::test]
async fn pid_1_kills_an_adopted_orphan_when_the_child_that_left_it_has_ended() {
    let mut run = Run::new();
    run.child.orphan = Some(run.path("orphan"));
    let mut supervised = start(run).await;
    supervised.until_state(State::Running).await;
    let first = first_process(&supervised);
    let told = |count| move |supervised: &Supervised| supervised.read("orphan").lines().count() == count;
    supervised.until("an orphan", || told(1)(&supervised).then_some(())).await;
    let orphans = children_of(first);
    assert_eq!(orphans.len(), 2, "the child and its orphan: {orphans:?}");
    kill(Pid::from_raw(first), Signal::SIGUSR1).unwrap();
    supervised.until("a second orphan", || told(2)(&supervised).then_some(())).await;
    supervised
        .until("the first orphan gone", || {
            let now = children_of(first);
            (now.len() == 2 && orphans.iter().all(|pid| !now.contains(pid))).then_some(())
        })
        .await;
    terminate_first_process(&supervised);
    assert_eq!(supervised.ending().await, ChildEnding::Exited(0), "{}", supervised.account());
}

#[tokio::test]
async fn pid_1_before_its_child_obeys_sigterm() {
    let mut run = Run::new();
    run.supervisor.prepared_by = Some(run.path("never"));
    let mut supervised = start(run).await;
    supervised.until_state(State::Waiting).await;
    terminate_first_process(&supervised);
    assert_eq!(supervised.ending().await, ChildEnding::Exited(0), "{}", supervised.account());
    assert_eq!(supervised.read("record"), "");
}
