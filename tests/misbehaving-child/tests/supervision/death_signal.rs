//! No child outlives its supervisor, and none dies because a thread of it was idle.

use std::time::Duration;

use health_endpoints::State;
use process_control::{ChildEnding, Signal};

use crate::harness::{Run, until_gone};

#[tokio::test]
async fn a_child_survives_more_than_60_s_of_idleness() {
    let mut supervised = Run::new().start();
    supervised.until_state(State::Running).await;
    let child = supervised.child();
    let handle = child.open().unwrap().unwrap();
    // tokio ends idle blocking threads after 10 s; a death signal tied to one would show by then.
    let survived = tokio::time::timeout(Duration::from_secs(61), handle.ended()).await.is_err();
    assert!(survived, "{}", supervised.account());
    assert_eq!(supervised.status().map(|status| (status.state, status.restarts)), Some((State::Running, 0)));
    supervised.terminate();
    assert_eq!(supervised.ending().await, ChildEnding::Exited(0), "{}", supervised.account());
}

#[tokio::test]
async fn a_child_dies_with_a_killed_supervisor() {
    let mut supervised = Run::new().start();
    supervised.until_state(State::Running).await;
    let child = supervised.child();
    supervised.signal(Signal::SIGKILL);
    assert_eq!(supervised.ending().await, ChildEnding::Signalled(9));
    until_gone(&child).await;
}

#[tokio::test]
async fn a_dropped_driver_kills_its_child() {
    let mut run = Run::new();
    run.child.ignore_terminate = true;
    run.supervisor.drop_driver_after = Some(1500);
    let mut supervised = run.start();
    supervised.until_state(State::Running).await;
    let child = supervised.child();
    assert_eq!(supervised.ending().await, ChildEnding::Exited(0), "{}", supervised.account());
    until_gone(&child).await;
    assert_eq!(supervised.count("record", "SIGTERM 1"), 0);
}
