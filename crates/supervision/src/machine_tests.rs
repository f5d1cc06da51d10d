//! The machine's decisions one by one, in the order of a life.

use std::time::Duration;

use health_endpoints::State;
use process_control::ChildEnding;

use crate::machine::{Action, Machine, Observation, SpawnFailure};
use crate::{GoodEndings, Health, Timings};

const SECOND: Duration = Duration::from_secs(1);

fn machine() -> Machine {
    Machine::new(Timings::default(), GoodEndings::EXIT_ZERO, 1)
}

fn starting() -> Machine {
    let mut machine = machine();
    machine.begin();
    assert_eq!(machine.observe(Duration::ZERO, Observation::Prepared), [Action::Spawn]);
    machine.observe(Duration::ZERO, Observation::Spawned);
    machine
}

fn running() -> Machine {
    let mut machine = starting();
    let actions = machine.observe(SECOND, healthy());
    assert_eq!(states(&actions), [State::Running]);
    machine
}

fn draining(at: Duration) -> Machine {
    let mut machine = running();
    machine.observe(at, Observation::StopAsked);
    let actions = machine.observe(at, Observation::HoldReleased);
    assert!(actions.contains(&Action::SendTerminate), "{actions:?}");
    machine
}

fn healthy() -> Observation {
    Observation::HealthSeen(Health { alive: Ok(()), ready: Ok(()) })
}

fn alive_but_unready() -> Observation {
    Observation::HealthSeen(Health { alive: Ok(()), ready: Err("still loading".into()) })
}

fn states(actions: &[Action]) -> Vec<State> {
    actions
        .iter()
        .filter_map(|action| if let Action::EnterState(state, _) = action { Some(*state) } else { None })
        .collect()
}

fn exit_code(actions: &[Action]) -> Option<u8> {
    actions.iter().find_map(|action| if let Action::Exit { code, .. } = action { Some(*code) } else { None })
}

fn end(machine: &mut Machine, at: Duration, ending: ChildEnding) -> Vec<Action> {
    let mut actions = machine.observe(at, Observation::ChildEnded(ending));
    assert!(matches!(actions.last(), Some(Action::Clear { .. })), "{actions:?}");
    actions.extend(machine.observe(at, Observation::Cleared));
    actions
}

#[test]
fn a_stop_before_the_spawn_means_do_not_start() {
    let mut fresh = machine();
    assert_eq!(exit_code(&fresh.observe(Duration::ZERO, Observation::StopAsked)), Some(0));
    assert_eq!(fresh.begin(), []);

    let mut preparing = machine();
    preparing.begin();
    let actions = preparing.observe(SECOND, Observation::StopAsked);
    assert_eq!(actions[0], Action::AbandonPreparing);
    assert_eq!(exit_code(&actions), Some(0));
    assert_eq!(preparing.observe(SECOND, Observation::Prepared), []);
}

#[test]
fn a_stop_during_the_spawn_is_forwarded_once_the_child_runs() {
    let mut machine = machine();
    machine.begin();
    machine.observe(Duration::ZERO, Observation::Prepared);
    assert_eq!(machine.observe(Duration::ZERO, Observation::StopAsked), []);
    let actions = machine.observe(Duration::ZERO, Observation::Spawned);
    assert_eq!(states(&actions), [State::Starting, State::Draining]);
    assert_eq!(actions.last(), Some(&Action::BeginHold));
}

#[test]
fn a_second_stop_changes_nothing() {
    let mut machine = draining(SECOND);
    assert_eq!(machine.observe(2 * SECOND, Observation::StopAsked), []);
    assert_eq!(machine.observe(2 * SECOND, Observation::HoldReleased), []);
}

#[test]
fn only_good_endings_after_a_stop_give_exit_code_zero() {
    for (ending, code) in [
        (ChildEnding::Exited(0), 0),
        (ChildEnding::Exited(1), 1),
        (ChildEnding::Signalled(15), 143),
        (ChildEnding::Signalled(9), 137),
    ] {
        let mut machine = draining(SECOND);
        assert_eq!(exit_code(&end(&mut machine, 2 * SECOND, ending)), Some(code), "{ending:?}");
    }
    let mut etcd = Machine::new(Timings::default(), GoodEndings::EXIT_ZERO_OR_SIGTERM, 1);
    etcd.begin();
    for observation in
        [Observation::Prepared, Observation::Spawned, Observation::StopAsked, Observation::HoldReleased]
    {
        etcd.observe(Duration::ZERO, observation);
    }
    assert_eq!(exit_code(&end(&mut etcd, SECOND, ChildEnding::Signalled(15))), Some(0));
}

#[test]
fn a_hold_ends_at_its_limit_and_a_drain_at_its_budget() {
    let mut machine = running();
    machine.observe(SECOND, Observation::StopAsked);
    assert_eq!(machine.wakes_at(), Some(31 * SECOND));
    assert!(machine.observe(31 * SECOND, Observation::TimePassed).contains(&Action::SendTerminate));
    assert_eq!(machine.wakes_at(), Some(91 * SECOND));
    assert_eq!(machine.observe(90 * SECOND, Observation::TimePassed), [], "too early");
    assert!(machine.observe(91 * SECOND, Observation::TimePassed).contains(&Action::SendKill));
}

#[test]
fn a_child_that_outlives_sigkill_fails_liveness_until_it_is_gone() {
    let killed = || {
        let mut machine = draining(SECOND);
        assert!(machine.observe(61 * SECOND, Observation::TimePassed).contains(&Action::SendKill));
        assert_eq!(machine.wakes_at(), Some(121 * SECOND));
        machine
    };
    let mut gone_in_time = killed();
    let actions = end(&mut gone_in_time, 120 * SECOND, ChildEnding::Signalled(9));
    assert!(!actions.contains(&Action::RestoreLiveness), "{actions:?}");

    let mut machine = killed();
    assert_eq!(machine.observe(121 * SECOND, Observation::TimePassed), [Action::FailLiveness(60 * SECOND)]);
    assert_eq!(machine.wakes_at(), None, "it is told once, and never given up for dead");
    let actions = end(&mut machine, 500 * SECOND, ChildEnding::Signalled(9));
    assert_eq!(actions[0], Action::RestoreLiveness);
    assert_eq!(exit_code(&actions), Some(137));

    let mut wedged = running();
    for second in 2..=32 {
        wedged.observe(second * SECOND, Observation::HealthTimedOut);
    }
    assert_eq!(wedged.wakes_at(), Some(92 * SECOND));
}

#[test]
fn a_restart_is_put_off_at_the_hold_limit_and_may_be_asked_for_again() {
    let mut machine = running();
    machine.observe(SECOND, Observation::RestartAsked("new trust".into()));
    let actions = machine.observe(31 * SECOND, Observation::TimePassed);
    assert_eq!((states(&actions), actions.first()), (vec![State::Running], Some(&Action::AbandonHold)));
    assert_eq!(machine.observe(31 * SECOND, Observation::HoldReleased), [], "that hold is over");
    for second in 31..61 {
        assert_eq!(machine.observe(second * SECOND, Observation::HealthTimedOut), [], "it is looked after");
    }
    machine.observe(61 * SECOND, healthy());
    let actions = machine.observe(62 * SECOND, Observation::RestartAsked("new trust".into()));
    assert_eq!(actions.last(), Some(&Action::BeginHold));
    assert!(machine.observe(63 * SECOND, Observation::HoldReleased).contains(&Action::SendTerminate));

    let mut unready = starting();
    unready.observe(SECOND, Observation::RestartAsked("new trust".into()));
    let actions = unready.observe(31 * SECOND, Observation::TimePassed);
    assert_eq!(states(&actions), [State::Starting], "it was never ready");
    assert_eq!(unready.wakes_at(), Some(271 * SECOND), "and gets its whole time to start");
}

#[test]
fn a_crash_after_a_restart_was_put_off_is_a_crash() {
    let mut machine = running();
    machine.observe(SECOND, Observation::RestartAsked("new trust".into()));
    machine.observe(31 * SECOND, Observation::TimePassed);
    let actions = end(&mut machine, 32 * SECOND, ChildEnding::Exited(0));
    assert!(!actions.contains(&Action::Prepare), "a crash is followed by a pause: {actions:?}");
}

#[test]
fn a_stop_during_the_hold_of_a_restart_has_its_own_limit_and_goes_on() {
    let mut machine = running();
    machine.observe(SECOND, Observation::RestartAsked("new trust".into()));
    assert_eq!(states(&machine.observe(30 * SECOND, Observation::StopAsked)), [State::Draining]);
    assert_eq!(machine.wakes_at(), Some(60 * SECOND));
    assert!(machine.observe(60 * SECOND, Observation::TimePassed).contains(&Action::SendTerminate));
}

#[test]
fn senseless_waiting_ends_in_sigkill_at_once() {
    let mut machine = draining(SECOND);
    let actions = machine.observe(2 * SECOND, Observation::SenselessToWait("no etcd quorum for 10 s".into()));
    assert!(actions.contains(&Action::SendKill), "{actions:?}");
    assert_eq!(exit_code(&end(&mut machine, 2 * SECOND, ChildEnding::Signalled(9))), Some(137));
}

#[test]
fn an_unasked_exit_with_code_zero_is_a_crash_and_never_ends_with_zero() {
    let mut machine = running();
    let mut now = SECOND;
    for crash in 1..=5 {
        let actions = end(&mut machine, now, ChildEnding::Exited(0));
        if crash == 5 {
            assert_eq!(states(&actions), [State::Stopped]);
            assert_eq!(exit_code(&actions), Some(1));
            return;
        }
        assert_eq!(states(&actions), [State::Restarting]);
        now = machine.wakes_at().unwrap();
        let actions = machine.observe(now, Observation::TimePassed);
        assert_eq!(actions.last(), Some(&Action::Prepare));
        machine.observe(now, Observation::Prepared);
        machine.observe(now, Observation::Spawned);
    }
}

#[test]
fn the_pause_runs_while_the_component_clears_up() {
    let mut machine = running();
    machine.observe(SECOND, Observation::ChildEnded(ChildEnding::Exited(1)));
    let actions = machine.observe(3 * SECOND, Observation::Cleared);
    assert_eq!(actions.last(), Some(&Action::Prepare), "the pause was over before");
}

#[test]
fn clearing_up_that_hangs_is_abandoned() {
    let mut machine = draining(SECOND);
    machine.observe(2 * SECOND, Observation::ChildEnded(ChildEnding::Exited(0)));
    let actions = machine.observe(7 * SECOND, Observation::TimePassed);
    assert_eq!(actions[0], Action::AbandonClearing);
    assert_eq!(exit_code(&actions), Some(0));
}

#[test]
fn a_stop_while_no_child_runs_ends_with_zero() {
    let mut machine = running();
    end(&mut machine, SECOND, ChildEnding::Exited(1));
    assert_eq!(exit_code(&machine.observe(SECOND, Observation::StopAsked)), Some(0));

    let mut clearing = running();
    clearing.observe(SECOND, Observation::ChildEnded(ChildEnding::Exited(1)));
    assert_eq!(states(&clearing.observe(SECOND, Observation::StopAsked)), [State::Stopped]);
    assert_eq!(exit_code(&clearing.observe(SECOND, Observation::Cleared)), Some(0));
}

#[test]
fn a_wedged_child_is_killed_after_three_failures_and_thirty_seconds() {
    let mut machine = running();
    for second in 2..32 {
        assert_eq!(machine.observe(second * SECOND, Observation::HealthTimedOut), [], "second {second}");
    }
    let actions = machine.observe(32 * SECOND, Observation::HealthTimedOut);
    assert_eq!(states(&actions), [State::Restarting]);
    assert_eq!(actions.last(), Some(&Action::SendKill));
    let actions = end(&mut machine, 33 * SECOND, ChildEnding::Signalled(9));
    assert_eq!(states(&actions), [State::Restarting]);
}

#[test]
fn one_answer_in_between_unwedges_and_two_failures_are_too_few() {
    let mut machine = running();
    machine.observe(2 * SECOND, Observation::HealthTimedOut);
    machine.observe(3 * SECOND, alive_but_unready());
    assert_eq!(machine.observe(40 * SECOND, Observation::HealthTimedOut), []);
    assert_eq!(machine.observe(80 * SECOND, Observation::HealthTimedOut), []);
    assert!(machine.observe(81 * SECOND, Observation::HealthTimedOut).contains(&Action::SendKill));
}

#[test]
fn a_child_that_starts_slowly_is_left_alone_while_it_is_alive() {
    let mut machine = starting();
    for minute in 1..=60 {
        assert_eq!(machine.observe(60 * minute * SECOND, alive_but_unready()), []);
    }
    assert_eq!(machine.wakes_at(), Some(3840 * SECOND));
    assert_eq!(machine.observe(3839 * SECOND, Observation::HealthTimedOut), []);
    assert!(machine.observe(3840 * SECOND, Observation::TimePassed).contains(&Action::SendKill));
}

#[test]
fn a_restart_that_was_asked_for_has_no_pause_and_is_no_crash() {
    let mut machine = running();
    for round in 0..20 {
        let now = round * SECOND;
        let actions = machine.observe(now, Observation::RestartAsked("the certificate was renewed".into()));
        assert_eq!((states(&actions), actions.last()), (vec![State::Restarting], Some(&Action::BeginHold)));
        assert_eq!(machine.observe(now, Observation::RestartAsked("again".into())), []);
        assert!(machine.observe(now, Observation::HoldReleased).contains(&Action::SendTerminate));
        let actions = end(&mut machine, now, ChildEnding::Signalled(15));
        assert_eq!(actions.last(), Some(&Action::Prepare), "{actions:?}");
        machine.observe(now, Observation::Prepared);
        machine.observe(now, Observation::Spawned);
    }
}

#[test]
fn a_child_that_ends_before_the_sigterm_of_its_restart_has_crashed() {
    let mut machine = running();
    machine.observe(SECOND, Observation::RestartAsked("new key".into()));
    let actions = end(&mut machine, SECOND, ChildEnding::Exited(0));
    assert!(!actions.contains(&Action::Prepare), "a crash is followed by a pause: {actions:?}");
}

#[test]
fn a_stop_during_a_restart_sends_no_second_sigterm() {
    let mut machine = running();
    machine.observe(SECOND, Observation::RestartAsked("new key".into()));
    machine.observe(SECOND, Observation::HoldReleased);
    assert_eq!(
        machine.observe(2 * SECOND, Observation::StopAsked),
        [Action::EnterState(State::Draining, "asked to stop; the child is draining already".into())]
    );
    assert_eq!(exit_code(&end(&mut machine, 3 * SECOND, ChildEnding::Exited(0))), Some(0));
}

#[test]
fn refused_settings_and_a_missing_binary_end_at_once_and_a_busy_one_does_not() {
    let mut refused = machine();
    refused.begin();
    let why = "the flag --port is unknown; remove it".to_owned();
    assert_eq!(exit_code(&refused.observe(SECOND, Observation::PrepareRefused(why))), Some(78));

    let failure =
        |permanent| SpawnFailure { code: 127, permanent, reason: "cannot execute /bin/etcd".into() };
    for (permanent, code) in [(true, Some(127)), (false, None)] {
        let mut machine = machine();
        machine.begin();
        machine.observe(SECOND, Observation::Prepared);
        let actions = machine.observe(SECOND, Observation::SpawnFailed(failure(permanent)));
        assert_eq!(exit_code(&actions), code);
    }
}
