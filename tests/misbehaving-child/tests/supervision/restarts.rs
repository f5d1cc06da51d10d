//! Restarts in place: after a crash, when asked for, and when there is nothing to execute.

use health_endpoints::State;
use process_control::{ChildEnding, Signal};

use crate::harness::{Run, touch, until_gone};

#[tokio::test]
async fn a_killed_child_is_replaced_in_place() {
    let mut supervised = Run::new().start();
    supervised.until_state(State::Running).await;
    let first = supervised.child();
    first.open().unwrap().unwrap().signal(Signal::SIGKILL).unwrap();
    let status = supervised
        .until_status("the second life", |status| status.state == State::Running && status.restarts == 1)
        .await;
    assert_ne!(status.pid, Some(first.pid));
    supervised.terminate();
    assert_eq!(supervised.ending().await, ChildEnding::Exited(0), "{}", supervised.account());
}

#[tokio::test]
async fn a_restart_that_is_asked_for_drains_the_child_and_is_no_crash() {
    let mut run = Run::new();
    run.child.drain = 100;
    let mut supervised = run.start();
    // More than the five crashes that would end it.
    for round in 1..=7 {
        let status = supervised
            .until_status("a further life", |status| {
                status.state == State::Running && status.restarts == round - 1
            })
            .await;
        assert!(status.pid.is_some());
        let child = supervised.child();
        supervised.signal(Signal::SIGUSR1);
        until_gone(&child).await;
    }
    supervised
        .until_status("the last life", |status| status.state == State::Running && status.restarts == 7)
        .await;
    assert_eq!(supervised.count("record", "SIGTERM 1"), 7, "{}", supervised.account());
    assert_eq!(supervised.count("record", "drained"), 7);
    supervised.terminate();
    assert_eq!(supervised.ending().await, ChildEnding::Exited(0), "{}", supervised.account());
}

#[tokio::test]
async fn a_restart_that_is_held_back_to_the_limit_is_put_off_and_can_be_asked_for_again() {
    let mut run = Run::new();
    let released = run.path("released");
    run.supervisor.released_by = Some(released.clone());
    run.supervisor.hold_limit = 300;
    let mut supervised = run.start();
    supervised.until_status("ready", |status| status.ready).await;
    let child = supervised.child();
    supervised.signal(Signal::SIGUSR1);
    let status = supervised
        .until_status("put off", |status| status.state == State::Running && status.reason.contains("put off"))
        .await;
    assert_eq!((status.pid, status.restarts), (Some(child.pid), 0), "{}", supervised.account());
    assert_eq!(supervised.count("record", "SIGTERM 1"), 0, "{}", supervised.account());
    supervised.until_status("ready", |status| status.ready).await;
    touch(&released);
    supervised.signal(Signal::SIGUSR1);
    supervised.until_status("the second life", |status| status.restarts == 1 && status.ready).await;
    assert_eq!(supervised.count("record", "SIGTERM 1"), 1, "{}", supervised.account());
    supervised.terminate();
    assert_eq!(supervised.ending().await, ChildEnding::Exited(0), "{}", supervised.account());
}

#[tokio::test]
async fn a_stop_during_a_restart_adds_no_second_sigterm() {
    let mut run = Run::new();
    run.child.drain = 1000;
    let mut supervised = run.start();
    supervised.until_state(State::Running).await;
    supervised.signal(Signal::SIGUSR1);
    supervised.until_line("record", "SIGTERM 1").await;
    supervised.until_state(State::Restarting).await;
    supervised.terminate();
    assert_eq!(supervised.ending().await, ChildEnding::Exited(0), "{}", supervised.account());
    assert_eq!(supervised.count("record", "SIGTERM 2"), 0, "{}", supervised.account());
    assert_eq!(supervised.read("record").matches("started").count(), 1, "{}", supervised.account());
}
