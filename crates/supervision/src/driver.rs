//! Carries out what the machine decides: spawns, looks, signals, waits and tells the board.
//! Refuses decisions of its own; every one of them is in the machine.

use std::cell::Cell;
use std::hash::{BuildHasher, RandomState};
use std::path::PathBuf;
use std::time::Duration;

use conditions::Progress;
use health_endpoints::{State, StatusBoard};
use naming_contract::environment;
use process_control::{Child, ChildEnding, Output, Signal, Signals, Spawn, SpawnError, end_orphans};
use telemetry::error_chain;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until, timeout};

use crate::driver_futures::Ongoing;
use crate::machine::{Action, Machine, Observation, SpawnFailure};
use crate::{ChildCommand, GoodEndings, Health, PrepareError, Supervised, Timings, termination_message};

/// How one child's life is driven.
#[derive(Debug, Clone)]
pub struct Configuration {
    /// What a good end is after a stop.
    pub good_endings: GoodEndings,
    /// How long things may take.
    pub timings: Timings,
    /// Where the child's output goes.
    pub output: Output,
    /// Where the reason is written when the supervisor ends with another code than 0: kubelet's termination log.
    pub termination_message: Option<PathBuf>,
    /// Whether the child may be spawned from another thread than the main one; only for tests, whose threads outlive
    /// the children they spawn.
    pub any_thread: bool,
}

impl Configuration {
    /// Default timings, inherited output, no termination message, main thread only.
    #[must_use]
    pub fn new(good_endings: GoodEndings) -> Self {
        Self {
            good_endings,
            timings: Timings::default(),
            output: Output::Inherit,
            termination_message: None,
            any_thread: false,
        }
    }
}

/// Why the child must be replaced by a new one, for people: "the certificate apiserver-etcd-client was renewed".
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RestartReason(pub String);

/// How it all ended. The child is reaped.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExitReport {
    /// The supervisor's exit code.
    pub code: u8,
    /// Why, for people.
    pub reason: String,
    /// How often a child was started after the first.
    pub restarts: u32,
    /// How the last child ended, if there was one.
    pub last_ending: Option<ChildEnding>,
}

/// Runs one child until a stop was asked for and carried out, or until it cannot be kept running. When this returns,
/// the child is reaped; when it is dropped, the child gets SIGKILL. Must run on the main thread, in a
/// `current_thread` runtime: the child's death signal is tied to that thread.
pub async fn run<S: Supervised>(
    supervised: &S,
    configuration: Configuration,
    board: &StatusBoard,
    signals: &Signals,
    restarts: mpsc::Receiver<RestartReason>,
) -> ExitReport {
    let teller = Teller { board, state: Cell::new(State::Bootstrapping) };
    let driver = Driver::new(supervised, &configuration, &teller);
    let report = driver.drive(signals, restarts).await;
    if let Some(path) = configuration.termination_message.as_ref().filter(|_| report.code != 0) {
        let message =
            format!("exit code {} after {} restarts: {}\n", report.code, report.restarts, report.reason);
        if let Err(error) = termination_message::write(path, &message) {
            tracing::warn!(path = %path.display(), %error, "cannot write the termination message");
        }
    }
    report
}

/// Tells the board; waits inside a component report through it.
struct Teller<'a> {
    board: &'a StatusBoard,
    state: Cell<State>,
}

impl Teller<'_> {
    fn enter(&self, state: State, reason: &str) {
        self.state.set(state);
        self.board.enter(state, reason);
    }
}

impl Progress for Teller<'_> {
    fn waiting(&self, awaits: &str, last_seen: Option<&str>) {
        match self.state.get() {
            State::Waiting => self.board.enter(State::Waiting, awaits),
            state => self.board.enter(state, &format!("SIGTERM is held back, waiting for {awaits}")),
        }
        if let Some(seen) = last_seen {
            self.board.observed(seen);
        }
    }
}

struct Driver<'a, S> {
    supervised: &'a S,
    configuration: &'a Configuration,
    teller: &'a Teller<'a>,
    machine: Machine,
    began: Instant,
    preparing: Ongoing<'a, Result<ChildCommand, PrepareError>>,
    command: Option<ChildCommand>,
    child: Option<Child>,
    looking: Ongoing<'a, Option<Health>>,
    last_look: Instant,
    holding: Ongoing<'a, ()>,
    draining: Ongoing<'a, String>,
    clearing: Ongoing<'a, ()>,
    spawned_before: bool,
    restarts: u32,
    last_ending: Option<ChildEnding>,
}

impl<'a, S: Supervised> Driver<'a, S> {
    fn new(supervised: &'a S, configuration: &'a Configuration, teller: &'a Teller<'a>) -> Self {
        let seed = RandomState::new().hash_one(std::process::id());
        Self {
            supervised,
            configuration,
            teller,
            machine: Machine::new(configuration.timings, configuration.good_endings, seed),
            began: Instant::now(),
            preparing: Ongoing::default(),
            command: None,
            child: None,
            looking: Ongoing::default(),
            last_look: Instant::now(),
            holding: Ongoing::default(),
            draining: Ongoing::default(),
            clearing: Ongoing::default(),
            spawned_before: false,
            restarts: 0,
            last_ending: None,
        }
    }

    async fn drive(mut self, signals: &Signals, mut restarts: mpsc::Receiver<RestartReason>) -> ExitReport {
        let mut stop_told = signals.stop().is_some();
        let mut actions = if stop_told { self.observe(Observation::StopAsked) } else { self.machine.begin() };
        let mut ready = None;
        loop {
            if let Some(report) = self.carry_out(actions) {
                return report;
            }
            // After the actions: entering a state takes the readiness of the former one away.
            if let Some(ready) = ready.take() {
                self.tell_readiness(ready);
            }
            let observation = self.next(signals, stop_told, &mut restarts).await;
            stop_told |= observation == Observation::StopAsked;
            ready = match &observation {
                Observation::HealthSeen(health) => Some(health.ready.clone()),
                Observation::HealthTimedOut => {
                    Some(Err(format!("no answer within {:?}", self.configuration.timings.look_limit)))
                }
                _ => None,
            };
            actions = self.observe(observation);
        }
    }

    fn observe(&mut self, observation: Observation) -> Vec<Action> {
        self.machine.observe(self.began.elapsed(), observation)
    }

    /// What happens next. The order decides when several things have happened: a stop before everything, an ended
    /// child before a deadline.
    async fn next(
        &mut self,
        signals: &Signals,
        stop_told: bool,
        restarts: &mut mpsc::Receiver<RestartReason>,
    ) -> Observation {
        self.plan_look();
        let wakes_at = self.machine.wakes_at().map(|moment| self.began + moment);
        tokio::select! {
            biased;
            _signal = signals.stop_asked(), if !stop_told => Observation::StopAsked,
            ending = wait_for(&mut self.child) => {
                self.child = None;
                self.looking.drop_it();
                self.holding.drop_it();
                self.draining.drop_it();
                self.child_ended(ending)
            }
            () = sleep_until(wakes_at.unwrap_or(self.began)), if wakes_at.is_some() => Observation::TimePassed,
            prepared = self.preparing.result() => match prepared {
                Ok(command) => {
                    self.command = Some(command);
                    Observation::Prepared
                }
                Err(error) => Observation::PrepareRefused(error_chain(&error)),
            },
            health = self.looking.result() => health.map_or(Observation::HealthTimedOut, Observation::HealthSeen),
            () = self.holding.result() => Observation::HoldReleased,
            why = self.draining.result() => Observation::SenselessToWait(why),
            () = self.clearing.result() => Observation::Cleared,
            Some(RestartReason(why)) = restarts.recv() => Observation::RestartAsked(why),
        }
    }

    /// Returns the report if this was the end.
    fn carry_out(&mut self, actions: Vec<Action>) -> Option<ExitReport> {
        let mut queue = std::collections::VecDeque::from(actions);
        while let Some(action) = queue.pop_front() {
            match action {
                Action::Prepare => self.preparing.begin(self.supervised.prepare(self.teller)),
                Action::AbandonPreparing => self.preparing.drop_it(),
                Action::Spawn => {
                    let outcome = self.spawn();
                    queue.extend(self.observe(outcome));
                }
                Action::BeginHold => self.holding.begin(self.supervised.hold_back(self.teller)),
                Action::AbandonHold => self.holding.drop_it(),
                Action::SendTerminate => {
                    self.holding.drop_it();
                    self.looking.drop_it();
                    self.send(Signal::SIGTERM);
                    self.draining.begin(self.supervised.drain_is_senseless());
                }
                Action::SendKill => {
                    self.looking.drop_it();
                    self.draining.drop_it();
                    self.send(Signal::SIGKILL);
                }
                Action::Clear { ending, stopping } => {
                    self.clearing.begin(self.supervised.ended(ending, stopping));
                }
                Action::AbandonClearing => {
                    let limit = self.configuration.timings.clearing_limit;
                    tracing::warn!(?limit, "clearing up after the child took too long; it is left undone");
                    self.clearing.drop_it();
                }
                Action::FailLiveness(after) => self.fail_liveness(after),
                Action::RestoreLiveness => self.teller.board.liveness(Ok(())),
                Action::EnterState(state, reason) => self.teller.enter(state, &reason),
                Action::Exit { code, reason } => {
                    let (restarts, last_ending) = (self.restarts, self.last_ending);
                    return Some(ExitReport { code, reason, restarts, last_ending });
                }
            }
        }
        None
    }

    fn spawn(&mut self) -> Observation {
        let Some(command) = self.command.take() else {
            let reason = "there is nothing to start".to_owned();
            return Observation::SpawnFailed(SpawnFailure { code: 126, permanent: true, reason });
        };
        let mut spawn = Spawn::new(command.program)
            .arguments(&command.arguments)
            .withhold_environment(environment::PREFIX)
            .withhold_environment(environment::ETCD_PREFIX)
            .output(self.configuration.output.clone());
        for (name, value) in &command.environment {
            spawn = spawn.environment(name, value);
        }
        if self.configuration.any_thread {
            spawn = spawn.from_thread_that_outlives_it();
        }
        match spawn.start() {
            Ok(child) => {
                self.teller.board.child(Some(child.pid()));
                if std::mem::replace(&mut self.spawned_before, true) {
                    self.teller.board.restarted();
                    self.restarts += 1;
                }
                self.last_look = Instant::now();
                self.child = Some(child);
                Observation::Spawned
            }
            Err(error) => Observation::SpawnFailed(spawn_failure(&error)),
        }
    }

    fn child_ended(&mut self, ending: ChildEnding) -> Observation {
        self.teller.board.child(None);
        self.last_ending = Some(ending);
        match end_orphans() {
            Ok(0) => {}
            Ok(orphans) => tracing::info!(orphans, "killed what the child left behind"),
            Err(error) => tracing::warn!(%error, "cannot look for what the child left behind"),
        }
        Observation::ChildEnded(ending)
    }

    fn send(&self, signal: Signal) {
        let Some(child) = &self.child else { return };
        match child.signal(signal) {
            // False: it has ended already, which the next observation tells.
            Ok(_) => {}
            Err(error) => tracing::error!(pid = child.pid(), %signal, %error, "cannot signal the child"),
        }
    }

    /// So that whoever watches `/livez` may replace what this process cannot: the container, or the machine.
    fn fail_liveness(&self, after: Duration) {
        let pid = self.child.as_ref().map_or(0, Child::pid);
        let why = format!(
            "the child (pid {pid}) is still there {} s after SIGKILL: it hangs in the kernel, probably on a disk",
            after.as_secs_f32()
        );
        tracing::error!(
            pid,
            ?after,
            "the child does not end, not even by SIGKILL; /livez says so from now on"
        );
        self.teller.board.liveness(Err(why));
    }

    /// Looks begin at the machine's pace, measured from begin to begin; a slow look delays none but the next look.
    fn plan_look(&mut self) {
        let Some(every) = self.machine.look_every() else {
            self.looking.drop_it();
            return;
        };
        if !self.looking.is_going_on() {
            let begins = (self.last_look + every).max(Instant::now());
            self.last_look = begins;
            let (supervised, limit) = (self.supervised, self.configuration.timings.look_limit);
            self.looking.begin(async move {
                sleep_until(begins).await;
                timeout(limit, supervised.health()).await.ok()
            });
        }
    }

    fn tell_readiness(&self, ready: Result<(), String>) {
        // A child that is being ended by these very actions serves nobody.
        if self.machine.look_every().is_some() {
            if let Err(why) = &ready {
                self.teller.board.observed(why);
            }
            self.teller.board.readiness(ready);
        }
    }
}

async fn wait_for(child: &mut Option<Child>) -> ChildEnding {
    let Some(child) = child else { return std::future::pending().await };
    match child.wait().await {
        Ok(ending) => ending,
        Err(error) => {
            tracing::error!(error = error_chain(&error), "treated as a bad ending");
            ChildEnding::Exited(1)
        }
    }
}

fn spawn_failure(error: &SpawnError) -> SpawnFailure {
    SpawnFailure {
        code: if error.is_missing() { 127 } else { 126 },
        permanent: error.is_permanent(),
        reason: error_chain(error),
    }
}
