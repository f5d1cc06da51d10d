//! The decisions in one child's life: observations and moments go in, actions come out.
//! Refuses clocks, processes and chance: moments are arguments, jitter comes from a seed.

use std::time::Duration;

use health_endpoints::State;
use process_control::ChildEnding;

use crate::endings::{EXIT_CODE_REFUSED, describe, exit_code};
use crate::machine_crashes::Crashes;
use crate::machine_phases::{Failing, Phase, Replacement, Then};
use crate::{GoodEndings, Health, Timings};

/// What the driver saw. What does not fit the present phase is late news and changes nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Observation {
    /// SIGTERM or SIGINT arrived; repeats change nothing.
    StopAsked,
    /// Everything that the child needs is there.
    Prepared,
    /// The child must not be started with these settings; the text says why and what to do.
    PrepareRefused(String),
    /// The child runs.
    Spawned,
    /// It could not be started.
    SpawnFailed(SpawnFailure),
    /// A look at the child succeeded.
    HealthSeen(Health),
    /// A look at the child took longer than its limit.
    HealthTimedOut,
    /// The child is reaped.
    ChildEnded(ChildEnding),
    /// The child must be replaced by a new one, for this reason.
    RestartAsked(String),
    /// The component no longer holds SIGTERM back.
    HoldReleased,
    /// Further waiting for the draining child is senseless, for this reason.
    SenselessToWait(String),
    /// The component has cleared up after the child.
    Cleared,
    /// The moment of [`Machine::wakes_at`] has come.
    TimePassed,
}

/// Why there is no child after a spawn was ordered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SpawnFailure {
    /// Exit code if this ends the supervisor: 127 when there is no such file, else 126, as shells have it.
    pub code: u8,
    /// Whether another try cannot succeed.
    pub permanent: bool,
    /// For people, with all causes.
    pub reason: String,
}

/// What the driver must do, in this order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// Begin to wait for what the child needs.
    Prepare,
    /// Drop that wait.
    AbandonPreparing,
    /// Start the child.
    Spawn,
    /// Ask the component to hold SIGTERM back as long as it must.
    BeginHold,
    /// Drop that hold: the child lives on.
    AbandonHold,
    /// Send SIGTERM and begin to ask whether waiting is senseless.
    SendTerminate,
    /// Send SIGKILL.
    SendKill,
    /// Let the component clear up after the reaped child.
    Clear {
        /// How the child ended.
        ending: ChildEnding,
        /// Whether no other child will follow because a stop was asked for.
        stopping: bool,
    },
    /// Drop that clearing up; it took too long.
    AbandonClearing,
    /// Tell that this process cannot heal the child: it is still there so long after SIGKILL.
    FailLiveness(Duration),
    /// Take that back: the child is gone.
    RestoreLiveness,
    /// Tell the state and why.
    EnterState(State, String),
    /// End the supervisor; the last action of all.
    Exit {
        /// Its exit code.
        code: u8,
        /// Why, for people.
        reason: String,
    },
}

/// The state machine of one supervisor's life. All moments are durations since it began, and never go back.
#[derive(Debug)]
pub struct Machine {
    timings: Timings,
    good_endings: GoodEndings,
    phase: Phase,
    stop_asked: bool,
    replacement: Option<Replacement>,
    crashes: Crashes,
    actions: Vec<Action>,
}

impl Machine {
    /// A machine that has done nothing yet. Machines with different seeds pause for different lengths.
    #[must_use]
    pub fn new(timings: Timings, good_endings: GoodEndings, jitter_seed: u64) -> Self {
        Self {
            timings,
            good_endings,
            phase: Phase::Fresh,
            stop_asked: false,
            replacement: None,
            crashes: Crashes::new(jitter_seed),
            actions: Vec::new(),
        }
    }

    /// Begins, unless a stop was observed before.
    pub fn begin(&mut self) -> Vec<Action> {
        if self.phase == Phase::Fresh {
            self.prepare("what the child needs must be there");
        }
        std::mem::take(&mut self.actions)
    }

    /// Takes one observation into account.
    pub fn observe(&mut self, now: Duration, observation: Observation) -> Vec<Action> {
        match observation {
            Observation::StopAsked => self.stop(now),
            Observation::Prepared => self.prepared(),
            Observation::PrepareRefused(why) => self.prepare_refused(why),
            Observation::Spawned => self.spawned(now),
            Observation::SpawnFailed(failure) => self.spawn_failed(now, failure),
            Observation::HealthSeen(health) => self.looked(now, health),
            Observation::HealthTimedOut => {
                let silence = || Err(format!("no answer within {:?}", self.timings.look_limit));
                self.looked(now, Health { alive: silence(), ready: silence() });
            }
            Observation::ChildEnded(ending) => self.ended(now, ending),
            Observation::RestartAsked(why) => self.restart(now, why),
            Observation::HoldReleased => self.hold_released(now),
            Observation::SenselessToWait(why) => self.senseless_to_wait(now, &why),
            Observation::Cleared => self.cleared(now),
            Observation::TimePassed => self.time_passed(now),
        }
        std::mem::take(&mut self.actions)
    }

    /// When [`Observation::TimePassed`] is due, if nothing else happens before.
    #[must_use]
    pub fn wakes_at(&self) -> Option<Duration> {
        match &self.phase {
            Phase::Starting { last_alive, .. } => Some(*last_alive + self.timings.start_limit),
            Phase::Holding { until, .. }
            | Phase::Draining { until }
            | Phase::Clearing { until, .. }
            | Phase::BackingOff { until } => Some(*until),
            Phase::Killed { told_at, .. } => *told_at,
            Phase::Fresh | Phase::Preparing | Phase::Spawning | Phase::Running { .. } | Phase::Over => None,
        }
    }

    /// From look to look at the child; none while it is not to be looked at.
    #[must_use]
    pub fn look_every(&self) -> Option<Duration> {
        match self.phase {
            Phase::Starting { .. } => Some(self.timings.look_starting),
            Phase::Running { .. } | Phase::Holding { .. } => Some(self.timings.look_running),
            _ => None,
        }
    }

    fn stop(&mut self, now: Duration) {
        if std::mem::replace(&mut self.stop_asked, true) {
            return;
        }
        match &mut self.phase {
            Phase::Fresh => self.exit(0, "asked to stop before the child was started"),
            Phase::Preparing => {
                self.act(Action::AbandonPreparing);
                self.exit(0, "asked to stop before the child was started");
            }
            Phase::BackingOff { .. } => self.exit(0, "asked to stop while no child was running"),
            Phase::Clearing { then, .. } => {
                if matches!(then, Then::Start { .. }) {
                    let reason = "asked to stop while no child was running".to_owned();
                    *then = Then::Exit { code: 0, reason: reason.clone() };
                    self.enter(State::Stopped, reason);
                }
            }
            Phase::Starting { .. } | Phase::Running { .. } => {
                self.enter(State::Draining, "asked to stop");
                self.hold(now);
            }
            Phase::Holding { until, .. } => {
                // What was held back until now could wait; the time that a stop has begins with it.
                *until = now + self.timings.hold_limit;
                self.enter(State::Draining, "asked to stop; SIGTERM is held back");
            }
            Phase::Draining { .. } => {
                self.enter(State::Draining, "asked to stop; the child is draining already");
            }
            Phase::Killed { .. } => self.enter(State::Draining, "asked to stop; the child is being killed"),
            // Its outcome is about to be known, and answers to the stop.
            Phase::Spawning | Phase::Over => {}
        }
    }

    fn prepare(&mut self, why: &str) {
        self.phase = Phase::Preparing;
        self.replacement = None;
        self.enter(State::Waiting, why);
        self.act(Action::Prepare);
    }

    fn prepared(&mut self) {
        if self.phase == Phase::Preparing {
            self.phase = Phase::Spawning;
            self.act(Action::Spawn);
        }
    }

    fn prepare_refused(&mut self, why: String) {
        if self.phase == Phase::Preparing {
            self.exit(EXIT_CODE_REFUSED, why);
        }
    }

    fn spawned(&mut self, now: Duration) {
        if self.phase != Phase::Spawning {
            return;
        }
        self.phase = Phase::Starting { spawned: now, last_alive: now };
        self.enter(State::Starting, "the child was started and is not ready yet");
        if self.stop_asked {
            self.enter(State::Draining, "asked to stop while the child was being started");
            self.hold(now);
        }
    }

    fn spawn_failed(&mut self, now: Duration, failure: SpawnFailure) {
        if self.phase != Phase::Spawning {
            return;
        }
        if self.stop_asked {
            self.exit(0, "asked to stop before the child was started");
        } else if failure.permanent {
            self.exit(failure.code, failure.reason);
        } else if let Some(pause) = self.crashes.count(now, None, &self.timings) {
            self.enter(State::Restarting, format!("{}; the next try is in {pause:?}", failure.reason));
            self.phase = Phase::BackingOff { until: now + pause };
        } else {
            self.exit(failure.code, self.crashes.describe(&failure.reason, &self.timings));
        }
    }

    fn looked(&mut self, now: Duration, health: Health) {
        match &mut self.phase {
            Phase::Starting { spawned, last_alive } => {
                if health.alive.is_ok() {
                    *last_alive = now;
                }
                if health.ready.is_ok() {
                    let failing = health.alive.is_err().then_some(Failing { since: now, times: 1 });
                    self.phase = Phase::Running { spawned: *spawned, failing };
                    self.enter(State::Running, "the child is ready");
                }
            }
            Phase::Running { spawned, failing } => {
                let Err(why) = health.alive else {
                    *failing = None;
                    return;
                };
                let failing = failing.get_or_insert(Failing { since: now, times: 0 });
                failing.times += 1;
                let (spawned, Failing { since, times }) = (*spawned, *failing);
                if times >= self.timings.wedge_failures && now >= since + self.timings.wedge_after {
                    let why = format!("not alive {times} times in {:?}: {why}", now.saturating_sub(since));
                    self.wedged(now, spawned, why);
                }
            }
            _ => {}
        }
    }

    fn wedged(&mut self, now: Duration, spawned: Duration, why: String) {
        self.phase = Phase::Killed { spawned, told_at: Some(now + self.timings.kill_limit) };
        self.enter(State::Restarting, format!("the child is wedged and is killed: {why}"));
        self.replacement = Some(Replacement::Wedged(why));
        self.act(Action::SendKill);
    }

    fn restart(&mut self, now: Duration, why: String) {
        // Without a child, or with one that is being replaced, the next child is a new one anyhow.
        if matches!(self.phase, Phase::Starting { .. } | Phase::Running { .. }) {
            self.enter(State::Restarting, format!("restart asked for: {why}"));
            self.replacement = Some(Replacement::Asked(why));
            self.hold(now);
        }
    }

    fn hold(&mut self, now: Duration) {
        if let Phase::Starting { spawned, .. } | Phase::Running { spawned, .. } = self.phase {
            let was_ready = matches!(self.phase, Phase::Running { .. });
            self.phase = Phase::Holding { spawned, was_ready, until: now + self.timings.hold_limit };
            self.act(Action::BeginHold);
        }
    }

    /// A stop does not wait longer than its grace period; a replacement that would do harm can, and whoever wants it asks
    /// again. Meanwhile the child is looked after as before.
    fn hold_limit_reached(&mut self, now: Duration) {
        let Phase::Holding { spawned, was_ready, .. } = self.phase else { return };
        let (false, Some(Replacement::Asked(why))) = (self.stop_asked, self.replacement.take()) else {
            return self.hold_released(now);
        };
        let limit = self.timings.hold_limit;
        let reason = format!("the restart is put off, having been held back for {limit:?}: {why}");
        self.act(Action::AbandonHold);
        if was_ready {
            self.phase = Phase::Running { spawned, failing: None };
            self.enter(State::Running, reason);
        } else {
            self.phase = Phase::Starting { spawned, last_alive: now };
            self.enter(State::Starting, reason);
        }
    }

    fn hold_released(&mut self, now: Duration) {
        if matches!(self.phase, Phase::Holding { .. }) {
            self.phase = Phase::Draining { until: now + self.timings.drain_budget };
            let budget = self.timings.drain_budget;
            self.enter(self.ending_state(), format!("SIGTERM sent; the child has {budget:?} to end"));
            self.act(Action::SendTerminate);
        }
    }

    fn senseless_to_wait(&mut self, now: Duration, why: &str) {
        if matches!(self.phase, Phase::Draining { .. }) {
            self.kill(now, &format!("further waiting is senseless: {why}"));
        }
    }

    fn kill(&mut self, now: Duration, why: &str) {
        // How long it lived no longer matters: it was asked to end.
        let told_at = Some(now + self.timings.kill_limit);
        self.phase = Phase::Killed { spawned: Duration::ZERO, told_at };
        self.enter(self.ending_state(), format!("SIGKILL sent: {why}"));
        self.act(Action::SendKill);
    }

    fn ended(&mut self, now: Duration, ending: ChildEnding) {
        let (spawned, terminate_sent) = match self.phase {
            Phase::Starting { spawned, .. }
            | Phase::Running { spawned, .. }
            | Phase::Holding { spawned, .. } => (spawned, false),
            Phase::Draining { .. } => (now, true),
            Phase::Killed { spawned, told_at } => {
                if told_at.is_none() {
                    self.act(Action::RestoreLiveness);
                }
                (spawned, true)
            }
            _ => return,
        };
        let how = describe(ending);
        let stopping = self.stop_asked;
        let then = if stopping {
            self.after_stop(ending)
        } else {
            match self.replacement.take() {
                Some(Replacement::Asked(why)) if terminate_sent => {
                    self.enter(State::Restarting, format!("the child ended ({how}) to be replaced: {why}"));
                    Then::Start { not_before: now }
                }
                Some(Replacement::Wedged(why)) => self.after_crash(
                    now,
                    spawned,
                    ending,
                    &format!("the child was wedged ({why}) and killed"),
                ),
                _ => self.after_crash(now, spawned, ending, &format!("the child ended unasked: {how}")),
            }
        };
        let until = now + self.timings.clearing_limit;
        self.phase = Phase::Clearing { until, then };
        self.act(Action::Clear { ending, stopping });
    }

    fn after_stop(&mut self, ending: ChildEnding) -> Then {
        let how = describe(ending);
        let (code, reason) = if self.good_endings.contain(ending) {
            (0, format!("stopped as asked ({how})"))
        } else {
            (exit_code(ending), format!("asked to stop, but the child ended badly: {how}"))
        };
        self.enter(State::Stopped, reason.clone());
        Then::Exit { code, reason }
    }

    fn after_crash(&mut self, now: Duration, spawned: Duration, ending: ChildEnding, what: &str) -> Then {
        if let Some(pause) = self.crashes.count(now, Some(now.saturating_sub(spawned)), &self.timings) {
            self.enter(State::Restarting, format!("{what}; the next start is in {pause:?}"));
            Then::Start { not_before: now + pause }
        } else {
            let reason = self.crashes.describe(what, &self.timings);
            self.enter(State::Stopped, reason.clone());
            Then::Exit { code: exit_code(ending), reason }
        }
    }

    fn cleared(&mut self, now: Duration) {
        let Phase::Clearing { then, .. } = &self.phase else { return };
        match then.clone() {
            Then::Exit { code, reason } => {
                self.phase = Phase::Over;
                self.act(Action::Exit { code, reason });
            }
            Then::Start { not_before } if now < not_before => {
                self.phase = Phase::BackingOff { until: not_before }
            }
            Then::Start { .. } => self.prepare("what the next child needs must be there"),
        }
    }

    fn time_passed(&mut self, now: Duration) {
        if self.wakes_at().is_none_or(|moment| now < moment) {
            return;
        }
        match &mut self.phase {
            Phase::Starting { spawned, .. } => {
                let spawned = *spawned;
                let why = format!("not alive for {:?} in its start", self.timings.start_limit);
                self.wedged(now, spawned, why);
            }
            Phase::Holding { .. } => self.hold_limit_reached(now),
            Phase::Draining { .. } => {
                self.kill(now, &format!("not ended within {:?}", self.timings.drain_budget));
            }
            Phase::Killed { told_at, .. } => {
                *told_at = None;
                self.act(Action::FailLiveness(self.timings.kill_limit));
            }
            Phase::Clearing { .. } => {
                self.act(Action::AbandonClearing);
                self.cleared(now);
            }
            Phase::BackingOff { .. } => self.prepare("what the next child needs must be there"),
            _ => {}
        }
    }

    /// Draining is only what a stop does: others take a draining peer for one that leaves.
    fn ending_state(&self) -> State {
        if self.stop_asked { State::Draining } else { State::Restarting }
    }

    fn exit(&mut self, code: u8, reason: impl Into<String>) {
        let reason = reason.into();
        self.phase = Phase::Over;
        self.enter(State::Stopped, reason.clone());
        self.act(Action::Exit { code, reason });
    }

    fn enter(&mut self, state: State, reason: impl Into<String>) {
        self.act(Action::EnterState(state, reason.into()));
    }

    fn act(&mut self, action: Action) {
        self.actions.push(action);
    }
}
