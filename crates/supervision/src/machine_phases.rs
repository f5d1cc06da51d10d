//! Where the machine is: finer than the states that people see, and with what each phase must remember.
//! Refuses to decide; moving from phase to phase is the machine's.

use std::time::Duration;

/// All moments are durations since the machine began.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Phase {
    /// Nothing was done yet.
    Fresh,
    /// The component waits for what the child needs.
    Preparing,
    /// A spawn was ordered and its outcome is not known.
    Spawning,
    /// The child lives and was not ready yet.
    Starting { spawned: Duration, last_alive: Duration },
    /// The child lives and was ready once.
    Running { spawned: Duration, failing: Option<Failing> },
    /// SIGTERM is held back.
    Holding { spawned: Duration, was_ready: bool, until: Duration },
    /// SIGTERM was sent.
    Draining { until: Duration },
    /// SIGKILL was sent. Has no deadline: a process that even SIGKILL does not end may still hold a lease, a port or
    /// a data directory, so it must not be given up for dead. It is only told, at this moment; none: it was told.
    Killed { spawned: Duration, told_at: Option<Duration> },
    /// The child is reaped and the component clears up after it.
    Clearing { until: Duration, then: Then },
    /// The next start waits for its moment.
    BackingOff { until: Duration },
    /// The exit code was given.
    Over,
}

/// The child's own liveness fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Failing {
    pub(crate) since: Duration,
    pub(crate) times: u32,
}

/// What follows the clearing up.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Then {
    /// Start again, not before this moment.
    Start { not_before: Duration },
    /// Exit.
    Exit { code: u8, reason: String },
}

/// Why a living child is being ended although no stop was asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Replacement {
    /// Somebody asked for a restart: neither a crash nor followed by a pause.
    Asked(String),
    /// It no longer answers: counts as a crash.
    Wedged(String),
}
