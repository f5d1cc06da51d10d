//! Every duration in one child's life, with its default and where the default comes from.
//! Refuses to read a clock: these are lengths, not moments.

use std::time::Duration;

/// How long things may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timings {
    /// From SIGTERM to SIGKILL. 60 s: what kube-apiserver needs with open watches and default flags.
    pub drain_budget: Duration,
    /// How long a component may hold its SIGTERM back. 30 s; etcd, whose grace period is 120 s, gets more. After it a stop
    /// goes on and a restart is put off.
    pub hold_limit: Duration,
    /// So long after SIGKILL a child that is still there makes the supervisor fail its own liveness. 60 s: even a large
    /// process is torn down in seconds, so it hangs in the kernel, on a disk most likely.
    pub kill_limit: Duration,
    /// Pause after the first crash; it doubles with each further one. 0.2 s.
    pub back_off_first: Duration,
    /// Longest pause before jitter, which adds at most half of it. 5 s.
    pub back_off_longest: Duration,
    /// That many crashes within [`Timings::crash_window`] end the supervisor. 5.
    pub crash_limit: usize,
    /// 60 s. A child that lived longer lets the pauses begin again at the first.
    pub crash_window: Duration,
    /// So many looks in a row must have failed before a child counts as wedged. 3.
    pub wedge_failures: u32,
    /// For so long the child's own liveness must have failed. 30 s.
    pub wedge_after: Duration,
    /// A child that was never ready may fail its own liveness for so long. 240 s: kubeadm's startup probe.
    pub start_limit: Duration,
    /// From look to look while the child starts. 0.1 s: a start loses at most that.
    pub look_starting: Duration,
    /// From look to look afterwards. 0.5 s; with [`Timings::look_limit`] readiness is never older than 2 s.
    pub look_running: Duration,
    /// A look that takes longer failed. 1.4 s.
    pub look_limit: Duration,
    /// How long a component may take to clear up after a child (leases, leadership). 5 s.
    pub clearing_limit: Duration,
}

impl Default for Timings {
    fn default() -> Self {
        Self {
            drain_budget: Duration::from_mins(1),
            hold_limit: Duration::from_secs(30),
            kill_limit: Duration::from_secs(60),
            back_off_first: Duration::from_millis(200),
            back_off_longest: Duration::from_secs(5),
            crash_limit: 5,
            crash_window: Duration::from_mins(1),
            wedge_failures: 3,
            wedge_after: Duration::from_secs(30),
            start_limit: Duration::from_mins(4),
            look_starting: Duration::from_millis(100),
            look_running: Duration::from_millis(500),
            look_limit: Duration::from_millis(1400),
            clearing_limit: Duration::from_secs(5),
        }
    }
}
