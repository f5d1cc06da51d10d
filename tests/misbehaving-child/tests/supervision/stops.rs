//! Stops: before, during and after the spawn, twice, ignored, held back.

use health_endpoints::State;
use process_control::{ChildEnding, Signal};

use crate::harness::{Run, touch, until_gone};

#[tokio::test]
async fn a_stop_before_the_spawn_starts_nothing_and_ends_with_zero() {
    let mut run = Run::new();
    run.supervisor.prepared_by = Some(run.path("prepared"));
    let mut supervised = run.start();
    let status = supervised.until_status("a told wait", |status| status.last_observation.is_some()).await;
    assert_eq!(status.state, State::Waiting);
    assert!(status.reason.starts_with("the file "), "{}", status.reason);
    supervised.terminate();
    assert_eq!(supervised.ending().await, ChildEnding::Exited(0), "{}", supervised.account());
    assert_eq!(supervised.read("record"), "", "no child was started");
}

#[tokio::test]
async fn a_stop_at_any_moment_of_a_start_ends_with_zero_and_leaves_nothing() {
    // The condition is how far the start has come, by how much its log holds; a new moment in each round.
    for length in (0..1200).step_by(40) {
        let mut run = Run::new();
        // Until its handler is there the child dies by SIGTERM, as etcd does.
        run.supervisor.dies_well_by_terminate = true;
        let mut supervised = run.start();
        supervised
            .until("a part of the log", || {
                let come_so_far = supervised.read("log").len() >= length;
                let running = supervised.status().is_some_and(|status| status.state == State::Running);
                (come_so_far || running).then_some(())
            })
            .await;
        let child = supervised.status().and_then(|status| status.pid);
        supervised.terminate();
        let ending = supervised.ending().await;
        // Signal 15: SIGTERM came before main, which nobody can handle.
        let expected = [ChildEnding::Exited(0), ChildEnding::Signalled(15)];
        assert!(expected.contains(&ending), "{ending:?}\n{}", supervised.account());
        assert!(supervised.count("record", "SIGTERM 2") == 0, "{}", supervised.account());
        if let Some(pid) = child {
            assert_eq!(process_control::ProcessIdentity::of(pid).unwrap(), None);
        }
    }
}

#[tokio::test]
async fn of_many_stops_the_child_sees_exactly_one() {
    let mut run = Run::new();
    run.child.ignore_terminate = true;
    run.supervisor.drain_budget = 1500;
    let mut supervised = run.start();
    supervised.until_state(State::Running).await;
    let child = supervised.child();
    supervised.terminate();
    supervised.until_line("record", "SIGTERM 1").await;
    for _ in 0..5 {
        supervised.terminate();
        supervised.signal(Signal::SIGINT);
    }
    assert_eq!(supervised.ending().await, ChildEnding::Exited(137), "{}", supervised.account());
    assert_eq!(supervised.count("record", "SIGTERM 1"), 1);
    assert_eq!(supervised.count("record", "SIGTERM 2"), 0, "{}", supervised.account());
    assert!(supervised.read("log").contains("stop asked for again"), "{}", supervised.account());
    assert_eq!(supervised.count("ended", "Signalled(9) stopping=true"), 1);
    assert!(!child.is_alive().unwrap());
}

#[tokio::test]
async fn a_slow_drain_within_the_budget_ends_well() {
    let mut run = Run::new();
    run.child.drain = 700;
    let mut supervised = run.start();
    supervised.until_state(State::Running).await;
    supervised.terminate();
    let status = supervised.until_state(State::Draining).await;
    assert!(!status.ready, "a draining child is not ready: {status:?}");
    assert_eq!(supervised.ending().await, ChildEnding::Exited(0), "{}", supervised.account());
    assert_eq!(supervised.count("record", "drained"), 1);
    assert_eq!(supervised.read("termination"), "", "a good end needs no message");
}

#[tokio::test]
async fn a_drain_that_ends_with_a_code_gives_this_code() {
    let mut run = Run::new();
    run.child.drain_exit_code = 3;
    let mut supervised = run.start();
    supervised.until_state(State::Running).await;
    supervised.terminate();
    assert_eq!(supervised.ending().await, ChildEnding::Exited(3), "{}", supervised.account());
}

#[tokio::test]
async fn death_by_sigterm_is_good_only_where_the_table_says_so() {
    for (dies_well, code) in [(true, 0), (false, 143)] {
        let mut run = Run::new();
        run.child.drain_by_signal = true;
        run.supervisor.dies_well_by_terminate = dies_well;
        let mut supervised = run.start();
        supervised.until_state(State::Running).await;
        supervised.terminate();
        assert_eq!(supervised.ending().await, ChildEnding::Exited(code), "{}", supervised.account());
        assert_eq!(supervised.count("ended", "Signalled(15) stopping=true"), 1);
    }
}

#[tokio::test]
async fn senseless_waiting_is_cut_short() {
    let mut run = Run::new();
    run.child.ignore_terminate = true;
    run.supervisor.drain_budget = 3_600_000;
    run.supervisor.senseless_after = Some(300);
    let mut supervised = run.start();
    supervised.until_state(State::Running).await;
    supervised.terminate();
    assert_eq!(supervised.ending().await, ChildEnding::Exited(137), "{}", supervised.account());
    assert!(supervised.read("log").contains("there is no sense in it"), "{}", supervised.account());
}

#[tokio::test]
async fn sigterm_is_held_back_while_the_child_goes_on_serving() {
    let mut run = Run::new();
    let released = run.path("released");
    run.supervisor.released_by = Some(released.clone());
    run.supervisor.hold_limit = 3_600_000;
    let mut supervised = run.start();
    supervised.until_state(State::Running).await;
    supervised.terminate();
    let status = supervised
        .until_status("ready while held back", |status| status.state == State::Draining && status.ready)
        .await;
    assert!(status.reason.starts_with("SIGTERM is held back, waiting for the file "), "{}", status.reason);
    assert_eq!(supervised.count("record", "SIGTERM 1"), 0);
    touch(&released);
    assert_eq!(supervised.ending().await, ChildEnding::Exited(0), "{}", supervised.account());
}

#[tokio::test]
async fn a_hold_ends_at_its_limit() {
    let mut run = Run::new();
    run.supervisor.released_by = Some(run.path("never"));
    run.supervisor.hold_limit = 300;
    let mut supervised = run.start();
    supervised.until_state(State::Running).await;
    supervised.terminate();
    assert_eq!(supervised.ending().await, ChildEnding::Exited(0), "{}", supervised.account());
}

#[tokio::test]
async fn a_child_that_ends_while_sigterm_is_held_back_is_judged_by_the_table() {
    let mut run = Run::new();
    run.supervisor.released_by = Some(run.path("never"));
    run.supervisor.hold_limit = 3_600_000;
    let mut supervised = run.start();
    supervised.until_state(State::Running).await;
    let child = supervised.child();
    supervised.terminate();
    supervised.until_state(State::Draining).await;
    child.open().unwrap().unwrap().signal(Signal::SIGTERM).unwrap();
    until_gone(&child).await;
    assert_eq!(supervised.ending().await, ChildEnding::Exited(0), "{}", supervised.account());
}
