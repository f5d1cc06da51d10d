//! Late readiness, wedges, looks that hang, and a child that not even SIGKILL ends.

use health_endpoints::State;
use nix::sys::{ptrace, wait};
use nix::unistd::Pid;
use process_control::{ChildEnding, Signal};

use crate::harness::{Run, until_gone};

#[tokio::test]
async fn a_child_that_becomes_ready_late_is_starting_until_then() {
    let mut run = Run::new();
    run.child.ready_after = 1500;
    let mut supervised = run.start();
    let status = supervised
        .until_status("an observation", |status| status.last_observation.as_deref() == Some("unready"))
        .await;
    assert_eq!((status.state, status.ready), (State::Starting, false));
    supervised.until_status("ready", |status| status.state == State::Running && status.ready).await;
    supervised.terminate();
    assert_eq!(supervised.ending().await, ChildEnding::Exited(0), "{}", supervised.account());
}

#[tokio::test]
async fn a_child_that_wedges_after_being_ready_is_killed_and_restarted() {
    let mut run = Run::new();
    run.child.wedge_after = Some(500);
    run.child.wedge_once = Some(run.path("wedged"));
    run.supervisor.wedged_after = 2000;
    let mut supervised = run.start();
    supervised.until_state(State::Running).await;
    let first = supervised.child();
    let status = supervised.until_status("silence told", |status| !status.ready).await;
    assert_eq!(status.state, State::Running);
    assert_eq!(status.not_ready_because, "no answer within 1.4s");
    until_gone(&first).await;
    let status = supervised
        .until_status("the second life", |status| {
            status.state == State::Running && status.restarts == 1 && status.ready
        })
        .await;
    assert_ne!(status.pid, Some(first.pid));
    assert_eq!(supervised.count("ended", "Signalled(9) stopping=false"), 1);
    supervised.terminate();
    assert_eq!(supervised.ending().await, ChildEnding::Exited(0), "{}", supervised.account());
}

#[tokio::test]
async fn a_frozen_child_is_killed_and_restarted_and_a_thawed_one_is_left_alone() {
    let mut run = Run::new();
    run.supervisor.wedged_after = 6000;
    let mut supervised = run.start();
    supervised.until_status("ready", |status| status.ready).await;
    let first = supervised.child();
    let handle = first.open().unwrap().unwrap();
    handle.signal(Signal::SIGSTOP).unwrap();
    supervised.until_status("silence told", |status| !status.ready).await;
    handle.signal(Signal::SIGCONT).unwrap();
    let status = supervised.until_status("ready again", |status| status.ready).await;
    assert_eq!((status.restarts, status.pid), (0, Some(first.pid)));
    handle.signal(Signal::SIGSTOP).unwrap();
    until_gone(&first).await;
    supervised.until_status("the second life", |status| status.restarts == 1 && status.ready).await;
    supervised.terminate();
    assert_eq!(supervised.ending().await, ChildEnding::Exited(0), "{}", supervised.account());
}

#[tokio::test]
async fn a_child_that_never_answers_is_killed_at_the_start_limit() {
    let mut run = Run::new();
    run.child.wedge_after = Some(0);
    run.child.wedge_once = Some(run.path("wedged"));
    run.supervisor.start_limit = 2000;
    let supervised = run.start();
    supervised.until_status("the second life", |status| status.restarts == 1 && status.ready).await;
    assert_eq!(supervised.count("ended", "Signalled(9) stopping=false"), 1);
}

#[tokio::test]
async fn a_frozen_child_is_stopped_within_the_budget() {
    let mut run = Run::new();
    run.supervisor.drain_budget = 1000;
    let mut supervised = run.start();
    supervised.until_status("ready", |status| status.ready).await;
    let child = supervised.child();
    child.open().unwrap().unwrap().signal(Signal::SIGSTOP).unwrap();
    supervised.terminate();
    assert_eq!(supervised.ending().await, ChildEnding::Exited(137), "{}", supervised.account());
    assert!(!child.is_alive().unwrap());
}

/// Nobody can make a disk hang here. Whoever traces a process is shown its end first, and until he has looked it is not over
/// for its parent: to the supervisor that is the same.
#[tokio::test]
async fn a_child_that_outlives_sigkill_fails_the_supervisors_liveness_until_it_is_gone() {
    let mut run = Run::new();
    run.supervisor.drain_budget = 300;
    run.supervisor.kill_limit = 300;
    run.child.ignore_terminate = true;
    let mut supervised = run.start();
    supervised.until_status("ready", |status| status.ready).await;
    let child = Pid::from_raw(supervised.child().pid.cast_signed());
    ptrace::seize(child, ptrace::Options::empty()).unwrap();
    supervised.signal(Signal::SIGUSR1);
    let told = supervised
        .until("failing liveness", || Some(supervised.read("status.liveness")).filter(|why| !why.is_empty()))
        .await;
    let begins = format!("the child (pid {child}) is still there 0.3 s after SIGKILL: ");
    assert!(told.starts_with(&begins), "{told}");
    assert_eq!(supervised.status().unwrap().restarts, 0, "no second child beside it");
    assert!(matches!(wait::waitpid(child, None).unwrap(), wait::WaitStatus::Signaled(..)));
    supervised.until_status("the second life", |status| status.restarts == 1 && status.ready).await;
    supervised.until("good liveness", || supervised.read("status.liveness").is_empty().then_some(())).await;
    supervised.terminate();
    assert_eq!(supervised.ending().await, ChildEnding::Exited(137), "{}", supervised.account());
}
