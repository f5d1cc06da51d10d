//! Restarts in place: after a crash, when asked for, and when there is nothing to execute.

use health_endpoints::State;
use process_control::{ChildEnding, Signal};

use crate::harness::{Run, until_gone};

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
