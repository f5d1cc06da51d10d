//! What holds for every sequence of observations, possible or late, and that the drawing in README.md is true.

use std::collections::BTreeSet;
use std::time::Duration;

use health_endpoints::State;
use process_control::ChildEnding;
use proptest::prelude::*;

use crate::machine::{Action, Machine, Observation, SpawnFailure};
use crate::{GoodEndings, Health, TRANSITIONS, Timings};

/// A machine, and what is known about the world from its actions and our observations.
struct World {
    machine: Machine,
    now: Duration,
    state: State,
    spawn_ordered: bool,
    child_lives: bool,
    held_since: Option<Duration>,
    terminates: u32,
    kills: u32,
    killed_at: Duration,
    fails_liveness_since: Option<Duration>,
    /// The observation that is being answered.
    observed: Option<Observation>,
    stop_asked_at: Option<Duration>,
    ending_after_stop: Option<ChildEnding>,
    exit: Option<(Duration, u8)>,
    /// Spawns are decided at once and SIGKILL ends a child at once; else both take until the history says so.
    prompt: bool,
}

impl World {
    fn new(good_endings: GoodEndings, seed: u64, prompt: bool) -> Self {
        let mut world = Self {
            machine: Machine::new(Timings::default(), good_endings, seed),
            now: Duration::ZERO,
            state: State::Bootstrapping,
            spawn_ordered: false,
            child_lives: false,
            held_since: None,
            terminates: 0,
            kills: 0,
            killed_at: Duration::ZERO,
            fails_liveness_since: None,
            observed: None,
            stop_asked_at: None,
            ending_after_stop: None,
            exit: None,
            prompt,
        };
        let actions = world.machine.begin();
        world.check(actions, good_endings);
        world
    }

    /// Impossible news (the end of a child that does not live) are dropped; late news are passed on.
    fn observe(&mut self, observation: Observation, good_endings: GoodEndings) {
        match &observation {
            Observation::Spawned if self.spawn_ordered => {
                self.spawn_ordered = false;
                self.child_lives = true;
                (self.terminates, self.kills) = (0, 0);
            }
            Observation::SpawnFailed(_) if self.spawn_ordered => self.spawn_ordered = false,
            Observation::ChildEnded(ending) if self.child_lives => {
                (self.child_lives, self.held_since) = (false, None);
                self.ending_after_stop = self.stop_asked_at.map(|_| *ending);
            }
            Observation::Spawned | Observation::SpawnFailed(_) | Observation::ChildEnded(_) => return,
            Observation::StopAsked => {
                self.stop_asked_at.get_or_insert(self.now);
            }
            _ => {}
        }
        self.observed = Some(observation.clone());
        let actions = self.machine.observe(self.now, observation);
        self.check(actions, good_endings);
        assert!(self.child_lives || self.fails_liveness_since.is_none(), "no child, and still not alive");
    }

    fn check(&mut self, actions: Vec<Action>, good_endings: GoodEndings) {
        for action in actions {
            assert_eq!(self.exit, None, "{action:?} after the exit");
            match action {
                Action::Spawn => {
                    assert_eq!(self.stop_asked_at, None, "spawned after a stop");
                    assert!(!self.child_lives && !self.spawn_ordered, "two children");
                    self.spawn_ordered = true;
                }
                Action::SendTerminate => {
                    self.terminates += 1;
                    assert!(self.child_lives, "SIGTERM without a child");
                    assert_eq!(self.terminates, 1, "SIGTERM more than once");
                    let forced =
                        self.observed == Some(Observation::TimePassed) && self.stop_asked_at.is_none();
                    assert!(!forced, "SIGTERM at the hold limit for a restart that can wait");
                    self.held_since = None;
                }
                Action::SendKill => {
                    self.kills += 1;
                    self.killed_at = self.now;
                    assert!(self.child_lives, "SIGKILL without a child");
                    assert_eq!(self.kills, 1, "SIGKILL more than once");
                }
                Action::Prepare => {
                    assert_eq!(self.stop_asked_at, None, "prepared after a stop");
                    assert!(!self.child_lives, "prepared beside a living child");
                }
                Action::EnterState(state, reason) => {
                    assert!(!reason.is_empty());
                    let known = self.state == state || TRANSITIONS.contains(&(self.state, state));
                    assert!(known, "{} -> {state}: {reason}", self.state);
                    self.state = state;
                }
                Action::Exit { code, reason } => {
                    assert!(!self.child_lives && !self.spawn_ordered, "exit beside a child: {reason}");
                    assert_eq!(self.state, State::Stopped);
                    if code == 0 {
                        assert!(self.stop_asked_at.is_some(), "exit code 0 unasked: {reason}");
                        assert!(
                            self.ending_after_stop.is_none_or(|ending| good_endings.contain(ending)),
                            "{reason}"
                        );
                    }
                    self.exit = Some((self.now, code));
                }
                Action::Clear { .. } => assert!(!self.child_lives, "cleared up after a living child"),
                Action::BeginHold => {
                    assert!(self.child_lives && self.held_since.is_none(), "held back for nobody, or twice");
                    self.held_since = Some(self.now);
                }
                Action::AbandonHold => {
                    let limit = Timings::default().hold_limit;
                    let held_for = self.held_since.map(|since| self.now.saturating_sub(since));
                    assert!(self.child_lives && held_for >= Some(limit), "abandoned after {held_for:?}");
                    assert_eq!(self.stop_asked_at, None, "a stop is put off");
                    self.held_since = None;
                }
                Action::FailLiveness(after) => {
                    assert!(self.child_lives && self.fails_liveness_since.is_none());
                    assert!(self.kills == 1 && self.now >= self.killed_at + after, "killed just now");
                    self.fails_liveness_since = Some(self.now);
                }
                Action::RestoreLiveness => {
                    assert!(!self.child_lives && self.fails_liveness_since.is_some());
                    self.fails_liveness_since = None;
                }
                Action::AbandonPreparing | Action::AbandonClearing => {}
            }
        }
    }

    fn settle(&mut self, good_endings: GoodEndings) {
        if self.spawn_ordered {
            self.observe(Observation::Spawned, good_endings);
        }
        if self.child_lives && self.kills > 0 {
            self.observe(Observation::ChildEnded(ChildEnding::Signalled(9)), good_endings);
        }
    }

    /// Time passes up to `then`, and every deadline on the way is kept.
    fn pass_time(&mut self, then: Duration, good_endings: GoodEndings) {
        while let Some(wakes_at) = self.machine.wakes_at().filter(|moment| *moment <= then) {
            self.now = self.now.max(wakes_at);
            self.observe(Observation::TimePassed, good_endings);
            if self.prompt {
                self.settle(good_endings);
            }
        }
        self.now = then;
    }

    /// Nobody helps: only time passes.
    fn run_to_the_end(&mut self, good_endings: GoodEndings) {
        self.settle(good_endings);
        while self.exit.is_none() {
            let wakes_at = self.machine.wakes_at().expect("it waits for nothing and will never end");
            self.pass_time(self.now.max(wakes_at), good_endings);
            self.settle(good_endings);
        }
    }
}

fn ending() -> impl Strategy<Value = ChildEnding> {
    prop_oneof![
        3 => Just(ChildEnding::Exited(0)),
        2 => (0..=255).prop_map(ChildEnding::Exited),
        2 => Just(ChildEnding::Signalled(15)),
        1 => (1..=64).prop_map(ChildEnding::Signalled),
    ]
}

fn health() -> impl Strategy<Value = Health> {
    (any::<bool>(), any::<bool>()).prop_map(|(alive, ready)| Health {
        alive: if alive { Ok(()) } else { Err("no".into()) },
        ready: if ready { Ok(()) } else { Err("no".into()) },
    })
}

fn observation() -> impl Strategy<Value = Observation> {
    prop_oneof![
        1 => Just(Observation::StopAsked),
        12 => Just(Observation::Prepared),
        1 => Just(Observation::PrepareRefused("wrong".into())),
        12 => Just(Observation::Spawned),
        2 => any::<bool>().prop_map(|permanent| {
            Observation::SpawnFailed(SpawnFailure { code: 126, permanent, reason: "busy".into() })
        }),
        8 => health().prop_map(Observation::HealthSeen),
        4 => Just(Observation::HealthTimedOut),
        6 => ending().prop_map(Observation::ChildEnded),
        3 => Just(Observation::RestartAsked("renewed".into())),
        4 => Just(Observation::HoldReleased),
        1 => Just(Observation::SenselessToWait("no quorum".into())),
        6 => Just(Observation::Cleared),
        8 => Just(Observation::TimePassed),
    ]
}

/// Pauses between crashes, drains and wedges each have their own length.
fn milliseconds() -> impl Strategy<Value = u64> {
    prop_oneof![3 => 0..50_u64, 2 => 0..3000_u64, 1 => 0..40_000_u64]
}

fn good_endings() -> impl Strategy<Value = GoodEndings> {
    prop_oneof![Just(GoodEndings::EXIT_ZERO), Just(GoodEndings::EXIT_ZERO_OR_SIGTERM)]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_sequence_of_observations_breaks_the_contract(
        good_endings in good_endings(),
        seed in any::<u64>(),
        prompt in any::<bool>(),
        history in prop::collection::vec((milliseconds(), observation()), 0..120),
    ) {
        let mut world = World::new(good_endings, seed, prompt);
        for (milliseconds, observation) in history {
            world.pass_time(world.now + Duration::from_millis(milliseconds), good_endings);
            world.observe(observation, good_endings);
            if prompt {
                world.settle(good_endings);
            }
        }
        world.observe(Observation::StopAsked, good_endings);
        world.run_to_the_end(good_endings);
        let timings = Timings::default();
        let budget = timings.hold_limit + timings.drain_budget + timings.clearing_limit;
        if let (true, Some((ended, _)), Some(asked)) = (prompt, world.exit, world.stop_asked_at) {
            prop_assert!(ended <= asked + budget, "asked at {asked:?}, ended at {ended:?}");
        }
    }
}

#[test]
fn the_drawing_shows_exactly_the_allowed_transitions() {
    let drawn: BTreeSet<String> = include_str!("../README.md")
        .lines()
        .filter_map(|line| line.trim().split_once(" --> "))
        .map(|(from, to)| format!("{from} -> {}", to.split(':').next().unwrap_or(to)))
        .filter(|arrow| !arrow.contains("[*]"))
        .collect();
    let allowed: BTreeSet<String> = TRANSITIONS.iter().map(|(from, to)| format!("{from} -> {to}")).collect();
    assert_eq!(drawn, allowed);
}
